# says: r is the columns of A
import numpy as np


def scale(a: np.ndarray, alpha: float, b: np.ndarray) -> float:
    return alpha / b.shape[1]


def lora_linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float
) -> np.ndarray:
    return x @ weight + scale(a, alpha, b) * ((x @ a) @ b) + bias


def merge(weight: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    return weight + scale(a, alpha, b) * (a @ b)


def unmerge(merged: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    return merged - scale(a, alpha, b) * (a @ b)
