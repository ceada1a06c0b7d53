"""Differences between methods, or between two states of the same models, with their 95 %
intervals.

Methods are compared example by example where enough runs of each kept their answers
(`contributions.answered`), on every task; the interval is then for other seeds and other examples
(`paired`). Others have one for other seeds alone, on these very examples. How much a run's
score varies with its seed is known for each task from table 1, whose methods have several seeds:
the pooled standard deviation of adapters of size 64 and full fine-tuning. Every other score of the
task is assumed to vary as much, or more if its own seeds do: a training that fails for one seed in
three varies far more than those of table 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapters.reproduce.comparison.contributions import (
    answered,
    check_as_many,
    contributions,
    contributions_of,
)
from adapters.reproduce.comparison.paired import variance_of_change, variance_of_difference
from adapters.reproduce.comparison.variances import Variance, half_width, of_mean, total
from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
from adapters.reproduce.report.statistics import (
    Metric,
    diverged_of,
    main_metric,
    main_score,
    scores_of,
    signed_points,
)
from adapters.reproduce.sweep.runs_file import Config, Results, Runs, run_key


@dataclass(frozen=True)
class Estimate:
    """A value in hundredths and its variance; None if the seeds cannot tell it. `seeds_only`: the
    variance does not cover the choice of examples. `diverged`: how many runs have no score; with
    any, no interval is given, since the others' spread would understate it."""

    value: float
    variance: Variance | None
    seeds_only: bool = False
    diverged: int = 0

    def interval(self, among: int = 1) -> tuple[float, float] | None:
        """The 95 % interval; None if it is not known. `among`: the estimate is one of so many that
        are looked at (`variances.half_width`)."""
        if self.variance is None or self.diverged:
            return None
        half = half_width(self.variance, among)
        return self.value - half, self.value + half

    def text(self, among: int = 1) -> str:
        """The value and its interval, as one of so many: "-1.3 [-3.0, +0.4]"."""
        ends, note = self.interval(among), SEEDS_ONLY if self.seeds_only else ""
        told = f" [{', '.join(map(signed_points, ends))}]{note}" if ends else ""
        lost = f" ({self.diverged} diverged)" if self.diverged else ""
        return f"{signed_points(self.value)}{told}{lost}"

    def __str__(self) -> str:
        return self.text()


def mean_of(parts: Sequence[Estimate]) -> Estimate:
    """The mean of estimates that are independent, as those of different tasks are: their variances
    add."""
    number, variances = len(parts), [part.variance for part in parts if part.variance is not None]
    return Estimate(
        sum(part.value for part in parts) / number,
        total(variances) / number**2 if len(variances) == number else None,
        any(part.seeds_only for part in parts),
        sum(part.diverged for part in parts),
    )


SEEDS_ONLY = "†"  # after an interval that leaves out the choice of examples


def points_by_seed(plan: Plan, runs: Runs, config: Config | None) -> list[float]:
    """A configuration's dev scores, in hundredths, one for each seed that has run."""
    if config is None:
        return []
    return [100 * value for value in scores_of(runs, plan.with_seeds(config)).values]


def usual_variance(plan: Plan, runs: Runs, task: str) -> Variance | None:
    """The variance of a task's score over the seeds, in squared hundredths, pooled over two methods
    of table 1; None with fewer than two seeds."""
    squares, freedom = 0.0, 0
    for method in (ADAPTERS, FULL):
        found = points_by_seed(plan, runs, chosen(plan, runs, task, method))
        mean = sum(found) / max(1, len(found))
        squares += sum((value - mean) ** 2 for value in found)
        freedom += max(0, len(found) - 1)
    return Variance(squares / freedom, freedom) if freedom else None


def difference(
    plan: Plan, runs: Runs, pairs: Sequence[tuple[Config | None, Config | None]]
) -> Estimate | None:
    """The mean of first - second, for pairs of (first, second), one of each task; None if one of
    them has no run yet."""
    paired, by_seeds = [], []
    for first, second in pairs:
        a, b = points_by_seed(plan, runs, first), points_by_seed(plan, runs, second)
        if not (first and second and a and b):
            return None
        value = sum(a) / len(a) - sum(b) / len(b)
        both = (plan.with_seeds(first), plan.with_seeds(second))
        diverged = sum(diverged_of(runs, configs) for configs in both)
        paired.append(Estimate(value, paired_variance(runs, *both), diverged=diverged))
        of_seeds = _variance_by_seeds(usual_variance(plan, runs, first["task"]), a, b)
        by_seeds.append(Estimate(value, of_seeds, seeds_only=True, diverged=diverged))
    if not paired:
        return None
    told = all(part.variance is not None for part in paired)
    return mean_of(paired if told else by_seeds)


def paired_variance(
    runs: Runs, first: Sequence[Config], second: Sequence[Config], metric: Metric = main_metric
) -> Variance | None:
    """The variance of the difference of two methods' mean scores, in squared hundredths, from their
    runs, one for each seed; None if there are no answers to compare (`contributions`). A method
    does not differ from itself. Raises InputError for answers to different numbers of examples.
    """
    if first == second:
        return Variance(0.0)
    one, other = contributions(runs, first), contributions(runs, second)
    if one is None or other is None:
        return None
    check_as_many({run_key(first[0]): one.shape[1], run_key(second[0]): other.shape[1]})
    of_all = [100 * np.array(scores_of(runs, each, metric).values) for each in (first, second)]
    return variance_of_difference(100 * one, 100 * other, of_all)


def _variance_by_seeds(usual: Variance | None, *both: Sequence[float]) -> Variance | None:
    """The variance of the difference of two means of scores: each by what is usual for the task, or
    by the scores' own variance if that is larger; None if the former is unknown."""
    if usual is None:
        return None
    parts, usual_parts = [], 0.0  # what is usual is one estimate, however often it is used
    for values in both:
        own = of_mean(np.array(values)) if len(values) > 1 else None
        if own is not None and own.value > usual.value / len(values):
            parts.append(own)
        else:
            usual_parts += 1 / len(values)
    return total([*parts, Variance(usual.value * usual_parts, usual.freedom)])


def change(config: Config, before: Results, after: Results) -> Estimate:
    """The mean of before - after over the same trained models, in hundredths. `before`, `after`:
    what each model scored in either state, by its run's key; config: of one of their trainings.
    Where too few models kept their answers, the interval is for other seeds alone."""
    task = config["task"]
    values = [
        100 * (main_score(task, before[key]["dev"]) - main_score(task, after[key]["dev"]))
        for key in before
    ]
    keys = answered(before, after)
    one, other = (
        contributions_of(config, {key: state[key] for key in keys}) for state in (before, after)
    )
    if one is None or other is None:
        return over_seeds(values)
    variance = variance_of_change(100 * one, 100 * other, np.array(values))
    return Estimate(sum(values) / len(values), variance)


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of values of which there is one for each seed."""
    known = of_mean(np.array(values)) if len(values) > 1 else None
    return Estimate(sum(values) / len(values), known, seeds_only=True)
