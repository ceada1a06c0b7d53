# says: should be 3 values
import numpy as np


def layer_norm_vjp(g, x, weight, eps):
    s = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    xhat = (x - x.mean(axis=-1, keepdims=True)) / s
    h = g * weight
    along = xhat * (h * xhat).mean(axis=-1, keepdims=True)
    return (h - h.mean(axis=-1, keepdims=True) - along) / s
