"""How far the difference of two methods that answered the same examples can be trusted.

Of method m, with seed s, on example i, the pseudo-values (`jackknife`) are taken to be

    psi[m, s, i] = mean_m + seed[m, s] + example[m, i] + rest[m, s, i]

The seeds are a sample of all that could have been drawn, each method's its own. (Runs of two
methods with the same seed share the order of their batches. If that makes them vary together, the
interval is a little too wide.) The examples are a sample of all that there are, the same for both
methods and all seeds: what makes one hard for both cancels in the difference, which is what pairing
gains. From one draw of S seeds and n examples to another, the difference of A and B then has the
variance

      seeds_A / S_A + seeds_B / S_B               mean squares: of each seed's mean psi,
    + examples / n                                of each example's mean psi of A minus that of B,
    - rest_A / (S_A n) - rest_B / (S_B n)         of what is left beyond seed and example

(an analysis of variance with two crossed random factors: Searle, Casella and McCulloch 1992,
chapter 4). The rest is part of both other mean squares, so it is taken away once. By chance that
may be too much, so we choose that the whole is never below the seeds' part alone, nor below the
examples' as it would be with answers of all runs. Where seeds make no difference at all, the
interval of three seeds then covers about 98 % rather than 95.

The first line is of the runs' scores, which differ from their mean psi by the jackknife's
correction for bias alone (by nothing for accuracy). So it needs no answers, and is of all S runs;
the other lines are of the S' runs with answers, and divided by S'. These have to be like the rest.

A method without chance, run once, counts as two runs that answer alike: its seeds and its rest are
0. Where the other's few seeds then vary by far more than the examples do, the interval is too
narrow: for seeds that vary by 6 points, on 1,464 examples, three cover 91 % and two 88 %.
"""

from collections.abc import Sequence

import numpy as np

from adapters.reproduce.comparison.variances import Variance, of_mean, total


def variance_of_difference(
    first: np.ndarray, second: np.ndarray, scores: Sequence[np.ndarray]
) -> Variance:
    """The variance of the difference of two methods' mean scores, from the pseudo-values of their
    runs with answers to the same n examples, [S', n] each, with S' and n at least 2; and from the
    scores of all runs of each method, [S] each."""
    return _crossed([first, second], first.mean(axis=0) - second.mean(axis=0), scores)


def variance_of_change(before: np.ndarray, after: np.ndarray, changes: np.ndarray) -> Variance:
    """The variance of the mean change of S models' scores, from the pseudo-values before and after,
    [S', n] each, of those with answers; and from all models' changes, [S]. The models are the same,
    so there is one effect of the seed, on the change."""
    change = before - after
    return _crossed([change], change.mean(axis=0), [changes])


def _crossed(
    parts: Sequence[np.ndarray], difference: np.ndarray, scores: Sequence[np.ndarray]
) -> Variance:
    """From the parts that have seeds of their own, [S', n] each, each example's difference, and the
    scores of all of a part's runs, [S] each."""
    seeds, examples = total([of_mean(values) for values in scores]), of_mean(difference)
    rest = [_rest(psi) / -psi.size for psi in parts]  # taken away
    # the examples' part as it would be with answers of all S runs: with less of the rest in it
    of_all = examples.value + sum(
        one.value * (1 - len(psi) / len(values))
        for one, psi, values in zip(rest, parts, scores, strict=True)
    )
    return total([seeds, examples, *rest], least=max(seeds.value, of_all))


def _rest(psi: np.ndarray) -> Variance:
    """The mean square of what is left of the pseudo-values, [S, n], beyond seed and example."""
    seeds, examples = psi.shape
    left = psi - psi.mean(axis=0) - psi.mean(axis=1, keepdims=True) + psi.mean()
    freedom = (seeds - 1) * (examples - 1)
    return Variance(float(np.sum(left**2)) / freedom, freedom)
