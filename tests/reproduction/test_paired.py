"""Methods compared on the same examples: what each example contributes to a score, the variance of
a difference, and what the ledger makes of runs that kept their answers.

Oracles: every score without an example computed by the metric itself, SciPy, plain loops, numbers
by hand. That the intervals cover 95 % is in test_coverage.py.
"""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from adapters.reproduce.comparison.contributions import contributions
from adapters.reproduce.comparison.estimates import (
    Estimate,
    change,
    difference,
    over_seeds,
    paired_variance,
    usual_variance,
)
from adapters.reproduce.comparison.jackknife import SCORES, pseudo_values
from adapters.reproduce.comparison.paired import variance_of_change, variance_of_difference
from adapters.reproduce.comparison.variances import Variance, half_width, of_mean, student, total
from adapters.reproduce.ledger.judges.ablation import (
    higher_layers_matter_more,
    none_is_a_constant_guess,
    one_layer_hardly_matters,
)
from adapters.reproduce.ledger.judges.squad import squad_by_size
from adapters.reproduce.ledger.page import ledger
from adapters.reproduce.ledger.verdicts import FAILS, OPEN
from adapters.reproduce.plans.budgets import BUDGETS
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan, sized
from adapters.reproduce.studies import ablation
from adapters.reproduce.studies.table1_differences import differences, differences_table
from adapters.reproduce.sweep.answers import packed, unpacked
from adapters.reproduce.sweep.configured import parts_of
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from adapters.task_model import MEAN
from minibert.data.metrics import METRICS
from minibert.data.tasks import constant_score
from minibert.errors import InputError

# ------------------------------------------------------------------------- pseudo-values


