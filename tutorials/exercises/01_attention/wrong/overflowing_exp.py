# says: an overflow in exp
import math

import numpy as np


def attention(q, k, v):
    weights = np.exp(q @ k.T / math.sqrt(q.shape[1]))
    return weights / weights.sum(axis=1, keepdims=True) @ v
