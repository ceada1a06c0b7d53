"""The bottleneck adapter of Houlsby et al. 2019, arXiv 1902.00751: all of it.

    A(z) = z + f(z W_down + b_down) W_up + b_up           section 2.1, figure 2 (right)

Two of them sit in every encoder layer, one after the attention's output projection and one after
the feed-forward's, each before the skip connection is added (figure 2, left). Words: d the
hidden size, m the bottleneck size, L layers.
"""

import math
from types import ModuleType

import numpy as np

from adapters.methods.method import Method
from minibert import fused
from minibert.config import BertConfig
from minibert.errors import InputError, shown
from minibert.model import PLACES, Adapt
from minibert.ops import Array
from minibert.tree import Tree

# The paper does not name f; its released code computes the tanh form of GELU.
ACTIVATIONS = {
    "gelu_tanh": "GELU, tanh form (the released code's, and the default here)",
    "gelu": "GELU, exact with erf (as inside the public BERT encoders)",
    "relu": "max(x, 0)",
    "tanh": "hyperbolic tangent",
    "swish": "x sigmoid(x)",
}


def bottleneck(adapter: Tree, z: Array, activation: str, ops: ModuleType = fused) -> Array:
    """A(z) = z + B(z), the adapter with its own skip connection. [N, d] -> [N, d]"""
    return z + branch(adapter, z, activation, ops)


def branch(adapter: Tree, z: Array, activation: str, ops: ModuleType = fused) -> Array:
    """B(z) = f(z W_down + b_down) W_up + b_up. [N, d] -> [N, m] -> [N, d]"""
    down, up = adapter["down"], adapter["up"]
    inner = getattr(ops, activation)(ops.linear(z, down["weight"], down["bias"]))  # [N, m]
    return ops.linear(inner, up["weight"], up["bias"])


def attach(tree: Tree, config: BertConfig, method: Method, ops: ModuleType = fused) -> Adapt:
    """The hook that the encoder calls: tree["adapters"][layer][place], where there is one.

    A layer or place without an adapter is left as it is. Raises InputError for an unknown
    activation.
    """
    check_activation(method.activation)

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = tree["adapters"].get(layer, {}).get(place)
        return z if adapter is None else bottleneck(adapter, z, method.activation, ops)

    return adapt


def init(rng: np.random.Generator, config: BertConfig, method: Method) -> Tree:
    """Two adapters a layer: {layer: {"attention": adapter, "feed_forward": adapter}}.

    The method says their size m and initial std. Raises InputError for a size below 1.
    """
    m, std = size_and_std(method)
    return {
        layer: {place: init_adapter(rng, config.hidden_size, m, std) for place in PLACES}
        for layer in range(config.num_hidden_layers)
    }


def init_adapter(rng: np.random.Generator, d: int, m: int, std: float) -> Tree:
    """One adapter near the identity: both projections small, both biases 0 (section 2.1).

    Drawn as [out, in] and seen as [in, out], the way every linear map lies in memory here.
    """
    return {
        "down": {"weight": truncated_normal(rng, (m, d), std).T, "bias": np.zeros(m, np.float32)},
        "up": {"weight": truncated_normal(rng, (d, m), std).T, "bias": np.zeros(d, np.float32)},
    }


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> Array:
    """N(0, std^2), redrawn where it lies beyond two std (section 3.6)."""
    values = rng.standard_normal(shape, np.float32)
    while (beyond := np.abs(values) > 2.0).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()), np.float32)
    return values * np.float32(std)


def parameter_count(d: int, m: int) -> int:
    """Of one adapter, 2md + d + m: two projections and their two biases (section 2.1)."""
    return 2 * m * d + d + m


def layer_parameters(config: BertConfig, method: Method) -> int:
    """Of one layer's two adapters."""
    return len(PLACES) * parameter_count(config.hidden_size, method.size or 0)


def size_and_std(method: Method, least: int = 1) -> tuple[int, float]:
    """The adapters' size m and initial std. Raises InputError for a size below `least`."""
    m, std = method.size or 0, method.std
    if m < least:
        where = f" for variant {method.variant!r}" if least > 1 else ""
        raise InputError(f"adapter size must be at least {least}{where}, not {shown(m)}")
    if std is None:
        raise ValueError("method.std is None: fill in the recipe's adapter_std first")
    return m, std


def check_activation(name: str) -> None:
    """Raises InputError, listing the known ones, for another name."""
    if name not in ACTIVATIONS:
        raise InputError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")


def expected_distance(z_norm: float, d: int, m: int, std: float) -> float:
    """The root mean square of |A(z) - z| right after initialisation, for small std and an f with
    f'(0) = 1/2 (the GELUs and swish). The mathematics of tutorials 07 and 11; not used in training.

    f halves its small inputs, and each projection multiplies the mean square by its fan-in's
    variance: 0.5 std'^2 sqrt(m d) |z|, where std' = 0.8796 std is the standard deviation that is
    left after truncation at two std.
    """
    truncated = 0.8796256610342398 * std
    return 0.5 * truncated**2 * math.sqrt(m * d) * z_norm
