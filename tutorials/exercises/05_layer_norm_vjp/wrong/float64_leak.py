# says: [0] has dtype float64
import numpy as np


def layer_norm_vjp(g, x, weight, eps):
    s = np.array([[np.sqrt(float(row.var()) + eps)] for row in x])
    xhat = (x - x.mean(axis=-1, keepdims=True)) / s
    h = g * weight
    along = xhat * (h * xhat).mean(axis=-1, keepdims=True)
    gx = (h - h.mean(axis=-1, keepdims=True) - along) / s
    return gx, (g * xhat).sum(axis=0), g.sum(axis=0)
