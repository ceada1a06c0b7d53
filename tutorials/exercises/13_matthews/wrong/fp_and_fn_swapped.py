# says: fp and fn are swapped
import math

import numpy as np


def confusion(predicted: np.ndarray, gold: np.ndarray) -> list[int]:
    said, true = predicted == 1, gold == 1
    cells = (said & true, ~said & true, said & ~true, ~said & ~true)
    return [int(np.sum(cell)) for cell in cells]


def matthews(predicted: np.ndarray, gold: np.ndarray) -> float:
    tp, fp, fn, tn = confusion(predicted, gold)
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0
