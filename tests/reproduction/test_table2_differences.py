"""Table 2's methods against full fine-tuning on the same test examples.

Oracle: the analysis of variance in plain loops, and SciPy's t. The runs are made up; that these
intervals cover 95 % is in test_coverage.py.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from adapters.reproduce.comparison.estimates import Estimate
from adapters.reproduce.comparison.paired import variance_of_difference
from adapters.reproduce.comparison.variances import Variance
from adapters.reproduce.plans.budgets import BUDGETS
from adapters.reproduce.plans.plan import FULL, Plan, TaskFolder
from adapters.reproduce.plans.table2_plan import Table2Plan, table2_plan
from adapters.reproduce.studies import table2
from adapters.reproduce.studies.differences import SAME, difference_cell
from adapters.reproduce.studies.table2_differences import (
    INTERVALS,
    LESS,
    differences,
)
from adapters.reproduce.studies.table2_rows import NO_BERT, ROWS
from adapters.reproduce.sweep.answers import packed
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from adapters.reproduce.sweep.task_folder import FolderTask
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError

SEEDS, EXAMPLES = 3, 40
TASKS = ("birds", "trees")
FULL_NAME, VARIABLE, ADAPTED = (row.name for row in ROWS)
# How often a method is right, by its key in the configuration: enough to tell methods apart.
SKILL = {"full": 0.9, "top": 0.6, "adapters": 0.75, "tfidf": 0.7}


@pytest.fixture
def plan() -> Table2Plan:
    tasks = tuple(_task(name, seed) for seed, name in enumerate(TASKS))
    return plan_of(*tasks)


def plan_of(*tasks: FolderTask) -> Table2Plan:
    folder = TaskFolder(Path("nowhere"), tasks)
    return table2_plan(Plan(BUDGETS["quick"], "bert", "0" * 64, 12, SEEDS, (), folder=folder))


def _task(name: str, seed: int, examples: int = EXAMPLES) -> FolderTask:
    labels = np.random.default_rng(seed).integers(0, 3, examples)
    test = [Example(f"{name} {i}", int(label)) for i, label in enumerate(labels)]
    dev = [Example(example.text, 0) for example in test]
    classes = ("a", "b", "c")
    task = Task(name, "", ("text",), "label", classes, classes)
    return FolderTask(name, Data(task, dev, dev, name), test, {}, str(seed) * 64)


def kind_of(config: Config) -> str:
    if config["kind"] == "tfidf":
        return "tfidf"
    return "top" if "first_layer" in config["method"] else config["method"]["name"]


def task_of(plan: Table2Plan, config: Config) -> str:
    return next(t.name for t in plan.folder.tasks if t.sha256 == config["data_sha256"])


def right(plan: Table2Plan, config: Config) -> np.ndarray:
    """Which test examples a run is made to be right on: [n]. Some are hard for every method."""
    number, seed = len(plan.parts(task_of(plan, config))[2]), int(config["data_sha256"][0])
    hard = np.random.default_rng(seed).random(number)
    own = np.random.default_rng([config.get("seed", 9), len(kind_of(config)), seed])
    return 0.5 * hard + 0.5 * own.random(number) < SKILL[kind_of(config)]


def run(plan: Table2Plan, config: Config, dev: float) -> dict:
    labels = np.array([example.label for example in plan.parts(task_of(plan, config))[2]])
    correct = right(plan, config)
    return {
        "config": config,
        "result": {
            "validation": [{"accuracy": dev}],
            "test": {"accuracy": float(np.mean(correct))},
            "answers": packed(np.where(correct, labels, (labels + 1) % 3)),
        },
    }


def swept(plan: Table2Plan, dev: dict[str, float] | None = None) -> Runs:
    """All runs that table 2 wants. dev: what makes a kind of method chosen."""
    runs: Runs = {}
    for _ in range(4):
        for config in table2.wanted(plan, runs):
            score = (dev or {}).get(kind_of(config), 0.5)
            runs.setdefault(run_key(config), run(plan, config, score))
    return runs


def configs_of(plan: Table2Plan, task: str, row: str, runs: Runs) -> list[Config]:
    if row == NO_BERT:
        return [plan.without_bert(task)]
    return plan.with_seeds(next(r for r in ROWS if r.name == row).choose(plan, runs, task))


def by_loops(plan: Table2Plan, task: str, row: str, runs: Runs) -> tuple[float, float, float]:
    """(difference, its variance, degrees of freedom) by the formula of `comparison.paired`, with a
    method without seeds as one whose every seed answers alike."""
    a, b = (
        [[100.0 * hit for hit in right(plan, c)] for c in configs_of(plan, task, name, runs)]
        for name in (row, FULL_NAME)
    )
    mean = [sum(map(sum, psi)) / (len(psi) * EXAMPLES) for psi in (a, b)]
    parts = []
    for psi, m in zip((a, b), mean, strict=True):
        seeds = len(psi)
        if seeds == 1:
            continue
        of_seed = [sum(one) / EXAMPLES for one in psi]
        of_example = [sum(one[i] for one in psi) / seeds for i in range(EXAMPLES)]
        parts.append((sum((s - m) ** 2 for s in of_seed) / (seeds - 1) / seeds, seeds - 1))
        freedom = (seeds - 1) * (EXAMPLES - 1)
        rest = sum(
            (psi[s][i] - of_seed[s] - of_example[i] + m) ** 2
            for s in range(seeds)
            for i in range(EXAMPLES)
        )
        parts.append((-rest / freedom / (seeds * EXAMPLES), freedom))
    apart = [
        sum(one[i] for one in a) / len(a) - sum(one[i] for one in b) / len(b)
        for i in range(EXAMPLES)
    ]
    d = mean[0] - mean[1]
    examples = sum((x - d) ** 2 for x in apart) / (EXAMPLES - 1) / EXAMPLES
    parts.append((examples, EXAMPLES - 1))
    of_seeds = sum(value for value, _ in parts[:-1] if value > 0)
    variance = max(sum(value for value, _ in parts), of_seeds, examples)
    doubt = sum(value**2 / freedom for value, freedom in parts)
    return d, variance, max(1.0, variance**2 / doubt)


@pytest.mark.parametrize("row", [NO_BERT, VARIABLE, ADAPTED])
def test_a_difference_has_the_variance_of_the_paired_model(plan, row):
    runs = swept(plan, {"top": 0.9})
    for column, task in enumerate(TASKS):
        value, variance, freedom = by_loops(plan, task, row, runs)
        found = differences(plan, runs)[row][column]
        assert found.value == pytest.approx(value, abs=1e-9)
        assert abs(value) > 1
        assert found.variance.value == pytest.approx(variance, rel=1e-9)
        assert str(found) == shown(value, variance, freedom)


def shown(value: float, variance: float, freedom: float) -> str:
    """With SciPy's 95 % interval in brackets."""
    half = stats.t.ppf(0.975, freedom) * variance**0.5
    return f"{value:+.1f} [{value - half:+.1f}, {value + half:+.1f}]"


