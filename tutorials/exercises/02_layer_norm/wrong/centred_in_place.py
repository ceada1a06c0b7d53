# says: changed its argument x in place
import numpy as np


def layer_norm(x, weight, bias, eps):
    x -= x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight + bias
