# says: The layer's skip connection is missing
import numpy as np

from minibert.ops import gelu_tanh, layer_norm


def bottleneck(adapter: dict, z: np.ndarray) -> np.ndarray:
    down, up = adapter["down"], adapter["up"]
    inner = gelu_tanh(z @ down["weight"] + down["bias"])  # [N, m]
    return z + inner @ up["weight"] + up["bias"]


def sublayer_end(adapter: dict, x: np.ndarray, z: np.ndarray, norm: dict, eps: float) -> np.ndarray:
    return layer_norm(bottleneck(adapter, z), norm["weight"], norm["bias"], eps)