def left_out(metric: str, answers: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """The definition: every example left out in turn, and all others scored."""
    score, number = METRICS[metric], len(gold)
    without = [score(np.delete(answers, i), np.delete(gold, i)) for i in range(number)]
    return number * score(answers, gold) - (number - 1) * np.array(without)


@st.composite
def answered(draw: st.DrawFn, values: st.SearchStrategy[Any], dtype: str) -> Any:
    """(answers [S, n], labels [n])"""
    seeds, number = draw(st.integers(1, 3)), draw(st.integers(2, 8))
    answers = draw(arrays.arrays(dtype, (seeds, number), elements=values))
    return answers, draw(arrays.arrays(dtype, number, elements=values))


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews"])
@settings(max_examples=30)
@given(both=answered(st.integers(0, 2), "uint8"))
def test_pseudo_values_of_classes_are_those_of_leaving_each_example_out(metric, both):
    answers, gold = both
    found = pseudo_values(metric, answers, gold)
    for run, psi in zip(answers, found, strict=True):
        assert psi == pytest.approx(left_out(metric, run, gold), abs=1e-9)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@settings(max_examples=30)
@given(both=answered(st.sampled_from([0.0, 0.25, 1.0, 4.5, -3.0]), "float32"))
def test_pseudo_values_of_scores_are_those_of_leaving_each_example_out(metric, both):
    """Few different values: ties, constant answers, and answers constant but for one."""
    answers, gold = both
    found = pseudo_values(metric, answers, gold)
    for run, psi in zip(answers, found, strict=True):
        assert psi == pytest.approx(left_out(metric, run, gold), abs=1e-6)


def test_pseudo_values_of_accuracy_are_1_for_right_and_0_for_wrong():
    answers, gold = np.array([[0, 2, 1, 1], [0, 1, 1, 0]]), np.array([0, 2, 2, 0])
    right = [[1, 1, 0, 0], [1, 0, 0, 1]]
    assert pseudo_values("accuracy", answers, gold) == pytest.approx(np.array(right))


@pytest.mark.parametrize("metric", SCORES)
def test_labels_may_differ_from_one_group_of_runs_to_the_next(metric):
    """As the simulation of the coverage has them: [R, S, n] and [R, 1, n]."""
    rng = np.random.default_rng(0)
    answers, gold = rng.integers(0, 2, (3, 4, 9)), rng.integers(0, 2, (3, 1, 9))
    found = pseudo_values(metric, answers, gold)
    each = [pseudo_values(metric, a, g[0]) for a, g in zip(answers, gold, strict=True)]
    assert np.array_equal(found, np.stack(each))


# ----------------------------------------------------------------------------- variances


@given(st.floats(1, 1e5), st.integers(1, 12))
def test_students_t_is_scipys(freedom, among):
    expected = stats.t.ppf(1 - 0.025 / among, freedom)
    assert student(freedom, 0.05 / among) == pytest.approx(expected, rel=2e-3)
    if among == 1:
        assert student(freedom) == pytest.approx(expected, rel=5e-4)


def test_the_half_width_is_that_of_scipys_interval():
    values = np.array([1.0, 2.0, 6.0, 4.0])
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    half = (interval.high - interval.low) / 2
    assert half_width(of_mean(values)) == pytest.approx(half, rel=1e-5)
    assert half_width(Variance(0.0)) == 0.0


def test_a_sum_has_the_degrees_of_freedom_of_welchs_test():
    first, second = np.array([1.0, 2.0, 6.0]), np.array([3.0, 3.5, 2.0, 5.0, 9.0])
    welch = stats.ttest_ind(first, second, equal_var=False)
    found = total([of_mean(first), of_mean(second)])
    assert found.freedom == pytest.approx(welch.df)
    assert found.value == pytest.approx(((first.mean() - second.mean()) / welch.statistic) ** 2)


def test_a_sum_is_not_less_than_its_least_and_has_at_least_one_degree_of_freedom():
    parts = [Variance(2.0, 4.0), Variance(-1.5, 2.0)]
    assert total(parts) == Variance(0.5, 1.0)  # 0.25 / (1 + 1.125) would be 0.12
    assert total(parts, least=3.0) == Variance(3.0, pytest.approx(9 / 2.125))
    assert total([Variance(0.0, 2.0)]) == Variance(0.0, math.inf)


def of_all(*both: np.ndarray) -> Variance:
    """The variance of a difference where every run has answers."""
    first, second = both
    return variance_of_difference(first, second, [psi.mean(axis=1) for psi in both])


def of_all_changed(before: np.ndarray, after: np.ndarray) -> Variance:
    """The variance of a change where every model has answers."""
    return variance_of_change(before, after, (before - after).mean(axis=1))


def by_loops(first: np.ndarray, second: np.ndarray, *scores: np.ndarray) -> float:
    """The variance from its formula in the docstring of `paired`."""
    number = first.shape[1]
    seeds = rest = 0.0
    scores = scores or (first.mean(axis=1), second.mean(axis=1))
    for values in scores:
        middle = sum(values) / len(values)
        seeds += sum((v - middle) ** 2 for v in values) / (len(values) - 1) / len(values)
    rest_of_all = 0.0  # if all of the runs had answers
    for psi, values in zip((first, second), scores, strict=True):
        runs = len(psi)
        means = [sum(row) / number for row in psi]
        columns = [sum(psi[s][i] for s in range(runs)) / runs for i in range(number)]
        grand = sum(means) / runs
        left = 0.0
        for s in range(runs):
            for i in range(number):
                left += (psi[s][i] - means[s] - columns[i] + grand) ** 2
        rest += left / (runs - 1) / (number - 1) / (runs * number)
        rest_of_all += left / (runs - 1) / (number - 1) / (len(values) * number)
    each = [
        sum(first[s][i] for s in range(len(first))) / len(first)
        - sum(second[s][i] for s in range(len(second))) / len(second)
        for i in range(number)
    ]
    middle = sum(each) / number
    examples = sum((value - middle) ** 2 for value in each) / (number - 1) / number
    return max(seeds + examples - rest, seeds, examples - rest + rest_of_all)


def change_by_loops(before: np.ndarray, after: np.ndarray) -> float:
    """The same for one method, of which each model has been changed."""
    nothing = np.zeros((2, before.shape[1]))
    return by_loops(before - after, nothing)


@st.composite
def two_methods(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Pseudo-values of two methods with 2 to 4 seeds each, on the same 2 to 6 examples."""
    number = draw(st.integers(2, 6))
    values = st.integers(-8, 8).map(float)
    shapes = [(draw(st.integers(2, 4)), number) for _ in range(2)]
    first, second = (draw(arrays.arrays(float, shape, elements=values)) for shape in shapes)
    return first, second


@settings(max_examples=40)
@given(two_methods())
def test_the_variance_of_a_change_is_that_of_plain_loops(both):
    seeds = min(map(len, both))
    before, after = (psi[:seeds] for psi in both)
    found = of_all_changed(before, after)
    assert found.value == pytest.approx(change_by_loops(before, after), abs=1e-12)


@settings(max_examples=40)
@given(two_methods())
def test_the_variance_of_a_difference_is_that_of_plain_loops(both):
    assert of_all(*both).value == pytest.approx(by_loops(*both), abs=1e-12)


@settings(max_examples=40)
@given(two_methods(), st.tuples(st.integers(2, 4), st.integers(2, 4)))
def test_seeds_without_pseudo_values_count_by_their_scores(both, answered):
    """Those that have some are the first of each method's."""
    scores = [psi.mean(axis=1) for psi in both]
    some = [psi[:number] for psi, number in zip(both, answered, strict=True)]
    found = variance_of_difference(*some, scores).value
    assert found == pytest.approx(by_loops(*some, *scores), abs=1e-12)


@settings(max_examples=40)
@given(two_methods(), st.integers(2, 4))
def test_so_do_changed_models_without_them(both, answered):
    seeds = min(map(len, both))
    before, after = (psi[:seeds] for psi in both)
    changes, nothing = (before - after).mean(axis=1), np.zeros(2)
    found = variance_of_change(before[:answered], after[:answered], changes)
    one = (before - after)[:answered]
    expected = by_loops(one, np.zeros((2, one.shape[1])), changes, nothing)
    assert found.value == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40)
@given(two_methods(), st.randoms(use_true_random=False))
def test_neither_the_order_of_seeds_nor_of_examples_nor_of_methods_matters(both, random):
    order = random.sample(range(both[0].shape[1]), both[0].shape[1])
    mixed = [psi[random.sample(range(len(psi)), len(psi))][:, order] for psi in both]
    there, back = of_all(*both), of_all(mixed[1], mixed[0])
    assert back.value == pytest.approx(there.value, abs=1e-12)
    assert half_width(back) == pytest.approx(half_width(there), abs=1e-6)


@settings(max_examples=40)
@given(two_methods(), st.integers(-5, 5))
def test_what_is_common_to_all_answers_of_an_example_cancels(both, shift):
    first, second = both
    hard = shift * np.arange(first.shape[1])
    shifted = of_all(first + hard, second + hard)
    assert shifted.value == pytest.approx(of_all(*both).value, abs=1e-9)


# ------------------------------------------------------------------- runs with answers


def plan_of(**changes: Any) -> Plan:
    """On the project's own samples, which need no download."""
    usual = {"asked_seeds": 3, "tasks": tuple(BUDGETS["quick"].examples), "sample": True}
    return Plan(BUDGETS["quick"], "minilm", "0" * 64, 6, **{**usual, **changes})


def add(runs: Runs, config: Config, result: dict[str, Any]) -> None:
    runs[run_key(config)] = {"key": run_key(config), "config": config, "result": result}


def reaching(value: float, half: float, within: float = 1e-6) -> Any:
    """The interval around a value, its half-width right to that share."""
    return pytest.approx((value - half, value + half), abs=within * half)


def answer(runs: Runs, config: Config, chance: float, seeds: int = 3) -> np.ndarray:
    """Runs of a configuration with each seed, that answer at random and are right this often.
    Returns their answers, [S, n]."""
    gold = np.array([example.label for example in parts_of(config)[1]])
    kept = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(1000 * chance)])
        answers = np.where(rng.random(len(gold)) < chance, gold, 1 - gold)
        dev = {name: METRICS[name](answers, gold) for name in ("accuracy", "f1", "matthews")}
        result = {"dev": dev, "validation": [dev], "answers": packed(answers)}
        add(runs, {**config, "seed": seed}, result)
        kept.append(answers)
    return np.stack(kept)


class TestDifferences:
    plan = plan_of()

    def pair(self, task: str) -> tuple[Config, Config]:
        first, second = (self.plan.classify(task, m, 1e-3, 4) for m in (ADAPTERS, FULL))
        return first, second

    def paired(self, runs: Runs, pair: tuple[Config, Config]) -> Variance | None:
        first, second = map(self.plan.with_seeds, pair)
        return paired_variance(runs, first, second)

    def test_a_difference_of_runs_with_answers_has_the_paired_error(self):
        runs: Runs = {}
        first, second = self.pair("sst-2")
        gold = np.array([example.label for example in parts_of(first)[1]])
        a, b = answer(runs, first, 0.9), answer(runs, second, 0.8)
        right = [(100.0 * (answers == gold)) for answers in (a, b)]
        found = difference(self.plan, runs, [(first, second)])
        assert found is not None
        assert found.value == pytest.approx(right[0].mean() - right[1].mean())
        assert found.interval() == reaching(found.value, half_width(of_all(*right)))
        assert "†" not in str(found)

    def test_over_tasks_variances_add_with_satterthwaites_degrees_of_freedom(self):
        runs: Runs = {}
        pairs = [self.pair(task) for task in ("cola", "sst-2", "rte")]
        for chance, (first, second) in zip((0.6, 0.8, 0.7), pairs, strict=True):
            answer(runs, first, chance)
            answer(runs, second, chance + 0.1)
        found = difference(self.plan, runs, pairs)
        each = [self.paired(runs, pair) for pair in pairs]
        assert found is not None
        values = [difference(self.plan, runs, [pair]).value for pair in pairs]  # type: ignore
        assert found.value == pytest.approx(sum(values) / 3)
        value = sum(v.value for v in each if v) / 9
        freedom = (9 * value) ** 2 / sum(v.value**2 / v.freedom for v in each if v)
        half = stats.t.ppf(0.975, freedom) * value**0.5
        assert found.interval() == reaching(found.value, half, within=1e-4)

    def test_a_method_does_not_differ_from_itself(self):
        runs: Runs = {}
        first, _ = self.pair("sst-2")
        answer(runs, first, 0.8)
        assert difference(self.plan, runs, [(first, first)]) == Estimate(0.0, Variance(0.0))

    def test_methods_with_the_same_answers_differ_by_0_but_other_seeds_might_differ(self):
        """Each method has its own seeds, and that their runs agree is chance."""
        runs: Runs = {}
        first, second = self.pair("sst-2")
        answer(runs, first, 0.8)
        answer(runs, second, 0.8)
        found = difference(self.plan, runs, [(first, second)])
        assert found is not None
        low, high = found.interval() or (0.0, 0.0)
        assert low < found.value == 0.0 < high

    def test_the_number_of_seeds_may_differ(self):
        plan, runs = replace(self.plan, asked_seeds=5), Runs()
        first, second = self.pair("cola")
        answer(runs, first, 0.9, seeds=5)
        answer(runs, second, 0.8, seeds=2)
        found = difference(plan, runs, [(first, second)])
        assert found is not None
        assert not found.seeds_only

    @pytest.mark.parametrize("task", ["sst-2", "cola"])
    def test_a_run_without_answers_counts_by_its_score(self, task):
        runs: Runs = {}
        first, second = pair = self.pair(task)
        gold = np.array([example.label for example in parts_of(first)[1]])
        metric = "matthews" if task == "cola" else "accuracy"
        both = answer(runs, first, 0.9), answer(runs, second, 0.8)
        of_seeds = [np.array([METRICS[metric](one, gold) for one in said]) for said in both]
        del runs[run_key({**second, "seed": 1})]["result"]["answers"]
        psi = [pseudo_values(metric, said, gold) for said in (both[0], both[1][[0, 2]])]
        found = difference(self.plan, runs, [pair])
        assert found is not None
        assert not found.seeds_only
        assert found.value == pytest.approx(100 * (of_seeds[0].mean() - of_seeds[1].mean()))
        assert found.variance is not None
        assert found.variance.value == pytest.approx(1e4 * by_loops(*psi, *of_seeds))

    def test_if_most_kept_no_answers_the_others_do_not_speak_for_them(self):
        """Two of four are enough, two of five are not."""
        plan, runs = replace(self.plan, asked_seeds=5), Runs()
        first, second = pair = self.pair("sst-2")
        answer(runs, first, 0.9, seeds=5)
        answer(runs, second, 0.8, seeds=5)
        for seed in (0, 2, 3):
            del runs[run_key({**second, "seed": seed})]["result"]["answers"]
        found = difference(plan, runs, [pair])
        assert found is not None
        assert found.seeds_only
        del runs[run_key({**second, "seed": 0})]
        found = difference(plan, runs, [pair])
        assert found is not None
        assert not found.seeds_only

    def test_if_all_but_one_kept_no_answers_the_error_is_that_of_the_seeds_and_says_so(self):
        runs: Runs = {}
        first, second = pair = self.pair("sst-2")
        answer(runs, first, 0.9)
        answer(runs, second, 0.8)
        for seed in (0, 2):
            del runs[run_key({**second, "seed": seed})]["result"]["answers"]
        assert self.paired(runs, pair) is None
        found = difference(self.plan, runs, [pair])
        assert found is not None
        assert found.seeds_only
        assert usual_variance(self.plan, runs, "sst-2") is not None
        assert str(found).endswith("†")

    def test_a_diverged_seed_is_left_out_and_one_seed_alone_tells_no_error(self):
        runs: Runs = {}
        first, second = self.pair("sst-2")
        answer(runs, first, 0.9)
        answers = answer(runs, second, 0.8)
        add(runs, {**second, "seed": 1}, {"diverged": "it did"})
        configs = self.plan.with_seeds(second)
        gold = np.array([example.label for example in parts_of(first)[1]])
        right = (answers[[0, 2]] == gold).astype(float)
        assert contributions(runs, configs) == pytest.approx(right)
        add(runs, {**second, "seed": 2}, {"diverged": "it did"})
        assert contributions(runs, configs) is None
        assert contributions(runs, self.plan.with_seeds(first, 1)) is None

    def test_without_the_tasks_data_the_interval_is_of_the_seeds_and_the_ledger_says_so(
        self, tmp_path, monkeypatch
    ):
        """`minibert reproduce squad` needs no GLUE, though the folder may have runs on it."""
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path))
        plan, runs = plan_of(sample=False), Runs()
        first, second = (plan.classify("rte", method, 1e-3, 4) for method in (ADAPTERS, FULL))
        for config in (*plan.with_seeds(first), *plan.with_seeds(second)):
            dev = {"accuracy": 0.5}
            add(runs, config, {"dev": dev, "validation": [dev], "answers": packed(np.arange(4))})
        found = difference(plan, runs, [(first, second)])
        assert found is not None
        assert found.seeds_only
        says = "**The data of rte are not on the machine that made this page**"
        for sample in (False, True):  # these are always there
            one = replace(plan, tasks=("rte",), sample=sample)
            assert (says in ledger(one, runs, "{study}")) != sample

    def test_answers_to_another_number_of_examples_are_refused_naming_the_run(self):
        runs: Runs = {}
        first, _ = self.pair("sst-2")
        short = answer(runs, first, 0.9)[0, :-1]
        runs[run_key(first)]["result"]["answers"] = packed(short)
        number = len(short) + 1
        message = f"^run {run_key(first)}: has {number - 1} answers to {number} dev examples$"
        with pytest.raises(InputError, match=message):
            contributions(runs, self.plan.with_seeds(first))

    def test_answers_that_do_not_have_the_runs_score_today_are_refused_naming_the_run(self):
        runs: Runs = {}
        first, _ = self.pair("cola")
        answer(runs, first, 0.9)
        runs[run_key(first)]["result"]["dev"]["matthews"] = 0.1234
        message = (
            f"^run {run_key(first)}: its answers have matthews 0.* on the dev set, not 0.1234 as "
            "when it ran: the data have changed, or the run's line has$"
        )
        with pytest.raises(InputError, match=message):
            contributions(runs, self.plan.with_seeds(first))


