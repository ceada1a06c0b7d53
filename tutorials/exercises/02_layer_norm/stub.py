"""Exercise 2: LayerNorm.

Each token's features, one row of x, are normalised to mean 0 and variance 1; then a learned gain
and bias are applied (Ba et al. 2016, arXiv 1607.06450, equation 4):

    layer_norm(x) = (x - mean) / sqrt(variance + eps) * weight + bias

The variance is the mean of the squared distances from the mean (divided by D, not by D - 1). BERT
has eps = 1e-12. The mean may be far from 0, a thousand standard deviations or more, and
mean(x^2) - mean^2 would then lose all its digits.

float32 in, float32 out.
"""

import numpy as np


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """[N, D], [D], [D] -> [N, D]"""
    raise NotImplementedError
