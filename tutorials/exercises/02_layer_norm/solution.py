"""Exercise 2: LayerNorm."""

import numpy as np


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """[N, D], [D], [D] -> [N, D]"""
    centred = x - x.mean(axis=-1, keepdims=True)  # [N, D]
    variance = (centred * centred).mean(axis=-1, keepdims=True)  # [N, 1]
    return centred / np.sqrt(variance + eps) * weight + bias
