"""GLUE's metrics (Wang et al. 2018, arXiv 1804.07461, section 3) and macro F1, each from its
definition.

`predicted` and `gold` are class numbers [B], or scores [B] for the two correlations. A value
that the definition leaves undefined (0/0) is 0.
"""

import math

import numpy as np


def accuracy(predicted: np.ndarray, gold: np.ndarray) -> float:
    """The share of equal entries."""
    return float(np.mean(np.asarray(predicted) == np.asarray(gold)))


def f1(predicted: np.ndarray, gold: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN) of class 1: the harmonic mean of precision and recall."""
    true_positive, false_positive, false_negative, _ = _confusion(predicted, gold)
    total = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / total if total else 0.0


def macro_f1(predicted: np.ndarray, gold: np.ndarray) -> float:
    """The mean of every class's F1, each class counting alike: of the classes that occur."""
    predicted, gold = np.asarray(predicted), np.asarray(gold)
    classes = np.union1d(predicted, gold)
    return float(np.mean([f1(predicted == c, gold == c) for c in classes]))


def matthews(predicted: np.ndarray, gold: np.ndarray) -> float:
    """The correlation of two binary variables, -1 to 1; 0 for a constant guess."""
    tp, fp, fn, tn = _confusion(predicted, gold)
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0


def pearson(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Covariance over the product of the standard deviations, -1 to 1."""
    x, y = _deviations(predicted), _deviations(gold)
    product = float(x @ x) * float(y @ y)
    return float(x @ y) / math.sqrt(product) if product > 0 else 0.0


def _deviations(values: np.ndarray) -> np.ndarray:
    """The deviations from the mean of values brought down to about 1, so that no square overflows;
    the scale cancels in a correlation. All 0 for equal values: rounding may not give 0. [B] -> [B]
    """
    values = _brought_down(np.asarray(values, np.float64))
    if values.min() == values.max():
        return np.zeros_like(values)
    return values - values.mean()


def _brought_down(values: np.ndarray) -> np.ndarray:
    """The values, or if any is larger than 1, all divided by such a power of 2 that none is: that
    rounds only what is too small beside it to count."""
    _, exponent = np.frexp(np.abs(values).max(initial=0.0))
    return np.ldexp(values, -max(0, int(exponent)))


def r2(predicted: np.ndarray, gold: np.ndarray) -> float:
    """1 - squared errors / squared deviations from the mean: the share of the variance explained.
    1 at best; 0 for always guessing the mean, below it for worse."""
    both = _brought_down(np.stack([np.asarray(v, np.float64) for v in (predicted, gold)]))  # [2, B]
    if both[1].min() == both[1].max():  # the mean of equal numbers need not be equal to them
        return 0.0
    total = float(np.sum((both[1] - both[1].mean()) ** 2))
    errors = float(np.sum((both[0] - both[1]) ** 2))
    return 1 - errors / total if total else 0.0


def spearman(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Pearson's correlation of the ranks."""
    return pearson(_ranks(predicted), _ranks(gold))


def _confusion(predicted: np.ndarray, gold: np.ndarray) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives, true negatives of class 1."""
    said, true = np.asarray(predicted) == 1, np.asarray(gold) == 1
    return (
        int(np.sum(said & true)),
        int(np.sum(said & ~true)),
        int(np.sum(~said & true)),
        int(np.sum(~said & ~true)),
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """1 for the smallest; equal values share the mean of their ranks."""
    _, which, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # the last rank of each distinct value
    return (last - (counts - 1) / 2)[which]


METRICS = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "r2": r2,
    "spearman": spearman,
}
OF_SCORES = ("pearson", "r2", "spearman")  # the others are of classes
