"""Batch normalisation inside the adapter, the extension of Houlsby et al. 2019 (section 3.6) that
needs more than a formula: what it learned of the training texts must be kept with the task.

Ioffe & Szegedy 2015, arXiv 1502.03167. While training, the m bottleneck features are normalised by
the mean and variance of the rows at hand; afterwards `settle` fixes both, so that a text's output
does not depend on the texts beside it. The two are in adapter["norm"], as "mean" and "variance",
but no gradient trains them.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import autograd.numpy as np
import numpy as onp

from adapters.methods import variants
from adapters.methods.method import Method
from adapters.methods.variants import EPS, Variant
from minibert import fused
from minibert.config import BertConfig
from minibert.model import Adapt
from minibert.ops import Array
from minibert.tree import Tree, merge


def moments(features: Array) -> tuple[Array, Array]:
    """Each feature's mean and (biased) variance over the rows. [N, m] -> [m], [m]"""
    share = 1.0 / len(features)
    mean = np.sum(features, axis=0) * share
    centred = features - mean  # [N, m]
    return mean, np.sum(centred * centred, axis=0) * share


def batch_norm(features: Array, norm: Tree, ops: ModuleType) -> Array:
    """Each feature to mean 0 and variance 1, then a learned gain and bias. [N, m] -> [N, m]

    Algorithm 1. Before `settle` the mean and variance are those of the rows given: all tokens of
    one shard of the batch, and one row a text in the last layer, which computes [CLS] only. (A
    shard of a single text then has features of 0 there.)
    """
    mean, variance = (norm["mean"], norm["variance"]) if "mean" in norm else moments(features)
    return (features - mean) / np.sqrt(variance + EPS) * norm["weight"] + norm["bias"]


STATISTICS = ("mean", "variance")  # of each adapter's "norm": settled, not trained
VARIANT = Variant("batch-norm", "z + f(BatchNorm(z W_down + b_down)) W_up + b_up", norm=batch_norm)


def init(rng: onp.random.Generator, config: BertConfig, method: Method) -> Tree:
    """As `variants.init`."""
    return variants.init_variant(rng, config, method, VARIANT)


def attach(tree: Tree, config: BertConfig, method: Method, ops: ModuleType = fused) -> Adapt:
    """As `variants.attach`."""
    return variants.attach_variant(tree, VARIANT, method.activation, ops)


def layer_parameters(config: BertConfig, method: Method) -> int:
    """Of one layer's adapters, without the 2m numbers of each that are not trained."""
    d, m = config.hidden_size, method.size or 0
    return len(VARIANT.places) * variants.variant_parameters(d, m, VARIANT)


def settle(
    adapters: Tree, method: Method, run: Callable[[Adapt], Any], ops: ModuleType = fused
) -> Tree:
    """The adapters with each one's mean and variance filled in, from training texts.

    Algorithm 2. `run(adapt)` sends a sample of the texts, as one batch and without dropout, through
    the frozen model with this hook. Each adapter's statistics are of its own input, with all
    adapters below already settled. They are exactly the sample's, so the sample's outputs stay the
    same; hence the biased variance (algorithm 2 has it N / (N - 1) times as large). Earlier
    statistics are replaced. Raises ValueError when `run` asks for an adapter twice.
    """
    settled: Tree = {}

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = adapters.get(layer, {}).get(place)
        if adapter is None:
            return z
        if place in settled.setdefault(layer, {}):
            raise ValueError(f"the statistics' sample must be one batch: layer {layer} came twice")
        mean, variance = moments(variants.down(adapter, z, ops))
        norm = {**adapter["norm"], "mean": mean, "variance": variance}
        settled[layer][place] = {**adapter, "norm": norm}
        return variants.apply(settled[layer][place], z, x, method.activation, VARIANT, ops)

    run(adapt)
    return merge(adapters, settled)
