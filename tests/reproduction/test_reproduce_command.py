"""`minibert reproduce` from the command line to runs, tables, figures and the ledger.

One small sweep on a random BERT and the project's sample of SST-2, through a worker process.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

import pytest
from command_line import ROOT, Result, minibert, works
from scipy.stats import spearmanr
from small_base import small_bert

from adapters.reproduce import pipeline
from adapters.reproduce.pipeline import all_wanted, make_plan, studies_named
from adapters.reproduce.plans.budgets import BUDGETS
from adapters.reproduce.plans.foreseen import foreseen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, HEAD, Plan
from adapters.reproduce.report.statistics import hundredths
from adapters.reproduce.sweep.answers import packed, unpacked
from adapters.reproduce.sweep.configured import parts, parts_of, questions
from adapters.reproduce.sweep.cost import estimated_tokens
from adapters.reproduce.sweep.runs_file import Runs, append_run, read_runs, run_key
from adapters.reproduce.sweep.sweep_bar import SweepBar
from adapters.reproduce.sweep.workers import Workers
from minibert.errors import InputError

ADAPTER_RUNS = 2 + 7  # sizes 8 and 64, seven extensions
SMALL = replace(
    BUDGETS["quick"],
    examples={"sst-2": 1000},
    grids={name: ((1e-2, 1),) for name in BUDGETS["quick"].grids},
    best_of=(8, 64),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return small_bert(tmp_path_factory.mktemp("bases") / "small-bert")


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """One task and one epoch; no worker is left running at the end."""
    from joblib.externals.loky import get_reusable_executor

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUDGETS, "quick", SMALL)
        yield
    get_reusable_executor().shutdown(wait=True)


def reproduce(base: Path, out: Path, *words: object) -> Result:
    return works("reproduce", *words, "--sample", "--budget", "quick", "--base", base, "--out", out)


@pytest.fixture(scope="module")
def swept(base, tmp_path_factory) -> tuple[Path, Result]:
    """The folder of a finished sweep, and the command's output."""
    out = tmp_path_factory.mktemp("results") / "sweep"
    return out, reproduce(base, out, "table1", "extensions", "--workers", 1)


def pages(folder: Path) -> dict[str, bytes]:
    """Everything that is made from the runs."""
    found = [folder / "results.md", folder / "claims.md", *(folder / "figures").iterdir()]
    return {path.name: path.read_bytes() for path in found}


