# says: That is without eps
import numpy as np


def layer_norm_vjp(g, x, weight, eps):
    s = np.sqrt(x.var(axis=-1, keepdims=True))
    xhat = (x - x.mean(axis=-1, keepdims=True)) / s
    h = g * weight
    along = xhat * (h * xhat).mean(axis=-1, keepdims=True)
    gx = (h - h.mean(axis=-1, keepdims=True) - along) / s
    return gx, (g * xhat).sum(axis=0), g.sum(axis=0)
