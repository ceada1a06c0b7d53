"""Exercise 5: LayerNorm backwards, by hand.

With s = sqrt(variance + eps) of each row, and the loss a function of y:

    y = xhat * weight + bias        xhat = (x - mean) / s

The backward pass receives g, the gradient of the loss with respect to y, and returns the gradients
with respect to x, weight and bias: the vector-Jacobian products, VJPs for short. x acts in three
ways, and all of them count: directly, through its row's mean, and through its row's s. weight and
bias are shared by all tokens.

Tutorial 5 derives the gradient for x. Close it, derive that again on paper, add those for weight
and bias, and compute all three without building a Jacobian. float32 in, float32 out.
"""

import numpy as np


def layer_norm_vjp(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N, D], [N, D], [D] -> the gradients for x [N, D], weight [D] and bias [D]"""
    raise NotImplementedError
