"""One adapter a layer, after the feed-forward sublayer: Pfeiffer et al. 2020, arXiv 2005.00247.

Beyond the paper of this project. AdapterFusion's authors searched where an adapter does best and
kept the upper one of Houlsby's two, which reads the layer's normalised output (section 3.1, figure
5). As their library AdapterHub computes it, with z the sublayer's output, x its input, LN the
sublayer's own LayerNorm, used twice and frozen, and B the adapter without its skip connection:

    u = LN(x + z)        B(u) = f(u W_down + b_down) W_up + b_up        LN(x + z + B(u))
"""

from types import ModuleType

import numpy as np

from adapters.methods.bottleneck import check_activation
from adapters.methods.bottleneck import parameter_count as adapter_count
from adapters.methods.variants import Variant, branch, init_variants
from minibert import fused
from minibert.config import BertConfig
from minibert.model import FEED_FORWARD, Adapt
from minibert.ops import Array
from minibert.tree import Tree

# The form of its adapters: one in each layer, of the paper's own kind.
FORM = Variant("pfeiffer", "z + B(LayerNorm(x + z))", places=(FEED_FORWARD,))


def parameter_count(d: int, m: int, layers: int) -> int:
    """2md + d + m for each layer, half of Houlsby's."""
    return layers * adapter_count(d, m)


def init_pfeiffer(rng: np.random.Generator, config: BertConfig, m: int, std: float) -> Tree:
    """{layer: {"feed_forward": adapter}}, near the identity as Houlsby's (`init_adapter`).

    Raises InputError for a size below 1.
    """
    return init_variants(rng, config, m, std, FORM)


def attach_pfeiffer(
    adapters: Tree, layers: Tree, eps: float, activation: str = "relu", ops: ModuleType = fused
) -> Adapt:
    """The `adapt` that `minibert.model.encode` calls: adapters[layer][place], where there is one.

    `layers` are the base's, whose LayerNorms the adapters read through, with their `eps`.
    """
    check_activation(activation)

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = adapters.get(layer, {}).get(place)
        if adapter is None:
            return z
        norm = layers[layer][place]["norm"]
        u = ops.add_layer_norm(x, z, norm["weight"], norm["bias"], eps)  # [N, d]
        return z + branch(adapter, u, activation, FORM, ops)

    return adapt
