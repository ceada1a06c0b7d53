"""Exercise 7: one step of Adam."""

import numpy as np

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def adam_step(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, step: int, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of Adam: the new (p, m, v)."""
    m = BETA1 * m + (1 - BETA1) * g
    v = BETA2 * v + (1 - BETA2) * g * g
    mean = m / (1 - BETA1**step)
    square = v / (1 - BETA2**step)
    return p - rate * mean / (np.sqrt(square) + EPS), m, v
