# says: mean 1000
import numpy as np


def layer_norm(x, weight, bias, eps):
    mean = x.mean(axis=-1, keepdims=True)
    variance = np.maximum((x * x).mean(axis=-1, keepdims=True) - mean * mean, 0)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias
