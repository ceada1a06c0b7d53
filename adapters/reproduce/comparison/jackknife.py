"""What each example contributes to a run's score: the jackknife's pseudo-values.

    psi_i = n M - (n - 1) M_without_i        (Tukey 1958)

M is the score on n examples, M_without_i the score on all but one of them. Accuracy is a mean, and
psi_i is 1 for a right answer and 0 for a wrong one. Matthews, F1 and the correlations are no means,
but to first order they vary with the choice of examples as the mean of their psi does. So methods
can be compared example by example in all of them.

Nothing is scored n times. A score is a formula of a few sums over the examples, from which one
example's terms are taken away again. Only for Spearman's correlation are all the other examples
ranked anew: without one of them, the ranks above it are lower by one.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray
# K sums over all examples, [K, ..., 1], and over all but each, [K, ..., n].
Sums = tuple[Array, Array]


def pseudo_values(metric: str, answers: Array, gold: Array) -> Array:
    """The pseudo-values of runs. answers: their classes or scores, [..., n]; gold: the labels, of a
    shape that broadcasts to it; n at least 2; metric: a key of `SCORES`. -> [..., n]"""
    sums, score = SCORES[metric]
    whole, without = sums(answers, gold)
    number = answers.shape[-1]
    return number * score(*whole) - (number - 1) * score(*without)


# ---------------------------------------------------- answers and labels [..., n] -> sums, two ways


def _with_and_without(terms: Array) -> Sums:
    """The two sums of the examples' terms, [K, ..., n]."""
    whole = terms.sum(axis=-1, keepdims=True)
    return whole, whole - terms


def _right(answers: Array, gold: Array) -> Sums:
    """The number of right answers, and of all."""
    right = (answers == gold).astype(float)
    return _with_and_without(np.stack([right, np.ones_like(right)]))


def _confusion(answers: Array, gold: Array) -> Sums:
    """True positives, false positives, false negatives and true negatives of class 1."""
    said, true = answers == 1, gold == 1
    kinds = [said & true, said & ~true, ~said & true, ~said & ~true]
    return _with_and_without(np.stack(kinds).astype(float))


def _moments(answers: Array, gold: Array) -> Sums:
    """Sums of x, y, x², y² and xy, of deviations from the means, and the number."""
    x, y = (
        values - values.mean(axis=-1, keepdims=True, dtype=float)
        for values in np.broadcast_arrays(answers, gold)
    )
    return _with_and_without(np.stack([x, y, x * x, y * y, x * y, np.ones_like(x)]))


def _rank_moments(answers: Array, gold: Array) -> Sums:
    """The same of ranks, whose deviations add up to 0."""
    of_gold = np.vectorize(_ranks_without_each, signature="(n)->(m,n)")(gold)  # [..., n + 1, n]
    of_run = np.vectorize(_products_of_ranks, signature="(n),(m,n)->(k,m)")
    xx, yy, xy = np.moveaxis(of_run(answers, of_gold), -2, 0)  # [..., n + 1] each
    number = np.full_like(xx, answers.shape[-1])
    number[..., :-1] -= 1
    nothing = np.zeros_like(xx)
    moments = np.stack([nothing, nothing, xx, yy, xy, number])
    return moments[..., -1:], moments[..., :-1]


def _products_of_ranks(answers: Array, of_gold: Array) -> Array:
    """One run's sums of x², y² and xy: [n], [n + 1, n] -> [3, n + 1]."""
    x, y = _ranks_without_each(answers), of_gold
    return np.stack([np.einsum("ij,ij->i", *pair) for pair in ((x, x), (y, y), (x, y))])


def _ranks_without_each(values: Array) -> Array:
    """[n] -> [n + 1, n]: in row i, the ranks of all examples but i, which has 0, and in the last
    row of all; less the mean rank. Equal values share the mean of their ranks."""
    number = len(values)
    column = values[:, None]
    counts = (values > column) + 0.5 * (values == column)  # what example i adds to the rank of j
    everyone = counts.sum(axis=0)  # rank - 1/2
    without = everyone - counts - (number - 1) / 2
    np.fill_diagonal(without, 0.0)
    return np.vstack([without, everyone - number / 2])


# ------------------------------------------------------ sums -> score, each an array of one shape


def _share(right: Array, number: Array) -> Array:
    return right / number


def _f1(tp: Array, fp: Array, fn: Array, _: Array) -> Array:
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _matthews(tp: Array, fp: Array, fn: Array, tn: Array) -> Array:
    return _ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def _correlation(x: Array, y: Array, xx: Array, yy: Array, xy: Array, number: Array) -> Array:
    return _ratio(xy - x * y / number, np.sqrt(_squares(x, xx, number) * _squares(y, yy, number)))


def _squares(x: Array, xx: Array, number: Array) -> Array:
    """The sum of squared deviations; 0 where all are equal, which rounding may not give."""
    squares = xx - x * x / number
    return np.where(squares > 1e-12 * xx, squares, 0.0)


def _ratio(above: Array, below: Array) -> Array:
    """above / below, 0 where that is undefined, as in `minibert.data.metrics`."""
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


SCORES: dict[str, tuple[Callable[[Array, Array], Sums], Callable[..., Array]]] = {
    "accuracy": (_right, _share),
    "f1": (_confusion, _f1),
    "matthews": (_confusion, _matthews),
    "pearson": (_moments, _correlation),
    "spearman": (_rank_moments, _correlation),
}