def test_table_1_has_each_tasks_difference_and_their_mean():
    budget = replace(BUDGETS["quick"], both_poolings=True)
    plan, runs = replace(plan_of(tasks=("cola", "sst-2")), budget=budget), Runs()
    for method, pooling, chance in (
        (FULL, {}, 0.9),
        (ADAPTERS, {}, 0.8),
        (FULL, {"pooling": MEAN}, 0.7),
        (ADAPTERS, {"pooling": MEAN}, 0.75),
    ):
        for task in plan.tasks:
            (config,) = plan.grid(task, method)
            answer(runs, {**config, **pooling}, chance)
    found = differences(plan, runs)
    full, ours = ([plan.grid(task, m)[0] for task in plan.tasks] for m in (FULL, ADAPTERS))
    pairs = [*zip(ours, full, strict=True)]
    alone = [difference(plan, runs, [pair]) for pair in pairs]
    assert found["adapters, m = 64"] == [*alone, difference(plan, runs, pairs)]
    other = [({**a, "pooling": MEAN}, {**b, "pooling": MEAN}) for a, b in pairs]
    assert found["adapters, m = 64, `mean`"][-1] == difference(plan, runs, other)
    assert found["head only (frozen features)"] == [None] * 3
    assert differences_table(plan, {}) == ""
    cells = [str(one) for one in found["adapters, m = 64"]]
    assert f"| {' | '.join(cells)} |" in re.sub(" +", " ", differences_table(plan, runs))


