"""How sure a measured accuracy is."""

import math
from collections.abc import Sequence

import numpy as np


def mean_and_error(accuracies: Sequence[float], sentences: int) -> tuple[float, float]:
    """The mean of some seeds' accuracies on so many sentences, and its standard error: s^2 / seeds
    for other seeds, p (1 - p) / sentences for other sentences, added up under a root."""
    p = float(np.mean(accuracies))
    of_seeds = float(np.var(accuracies, ddof=1)) / len(accuracies)
    return p, math.sqrt(of_seeds + p * (1 - p) / sentences)
