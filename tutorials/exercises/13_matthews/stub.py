"""Exercise 13: Matthews correlation, the metric of CoLA.

CoLA asks whether a sentence is grammatical, and 69 of 100 are: who always says yes has an accuracy
of 0.69 and has understood nothing. So its metric is another one, the correlation of two binary
variables, what was said and what is true. Of the texts, count those that are

    tp: said 1, true 1        fp: said 1, true 0
    fn: said 0, true 1        tn: said 0, true 0

    matthews = (tp tn - fp fn) / sqrt((tp + fp) (tp + fn) (tn + fp) (tn + fn))

It is 1 when all is right, -1 when all is wrong, and near 0 for guesses. Where the formula is 0/0
(when all that was said is the same, for one), it is 0 by definition.

GLUE's largest test set has almost 400,000 texts; the product under the root is then larger than
NumPy's int64 can hold. Python's own int holds it.
"""

import numpy as np


def confusion(predicted: np.ndarray, gold: np.ndarray) -> list[int]:
    """The four counts, a list [tp, fp, fn, tn] of Python ints. Two arrays [B] of 0 and 1: what was
    said and what is true."""
    raise NotImplementedError


def matthews(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Matthews correlation. Two arrays [B] of 0 and 1 -> float from -1 to 1."""
    raise NotImplementedError
