"""Exercise 9: the adapter, and where it sits."""

import numpy as np

from minibert.ops import gelu_tanh, layer_norm


def bottleneck(adapter: dict, z: np.ndarray) -> np.ndarray:
    """A(z). [N, d] -> [N, m] -> [N, d]"""
    down, up = adapter["down"], adapter["up"]
    inner = gelu_tanh(z @ down["weight"] + down["bias"])  # [N, m]
    return z + inner @ up["weight"] + up["bias"]


def sublayer_end(adapter: dict, x: np.ndarray, z: np.ndarray, norm: dict, eps: float) -> np.ndarray:
    """LayerNorm(x + A(z)). [N, d], [N, d] -> [N, d]"""
    return layer_norm(x + bottleneck(adapter, z), norm["weight"], norm["bias"], eps)