class TestChanges:
    """What removing adapters costs the models of a task: the same models before and after."""

    plan = plan_of()

    def ablations(self, task: str, answers: bool = True) -> tuple[Runs, Config]:
        """Three seeds' models, each of which is right less often without some of its adapters."""
        runs, (source,) = Runs(), self.plan.grid(task, ADAPTERS)
        add(runs, source, {"dev": {}, "validation": [{"accuracy": 0.9}]})
        data, dev_examples = parts_of(source)
        gold = np.array([example.label for example in dev_examples])
        for config in self.plan.with_seeds(source):
            rng = np.random.default_rng(config["seed"])

            def scored(chance: float, rng: np.random.Generator = rng) -> dict[str, Any]:
                said = np.where(rng.random(len(gold)) < chance, gold, 1 - gold)
                dev = {name: METRICS[name](said, gold) for name in ("accuracy", "matthews")}
                return {"dev": dev, "answers": packed(said)} if answers else {"dev": dev}

            spans = [
                {"first": a, "last": b, **scored(0.95 - 0.05 * (b - a + 1) - 0.02 * a)}
                for a in range(6)
                for b in range(a, 6)
            ]
            guess = constant_score(data.task, data.train, dev_examples)
            result = {**scored(0.95), "spans": spans, "constant": guess}
            add(runs, {"kind": "ablation", "of": config}, result)
        return runs, source

    @pytest.mark.parametrize("task", ["sst-2", "cola"])
    def test_the_error_of_a_change_is_of_seeds_and_examples_both_paired(self, task):
        runs, source = self.ablations(task)
        gold = np.array([example.label for example in parts_of(source)[1]])
        metric = "matthews" if task == "cola" else "accuracy"
        results = ablation.finished(self.plan, runs)[task]
        assert len(results) == 3
        before = {key: result["spans"][0] for key, result in results.items()}
        after = {key: result["spans"][-1] for key, result in results.items()}
        found = change(source, before, after)
        psi = [
            pseudo_values(
                metric, np.stack([unpacked(s["answers"], "") for s in side.values()]), gold
            )
            for side in (before, after)
        ]
        lost = [
            a["dev"][metric] - b["dev"][metric]
            for a, b in zip(before.values(), after.values(), strict=True)
        ]
        variance = variance_of_change(*psi, np.array(lost))
        assert found.interval() == reaching(found.value, 100 * half_width(variance))
        assert found.value == pytest.approx(100 * sum(lost) / 3)
        assert not found.seeds_only
        # a model without answers in one of the states counts by its scores
        del next(iter(after.values()))["answers"]
        found = change(source, before, after)
        variance = variance_of_change(*(values[1:] for values in psi), np.array(lost))
        assert found.interval() == reaching(found.value, 100 * half_width(variance))
        assert not found.seeds_only

    def test_without_answers_the_error_is_that_of_the_seeds_and_says_so(self):
        runs, source = self.ablations("sst-2", answers=False)
        results = ablation.finished(self.plan, runs)["sst-2"]
        before = {key: result["spans"][0] for key, result in results.items()}
        found = change(source, results, before)
        assert found == over_seeds(
            [
                100 * (result["dev"]["accuracy"] - before[key]["dev"]["accuracy"])
                for key, result in results.items()
            ]
        )
        assert str(found).endswith("†")

    def test_all_three_claims_are_judged_by_the_answers(self):
        runs, _ = self.ablations("sst-2")
        plan = replace(self.plan, tasks=("sst-2",))
        judges = (one_layer_hardly_matters, none_is_a_constant_guess, higher_layers_matter_more)
        for judge in judges:
            text, _ = judge(plan, runs)
            assert "[" in text
            assert "†" not in text

    def test_what_is_left_without_adapters_is_compared_with_the_constant_guess(self):
        """By hand: the guess is right for the majority class of the training set, whatever the
        model."""
        runs, source = self.ablations("sst-2")
        plan = replace(self.plan, tasks=("sst-2",))
        data, dev = parts_of(source)
        gold = np.array([example.label for example in dev])
        majority = int(2 * sum(example.label for example in data.train) > len(data.train))
        results = ablation.finished(plan, runs)["sst-2"].values()
        bare = np.stack([unpacked(result["spans"][5]["answers"], "") == gold for result in results])
        guess = np.tile(gold == majority, (3, 1))
        found = of_all_changed(100.0 * bare, 100.0 * guess)
        gain = Estimate(100 * (bare.mean() - guess.mean()), found)
        assert gain.value - half_width(found) > 2
        assert none_is_a_constant_guess(plan, runs) == (f"sst-2 {gain}", FAILS)

    def test_the_worst_layers_interval_is_one_for_all_layers_together(self):
        runs, source = self.ablations("sst-2")
        plan = replace(self.plan, tasks=("sst-2",))
        results = ablation.finished(plan, runs)["sst-2"]
        lost = []
        for layer in range(6):
            span = (layer, layer)
            after = {
                key: next(s for s in result["spans"] if (s["first"], s["last"]) == span)
                for key, result in results.items()
            }
            lost.append(change(source, results, after))
            widths = [lost[-1].interval(n) or (0.0, 0.0) for n in (1, 6)]
            alone, together = (high - low for low, high in widths)
            assert together > 1.3 * alone  # 2.64 against 1.96, or more
        worst = max(lost, key=lambda estimate: estimate.value)
        assert one_layer_hardly_matters(plan, runs)[0] == f"sst-2 {worst.text(6)}"


