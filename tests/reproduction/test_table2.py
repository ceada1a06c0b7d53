"""Table 2 on a folder of tasks, from `minibert reproduce table2 --data DIR` to the table.

The folders are of toy tasks, the base is a random BERT: what is tested is that the numbers are the
right ones, not that they are good.
"""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, Result, minibert, works
from small_base import small_bert
from task_folders import ABOUT, SIZES, toy_rows, write_task

from adapters.finetune import train_task
from adapters.predict import predict_texts
from adapters.reproduce import pipeline
from adapters.reproduce.pipeline import make_plan, studies_named
from adapters.reproduce.plans.budgets import BUDGETS
from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan, TaskFolder
from adapters.reproduce.plans.table2_plan import TABLE2, Table2Plan, table2_plan
from adapters.reproduce.report.pages import cell
from adapters.reproduce.report.shares import paper_total, share
from adapters.reproduce.studies import table2, table2_rows
from adapters.reproduce.studies.table2_picture import WIDEST, on_two_lines
from adapters.reproduce.sweep.answers import packed, unpacked
from adapters.reproduce.sweep.configured import base_of, method_of, settings_of
from adapters.reproduce.sweep.drawn import drawn
from adapters.reproduce.sweep.one_run import execute
from adapters.reproduce.sweep.runs_file import Config, Runs, append_run, read_runs, run_key
from adapters.reproduce.sweep.task_folder import FolderTask, read_task, read_tasks
from adapters.reproduce.sweep.task_toml import LARGEST, read_about
from adapters.reproduce.sweep.tfidf import tfidf
from adapters.task_model import POOLER
from minibert.data.tasks import Data, Example, Task, score
from minibert.errors import InputError

SCRIPT = ROOT / "benchmarks" / "table2_data.py"
TASKS = ("birds", "trees")
QUICK = TABLE2["quick"]
SMALL = replace(
    QUICK,
    grids={"adapters": ((1e-2, 1), (3e-2, 1)), "full": ((1e-3, 1),)},
    best_of=(4, 64),
    examples=(30, 1000, 1000),
    steps=0,
)
SEEDS = 2


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return small_bert(tmp_path_factory.mktemp("bases") / "small-bert")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two tasks, one of which the paper has."""
    folder = tmp_path_factory.mktemp("data") / "tasks"
    write_task(folder / TASKS[0], toy_rows(1), ABOUT + "paper = [93.1, 92.2, 91.3]\n")
    write_task(folder / TASKS[1], toy_rows(9))
    (folder / "README.md").write_text("Files beside the tasks are left alone.\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """Few short runs; no worker is left running at the end."""
    from joblib.externals.loky import get_reusable_executor

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLE2, "quick", SMALL)
        yield
    get_reusable_executor().shutdown(wait=True)


def reproduce(data: Path, base: Path, *words: object) -> Result:
    usual = ("--budget", "quick", "--base", base, "--seeds", SEEDS, "--workers", 1)
    return works("reproduce", "table2", "--data", data, *usual, *words)


@pytest.fixture(scope="module")
def swept(data, base, tmp_path_factory) -> tuple[Path, Result]:
    """The folder of a finished sweep, and the command's output."""
    out = tmp_path_factory.mktemp("results") / "sweep"
    return out, reproduce(data, base, "--out", out)


@pytest.fixture
def plan(data, base) -> Table2Plan:
    return table2_plan(make_plan(BUDGETS["quick"], str(base), SEEDS, False, data))


def dev_accuracy(run: dict) -> float:
    """Of a run's best epoch."""
    return max(scores["accuracy"] for scores in run["result"]["validation"])


def table_of(page: str, first: str) -> dict[str, list[str]]:
    """The rows of the first table of a page that has a column of this name, by their first cell."""
    lines = page.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|") and first in line)
    rows = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = cells
    return rows