def test_the_last_column_is_the_mean_of_independent_tasks(plan):
    """Satterthwaite's degrees of freedom: of each task's, by the squares of their variances."""
    runs = swept(plan)
    of_tasks = [by_loops(plan, task, ADAPTED, runs) for task in TASKS]
    value = sum(value for value, _, _ in of_tasks) / 2
    variance = sum(variance for _, variance, _ in of_tasks) / 4
    doubt = sum((variance / 4) ** 2 / freedom for _, variance, freedom in of_tasks)
    found = differences(plan, runs)[ADAPTED][-1]
    assert found.value == pytest.approx(value)
    assert found.variance.value == pytest.approx(variance)
    assert found.variance.freedom == pytest.approx(variance**2 / doubt)


def test_variable_fine_tuning_of_all_layers_is_full_fine_tuning(plan):
    found = differences(plan, swept(plan, {"full": 0.9}))[VARIABLE]
    assert [one.variance.value for one in found] == [0.0] * 3
    assert [difference_cell(one) for one in found] == ["same"] * 3


def test_with_one_seed_there_is_no_interval_and_no_word_of_one(plan, tmp_path):
    runs = swept(plan, {"full": 0.9})  # so that variable fine-tuning is of all layers
    runs = {k: one for k, one in runs.items() if one["config"].get("seed", 0) == 0}
    for row in (NO_BERT, ADAPTED):
        assert all(one.value and one.variance is None for one in differences(plan, runs)[row])
    assert SAME in {difference_cell(one) for one in differences(plan, runs)[VARIABLE]}
    page = table2.report(plan, runs, tmp_path)
    assert LESS in page
    assert INTERVALS not in page


def without_answers(runs: Runs, configs: Sequence[Config]) -> Runs:
    found = {**runs}
    for key in map(run_key, configs):
        kept = {name: value for name, value in runs[key]["result"].items() if name != "answers"}
        found[key] = {**runs[key], "result": kept}
    return found


def test_of_three_runs_one_without_answers_counts_by_its_score(plan):
    """As in the ledger."""
    runs = swept(plan)
    ours, full = (configs_of(plan, "birds", row, runs) for row in (ADAPTED, FULL_NAME))
    found = differences(plan, without_answers(runs, ours[1:2]))[ADAPTED][0]
    psi, other = (np.array([100.0 * right(plan, c) for c in each]) for each in (ours, full))
    expected = variance_of_difference(psi[[0, 2]], other, [psi.mean(axis=1), other.mean(axis=1)])
    assert found.value == pytest.approx(psi.mean() - other.mean())
    assert found.variance == expected


