"""Variances that are themselves estimates, and the intervals that they allow.

An estimate from few values, such as the scores of three seeds, may by chance be far too small. Its
degrees of freedom say how far it can be trusted, and Student's t makes the interval wider by that.
A sum of such estimates has no t of its own. Satterthwaite's degrees of freedom give it one that is
right for an interval of 95 %, but not for one of 99.8 %, as one of 24 needs: far out, Student's t
grows so fast with few degrees of freedom that every part has to have its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Variance:
    """An estimated variance, and its degrees of freedom. A sum also has the independent estimates
    that are its `parts`; one that was taken away has a negative value."""

    value: float
    freedom: float = math.inf
    parts: tuple["Variance", ...] = field(default=(), compare=False)

    def __truediv__(self, number: float) -> "Variance":
        parts = tuple(part / number for part in self.parts)
        return Variance(self.value / number, self.freedom, parts)


def of_mean(values: np.ndarray) -> Variance:
    """The variance of the mean of independent values, [N], with N at least 2."""
    return Variance(float(np.var(values, ddof=1)), len(values) - 1) / len(values)


def total(parts: Sequence[Variance], least: float = 0.0) -> Variance:
    """The sum of independent estimates, but not less than `least`. Its degrees of freedom are
    Satterthwaite's (1946), value² / sum of (part² / the part's freedom), but at least 1."""
    value = max(least, sum(part.value for part in parts))
    doubt = sum(part.value**2 / part.freedom for part in parts)
    freedom = max(1.0, value**2 / doubt) if doubt else math.inf
    return Variance(value, freedom, tuple(one for part in parts for one in part.parts or (part,)))


def half_width(variance: Variance, among: int = 1) -> float:
    """How far the 95 % interval reaches to either side: with many degrees of freedom 1.96 standard
    errors, with 2 of them 4.3. `among`: of so many intervals all are right in 95 % of cases or more
    (Bonferroni), whichever is then looked at; the squares of the parts' own half-widths then add
    (Banerjee 1960). That is never too narrow where no part was taken away; where one was, a
    simulation (test_coverage.py) finds the same."""
    if among == 1:
        return student(variance.freedom) * math.sqrt(variance.value)
    squares = [
        student(part.freedom, 0.05 / among) ** 2 * part.value
        for part in variance.parts or (variance,)
    ]
    return math.sqrt(max(sum(squares), *squares))


STEP = math.pi / 2 / 2048
ANGLES = (np.arange(2048) + 0.5) * STEP  # the middles of steps from 0 to a right angle
COSINES = np.cos(ANGLES)


def student(freedom: float, outside: float = 0.05) -> float:
    """The t that |T| exceeds with the probability `outside`, to three digits, where T has Student's
    distribution; `freedom` is at least 1 and need not be whole. With t = sqrt(freedom) tan(angle),
    the density of the angle is proportional to cos(angle) ^ (freedom - 1). (SciPy has it, but the
    command does without.)"""
    freedom = min(freedom, 5000.0)  # beyond that, only the fifth digit changes
    within = np.cumsum(COSINES ** (freedom - 1))
    angle = float(np.interp((1 - outside) * within[-1], within, ANGLES + STEP / 2))
    return math.sqrt(freedom) * math.tan(angle)
