"""Exercise 1: attention of one head."""

import math

import numpy as np


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[Q, d], [T, d], [T, e] -> [Q, e]"""
    scores = q @ k.T / math.sqrt(q.shape[1])  # [Q, T]
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))  # exp of at most 0
    return weights / weights.sum(axis=1, keepdims=True) @ v  # [Q, T] @ [T, e]
