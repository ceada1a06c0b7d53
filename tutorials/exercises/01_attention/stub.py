"""Exercise 1: attention of one head.

Each query asks every key how well they match, and takes a mix of the values, weighted by the
answers (Vaswani et al. 2017, arXiv 1706.03762, equation 1):

    attention(q, k, v) = softmax(q k^T / sqrt(d)) v

There are Q queries, T keys and as many values; d is the size of queries and keys, e that of the
values. The softmax runs over the keys: the weights with which one query mixes the values sum to 1.
Scores can be large, and exp(100) overflows float32; softmax(s) = softmax(s - max(s)) helps.

float32 in, float32 out.
"""

import math  # noqa: F401  math.sqrt gives a Python float, which never widens an array

import numpy as np


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[Q, d], [T, d], [T, e] -> [Q, e]"""
    raise NotImplementedError
