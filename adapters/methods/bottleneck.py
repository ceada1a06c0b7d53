"""The bottleneck adapter of Houlsby et al. 2019, arXiv 1902.00751: all of it.

    A(z) = z + f(z W_down + b_down) W_up + b_up           section 2.1, figure 2 (right)

Two of them sit in every encoder layer, one after the attention's output projection and one after
the feed-forward's, each before the skip connection is added (figure 2, left). Words: d the
hidden size, m the bottleneck size, L layers.
"""

import math
from types import ModuleType

import numpy as np

from minibert import fused
from minibert.config import BertConfig
from minibert.errors import InputError
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


def parameter_count(d: int, m: int) -> int:
    """2md + d + m: two projections and their two biases (section 2.1)."""
    return 2 * m * d + d + m


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> Array:
    """N(0, std^2) without what lies beyond two std (section 3.6): those are drawn again."""
    values = rng.standard_normal(shape, np.float32)
    while (beyond := np.abs(values) > 2.0).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()), np.float32)
    return values * np.float32(std)


def init_adapter(rng: np.random.Generator, d: int, m: int, std: float) -> Tree:
    """One adapter near the identity: both projections small, both biases 0 (section 2.1).

    Drawn as [out, in] and seen as [in, out], the way every linear map lies in memory here.
    """
    return {
        "down": {"weight": truncated_normal(rng, (m, d), std).T, "bias": np.zeros(m, np.float32)},
        "up": {"weight": truncated_normal(rng, (d, m), std).T, "bias": np.zeros(d, np.float32)},
    }


def init_adapters(rng: np.random.Generator, config: BertConfig, m: int, std: float) -> Tree:
    """Two adapters a layer: {layer: {"attention": adapter, "feed_forward": adapter}}.

    Raises InputError for a size below 1.
    """
    if m < 1:
        raise InputError(f"adapter size must be at least 1, not {m}")
    return {
        layer: {place: init_adapter(rng, config.hidden_size, m, std) for place in PLACES}
        for layer in range(config.num_hidden_layers)
    }


def bottleneck(adapter: Tree, z: Array, activation: str, ops: ModuleType = fused) -> Array:
    """A(z), the adapter with its own skip connection. [N, d] -> [N, m] -> [N, d]"""
    down, up = adapter["down"], adapter["up"]
    inner = getattr(ops, activation)(ops.linear(z, down["weight"], down["bias"]))  # [N, m]
    return z + ops.linear(inner, up["weight"], up["bias"])


def check_activation(name: str) -> None:
    """Raises InputError, listing the known ones, for another name."""
    if name not in ACTIVATIONS:
        raise InputError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")


def attach(adapters: Tree, activation: str = "gelu_tanh", ops: ModuleType = fused) -> Adapt:
    """The `adapt` that `minibert.model.encode` calls: adapters[layer][place], where there is one.

    A layer or place without an adapter is left as it is.
    """
    check_activation(activation)

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = adapters.get(layer, {}).get(place)
        return z if adapter is None else bottleneck(adapter, z, activation, ops)

    return adapt


def distance_bound(z_norm: float, d: int, m: int, std: float) -> float:
    """An upper bound of |A(z) - z| right after initialisation, for any z with norm |z|.

    Truncation keeps every weight within 2 std, so a projection's norm is at most its Frobenius
    norm 2 std sqrt(m d). GELU and the others satisfy |f(x)| <= |x|, so with zero biases
    |A(z) - z| <= |W_up| |f(W_down z)| <= (2 std)^2 m d |z|.
    """
    return (2.0 * std) ** 2 * m * d * z_norm


def expected_distance(z_norm: float, d: int, m: int, std: float) -> float:
    """The root mean square of |A(z) - z| to be expected for an f with f'(0) = 1/2 (the GELUs and
    swish) and small std: f halves its small inputs, and each projection multiplies the mean
    square by its fan-in's variance: 0.5 std'^2 sqrt(m d) |z|, std' = 0.8796 std the standard
    deviation that truncation at two std leaves.
    """
    truncated = 0.8796256610342398 * std
    return 0.5 * truncated**2 * math.sqrt(m * d) * z_norm
