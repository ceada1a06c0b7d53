# says: That is the accuracy
import numpy as np


def confusion(predicted: np.ndarray, gold: np.ndarray) -> list[int]:
    said, true = predicted == 1, gold == 1
    cells = (said & true, said & ~true, ~said & true, ~said & ~true)
    return [int(np.sum(cell)) for cell in cells]


def matthews(predicted: np.ndarray, gold: np.ndarray) -> float:
    tp, _, _, tn = confusion(predicted, gold)
    return (tp + tn) / len(gold)
