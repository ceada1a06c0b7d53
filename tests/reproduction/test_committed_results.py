"""The committed tables and the ledger are those of the committed runs, by the code as it is.

Needs MiniLM, the real GLUE and SQuAD, and table 2's files: an error over examples takes the labels.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT
from conftest import missing, real_glue
from matplotlib.figure import Figure

from adapters.reproduce.ledger.claims import CHANGED, CLAIMS
from adapters.reproduce.pipeline import make_plan, studies_named, write_reports
from adapters.reproduce.plans.budgets import budget_named
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.sweep.runs_file import read_runs
from minibert.checkpoint import Base
from minibert.data.squad import squad_data
from minibert.errors import InputError

RESULTS = ROOT / "results"


def rewritten(committed: Path, plan: Plan, studies: list[str], folder: Path) -> Path:
    """A folder with committed runs, and the pages that are written of them today."""
    folder.mkdir()
    shutil.copy(committed / "runs.jsonl", folder)
    write_reports(studies_named(studies, plan.folder is not None), plan, read_runs(folder), folder)
    return folder


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they look like is not compared: another matplotlib draws otherwise."""
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: None)


def test_every_number_of_the_full_budget_is_that_of_its_runs(minilm: Base, tmp_path):
    for task in budget_named("full").examples:
        real_glue(task)
    try:
        squad_data()
    except InputError as error:
        missing(f"SQuAD ({error})")
    plan = make_plan(budget_named("full"), "minilm", None, sample=False)
    assert plan.base_sha256 == minilm.sha256
    folder = RESULTS / "minilm-full"
    out = rewritten(folder, plan, ["all"], tmp_path / "out")
    for name in ("results.md", "claims.md"):
        assert (out / name).read_text("utf-8") == (folder / name).read_text("utf-8")


def test_every_number_of_table_2_is_that_of_its_runs(minilm: Base, tmp_path):
    """MINIBERT_TABLE2 names the folder of the three published files."""
    source, tasks = os.environ.get("MINIBERT_TABLE2", ""), tmp_path / "tasks"
    if not source:
        missing("MINIBERT_TABLE2, the published files of table 2's tasks")
    script = [sys.executable, str(ROOT / "benchmarks" / "table2_data.py"), source, str(tasks)]
    subprocess.run(script, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    plan = make_plan(budget_named("full"), "minilm", None, sample=False, data=tasks)
    folder = RESULTS / "minilm-full-table2"
    out = rewritten(folder, plan, ["table2"], tmp_path / "out")
    assert (out / "results.md").read_text("utf-8") == (folder / "results.md").read_text("utf-8")


def test_the_committed_ledger_has_todays_claims_and_rules_and_what_was_changed():
    """Which needs no data."""
    page = (RESULTS / "minilm-full" / "claims.md").read_text("utf-8")
    changed = "\n".join(f"- {what}." for what in CHANGED)
    assert f"\n\n{changed}\n\n" in page
    for claim in CLAIMS:
        assert claim.says in page
        assert claim.rule in page