class TestASweep:
    def test_a_sweep_computes_each_run_that_the_studies_need_once(self, swept):
        runs = read_runs(swept[0])
        lines = (swept[0] / "runs.jsonl").read_text().splitlines()
        assert len(lines) == len(runs) == 2 + ADAPTER_RUNS
        methods = [run["config"]["method"] for run in runs.values()]
        assert methods.count(FULL) == methods.count(HEAD) == methods.count(ADAPTERS) == 1
        assert all(
            "dev" in run["result"] and run["result"]["seconds"] >= 0 for run in runs.values()
        )

    def test_a_sweep_writes_the_tables_the_figures_and_the_ledger(self, swept):
        out, printed = swept
        found = pages(out)
        assert found.keys() == {"results.md", "claims.md", "table1.png", "extensions.png"}
        text = found["results.md"].decode()
        for name in ("table1", "extensions"):
            assert found[f"{name}.png"].startswith(b"\x89PNG\r\n\x1a\n")
            assert f"](figures/{name}.png)" in text
        best = max(run["result"]["dev"]["accuracy"] for run in read_runs(out).values())
        assert f"{100 * best:.1f}" in text
        assert "Claims of the paper on small-bert" in found["claims.md"].decode()
        assert str(out / "results.md") in printed.out
        assert str(out / "claims.md") in printed.out

    def test_a_report_mentions_no_path_of_this_machine(self, swept, base):
        for name, data in pages(swept[0]).items():
            for place in (base, base.parent, swept[0], ROOT, Path.home()):
                assert str(place).encode() not in data, name
        assert "--budget quick --base small-bert --sample`" in (swept[0] / "claims.md").read_text()

    def test_a_sweep_leaves_nothing_but_runs_reports_and_task_files(self, swept):
        kept = [p.relative_to(swept[0]) for p in swept[0].rglob("*") if p.is_file()]
        others = {p.as_posix() for p in kept if p.suffix != ".lock" and p.parts[0] != "tasks"}
        pictures = {"figures/table1.png", "figures/extensions.png"}
        assert others == {"runs.jsonl", "results.md", "claims.md", *pictures}
        assert sum(p.parts[0] == "tasks" for p in kept) == ADAPTER_RUNS

    def test_a_sweep_computes_nothing_a_second_time(self, swept, base, monkeypatch):
        out, first = swept
        runs, before = (out / "runs.jsonl").read_bytes(), pages(out)
        monkeypatch.setattr(Workers, "open", None)  # no worker can be started
        assert reproduce(base, out, "table1", "extensions", "--workers", 1).out == first.out
        assert (out / "runs.jsonl").read_bytes() == runs
        assert pages(out) == before

    def test_checkpoints_of_a_run_that_another_machine_has_finished_are_removed(
        self, swept, base, tmp_path
    ):
        """It was stopped here, and its line of the runs file came from elsewhere."""
        out = tmp_path / "out"
        shutil.copytree(swept[0], out)
        stopped = out / "under-way" / next(iter(read_runs(out)))
        stopped.mkdir(parents=True)
        (stopped / "checkpoint.safetensors").write_bytes(b"of many megabytes")
        reproduce(base, out, "table1", "extensions", "--workers", 1)
        assert not stopped.exists()

    def test_a_report_needs_only_the_runs(self, swept, base, tmp_path):
        shutil.copy(swept[0] / "runs.jsonl", tmp_path)
        reproduce(base, tmp_path, "extensions", "table1", "--report-only")
        assert pages(tmp_path) == pages(swept[0])

    def test_a_report_of_another_budget_replaces_no_page_by_an_empty_one(
        self, swept, base, tmp_path
    ):
        out = tmp_path / "out"
        shutil.copytree(swept[0], out)
        words = ("--report-only", "--budget", "full", "--sample", "--base", base, "--out", out)
        result = minibert("reproduce", "table1", *words)
        assert (result.code, result.err.count("\n")) == (2, 1)
        path = out / "runs.jsonl"
        says = f"minibert: error: {path}: has no run of this base, budget and data\n"
        assert result.err == says
        path.unlink()
        result = minibert("reproduce", "table1", *words)
        assert (result.code, result.err) == (2, says)
        assert pages(out) == pages(swept[0])

    def test_a_report_in_a_folder_without_runs_makes_no_folder(self, base, tmp_path):
        out = tmp_path / "typo"
        words = ("--report-only", "--sample", "--budget", "quick", "--base", base, "--out", out)
        for study in ("table1", "all"):
            result = minibert("reproduce", study, *words)
            says = f"{out / 'runs.jsonl'}: has no run of this base, budget and data\n"
            assert (result.code, result.err) == (2, f"minibert: error: {says}")
        assert not out.exists()

    def test_damaged_answers_are_refused_before_anything_is_written(self, swept, base, tmp_path):
        """Ours say of every example the opposite of what the run's score is of."""
        out = tmp_path / "out"
        out.mkdir()
        for run in read_runs(swept[0]).values():
            answers = packed(1 - unpacked(run["result"]["answers"], ""))
            for seed in (0, 1):
                config = {**run["config"], "seed": seed}
                append_run(out, config, {**run["result"], "answers": answers})
        words = ("--report-only", "--sample", "--budget", "quick", "--base", base, "--out", out)
        result = minibert("reproduce", "all", *words, "--seeds", 2)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert "its answers have accuracy" in result.err
        assert {path.name for path in out.iterdir()} - {".runs.lock"} == {"runs.jsonl"}

    def test_runs_of_other_seeds_and_studies_are_runs_of_the_plan(self, swept, base, tmp_path):
        """As a folder has them that another machine began."""
        runs = [run for run in read_runs(swept[0]).values() if run["config"]["method"] == FULL]
        append_run(tmp_path, {**runs[0]["config"], "seed": 3}, runs[0]["result"])
        reproduce(base, tmp_path, "extensions", "--report-only")
        assert (tmp_path / "results.md").exists()

    def test_the_base_may_be_moved(self, swept, base, tmp_path, monkeypatch):
        moved, out = tmp_path / "elsewhere" / base.name, tmp_path / "out"
        shutil.copytree(base, moved)
        shutil.copytree(swept[0], out)
        monkeypatch.setattr(Workers, "open", None)  # no worker can be started
        reproduce(moved, out, "table1", "extensions", "--workers", 1)
        assert pages(out) == pages(swept[0])

    def test_a_report_of_one_study_loses_none_of_the_others(self, swept, base, tmp_path):
        out = tmp_path / "out"
        shutil.copytree(swept[0], out)
        (out / "figures" / "extensions.png").unlink()  # as where nothing can be drawn yet
        reproduce(base, out, "table1", "--report-only")
        assert pages(out) == pages(swept[0])

    def test_a_sweep_resumes_with_only_the_missing_runs(self, swept, base, tmp_path):
        """As after a kill: the last line is incomplete."""
        lines = (swept[0] / "runs.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "runs.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:50])
        reproduce(base, tmp_path, "table1", "extensions", "--workers", 1)
        again = (tmp_path / "runs.jsonl").read_bytes().splitlines(keepends=True)
        assert again[:-1] == lines[:-1]
        old, new = json.loads(lines[-1]), json.loads(again[-1])
        assert new["config"] == old["config"]
        del old["result"]["seconds"], new["result"]["seconds"]
        assert new["result"] == old["result"]


