"""Exercise 11: a fresh adapter hardly does anything.

Training should start from what the frozen BERT can do already. So a new adapter is nearly the
identity: A(z) is almost z. Its biases are 0, and its two weights are drawn from a normal
distribution with mean 0 and a small standard deviation std, truncated at two std (section 3.6):
a value that is further from 0 than 2 std is thrown away and *drawn again*, until none is left.
(The spread of what is left is a little smaller, 0.88 std. It stays so.)

How near is A(z) to z? No weight is larger than 2 std, so neither projection, with its m d weights,
makes a vector longer than 2 std sqrt(m d) times what it was. GELU makes none longer. With zero
biases, then,

    |A(z) - z| = |f(z W_down) W_up| <= (2 std)^2 m d |z|.

Randomness: make one generator, `np.random.default_rng(seed)`, and let everything be drawn from it;
the same seed then always gives the same numbers. Which of them you use for what is up to you: it is
their distribution that is looked at.
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
