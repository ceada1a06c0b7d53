"""The tables and the ledger in results/minilm-full are those of its runs, by the code as it is.

Needs MiniLM and the real GLUE and SQuAD, whose labels an error over examples takes.
"""

import shutil

import pytest
from command_line import ROOT
from conftest import missing, real_glue
from matplotlib.figure import Figure

from adapters.reproduce.pipeline import make_plan, studies_named, write_reports
from adapters.reproduce.plans.budgets import budget_named
from adapters.reproduce.sweep.runs_file import read_runs
from minibert.checkpoint import Base
from minibert.data.squad import squad_data
from minibert.errors import InputError

FOLDER = ROOT / "results" / "minilm-full"


def test_every_number_of_the_full_budget_is_that_of_its_runs(
    minilm: Base, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    for task in budget_named("full").examples:
        real_glue(task)
    try:
        squad_data()
    except InputError as error:
        missing(f"SQuAD ({error})")
    # not what a picture looks like, which another matplotlib draws otherwise
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: None)
    out = tmp_path / "out"
    shutil.copytree(FOLDER, out)
    plan = make_plan(budget_named("full"), "minilm", None, sample=False)
    assert plan.base_sha256 == minilm.sha256
    write_reports(studies_named(["all"]), plan, read_runs(out), out)
    for name in ("results.md", "claims.md"):
        assert (out / name).read_text("utf-8") == (FOLDER / name).read_text("utf-8")
