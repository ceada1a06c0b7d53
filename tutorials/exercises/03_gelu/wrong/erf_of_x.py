# says: Phi needs erf(x / sqrt(2))
import math

import numpy as np

ROOT = math.sqrt(2 / math.pi)  # a Python float: np.sqrt(2 / np.pi) would widen float32 to float64


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + erf(x))


def gelu(x: np.ndarray) -> np.ndarray:
    return x * normal_cdf(x)


def gelu_slope(x: np.ndarray) -> np.ndarray:
    return normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def inner_tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(ROOT * (x + 0.044715 * x**3))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + inner_tanh(x))


def gelu_tanh_slope(x: np.ndarray) -> np.ndarray:
    t = inner_tanh(x)
    du = ROOT * (1.0 + 3 * 0.044715 * x**2)
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du
