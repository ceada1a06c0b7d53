"""Exercise 11: a fresh adapter hardly does anything.

Training should start from what the frozen BERT can already do. So a new adapter is nearly the
identity: A(z) is almost z. Its biases are 0, and its two weights are drawn from a normal
distribution with mean 0 and a small standard deviation std, truncated at two std (section 3.6):
a value further from 0 than 2 std is discarded and *drawn again*, until none is left. (What remains
has a slightly smaller standard deviation, 0.88 std. Leave it so.)

How close is A(z) to z? No weight is larger than 2 std, so neither projection, with its m d weights,
makes a vector more than 2 std sqrt(m d) times as long. GELU makes none longer. With zero biases,
then,

    |A(z) - z| = |f(z W_down) W_up| <= (2 std)^2 m d |z|.

Randomness: make one generator, `np.random.default_rng(seed)`, and draw everything from it; the same
seed then always gives the same numbers. The order in which you draw is up to you: only the
distribution is checked.
"""

import numpy as np


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> np.ndarray:
    """Normally distributed, mean 0, truncated at two std by redrawing. `rng` is a NumPy Generator,
    `shape` a tuple of whole numbers. -> array of this shape, float32. (It is checked through
    `init_adapter`, which calls it.)"""
    raise NotImplementedError


def init_adapter(seed: int, d: int, m: int, std: float) -> dict:
    """A fresh adapter, all float32:
    {"down": {"weight": [d, m], "bias": [m]}, "up": {"weight": [m, d], "bias": [d]}}."""
    raise NotImplementedError


def distance_bound(z_norm: float, d: int, m: int, std: float) -> float:
    """The upper bound of |A(z) - z| for a fresh adapter and a z of length `z_norm`. -> float."""
    raise NotImplementedError
