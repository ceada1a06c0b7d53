"""Exercise 3: GELU, twice, and its derivative.

The activation inside BERT multiplies x by the probability that a normally distributed number is
smaller than x (Hendrycks & Gimpel, arXiv 1606.08415):

    gelu(x) = x Phi(x),    Phi(x) = (1 + erf(x / sqrt(2))) / 2

A second kind is also in use, an approximation. Google's BERT and the paper's released code compute
it:

    gelu_tanh(x) = x/2 (1 + tanh(u)),    u = sqrt(2 / pi) (x + 0.044715 x^3)

The two differ by up to 4.7e-4. The backward pass needs the derivative of the kind that the forward
pass computed, so each has its own. With the product rule, and the bell curve as Phi's derivative:

    gelu_slope(x)      = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi)
    gelu_tanh_slope(x) = (1 + tanh(u))/2 + x/2 (1 - tanh(u)^2) du/dx

where du/dx is for you to find. All four functions work element by element: an array of any shape
in, the same shape out. NumPy has no erf; the one below takes it from Python's math, element by
element, which is slow but exact.

float32 in, float32 out.
"""

import math

import numpy as np


def erf(x: np.ndarray) -> np.ndarray:
    """The error function of each element. Any shape. Given; nothing to do here."""
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def gelu(x: np.ndarray) -> np.ndarray:
    """x Phi(x). Any shape."""
    raise NotImplementedError


def gelu_slope(x: np.ndarray) -> np.ndarray:
    """The derivative of `gelu` at each element of x. Any shape."""
    raise NotImplementedError


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """The tanh approximation of GELU. Any shape."""
    raise NotImplementedError


def gelu_tanh_slope(x: np.ndarray) -> np.ndarray:
    """The derivative of `gelu_tanh` at each element of x. Any shape."""
    raise NotImplementedError