def test_a_report_says_of_which_tasks_the_data_are_not_here(base, tmp_path, monkeypatch):
    """Their answers cannot be compared, so the ledger has other intervals."""
    monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path / "none"))
    (config,) = make_plan(BUDGETS["quick"], str(base), None, False).grid("sst-2", FULL)
    scores = {"accuracy": 0.5}
    append_run(tmp_path, config, {"dev": scores, "validation": [scores], "best_epoch": 1})
    words = ("--budget", "quick", "--base", base, "--out", tmp_path, "--report-only")
    says = "sst-2: no data here to compare answers with; their intervals, and those of means, are"
    assert says in works("reproduce", "table1", *words).out
    assert "no data" not in reproduce(base, tmp_path / "other", "table1", "--workers", 1).out


def test_sts_b_is_scored_and_compared_by_spearmans_correlation(base, tmp_path, monkeypatch):
    """It is a task of the paper's budget. Here on the project's own sentences."""
    assert "sts-b" in BUDGETS["paper"].examples
    monkeypatch.setitem(BUDGETS, "quick", replace(SMALL, examples={"sts-b": None}))
    reproduce(base, tmp_path, "table1", "--seeds", 2, "--workers", 1)
    found: dict[str, list[float]] = {}  # of each method, one for each seed
    for run in read_runs(tmp_path).values():
        answers = unpacked(run["result"]["answers"], "")
        gold = [example.label for example in parts_of(run["config"])[1]]
        expected = spearmanr(answers, gold).statistic
        assert run["result"]["dev"]["spearman"] == pytest.approx(expected, abs=1e-6)
        found.setdefault(str(run["config"]["method"]), []).append(100 * expected)
    assert len(found[str(ADAPTERS)]) == len(found[str(FULL)]) == 2
    assert "| STS-B (Spearman) |" in re.sub(" +", " ", (tmp_path / "results.md").read_text())
    claims = re.sub(" +", " ", (tmp_path / "claims.md").read_text())
    less = mean(found[str(ADAPTERS)]) - mean(found[str(FULL)])
    told = re.escape(hundredths(less / 100, sign=True))
    assert re.search(rf"\| {told} \[\S+, \S+\] \|", claims)  # and no †


def test_a_report_without_runs_says_that_there_are_none_yet(base, tmp_path):
    out = tmp_path / "new"
    plan = make_plan(BUDGETS["quick"], str(base), None, True)
    pipeline.write_reports(studies_named(["all"]), plan, {}, out)
    text, claims = (out / "results.md").read_text(), (out / "claims.md").read_text()
    assert text.count("o runs yet") == len(pipeline.STUDIES)
    assert claims.count("**not decided by these runs**") == 18
    assert sorted(path.name for path in out.iterdir()) == ["claims.md", "results.md"]


