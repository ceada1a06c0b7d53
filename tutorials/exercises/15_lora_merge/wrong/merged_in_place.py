# says: changed its argument weight in place
import numpy as np


def scale(a: np.ndarray, alpha: float) -> float:
    return alpha / a.shape[1]


def lora_linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float
) -> np.ndarray:
    return x @ weight + scale(a, alpha) * ((x @ a) @ b) + bias


def merge(weight: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    weight += scale(a, alpha) * (a @ b)
    return weight


def unmerge(merged: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    return merged - scale(a, alpha) * (a @ b)
