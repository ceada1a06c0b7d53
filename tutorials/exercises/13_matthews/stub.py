"""Exercise 13: Matthews correlation, the metric of CoLA.

CoLA asks whether a sentence is grammatical, and 69 of 100 are. A model that always says yes has an
accuracy of 0.69 without having understood anything. So CoLA's metric is a different one: the
correlation of two binary variables, what the model said and what is true. Count the texts with

    tp: said 1, true 1        fp: said 1, true 0
    fn: said 0, true 1        tn: said 0, true 0

    matthews = (tp tn - fp fn) / sqrt((tp + fp) (tp + fn) (tn + fp) (tn + fn))

It is 1 if everything is right, -1 if everything is wrong, and near 0 for guesses. Where the formula
is 0/0 (for example, if the model always says the same), it is 0 by definition.

GLUE's largest test set has almost 400,000 texts. The product under the root is then too large for
NumPy's int64, but not for Python's own int.
"""

import numpy as np


def confusion(predicted: np.ndarray, gold: np.ndarray) -> list[int]:
    """The four counts, as a list [tp, fp, fn, tn] of Python ints. Two arrays [B] of 0 and 1: what
    the model said and what is true."""
    raise NotImplementedError


def matthews(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Matthews correlation. Two arrays [B] of 0 and 1 -> float from -1 to 1."""
    raise NotImplementedError
