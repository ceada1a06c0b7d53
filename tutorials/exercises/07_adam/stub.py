"""Exercise 7: one step of Adam.

Adam (Kingma & Ba, arXiv 1412.6980) keeps two running means for each parameter p: of its gradient g,
and of the gradient's square. It moves p by their ratio, so that a parameter with small gradients
moves about as fast as one with large gradients:

    m = beta1 m + (1 - beta1) g            beta1 = 0.9
    v = beta2 v + (1 - beta2) g^2          beta2 = 0.999
    p = p - rate m' / (sqrt(v') + eps)     eps = 1e-8

Both means start at 0, so in the first steps they are too small. Bias correction (section 3 of that
paper) undoes this at step t, counted 1, 2, 3, ...:

    m' = m / (1 - beta1^t),    v' = v / (1 - beta2^t)

The corrected m' and v' are used in this step only; m and v are what is kept for the next one.

p, g, m and v are arrays of the same shape, whatever it is; `step` is t; `rate` is the learning
rate, a Python float. Your function must not change the arrays. float32 in, float32 out.
"""

import numpy as np

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def adam_step(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, step: int, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of Adam: the new (p, m, v), each of p's shape."""
    raise NotImplementedError
