"""Differences between methods, with the uncertainty that comes from the seeds.

A run's score varies with its seed. How much it varies is known for each task from table 1, whose
methods have several seeds: the pooled standard deviation of adapters of size 64 and full
fine-tuning. Every other score of the task is assumed to vary as much, or more if its own seeds do:
a training that fails for one seed in three varies far more than those of table 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
from adapters.reproduce.report.statistics import scores_of, standard_error
from adapters.reproduce.sweep.runs_file import Config, Runs


@dataclass(frozen=True)
class Estimate:
    """A value in hundredths and its standard error; None if the seeds cannot tell it."""

    value: float
    error: float | None

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.1f}"
        return f"{self.value:+.1f}{error}"


ROUNDING = 1e-9  # points: float64's rounding error where a bound is met exactly
MARGIN = 1.0  # points that "without loss" allows; the paper's own difference is up to 0.8

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided by these runs"
OPPOSITE = {HOLDS: FAILS, FAILS: HOLDS, OPEN: OPEN}


def at_least(found: Estimate | None, bound: float) -> str:
    """The verdict on "value >= bound": decided when the bound is 2 standard errors away."""
    if found is None or found.error is None:
        return OPEN
    bound -= ROUNDING
    if found.value - 2 * found.error >= bound:
        return HOLDS
    return FAILS if found.value + 2 * found.error < bound else OPEN


def at_most(found: Estimate | None, bound: float) -> str:
    """The verdict on "value <= bound", likewise."""
    turned = None if found is None else Estimate(-found.value, found.error)
    return at_least(turned, -bound)


def above(found: Estimate | None, bound: float) -> str:
    """The verdict on "value > bound": the opposite of "at most", so equality is not enough."""
    return OPPOSITE[at_most(found, bound)]


def below(found: Estimate | None, bound: float) -> str:
    """The verdict on "value < bound", likewise."""
    return OPPOSITE[at_least(found, bound)]


def scores(plan: Plan, runs: Runs, config: Config | None) -> list[float]:
    """A configuration's dev scores, in hundredths, one for each seed that has run."""
    if config is None:
        return []
    return [100 * value for value in scores_of(runs, plan.with_seeds(config)).values]


def spread(plan: Plan, runs: Runs, task: str) -> float | None:
    """The standard deviation of a task's score over the seeds, pooled over two methods of table 1;
    None with fewer than two seeds."""
    squares, freedom = 0.0, 0
    for method in (ADAPTERS, FULL):
        found = scores(plan, runs, chosen(plan, runs, task, method))
        mean = sum(found) / max(1, len(found))
        squares += sum((value - mean) ** 2 for value in found)
        freedom += max(0, len(found) - 1)
    return math.sqrt(squares / freedom) if freedom else None


def difference(
    plan: Plan, runs: Runs, pairs: Sequence[tuple[str, Config | None, Config | None]]
) -> Estimate | None:
    """The mean over tasks of first - second, for pairs of (task, first, second); None if one of
    them has no run yet. The errors of different tasks add in squares."""
    if not pairs:
        return None
    total, square, known = 0.0, 0.0, True
    for task, first, second in pairs:
        a, b = scores(plan, runs, first), scores(plan, runs, second)
        if not (a and b):
            return None
        total += sum(a) / len(a) - sum(b) / len(b)
        if (deviation := spread(plan, runs, task)) is None:
            known = False
        else:
            square += sum(_error(each, deviation) ** 2 for each in (a, b))
    return Estimate(total / len(pairs), math.sqrt(square) / len(pairs) if known else None)


def _error(values: Sequence[float], deviation: float) -> float:
    """The standard error of these scores' mean, by the task's standard deviation or by their own,
    whichever is larger."""
    return max(deviation / math.sqrt(len(values)), standard_error(values) or 0.0)


def all_of(verdicts: Sequence[str]) -> str:
    """The verdict on a claim about every task: it fails if one fails, holds if all hold."""
    if FAILS in verdicts:
        return FAILS
    return OPEN if OPEN in verdicts else HOLDS


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of values of which there is one for each seed."""
    return Estimate(sum(values) / len(values), standard_error(values))
