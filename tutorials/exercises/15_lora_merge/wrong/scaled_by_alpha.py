# says: The change is scaled by alpha alone
import numpy as np


def scale(a: np.ndarray, alpha: float) -> float:
    return alpha


def lora_linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float
) -> np.ndarray:
    return x @ weight + scale(a, alpha) * ((x @ a) @ b) + bias


def merge(weight: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    return weight + scale(a, alpha) * (a @ b)


def unmerge(merged: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    return merged - scale(a, alpha) * (a @ b)