class TestQuestions:
    """SQuAD's runs keep each question's F1."""

    plan = plan_of(sample=False)

    def runs(self, answers: bool = True) -> tuple[Runs, list[np.ndarray]]:
        runs, kept = Runs(), []
        for number, method in enumerate((sized(64), FULL)):
            (rate, epochs), *_ = self.plan.budget.squad_grids[method["name"]]
            f1 = np.random.default_rng(number).random((3, 40)).astype(np.float32)
            f1 = 0.5 * f1 + np.float32(0.4 * (number == 0))
            for seed, row in enumerate(f1):
                config = {**self.plan.squad(method, rate, epochs), "seed": seed}
                dev = {"f1": float(row.mean(dtype=float)), "exact_match": 0.5}
                kind = {"answers": packed(row)} if answers else {}
                add(runs, config, {"dev": dev, "epochs": [dev], "examples": [9, 40], **kind})
            kept.append(f1.astype(float))
        return runs, kept

    def test_squad_is_judged_by_the_paired_error_of_its_questions(self):
        runs, (ours, full) = self.runs()
        text, verdict = squad_by_size(64)(self.plan, runs)
        means = 100 * ours.mean(), 100 * full.mean()
        found = Estimate(means[0] - means[1], of_all(100 * ours, 100 * full))
        assert text == f"m = 64: {means[0]:.1f} against {means[1]:.1f}, {found}"
        assert verdict == "holds"

    def test_without_answers_its_error_is_that_of_the_seeds(self):
        runs, both = self.runs(answers=False)
        means = [100 * f1.mean() for f1 in both]
        by_seed = [100 * f1.mean(axis=1) for f1 in both]
        known = total([of_mean(values) for values in by_seed])
        found = Estimate(means[0] - means[1], known, seeds_only=True)
        text, _ = squad_by_size(64)(self.plan, runs)
        assert text == f"m = 64: {means[0]:.1f} against {means[1]:.1f}, {found}"
        assert text.endswith("†")

    def test_one_seed_decides_nothing(self):
        runs, _ = self.runs()
        one = {key: run for key, run in runs.items() if run["config"]["seed"] == 0}
        plan = replace(self.plan, asked_seeds=1)
        text, verdict = squad_by_size(64)(plan, one)
        assert "[" not in text
        assert verdict == OPEN

    def test_with_a_diverged_seed_nothing_is_decided(self):
        runs, _ = self.runs()
        key = next(key for key, run in runs.items() if run["config"]["seed"] == 2)
        runs[key] = {**runs[key], "result": {"diverged": "it did"}}
        text, verdict = squad_by_size(64)(self.plan, runs)
        assert text.endswith(" (1 diverged)")
        assert verdict == OPEN

    def test_answers_to_another_number_of_questions_are_refused(self):
        runs, _ = self.runs()
        config = next(run["config"] for run in runs.values())
        runs[run_key(config)]["result"]["answers"] = packed(np.zeros(39, np.float32))
        with pytest.raises(InputError, match=f"^run {run_key(config)}: has 39 answers to 40 dev"):
            squad_by_size(64)(self.plan, runs)

    def test_so_are_seeds_of_one_method_that_answered_different_numbers(self):
        runs, (ours, _) = self.runs()
        *_, run = (run for run in runs.values() if run["config"]["method"] != FULL)
        short = ours[2, :-1]
        result = run["result"]
        result["dev"]["f1"], result["answers"] = float(short.mean()), packed(short)
        result["examples"] = [9, 39]
        says = rf"^runs \w{{16}} and {run_key(run['config'])}: have answers to 40 and 39 examples$"
        with pytest.raises(InputError, match=says):
            squad_by_size(64)(self.plan, runs)

    def test_methods_that_answered_different_numbers_of_questions_are_refused(self):
        runs, (_, full) = self.runs()
        for run in runs.values():
            if run["config"]["method"] == FULL:
                short = full[run["config"]["seed"], :-1]
                run["result"]["dev"]["f1"] = float(short.mean())
                run["result"]["answers"] = packed(short)
                run["result"]["examples"] = [9, 39]
        with pytest.raises(
            InputError, match=r"^runs \w{16} and \w{16}: have answers to 40 and 39 "
        ):
            squad_by_size(64)(self.plan, runs)


def test_the_ledger_says_what_the_intervals_are_of():
    text = ledger(plan_of(tasks=("sst-2",)), {}, "minibert reproduce {study}")
    assert "In brackets are 95 % intervals" in text
    assert "With †, where too few runs kept answers to compare, it is about the seeds alone" in text