class TestASweep:
    def test_everything_is_chosen_on_dev_with_seed_0_and_then_run_with_every_seed(
        self, swept, plan
    ):
        runs = read_runs(swept[0])
        configs = [run["config"] for run in runs.values()]
        for task in plan.folder.tasks:
            mine = [c for c in configs if c["data_sha256"] == task.sha256]
            tried = [c for c in mine if c.get("seed") == 0]
            methods = [c["method"] for c in tried]
            assert methods.count(ADAPTERS) == 2  # two rates; the other size has the better one
            assert methods.count({**ADAPTERS, "size": 4}) == methods.count(FULL) == 1
            assert methods.count({**FULL, "first_layer": 1}) == 1
            assert [c["kind"] for c in mine].count("tfidf") == 1
            for name in ("adapters", "full"):  # "full" with top layers, too
                of = {run_key(c): c for c in tried if c["method"]["name"] == name}
                best = max(dev_accuracy(runs[key]) for key in of)
                again = [c for c in mine if {**c, "seed": 0} in of.values() and c["seed"] == 1]
                assert any(dev_accuracy(runs[run_key({**c, "seed": 0})]) == best for c in again)

    def test_the_table_has_the_mean_test_accuracy_of_the_seeds(self, swept, plan):
        runs, rows = read_runs(swept[0]), table_of((swept[0] / "results.md").read_text(), "birds")
        for column, task in enumerate(plan.folder.tasks, start=3):
            full = plan.grid(task.name, FULL)[0]
            values = [
                runs[run_key({**full, "seed": seed})]["result"]["test"]["accuracy"]
                for seed in range(SEEDS)
            ]
            mean, error = np.mean(values), abs(values[0] - values[1]) / 2
            assert rows["full fine-tuning"][column] == f"{100 * mean:.1f} ± {100 * error:.1f}"
        assert rows["constant guess"][3:] == ["50.0"] * 3
        assert rows["*paper, BERT-base:* variable fine-tuning"][3:] == ["92.2", "-", "-"]

    def test_the_sweep_writes_a_page_and_a_picture_and_no_ledger(self, swept):
        """No claim is judged by table 2."""
        out, printed = swept
        shown = {path.name for path in out.iterdir() if not path.name.startswith(".")}
        assert shown - {"under-way"} == {"results.md", "figures", "runs.jsonl"}
        assert (out / "results.md").read_text().startswith("# Table 2 on ")
        assert (out / "figures" / "table2.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert "claims" not in printed.out
        assert [*(out / "under-way").iterdir()] == []  # checkpoints and locks of the runs

    def test_neither_the_runs_nor_the_page_know_where_the_tasks_are(self, swept, data):
        for name in ("runs.jsonl", "results.md"):
            assert str(data.parent) not in (swept[0] / name).read_text(), name
        assert (
            "`minibert reproduce table2 --budget quick --base small-bert --seeds 2 --data DIR`"
            in (swept[0] / "results.md").read_text()
        )

    def test_a_sweep_goes_on_with_a_folder_that_has_been_moved_and_renamed(
        self, swept, data, base, tmp_path
    ):
        """As after a kill: the last line is incomplete."""
        out, moved = tmp_path / "out", tmp_path / "elsewhere"
        shutil.copytree(data, moved)
        (moved / TASKS[0]).rename(moved / "avians")
        out.mkdir()
        lines = (swept[0] / "runs.jsonl").read_bytes().splitlines(keepends=True)
        (out / "runs.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:50])
        reproduce(moved, base, "--out", out)
        again = (out / "runs.jsonl").read_bytes().splitlines(keepends=True)
        assert again[:-1] == lines[:-1]
        old, new = json.loads(lines[-1]), json.loads(again[-1])
        del old["result"]["seconds"], new["result"]["seconds"]
        assert new == old
        page, before = ((folder / "results.md").read_text() for folder in (out, swept[0]))
        rows, rows_before = table_of(page, "avians"), table_of(before, "birds")
        del rows[""], rows_before[""]  # the header, with the tasks' names
        assert rows == rows_before

    def test_damaged_answers_are_refused_before_anything_is_written(
        self, swept, data, base, tmp_path
    ):
        for run in read_runs(swept[0]).values():
            answers = packed(1 - unpacked(run["result"]["answers"], ""))  # of two classes
            append_run(tmp_path, run["config"], {**run["result"], "answers": answers})
        usual = ("--budget", "quick", "--base", base, "--seeds", SEEDS, "--out", tmp_path)
        done = minibert("reproduce", "table2", "--data", data, *usual, "--report-only")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "its answers have accuracy" in done.err
        assert {path.name for path in tmp_path.iterdir()} - {".runs.lock"} == {"runs.jsonl"}

    def test_a_report_needs_only_the_runs_and_the_folder(
        self, swept, data, base, tmp_path, monkeypatch
    ):
        shutil.copy(swept[0] / "runs.jsonl", tmp_path)
        monkeypatch.setattr(pipeline, "run_sweep", None)  # any call would fail
        reproduce(data, base, "--out", tmp_path, "--report-only")
        for name in ("results.md", "figures/table2.png"):
            assert (tmp_path / name).read_bytes() == (swept[0] / name).read_bytes()

    def test_a_report_has_all_seeds_there_are_unless_asked_for_fewer(
        self, swept, data, base, tmp_path
    ):
        shutil.copy(swept[0] / "runs.jsonl", tmp_path)
        words = ("reproduce", "table2", "--data", data, "--base", base, "--out", tmp_path)
        works(*words, "--report-only")
        assert (tmp_path / "results.md").read_bytes() == (swept[0] / "results.md").read_bytes()
        works(*words, "--report-only", "--seeds", 1)
        assert (
            "budget `quick` (everything once, on at most 500 examples of each task), 1 seed;"
            in (tmp_path / "results.md").read_text()
        )
        works(*words, "--workers", 1)  # a sweep of one seed, which is there already
        assert (tmp_path / "results.md").read_bytes() == (swept[0] / "results.md").read_bytes()

    def test_runs_of_other_data_are_told_and_alone_are_no_report(self, swept, data, base, tmp_path):
        """A page is not replaced by an empty one."""
        out, other = tmp_path / "out", tmp_path / "tasks"
        shutil.copytree(swept[0], out)
        pages = {name: (out / name).read_bytes() for name in ("results.md", "figures/table2.png")}
        write_task(other / "birds", toy_rows(7))
        words = ("reproduce", "table2", "--base", base, "--out", out, "--report-only", "--data")
        number = len(read_runs(out))
        refused_here = minibert(*words, other)
        assert refused_here.code == 2
        said = f"minibert: error: {out / 'runs.jsonl'}: has no run of this base, budget and data\n"
        assert refused_here.err == said
        assert {name: (out / name).read_bytes() for name in pages} == pages
        shutil.copytree(data / "trees", other / "trees")
        mixed = works(*words, other)
        trees = read_task(data / "trees").sha256
        left = sum(run["config"]["data_sha256"] == trees for run in read_runs(out).values())
        assert f"{number - left} of the {number} runs in" in mixed.out
        assert "are of other data, another base or budget: left out" in mixed.out
        in_place = minibert(*words[:2], "--budget", "full", *words[2:], data)
        assert (in_place.code, "no run of this base, budget and data" in in_place.err) == (2, True)

    def test_what_an_unfinished_choice_will_want_is_no_run_of_other_data(self, swept, plan):
        runs = read_runs(swept[0])
        best, grid = chosen(plan, runs, TASKS[0], ADAPTERS), plan.grid(TASKS[0], ADAPTERS)
        (other,) = [config for config in grid if config != best]
        del runs[run_key(other)]
        assert table2.left_out(plan, runs) == 0

    def test_seeds_of_other_tasks_and_bases_do_not_count(self, swept, data, base):
        runs = read_runs(swept[0])
        plan = make_plan(BUDGETS["quick"], str(base), None, False, data)
        assert table2.with_seeds_of(plan, runs).curve_seeds == SEEDS
        other_tasks = replace(plan.folder, tasks=(_folder_task(3),))
        for other in (replace(plan, base_sha256="0" * 64), replace(plan, folder=other_tasks)):
            assert table2.with_seeds_of(other, runs) == other

    def test_results_in_the_folder_of_tasks_would_be_a_task(
        self, data, base, tmp_path, monkeypatch
    ):
        folder = shutil.copytree(data, tmp_path / "tasks")
        monkeypatch.chdir(folder)
        words = ("reproduce", "table2", "--data", "../tasks", "--base", base)
        for out in ((), ("--out", folder / "out"), ("--out", "."), ("--report-only",)):
            result = minibert(*words, *out)
            assert (result.code, result.out) == (2, "")
            assert "is in ../tasks, where every folder is a task; choose --out" in result.err
            assert len(result.err.splitlines()) == 1
        assert sorted(p.name for p in folder.iterdir()) == ["README.md", *TASKS]

    def test_empty_texts_are_told_before_anything_runs(self, base, tmp_path):
        rows = toy_rows(3)
        rows["train"][0], rows["test"][1] = (" ", "morulan"), ("", "tikora")
        write_task(tmp_path / "tasks" / "birds", rows)
        write_task(tmp_path / "tasks" / "trees", toy_rows(9))
        words = ("--base", base, "--budget", "quick", "--out", tmp_path / "out", "--report-only")
        done = minibert("reproduce", "table2", "--data", tmp_path / "tasks", *words)
        assert "has no run" in done.err
        assert [line for line in done.out.splitlines() if "with an empty" in line] == [
            "birds: 2 rows with an empty text"
        ]

    def test_a_task_in_the_place_of_its_folder_is_known_for_one(self, data, tmp_path):
        (tmp_path / "empty").mkdir()
        for folder, known in ((data / TASKS[0], True), (tmp_path / "empty", False)):
            with pytest.raises(InputError, match="has no tasks, folders NAME with") as error:
                read_tasks(folder)
            assert str(error.value).endswith("give the folder that it is in") == known

    def test_texts_that_are_trained_on_and_scored_are_told(self, tmp_path):
        rows = toy_rows(3)
        rows["dev"], rows["test"] = rows["dev"][:2], rows["test"][:2]
        for part in ("dev", "test"):
            rows[part].append((rows["train"][0][0], "tikora"))
        write_task(tmp_path / "birds", rows)
        (task,) = read_tasks(tmp_path)
        train = {text for text, _ in rows["train"]}
        known = [sum(text in train for text, _ in rows[part]) for part in ("dev", "test")]
        notes = zip(("dev.tsv", "test.tsv"), known, (3, 3), strict=True)
        expected = [f"{name}: {n} of {all} texts also in train.tsv" for name, n, all in notes]
        assert [*task.data.notes] == expected
        assert min(known) >= 1

    def test_table_2_alone_has_a_folder_of_results_of_its_own(
        self, swept, data, base, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        out = tmp_path / "results" / "small-bert-quick-table2"
        out.mkdir(parents=True)
        shutil.copy(swept[0] / "runs.jsonl", out)
        reproduce(data, base, "--report-only")
        assert [path.name for path in out.parent.iterdir()] == [out.name]
        assert (out / "results.md").read_bytes() == (swept[0] / "results.md").read_bytes()

    def test_the_report_has_the_data_even_before_any_run(self, plan, tmp_path):
        page = table2.report(plan, {}, tmp_path)
        assert "There are no runs yet." in page
        assert table_of(page, "test texts")["birds"][:4] == ["2", "30 of 40", "16", "24"]

    def test_the_data_of_the_report_are_those_that_are_used(self, base, tmp_path, monkeypatch):
        rows = toy_rows(3)
        rows["dev"][:3] = [(" ", "morulan"), ("", "tikora"), (rows["train"][0][0], "tikora")]
        rows["test"][:2] = rows["train"][:2]
        write_task(tmp_path / "tasks" / "birds", rows)
        plan = make_plan(BUDGETS["quick"], str(base), 1, False, tmp_path / "tasks")
        for most, size in ((1000, "40"), (30, "30 of 40")):
            monkeypatch.setitem(TABLE2, "quick", replace(SMALL, examples=(most, 1000, 1000)))
            train = {e.text for e in table2_plan(plan).parts("birds")[0]}
            known = [sum(text in train for text, _ in rows[part]) for part in ("dev", "test")]
            cells = table_of(table2.report(plan, {}, tmp_path), "test texts")["birds"]
            assert cells[1:7] == [size, "16", "24", "2", *map(str, known)]


class TestARun:
    def test_a_run_is_the_training_that_it_says_scored_on_the_test_set(
        self, plan, data, base, tmp_path
    ):
        config = plan.grid("trees", ADAPTERS)[1]
        result = execute(config, tmp_path, 1, data)
        task = read_task(data / "trees")
        train = drawn(task, SMALL.examples)[0].train
        learned = replace(task.data, train=train)
        frozen = base_of(str(base))
        done = train_task(frozen, learned, method_of(config), settings_of(config), pooling=POOLER)
        logits = predict_texts(done.task, frozen, [e.text for e in task.test])
        assert result["test"] == score(task.data.task, logits, [e.label for e in task.test])
        assert result["validation"] == done.epochs
        assert (unpacked(result["answers"], "x") == logits.argmax(1)).all()
        assert result["examples"] == [30, 16, 24]

    def test_a_learning_rate_that_diverges_is_a_result(self, plan, data, tmp_path):
        config = {**plan.grid("trees", FULL)[0], "rate": 1e20}
        assert execute(config, tmp_path, 1, data).keys() == {"diverged"}

    def test_data_that_have_changed_since_are_refused(self, plan, data, tmp_path):
        """Also where the process has read them before."""
        other = shutil.copytree(data, tmp_path / "tasks")
        assert "test" in execute(plan.without_bert("trees"), tmp_path, 1, other)
        path = other / "trees" / "test.tsv"
        path.write_text(path.read_text().replace("morulan", "tikora", 1))
        config = plan.without_bert("trees")
        with pytest.raises(InputError, match="tasks: has no task with data sha256"):
            execute(config, tmp_path, 1, other)
        with pytest.raises(InputError, match="needs its folder of tasks"):
            execute(config, tmp_path, 1)


class TestWithoutBert:
    def test_the_baseline_is_scikit_learns_own_pipeline(self):
        """Every try written out in scikit-learn's words, and the first of the best on dev."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline, make_union

        rng = np.random.default_rng(0)
        rows = [(f"{'xy'[c]}{rng.integers(9)} {rng.integers(30)}! b", c) for c in (0, 1, 0) * 60]
        noisy = [Example(text, int(rng.random() < 0.15) ^ c) for text, c in rows]
        task = _task_of(noisy)
        dev, test = noisy[90:130], noisy[130:]
        result = tfidf(replace(task, train=noisy[:90], dev=dev), test)

        words = {"ngram_range": (1, 2), "token_pattern": r"\w+|[^\w\s]", "sublinear_tf": True}
        marks = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True}
        texts, labels = zip(*noisy, strict=True)
        tries = []
        for kind in ("words", "words and characters"):
            for c in (1, 4, 16, 64):
                vectors = [TfidfVectorizer(**words), TfidfVectorizer(**marks)]
                chosen = make_union(*(vectors if "char" in kind else vectors[:1]))
                model = make_pipeline(chosen, LogisticRegression(C=c, max_iter=1000))
                model.fit(texts[:90], labels[:90])
                on_dev = model.score(texts[90:130], labels[90:130])
                tries.append((on_dev, kind, c, list(model.predict(texts[130:]))))
        best = max(tries, key=lambda one: one[0])
        assert len({on_dev for on_dev, *_ in tries}) > 1  # there was something to choose
        assert [s["accuracy"] for s in result["validation"]] == [on_dev for on_dev, *_ in tries]
        assert (result["features"], result["cost"]) == best[1:3]
        assert unpacked(result["answers"], "x").tolist() == best[3]
        assert result["test"]["accuracy"] == np.mean(np.equal(best[3], labels[130:]))

    def test_without_scikit_learn_nothing_runs(self, data, base, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn", None)
        words = ("reproduce", "table2", "--data", data, "--base", base, "--out", tmp_path / "out")
        result = minibert(*words)
        assert (result.code, result.out) == (2, "")
        assert "pip install 'minibert-adapters[sklearn]'" in result.err
        assert not (tmp_path / "out").exists()


def _task_of(examples: list[Example]) -> Data:
    """Data of two classes."""
    return Data(Task("x", "", ("text",), "label", ("0", "1"), ("0", "1")), examples, examples, "x")


# ---------------------------------------------------------------- parameters of all tasks together


def counts(task: int, adapters: int = 0) -> dict[str, int]:
    """BERT-base's: 12 layers of 85,054,464 parameters out of 109,482,240."""
    return {"task": task, "adapters": adapters, "all": 109_482_240, "layers": 85_054_464, "head": 0}


BERT_BASE = Plan(BUDGETS["paper"], "bert", "0" * 64, 12, 1, ("rte",))


def share_of(method: dict, of_task: dict[str, int]) -> float:
    return share(BERT_BASE, {"method": method}, of_task)


class TestParameters:
    def test_seventeen_fully_fine_tuned_tasks_cost_17x(self):
        assert paper_total([share_of(FULL, counts(109_482_240))] * 17, tuned=True) == 17

    def test_the_papers_mean_shares_give_its_totals(self):
        """1.14 % is 1.19x. 52.9 % of 17 x 12 layers can only be 108; with at least one task of a
        single layer, the largest total, they are 9.9x."""
        assert round(paper_total([0.0114] * 17, tuned=False), 2) == 1.19
        assert [n for n in range(17 * 12 + 1) if round(100 * n / (17 * 12), 1) == 52.9] == [108]
        tops = [1, 3, 5, 7, 9, 11] * 2 + [2, 3, 7, 12, 12]
        assert (len(tops), sum(tops)) == (17, 108)
        assert round(paper_total([n / 12 for n in tops], tuned=True), 1) == 9.9

    @pytest.mark.parametrize("m, adapters", [(2, 24 * 3842), (64, 2_379_264)])
    def test_adapters_are_counted_relative_to_the_layers(self, m, adapters):
        assert adapters == 24 * (2 * m * 768 + 768 + m)
        share = share_of({**ADAPTERS, "size": m}, counts(adapters + 38_400, adapters))
        assert paper_total([share] * 17, tuned=False) == pytest.approx(
            1 + 17 * adapters / 85_054_464, abs=1e-12
        )

    def test_variable_fine_tuning_has_n_of_12_layers_for_each_task_and_the_lower_ones_once(self):
        """Layer by layer: those of a task above its first, and those of the base that one uses."""
        tops = (1, 3, 12, 7)
        shares = [
            share_of({**FULL, "first_layer": 12 - n} if n < 12 else FULL, counts(of))
            for n, of in zip(tops, (1, 3, 109_482_240, 7), strict=True)
        ]
        kept = {
            (i if n >= 12 - top else "base", n) for i, top in enumerate(tops) for n in range(12)
        }
        assert paper_total(shares, tuned=True) == pytest.approx(len(kept) / 12, abs=1e-12)

    def test_variable_fine_tuning_never_costs_more_than_a_network_for_each_task(self):
        assert paper_total([1, 1, 0.5], tuned=True) == 3
        assert paper_total([1, 1, 1], tuned=True) == 3

    def test_the_table_counts_a_base_that_no_task_uses_in_no_row(self, swept):
        """Whatever was chosen: two tasks are at most two networks."""
        rows = table_of((swept[0] / "results.md").read_text(), "birds")
        assert rows["full fine-tuning"][0] == "2.00x"
        assert float(rows["variable fine-tuning, best top n"][0].rstrip("x")) <= 2


# ------------------------------------------------------------------------------ folders of tasks


class TestReading:
    def test_a_folder_may_have_named_columns_or_none(self, tmp_path):
        rows = toy_rows(3)
        named = read_task(write_task(tmp_path / "named", rows))
        swapped = {part: [(b, a) for a, b in pairs] for part, pairs in rows.items()}
        numbered = write_task(tmp_path / "x", swapped, "text = 2\nlabel = 1\n", header=())
        assert read_task(numbered).sha256 == named.sha256
        assert read_task(numbered).data.train == named.data.train
        assert [len(named.data.train), len(named.data.dev), len(named.test)] == [*SIZES.values()]
        assert named.data.task.names == ("morulan", "tikora")

    def test_a_file_without_header_keeps_its_quotation_marks_and_commas(self, tmp_path):
        rows = toy_rows(3)
        rows["train"][0] = ('"morulan, ba,bi,bo,di', "morulan")
        folder = write_task(tmp_path / "x", rows, "text = 1\nlabel = 2\n", header=())
        assert read_task(folder).data.train[0] == ('"morulan, ba,bi,bo,di', 0)

    def test_a_run_is_known_by_its_texts_labels_and_classes_and_nothing_else(self, tmp_path):
        rows = toy_rows(3)
        same = ABOUT + "paper = [1, 2, 3]\n"
        sha = read_task(write_task(tmp_path / "a", rows)).sha256
        assert read_task(write_task(tmp_path / "b", rows, same)).sha256 == sha
        for part in rows:
            text, label = rows[part][-1]
            other = {**rows, part: [*rows[part][:-1], (text + " ba", label)]}
            assert read_task(write_task(tmp_path / part, other)).sha256 != sha
        assert len(sha) == 64

    def test_drawn_examples_have_every_class_and_are_the_same_each_time(self, tmp_path):
        rows = toy_rows(3)
        rows["train"] += [("ga go", "rare")]
        task = read_task(write_task(tmp_path / "x", rows))
        few, test = drawn(task, (5, 4, 3))
        assert {example.label for example in few.train} == {0, 1, 2}
        assert (len(few.train), len(few.dev), len(test)) == (5, 4, 3)
        assert set(few.train) <= set(task.data.train)
        assert drawn(task, (5, 4, 3)) == (few, test)

    def test_training_texts_that_are_all_empty_when_drawn_are_refused(self):
        """Without a word there are no features for the row without BERT."""
        train = [Example(" ", i % 2) for i in range(500)] + [Example("word", 1)]
        task = _folder_task(3)
        task = replace(task, data=replace(task.data, train=train))
        assert len(drawn(task, (501, 3, 3))[0].train) == 501
        with pytest.raises(InputError, match=r"x/train\.tsv: every text that is drawn is empty"):
            drawn(task, (5, 3, 3))

    def test_all_three_files_are_read_with_quoting_or_all_without(self, tmp_path):
        rows = toy_rows(3)
        rows["train"][0], rows["dev"][0] = ('"ba', "tikora"), ('"bi"', "morulan")
        task = read_task(write_task(tmp_path / "birds", rows))
        assert (task.data.train[0].text, task.data.dev[0].text) == ('"ba', '"bi"')
        rows["train"][0] = ("ba", "tikora")
        task = read_task(write_task(tmp_path / "trees", rows))
        assert task.data.dev[0].text == "bi"

    def test_labels_that_look_like_scores_are_classes_with_a_note(self, tmp_path):
        rows = toy_rows(3)
        rows = {
            part: [(text, str(0.5 * len(text))) for text, _ in of_part]
            for part, of_part in rows.items()
        }
        lengths = sorted({label for _, label in rows["train"]}, key=float)
        for part in ("dev", "test"):
            rows[part] = [(text, label) for text, label in rows[part] if label in lengths]
        task = read_task(write_task(tmp_path / "birds", rows))
        assert task.data.task.names == tuple(lengths)
        assert "the classes look like scores; table2 only classifies" in task.data.notes

    def test_what_is_scored_is_drawn_at_random(self):
        """100 rare classes are 1 in 11 of the test examples, and so of 400 that are drawn: 36, with
        a standard deviation of 5. One of each first would make 100 and more."""
        test = [Example(f"t{i}", i % 2) for i in range(3000)]
        test += [Example(f"r{i}", 2 + i % 100) for i in range(300)]
        _, few = drawn(replace(_folder_task(3), test=test), (3, 3, 400))
        assert 16 <= sum(example.label >= 2 for example in few) <= 56

    def test_a_name_that_is_not_utf_8_is_refused(self, tmp_path):
        folder = write_task(tmp_path / "tasks" / "birds", toy_rows(3))
        try:
            os.rename(folder, os.fsencode(folder.parent) + b"/b\xff")
        except OSError:
            pytest.skip("names here are UTF-8")
        with pytest.raises(InputError, match="its name, a task's, is not UTF-8"):
            read_tasks(folder.parent)

    def test_an_empty_list_is_as_good_as_none(self, tmp_path):
        about = ABOUT + "classes = []\npaper = []\n"
        task = read_task(write_task(tmp_path / "x", toy_rows(3), about))
        assert (task.data.task.names, task.paper) == (("morulan", "tikora"), {})

    def test_labels_that_look_missing_are_classes_where_task_toml_lists_them(self, tmp_path):
        rows = toy_rows(3)
        rows["train"][0] = ("ba", "NA")
        about = ABOUT + 'classes = ["morulan", "tikora", "NA"]\n'
        task = read_task(write_task(tmp_path / "x", rows, about))
        assert task.data.task.names == ("NA", "morulan", "tikora")


def broken(tmp_path: Path, about: str = ABOUT, **rows: list[tuple[str, ...]]) -> Path:
    """A folder of one task with something wrong."""
    write_task(tmp_path / "tasks" / "birds", {**toy_rows(1), **rows}, about)
    return tmp_path / "tasks"


BAD_ABOUT = [
    ("text = ", "birds/task.toml: is not TOML: "),
    ('label = "label"\n', "birds/task.toml: text is missing"),
    (ABOUT + "colour = 1\n", "birds/task.toml: colour is not known"),
    ('text = "text"\nlabel = ["label"]\n', "birds/task.toml: label is ['label']; "),
    ('text = "text"\nlabel = "text"\n', "birds/task.toml: column 'text' cannot be both"),
    ('text = "text"\nlabel = 2\n', "birds/task.toml: text and label must both be names"),
    ("text = 0\nlabel = 1\n", "birds/task.toml: columns are counted from 1 to 65536, not 0"),
    (f"text = 0x{'f' * 5000}\nlabel = 1\n", "birds/task.toml: columns are counted from 1 to"),
    ("text = 1\nlabel = 3\n", "birds/train.tsv: has no column '3' (it has 1, 2)"),
    ('text = "tweet"\nlabel = "label"\n', "birds/train.tsv: has no column 'tweet' in its header"),
    (ABOUT + "paper = [93.1, 92.2]\n", "birds/task.toml: paper has 2 numbers, not 3 or 4"),
    (ABOUT + "paper = [93.1, 92.2, 913]\n", "birds/task.toml: paper has 913, which is no accur"),
    (ABOUT + f"paper = [1{'0' * 400}, 1, 1]\n", "birds/task.toml: has a number that is no float"),
    ("text = " + "[" * 5000, "birds/task.toml: is not TOML: "),
    (ABOUT + 'paper = "93"\n', "birds/task.toml: paper is '93'; a list is expected"),
    (
        ABOUT + 'classes = ["", "morulan"]\n',
        "birds/task.toml: classes has '', but labels have no blanks around",
    ),
    (
        ABOUT + 'classes = ["morulan", "tikora "]\n',
        "birds/task.toml: classes has 'tikora ', but labels have no blanks around",
    ),
    (ABOUT + 'classes = ["morulan", "morulan"]\n', "birds/task.toml: classes has one class twice"),
    (
        ABOUT + 'classes = ["morulan"]\n',
        "birds/task.toml: classes has 1 name, not 2 to 256",
    ),
    (
        ABOUT + 'classes = ["morulan", "tikora", "x"]\n',
        "birds/task.toml: classes has 'x', which is no label in train.tsv",
    ),
    (ABOUT + 'classes = ["tikora", "gul"]\n', "birds/task.toml: classes has 'gul', which is no"),
    (ABOUT + "paper = [0.93, 0.922, 1]\n", "birds/task.toml: paper has fractions, as 0.93; "),
]
ROW = [("ba bi", "morulan"), ("ba bo", "tikora")]
BAD_ROWS = [
    ({"test": [*ROW, ("ga", "thrush")]}, "birds/test.tsv row 4: the label 'thrush' is not among"),
    ({"dev": [*ROW, ("ga", "thrush")]}, "birds/dev.tsv row 4: the label 'thrush' is not among"),
    ({"dev": [*ROW, ("ga", "")]}, "birds/dev.tsv row 4: has no label; all three files need labels"),
    ({"train": [*ROW, ("ga", "")]}, "birds/train.tsv row 4: the label '' looks missing; "),
    ({"train": [*ROW, ("ga", "Tikora")]}, "birds/train.tsv: column 'label' spells one label in"),
    ({"train": [*ROW, ("ga",)]}, "birds/train.tsv row 4: has 1 column, expected 2"),
    ({"train": ROW[:1] * 3}, "birds/train.tsv: column 'label' has 1 different label, not 2 to 256"),
    (
        {"train": [("ga", f"c{n}") for n in range(257)]},
        "column 'label' has 257 different labels, not 2 to",
    ),
    ({"train": [(" ", label) for _, label in ROW]}, "birds/train.tsv: every text is empty"),
    ({"test": [(" ", label) for _, label in ROW]}, "birds/test.tsv: every text is empty"),
    ({"test": []}, "birds/test.tsv: has a header but no rows"),
    (
        {"dev": toy_rows(1)["train"][::-1]},
        "birds/dev.tsv: has the same examples as ",
    ),
    ({"test": toy_rows(1)["dev"]}, "birds/test.tsv: has the same examples as "),
]


def refused(folder: Path, message: str) -> None:
    """Reading the folder fails with this message."""
    with pytest.raises(InputError) as error:
        read_tasks(folder)
    assert message in str(error.value)
    assert str(error.value).startswith(str(folder))
    assert "--classes" not in str(error.value)  # there is no such option here
    assert "\n" not in str(error.value)


NUMBERED = "text = 1\nlabel = 2\n"


class TestBadFolders:
    @pytest.mark.parametrize("parts", [("train",), ("train", "dev", "test")])
    def test_a_header_that_task_toml_does_not_know_of_is_no_example(self, tmp_path, parts):
        rows = toy_rows(1)
        for part in parts:
            rows[part] = [("tweet", "sentiment"), *rows[part]]
        write_task(tmp_path / "tasks" / "birds", rows, NUMBERED, header=())
        refused(
            tmp_path / "tasks",
            "birds/train.tsv row 1: no other row has the label 'sentiment'; if this is a header",
        )

    def test_a_rare_class_in_the_first_row_is_one_where_task_toml_lists_it(self, tmp_path):
        rows = toy_rows(1)
        rows["train"] = [("ba bi", "rare"), *rows["train"]]
        about = NUMBERED + 'classes = ["rare", "morulan", "tikora"]\n'
        task = read_task(write_task(tmp_path / "birds", rows, about, header=()))
        assert task.data.train[0] == ("ba bi", 1)

    def test_a_label_that_is_no_class_is_measured_by_the_file_that_has_the_classes(self, tmp_path):
        rows, about = [*ROW, ("ga", "thrush")], ABOUT + 'classes = ["morulan", "tikora"]\n'
        refused(broken(tmp_path, about, train=rows), "train.tsv row 4: the label 'thrush' is not a")
        with pytest.raises(InputError, match=r"among the classes of task\.toml: morulan, tikora"):
            read_tasks(tmp_path / "tasks")

    def test_one_task_under_two_names_is_refused(self, tmp_path):
        folder = broken(tmp_path)
        shutil.copytree(folder / "birds", folder / "birds again")
        refused(folder, f"birds again: is the same task as {folder / 'birds'}")

    @pytest.mark.parametrize("about, message", BAD_ABOUT)
    def test_a_wrong_task_toml_is_refused_by_name_and_entry(self, tmp_path, about, message):
        refused(broken(tmp_path, about), message)

    @pytest.mark.parametrize("rows, message", BAD_ROWS)
    def test_a_wrong_row_is_refused_by_file_and_number(self, tmp_path, rows, message):
        refused(broken(tmp_path, **rows), message)

    @pytest.mark.parametrize("name", ["train.tsv", "dev.tsv", "test.tsv", "task.toml"])
    def test_a_file_that_is_missing_empty_or_not_text_is_refused(self, tmp_path, name):
        folder = broken(tmp_path)
        path = folder / "birds" / name
        path.write_bytes(b"\xff\xfe\xfd")
        refused(folder, f"birds/{name}")
        path.write_bytes(b"")
        refused(folder, f"birds/{name}: ")
        path.unlink()
        refused(folder, f"birds/{name}: cannot be read: No such file or directory")

    def test_a_file_without_header_whose_lines_end_with_cr_alone_is_refused(self, tmp_path):
        write_task(tmp_path / "tasks" / "birds", toy_rows(1), NUMBERED, header=())
        path = tmp_path / "tasks" / "birds" / "dev.tsv"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
        refused(tmp_path / "tasks", "birds/dev.tsv: its lines end with CR alone")

    def test_one_row_with_cr_in_its_text_is_a_row(self, tmp_path):
        folder = write_task(tmp_path / "birds", toy_rows(1), NUMBERED, header=())
        (folder / "dev.tsv").write_bytes(b"ba\rbi\tmorulan\n")
        assert [example.text for example in read_task(folder).data.dev] == ["ba\rbi"]

    def test_a_quotation_mark_that_is_not_closed_is_told_with_its_row(self, tmp_path):
        rows = toy_rows(1)
        rows["train"][0] = ('"ba\tbi"', "tikora")
        rows["train"][7] = ('"ba bi', "tikora")
        refused(broken(tmp_path, **rows), "birds/train.tsv row 9: is badly quoted: unexpected end")

    @pytest.mark.parametrize("name", ["dev.tsv", "task.toml"])
    def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(self, tmp_path, name):
        folder = broken(tmp_path)
        (folder / "birds" / name).unlink()
        os.mkfifo(folder / "birds" / name)
        refused(folder, f"birds/{name}: cannot be read: not a file")

    def test_a_folder_beside_the_tasks_that_is_no_task_is_not_passed_over(self, tmp_path):
        folder = broken(tmp_path)
        (folder / "trees").mkdir()
        (folder / ".git").mkdir()  # but this is
        refused(folder, "trees/task.toml: cannot be read: No such file or directory")

    @pytest.mark.parametrize("target", ["nowhere", "trees"])
    def test_a_link_to_nothing_or_to_itself_is_not_passed_over(self, tmp_path, target):
        folder = broken(tmp_path)
        (folder / "trees").symlink_to(target)
        refused(folder, "trees: is a link to nothing")

    @pytest.mark.parametrize("name", ["nowhere", "a-file", "empty"])
    def test_a_folder_without_tasks_is_refused(self, tmp_path, name):
        (tmp_path / "a-file").write_text("x")
        (tmp_path / "empty").mkdir()
        refused(tmp_path / name, f"{name}: ")

    @pytest.mark.parametrize(
        "words, message",
        [
            (("table2",), "table2 needs a folder of tasks: --data DIR"),
            (("table1", "--data", "DIR"), "--data is for table2, which is not among the studies"),
            (("table2", "--data", "DIR", "--sample"), "--sample is for the studies on GLUE"),
            (("table2", "--data", "/nowhere/at-all"), "/nowhere/at-all: cannot be read"),
        ],
    )
    def test_a_bad_command_is_refused_in_one_line_before_anything_runs(
        self, base, data, tmp_path, words, message
    ):
        words = [data if word == "DIR" else word for word in words]
        result = minibert("reproduce", *words, "--base", base, "--out", tmp_path / "out")
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert len(result.err.splitlines()) == 1
        assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------ plans and budgets


def test_all_means_table_2_only_with_a_folder():
    names = [study.NAME for study in studies_named(["all"], with_folder=True)]
    assert names == [*pipeline.STUDIES, "table2"]
    assert table2 not in studies_named(["all"])


def test_without_seeds_table_2_has_as_many_as_the_curves(data, base):
    plan = make_plan(BUDGETS["full"], str(base), None, False, data)
    assert table2_plan(plan).seeds == BUDGETS["full"].curve_seeds
    assert table2_plan(make_plan(BUDGETS["full"], str(base), 5, False, data)).seeds == 5


@pytest.mark.parametrize("name", ["a $b^$ c", "a|b", "x" * 60])
def test_any_name_of_a_folder_makes_a_table_and_a_picture(name, tmp_path):
    plan = sized_plan("quick", 20, name)
    runs: Runs = {}
    result = {"validation": [{"accuracy": 0.5}], "test": {"accuracy": 0.5}}
    for config in table2.wanted(plan, runs):
        runs[run_key(config)] = {"config": config, "result": result}
    page = table2.report(plan, runs, tmp_path)
    assert name.replace("|", "\\|") in page
    assert (tmp_path / "figures" / "table2.png").exists()


def test_a_name_is_no_markdown_in_a_table():
    names = (
        "a|b",
        "*x*",
        "_u_",
        "__init__",
        "a&lt;b",
        "sms_spam",
        "`c`",
        "<b>hi",
        "[a](b)",
        "\\",
        "2 < 3",
    )
    escaped = (
        r"a\|b",
        r"\*x\*",
        r"\_u\_",
        r"\_\_init\_\_",
        r"a\&lt;b",
        "sms_spam",
        r"\`c\`",
        r"\<b>hi",
        r"\[a\](b)",
        r"\\",
    )
    assert [*map(cell, names)] == [*escaped, r"2 \< 3"]


def test_names_that_begin_alike_have_titles_of_their_own_on_two_lines():
    """As five of the paper's tasks do."""
    ends = ("political audience", "political bias", "political message", "opinion", "stance")
    titles = [on_two_lines(f"Crowdflower {end}") for end in ends]
    titles += [on_two_lines(f"crowdflower_political_{end}_of_2015") for end in ("audience", "bias")]
    assert len({*titles}) == len(titles)
    for title in [*titles, on_two_lines("x" * 60)]:
        assert len(title.split("\n")) <= 2
        assert max(map(len, title.split("\n"))) <= WIDEST


def sized_plan(budget: str, train: int, name: str = "x") -> Table2Plan:
    """A plan for one task of so many training examples."""
    task = replace(_folder_task(train), name=name)
    folder = TaskFolder(Path("nowhere"), (task,))
    return table2_plan(Plan(BUDGETS[budget], "bert", "0" * 64, 12, 3, (), folder=folder))


def _folder_task(train: int) -> FolderTask:
    examples = [Example("ba", 0)]
    data = replace(_task_of(examples), train=examples * train)
    return FolderTask("x", data, examples, {}, "1" * 64)


@pytest.mark.parametrize("train, epochs", [(11_712, 2), (4_459, 3), (2_494, 5), (800, 12)])
def test_the_full_budget_has_2_to_5_epochs_or_more_for_300_steps(train, epochs):
    grid = sized_plan("full", train).grid("x", FULL)
    assert {config["epochs"] for config in grid} == {epochs}


def test_few_examples_are_not_seen_in_any_number_of_epochs(monkeypatch):
    monkeypatch.setitem(TABLE2, "quick", QUICK)
    assert {config["epochs"] for config in sized_plan("full", 40).grid("x", FULL)} == {40}
    quick = {config["epochs"] for config in sized_plan("quick", 9_000).grid("x", FULL)}
    assert quick == {10}  # 500 of them are 16 batches: 160 steps, at least the 150 wanted


def test_the_paper_budget_is_the_papers_grid():
    """Section 3.3 and its appendix: 4 rates, 3 numbers of epochs, sizes 2 to 64, top n of 1, 2, 3,
    5, 7, 9, 11 and 12."""
    plan = sized_plan("paper", 40_000)
    runs: Runs = {}
    grid = {(r, n) for r in (1e-5, 3e-5, 1e-4, 3e-3) for n in (20, 50, 100)}
    of_size: dict[int, set] = {}
    for config in table2_rows.size_grids(plan, runs, "x"):
        of_size.setdefault(config["method"]["size"], set()).add(_pair(config))
    assert of_size == dict.fromkeys((2, 4, 8, 16, 32, 64), grid)
    of_top: dict[int, set] = {}
    for config in table2_rows.top_grid(plan, runs, "x"):
        of_top.setdefault(12 - config["method"].get("first_layer", 0), set()).add(_pair(config))
    assert of_top == dict.fromkeys((1, 2, 3, 5, 7, 9, 11, 12), grid)


def _pair(config: Config) -> tuple[float, int]:
    return config["rate"], config["epochs"]


def test_of_equal_numbers_of_top_layers_the_fewest_are_chosen():
    plan = sized_plan("full", 100)
    runs: Runs = {}
    result = {"validation": [{"accuracy": 0.5}], "test": {"accuracy": 0.5}}
    for _ in range(2):
        for config in table2_rows.top_grid(plan, runs, "x"):
            runs[run_key(config)] = {"config": config, "result": result}
    assert table2_rows.best_top(plan, runs, "x")["method"] == {**FULL, "first_layer": 11}


# ------------------------------------------------------------------ the paper's tasks that one has


@pytest.fixture
def script():
    """benchmarks/table2_data.py as a module."""
    spec = importlib.util.spec_from_file_location("table2_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["table2_data"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["table2_data"]


@pytest.fixture
def published(tmp_path) -> tuple[Path, dict[str, list[tuple[str, str]]]]:
    """Files in the layouts of the three, and the (text, label) pairs of each."""
    texts = ['"Hi", he said', "one, two; three", "tab-free \u2028 line", *"abcdefghijklmnopq"]
    rows = {
        name: [(f"{text} {name}", "yn"[i % 2]) for i, text in enumerate(texts)]
        for name in ("airline", "corporate", "sms")
    }
    folder = tmp_path / "source"
    folder.mkdir()
    layouts = {
        "airline.tsv": ["airline_sentiment\tsure\ttext"]
        + [f"{label}\t1\t{text}" for text, label in rows["airline"]],
        "corporate.tsv": ["category\tsure\tname\ttext"]
        + [f"{label}\t1\tx\t{text}" for text, label in rows["corporate"]],
        "SMSSpamCollection.tsv": [f"{label}\t{text}" for text, label in rows["sms"]],
    }
    for name, lines in layouts.items():
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return folder, rows


def test_the_script_cuts_the_papers_files_into_parts_of_its_sizes(
    script, published, tmp_path, monkeypatch, capsys
):
    sizes = [source.sizes for source in script.SOURCES.values()]
    assert sizes == [(11712, 1464, 1464), (2494, 312, 312), (4459, 557, 558)]
    small = {name: replace(one, sizes=(12, 5, 3)) for name, one in script.SOURCES.items()}
    monkeypatch.setattr(script, "SOURCES", small)
    source, rows = published
    for out in ("one", "two"):
        assert script.main([str(source), str(tmp_path / out)]) == 0
    tasks = read_tasks(tmp_path / "one")
    assert [task.sha256 for task in read_tasks(tmp_path / "two")] == [t.sha256 for t in tasks]
    for task in tasks:
        parts = (task.data.train, task.data.dev, task.test)
        assert [len(part) for part in parts] == [12, 5, 3]
        found = [(e.text, task.data.task.names[e.label]) for part in parts for e in part]
        assert sorted(found) == sorted(rows[task.name])
    assert tasks[0].paper == {
        "full fine-tuning": 83.6,
        "variable fine-tuning": 84.0,
        "adapters": 84.5,
        "no BERT": 84.5,
    }


def test_the_script_refuses_a_file_of_another_length(script, published, tmp_path, capsys):
    assert script.main([str(published[0]), str(tmp_path / "out")]) == 2
    assert "airline.tsv: has 20 rows, not 14,640" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_script_says_in_one_line_that_a_file_is_missing_or_in_the_way(
    script, published, tmp_path, capsys, monkeypatch
):
    assert script.main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "airline.tsv" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    small = {name: replace(one, sizes=(12, 5, 3)) for name, one in script.SOURCES.items()}
    monkeypatch.setattr(script, "SOURCES", small)
    (tmp_path / "taken").write_text("")
    assert script.main([str(published[0]), str(tmp_path / "taken")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_script_writes_over_no_task(script, published, tmp_path, capsys, monkeypatch):
    small = {name: replace(one, sizes=(12, 5, 3)) for name, one in script.SOURCES.items()}
    monkeypatch.setattr(script, "SOURCES", small)
    mine = write_task(tmp_path / "out" / "corporate", toy_rows(1))
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    assert script.main([str(published[0]), str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert f"{mine}: is there already; it is not replaced" in shown.err
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["corporate"]
    mine.rename(tmp_path / "out" / "mine")  # other tasks may be there
    assert script.main([str(published[0]), str(tmp_path / "out")]) == 0


def test_the_script_writes_nothing_where_the_last_file_is_wrong(
    script, published, tmp_path, capsys, monkeypatch
):
    small = {name: replace(one, sizes=(12, 5, 3)) for name, one in script.SOURCES.items()}
    monkeypatch.setattr(script, "SOURCES", small | {"sms": replace(small["sms"], sizes=(1, 1, 1))})
    assert script.main([str(published[0]), str(tmp_path / "out")]) == 2
    assert "SMSSpamCollection.tsv: has 20 rows, not 3" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_script_has_a_help_and_refuses_other_words(script, capsys):
    for words, code in (["--help"], 0), (["SOURCE"], 2), (["a", "b", "c"], 2):
        with pytest.raises(SystemExit) as ended:
            script.main(words)
        shown = capsys.readouterr()
        assert ended.value.code == code
        assert ("SOURCE has the three files" in shown.out, bool(shown.err)) == (not code, code > 0)


def test_a_task_toml_is_too_long_by_its_bytes(tmp_path):
    path = tmp_path / "task.toml"
    path.write_text('text = "a"\nlabel = "b"\n#' + LARGEST // 2 * "\u00e9", "utf-8")
    with pytest.raises(InputError, match="is not read: it has more than"):
        read_about(path)
