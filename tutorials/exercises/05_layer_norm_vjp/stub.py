"""Exercise 5: LayerNorm backwards, by hand.

With s = sqrt(variance + eps) of each row, and the loss a function of y:

    y = xhat * weight + bias        xhat = (x - mean) / s

The backward pass gets g, the gradient of the loss by y, and gives those by x, weight and bias: the
vector-Jacobian products, VJP for short. x works in three ways, all of them counted: directly, by
its row's mean and by its row's s. weight and bias serve every token.

Derive it on paper (tutorial 5 shows how for softmax), and compute it without building a Jacobian.
float32 in, float32 out.
"""

import numpy as np


def layer_norm_vjp(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N, D], [N, D], [D] -> the gradients by x [N, D], weight [D] and bias [D]"""
    raise NotImplementedError
