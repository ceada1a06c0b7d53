"""One adapter a layer, after the feed-forward sublayer: Pfeiffer et al. 2020, arXiv 2005.00247.

Beyond the paper of this project. AdapterFusion's authors searched where an adapter does best and
kept the upper one of Houlsby's two, which reads the layer's normalised output (section 3.1, figure
5). As their library AdapterHub computes it, with z the sublayer's output, x its input, LN the
sublayer's own LayerNorm, used twice and frozen, and B the adapter without its skip connection:

    u = LN(x + z)        B(u) = f(u W_down + b_down) W_up + b_up        LN(x + z + B(u))
"""

from types import ModuleType

import numpy as np

from adapters.methods.bottleneck import (
    branch,
    check_activation,
    init_adapter,
    parameter_count,
    size_and_std,
)
from adapters.methods.method import Method
from minibert import fused
from minibert.config import BertConfig
from minibert.model import FEED_FORWARD, Adapt
from minibert.ops import Array
from minibert.tree import Tree


def attach(tree: Tree, config: BertConfig, method: Method, ops: ModuleType = fused) -> Adapt:
    """The hook that the encoder calls: tree["adapters"][layer][place], where there is one, reading
    through the LayerNorms of tree["base"]. Raises InputError for an unknown activation."""
    check_activation(method.activation)

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = tree["adapters"].get(layer, {}).get(place)
        if adapter is None:
            return z
        norm = tree["base"]["layers"][layer][place]["norm"]
        u = ops.add_layer_norm(x, z, norm["weight"], norm["bias"], config.layer_norm_eps)  # [N, d]
        return z + branch(adapter, u, method.activation, ops)

    return adapt


def init(rng: np.random.Generator, config: BertConfig, method: Method) -> Tree:
    """{layer: {"feed_forward": adapter}}, near the identity as Houlsby's (`init_adapter`).

    The method says their size m and initial std. Raises InputError for a size below 1.
    """
    m, std = size_and_std(method)
    return {
        layer: {FEED_FORWARD: init_adapter(rng, config.hidden_size, m, std)}
        for layer in range(config.num_hidden_layers)
    }


def layer_parameters(config: BertConfig, method: Method) -> int:
    """Of one layer's adapter: half of Houlsby's two."""
    return parameter_count(config.hidden_size, method.size or 0)
