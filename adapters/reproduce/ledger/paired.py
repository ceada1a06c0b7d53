"""The variance of the difference between two methods that answered the same examples.

The model, for method m, its seed s and example i, to first order (`jackknife`):

    psi[m, s, i] = mean_m + seed[m, s] + example[m, i] + rest[m, s, i]

The seeds are a sample of all that one could have taken, each method's its own; the examples are
a sample of all that there are, the same for both methods and all their seeds. A mean over S seeds
and n examples then differs between methods A and B, from one such choice to another, by

    variance = seeds_A / S_A + seeds_B / S_B         of the runs' scores
             + examples / n                          of each example's difference, over the seeds
             - rest_A / (S_A n) - rest_B / (S_B n)   which both others contain

each estimated by the usual mean square (an analysis of variance of crossed random effects; Searle,
Casella and McCulloch 1992, chapter 4), and the whole never below seeds or examples alone. Paired
means that what makes an example hard for both methods cancels in "examples".

Degrees of freedom are Satterthwaite's (1946): an estimated variance is as good as one with
value² / sum of (part² / the part's freedom).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Variance:
    """An estimated variance, and the degrees of freedom of the estimate. A part that is to be taken
    away has a negative value."""

    value: float
    freedom: float

    @property
    def doubt(self) -> float:
        """Half of the estimate's own variance, which is what adds up when estimates do."""
        return self.value**2 / self.freedom

    def __truediv__(self, number: float) -> "Variance":
        return Variance(self.value / number, self.freedom)


def total(parts: Sequence[Variance], least: float = 0.0) -> Variance:
    """The sum of independent estimates, but not less than `least`, with Satterthwaite's degrees of
    freedom, at least 1."""
    value = max(least, sum(part.value for part in parts))
    doubt = sum(part.doubt for part in parts)
    return Variance(value, max(1.0, value**2 / doubt) if doubt else math.inf)


def of_difference(first: np.ndarray, second: np.ndarray) -> Variance:
    """The variance of mean(first) - mean(second), pseudo-values of two methods on the same n
    examples: [S, n] and [S', n], with S, S' and n at least 2."""
    seeds = total([_of_seeds(one) for one in (first, second)])
    examples = _of_mean(first.mean(axis=0) - second.mean(axis=0))
    rest = [_of_rest(one) for one in (first, second)]
    parts = [seeds, examples, *rest]
    return total(parts, least=max(seeds.value, examples.value))


def _of_mean(values: np.ndarray) -> Variance:
    """The variance of the mean of independent values, [N]."""
    return Variance(float(np.var(values, ddof=1)), len(values) - 1) / len(values)


def _of_seeds(psi: np.ndarray) -> Variance:
    return _of_mean(psi.mean(axis=1))


def _of_rest(psi: np.ndarray) -> Variance:
    """What is left of the pseudo-values, [S, n], beyond seeds and examples; negative, as it is
    taken away."""
    seeds, examples = psi.shape
    left = psi - psi.mean(axis=0) - psi.mean(axis=1, keepdims=True) + psi.mean()
    freedom = (seeds - 1) * (examples - 1)
    return Variance(-float(np.sum(left**2)) / freedom, freedom) / (seeds * examples)


def error(variance: Variance) -> float:
    """Half of the half-width of the 95 % interval, so that 2 errors cover 95 % with few seeds, too:
    about the standard error with many."""
    return quantile(variance.freedom) * math.sqrt(variance.value) / 2


ANGLES = (np.arange(4096) + 0.5) * (math.pi / 2 / 4096)  # from 0 to a right angle


def quantile(freedom: float) -> float:
    """What Student's t exceeds, on either side, in 5 % of cases; freedom at least 1, not only whole
    numbers. With t = sqrt(freedom) tan(angle), its density is cos(angle) ^ (freedom - 1), up to a
    factor. (SciPy, which has it, is no dependency of the command.)"""
    freedom = min(freedom, 10_000.0)  # beyond that nothing changes in four digits
    inside = np.cumsum(np.cos(ANGLES) ** (freedom - 1))
    angle = np.interp(0.95 * inside[-1], inside, ANGLES + ANGLES[0])
    return math.sqrt(freedom) * math.tan(angle)
