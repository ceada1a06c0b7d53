# says: ValueError
import math

import numpy as np


def attention(q, k, v):
    scores = k @ q.T / math.sqrt(q.shape[1])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v
