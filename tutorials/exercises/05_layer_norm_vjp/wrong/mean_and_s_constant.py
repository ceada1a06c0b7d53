# says: takes the mean and s for constants
import numpy as np


def layer_norm_vjp(g, x, weight, eps):
    s = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    xhat = (x - x.mean(axis=-1, keepdims=True)) / s
    h = g * weight
    return h / s, (g * xhat).sum(axis=0), g.sum(axis=0)
