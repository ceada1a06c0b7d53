# says: changed its argument q in place
import math

import numpy as np


def attention(q, k, v):
    q /= math.sqrt(q.shape[1])
    scores = q @ k.T
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v