@pytest.mark.parametrize(
    "words, message",
    [
        (("table3",), "unknown study 'table3'; known: table1, tradeoff, squad, ablation, "),
        (("--budget", "huge"), "unknown budget 'huge'; known: quick, full, paper"),
        (("--seeds", 0), "seeds must be at least 1, not 0"),
        (("--workers", 0), "workers must be at least 1, not 0"),
        (("--workers", 2, "--cluster", "tcp://x:1"), "give --workers or --cluster, not both"),
        (("--threads", 0), "threads must be at least 1, not 0"),
        (("--base", "/nowhere/at-all"), "/nowhere/at-all"),
        (("--base", "."), "--base .: give the folder's name, which runs and results go by"),
        (("--base", "a/.."), "--base a/..: give the folder's name"),
        (("--seeds", "many"), "invalid int value: 'many'"),
    ],
)
def test_bad_values_are_refused_in_one_line_and_leave_nothing_behind(
    base, tmp_path, words, message
):
    out = tmp_path / "out"
    usual = () if "--base" in words else ("--base", base)
    result = minibert("reproduce", *words, *usual, "--sample", "--out", out)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "study, message", [("table1", "run `minibert fetch sst-2`"), ("squad", "minibert fetch squad")]
)
def test_missing_data_are_reported_before_anything_runs(
    base, tmp_path, monkeypatch, study, message
):
    """And only the data that the studies need."""
    for name in ("MINIBERT_GLUE", "MINIBERT_SQUAD", "MINIBERT_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    parts.cache_clear()
    questions.cache_clear()
    out = tmp_path / "out"
    result = minibert("reproduce", study, "--base", base, "--out", out)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not out.exists()


# ----------------------------------------------------------------------- the steps, one by one


def test_all_means_every_study_and_studies_come_in_the_papers_order():
    assert [study.NAME for study in studies_named(["all"])] == list(pipeline.STUDIES)
    assert [study.NAME for study in studies_named(["epochs", "table1"])] == ["table1", "epochs"]


def test_a_plan_has_the_budgets_number_of_seeds_unless_another_is_given(base):
    assert make_plan(BUDGETS["full"], str(base), None, True).seeds == 8
    assert make_plan(BUDGETS["full"], str(base), 1, True).seeds == 1
    plan = make_plan(BUDGETS["full"], str(base), None, True)
    assert (plan.layers, len(plan.base_sha256)) == (2, 64)
    with pytest.raises(InputError, match="seeds must be at least 1, not -1"):
        make_plan(BUDGETS["full"], str(base), -1, True)


def test_a_report_shows_a_base_as_it_was_typed_unless_it_is_an_absolute_path():
    plan = Plan(SMALL, "minilm", "0" * 64, 6, 1, tuple(SMALL.examples))
    assert plan.base_shown == "minilm"
    assert replace(plan, base="some-org/some-bert").base_shown == "some-org/some-bert"
    assert replace(plan, base="/somewhere/private/bert").base_shown == "bert"


def test_the_longest_runs_come_first_and_each_comes_once():
    full = BUDGETS["full"]
    plan = Plan(full, "minilm", "0" * 64, 6, 3, tuple(full.examples))
    wanted = all_wanted(studies_named(["all"]), plan, {})
    costs = [estimated_tokens(config) for config in wanted]
    assert costs == sorted(costs, reverse=True)
    assert len({run_key(config) for config in wanted}) == len(wanted)


def test_imports_point_one_way():
    """Each room imports only from itself and from the rooms before it."""
    rooms = ("sweep", "plans", "report", "comparison", "studies", "ledger", "pipeline")
    for path in (ROOT / "adapters/reproduce").rglob("*.py"):
        room = path.relative_to(ROOT / "adapters/reproduce").parts[0].removesuffix(".py")
        if room != "__init__":
            text = path.read_text("utf-8")
            imported = re.findall(r"adapters\.reproduce(?:\.| import )(\w+)", text)
            allowed = rooms[: rooms.index(room) + 1]
            assert set(imported) <= set(allowed), path
    told = " -> ".join(reversed(rooms))
    assert told in (ROOT / "adapters/reproduce/__init__.py").read_text("utf-8")


def test_a_sweep_is_given_the_bars_tick(tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def waited_for(configs, run_one, folder, workers, on_progress, on_tick) -> None:
        assert isinstance(on_progress, SweepBar)
        assert on_tick == on_progress.tick
        raise Enough

    monkeypatch.setattr(pipeline, "run_sweep", waited_for)
    plan = Plan(SMALL, "minilm", "0" * 64, 6, 1, tuple(SMALL.examples))
    with pytest.raises(Enough):
        pipeline.sweep_studies(studies_named(["init-scale"]), plan, tmp_path, Workers())


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_all_runs_are_foreseen_where_the_first_that_is_tried_is_the_best(budget):
    """And once all have run, nothing else is."""
    studies = studies_named(["all"])
    of = BUDGETS[budget]
    plan = Plan(of, "minilm", "0" * 64, 6, None, tuple(of.examples))
    wanted = partial(all_wanted, studies, plan)
    before, runs = foreseen(wanted, {}), Runs()
    equal = {"validation": [{"accuracy": 0.5}], "dev": {"f1": 0.5}}
    rounds = 0
    while missing := [config for config in wanted(runs) if run_key(config) not in runs]:
        for config in missing:
            key = run_key(config)
            runs[key] = {"key": key, "config": config, "result": equal}
        rounds += 1
    assert before.keys() == runs.keys()
    assert rounds >= 2
    assert foreseen(wanted, runs).keys() == runs.keys()
