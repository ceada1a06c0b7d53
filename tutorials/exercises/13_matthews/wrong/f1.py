# says: That is F1
import numpy as np


def confusion(predicted: np.ndarray, gold: np.ndarray) -> list[int]:
    said, true = predicted == 1, gold == 1
    cells = (said & true, said & ~true, ~said & true, ~said & ~true)
    return [int(np.sum(cell)) for cell in cells]


def matthews(predicted: np.ndarray, gold: np.ndarray) -> float:
    tp, fp, fn, _ = confusion(predicted, gold)
    return 2 * tp / (2 * tp + fp + fn)