def test_two_of_three_without_answers_take_the_interval_of_their_task_and_of_the_mean(plan):
    runs = swept(plan)
    before = differences(plan, runs)[ADAPTED]
    fewer = without_answers(runs, configs_of(plan, "birds", ADAPTED, runs)[1:])
    birds, trees, mean = differences(plan, fewer)[ADAPTED]
    assert [one.value for one in (birds, trees, mean)] == [one.value for one in before]
    assert (birds.variance, mean.variance) == (None, None)
    assert trees == before[1]


def test_a_seed_that_diverged_is_told_and_leaves_no_interval(plan):
    runs = swept(plan)
    key = run_key(configs_of(plan, "birds", ADAPTED, runs)[2])
    runs[key] = {**runs[key], "result": {"diverged": "epoch 1"}}
    found = differences(plan, runs)[ADAPTED][0]
    other = [np.mean(right(plan, c)) for c in configs_of(plan, "birds", ADAPTED, runs)[:2]]
    full = [np.mean(right(plan, c)) for c in configs_of(plan, "birds", FULL_NAME, runs)]
    value = 100 * (np.mean(other) - np.mean(full))
    assert found.value == pytest.approx(value)
    assert difference_cell(found) == f"{value:+.1f} (1 diverged)"
    mean = differences(plan, runs)[ADAPTED][-1]
    assert difference_cell(mean) == f"{mean.value:+.1f} (1 diverged)"


def test_without_one_tasks_difference_there_is_no_mean(plan):
    runs = swept(plan)
    missing = run_key(plan.without_bert("trees"))
    birds, trees, mean = differences(plan, {k: r for k, r in runs.items() if k != missing})[NO_BERT]
    assert birds == differences(plan, runs)[NO_BERT][0]
    assert (trees, mean) == (None, None)


def test_a_single_test_example_tells_no_interval():
    plan = plan_of(_task("birds", 0, examples=1))
    assert differences(plan, swept(plan))[ADAPTED][0].variance is None


def test_damaged_answers_are_refused_by_their_run(plan):
    runs = swept(plan)
    key = run_key(configs_of(plan, "trees", ADAPTED, runs)[1])
    for answers, message in (
        (packed(np.zeros(EXAMPLES - 1, int)), f"run {key}: has 39 answers to 40 test examples"),
        (packed(np.full(EXAMPLES, 7)), f"run {key}: its answers have accuracy 0.0000 on the test"),
    ):
        damaged = {**runs[key], "result": {**runs[key]["result"], "answers": answers}}
        with pytest.raises(InputError, match=f"^{message}"):
            differences(plan, {**runs, key: damaged})


def test_nothing_is_compared_before_full_fine_tuning_has_run(plan, tmp_path):
    grid = [run_key(plan.grid(task, FULL)[0]) for task in TASKS]
    runs = {key: one for key, one in swept(plan).items() if key not in grid}
    assert {one for each in differences(plan, runs).values() for one in each} == {None}
    page = table2.report(plan, runs, tmp_path)
    assert NO_BERT in page
    assert LESS not in page


def test_the_page_has_the_differences_under_the_scores(tmp_path):
    plan = plan_of(_task("birds|bees", 0), _task("trees", 1))
    runs = swept(plan, {"top": 0.9})
    del runs[run_key(plan.without_bert("trees"))]
    page = table2.report(plan, runs, tmp_path).splitlines()
    start = next(i for i, line in enumerate(page) if line.startswith(f"{LESS} {INTERVALS}"))
    assert start > next(i for i, line in enumerate(page) if "parameters of 2 tasks" in line)
    lines = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in page[start + 2 :]]
    assert lines[0] == ["", r"birds\|bees", "trees", "average"]
    for line, (name, found) in zip(lines[2:5], differences(plan, runs).items(), strict=True):
        assert line == [name, *map(difference_cell, found)]
    assert lines[2][2:] == ["-", "-"]


def test_only_answers_that_were_compared_are_the_same():
    assert difference_cell(Estimate(0.0, Variance(0.0))) == SAME
    assert difference_cell(Estimate(0.0, Variance(0.0), seeds_only=True)) == "0.0 [0.0, 0.0]†"
    assert difference_cell(Estimate(0.0, Variance(0.0), diverged=1)) == "0.0 (1 diverged)"


@pytest.mark.parametrize(
    "value, variance, text",
    [
        (-1.25, None, "-1.2"),
        (0.0, 0.0, "same"),
        (-0.04, None, "0.0"),
        (-2.0, 0.25, "-2.0 [-3.0, -1.0]"),
    ],
)
def test_a_difference_has_a_sign_and_an_interval_where_it_has_one(value, variance, text):
    known = None if variance is None else Variance(variance)
    assert difference_cell(Estimate(value, known)) == text


def test_no_difference_is_a_dash():
    assert difference_cell(None) == "-"
