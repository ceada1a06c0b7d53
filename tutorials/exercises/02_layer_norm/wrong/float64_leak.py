# says: A float64 leaked in
import numpy as np


def layer_norm(x, weight, bias, eps):
    means = np.zeros((len(x), 1))
    means[:, 0] = x.mean(axis=-1)
    return (x - means) / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * weight + bias
