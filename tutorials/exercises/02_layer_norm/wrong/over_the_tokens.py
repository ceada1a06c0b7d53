# says: batch normalisation
import numpy as np


def layer_norm(x, weight, bias, eps):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) * weight + bias
