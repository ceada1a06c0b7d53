# says: could not be broadcast
import numpy as np


def layer_norm(x, weight, bias, eps):
    return (x - x.mean(axis=-1)) / np.sqrt(x.var(axis=-1) + eps) * weight + bias
