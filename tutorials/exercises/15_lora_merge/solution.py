"""Exercise 15: LoRA, a change to a weight that can be merged into it."""

import numpy as np


def scale(a: np.ndarray, alpha: float) -> float:
    """alpha / r, a Python float."""
    return alpha / a.shape[1]


def lora_linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float
) -> np.ndarray:
    """x W + (alpha / r) (x A) B + b. -> [N, out]"""
    return x @ weight + scale(a, alpha) * ((x @ a) @ b) + bias


def merge(weight: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    """W + (alpha / r) A B. -> [in, out]"""
    return weight + scale(a, alpha) * (a @ b)


def unmerge(merged: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    """W' - (alpha / r) A B. -> [in, out]"""
    return merged - scale(a, alpha) * (a @ b)
