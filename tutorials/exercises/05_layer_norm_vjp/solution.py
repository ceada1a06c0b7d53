"""Exercise 5: LayerNorm backwards, by hand."""

import numpy as np


def layer_norm_vjp(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N, D], [N, D], [D] -> the gradients for x [N, D], weight [D] and bias [D]"""
    centred = x - x.mean(axis=-1, keepdims=True)
    s = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)  # [N, 1]
    xhat = centred / s
    h = g * weight  # the gradient for xhat, [N, D]
    along_mean = h.mean(axis=-1, keepdims=True)  # moving the row's mean changes nothing
    along_xhat = xhat * (h * xhat).mean(axis=-1, keepdims=True)  # nor does moving only its s
    return (h - along_mean - along_xhat) / s, (g * xhat).sum(axis=0), g.sum(axis=0)
