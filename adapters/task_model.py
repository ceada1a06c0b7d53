"""A task's whole model: one tree of the frozen base, the task's adapters and its head; made, run
from text to logits, and made ready for use.

What of the tree is trained is not said here: that is `adapters.methods.table`.
"""

from types import ModuleType

import numpy as np

from adapters.methods.bottleneck import truncated_normal
from adapters.methods.lora import attach_lora, init_lora
from adapters.methods.pfeiffer import attach_pfeiffer, init_pfeiffer
from adapters.methods.table import (
    METHODS,
    Method,
    layer_span,
    method_named,
    parameter_table,
    top_layers,
)
from adapters.methods.variants import (
    attach_variant,
    init_variants,
    population_statistics,
    variant_named,
)
from adapters.recipes import RECIPES, Recipe
from minibert import fused
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.heads import classify
from minibert.machine.threads import one_blas_thread
from minibert.model import Adapt, embed, encode, encoder_layers, identity, pool
from minibert.ops import Array
from minibert.tokenizer import Batch
from minibert.training.loop import INIT, generator
from minibert.tree import Tree


def init_adapters(
    rng: np.random.Generator, config: BertConfig, method: Method, usual_std: float
) -> Tree:
    """The method's fresh adapters in every layer: {layer: {place: adapter}}. LoRA's start has no
    std to choose. Raises InputError for a size below 1."""
    size = method.size or 0
    std = usual_std if method.std is None else method.std
    if method.name == "lora":
        return init_lora(rng, config, size)
    if method.name == "pfeiffer":
        return init_pfeiffer(rng, config, size, std)
    return init_variants(rng, config, size, std, variant_named(method.variant))


def init_task(base: Base, method: Method, recipe: Recipe, outputs: int, seed: int) -> Tree:
    """The combined tree before training: the base's own arrays, fresh adapters and head.

    `outputs` is C, the number of classes, or 1 for regression.
    """
    rng = generator(seed, INIT)
    config = base.config
    tree: Tree = {"base": base.params}
    if method.size is not None:
        every = init_adapters(rng, config, method, recipe.adapter_std)
        tree["adapters"] = {n: each for n, each in every.items() if method.has_layer(n)}
    tree["head"] = {
        "weight": truncated_normal(rng, (outputs, config.hidden_size), recipe.head_std).T,
        "bias": np.zeros(outputs, np.float32),
    }
    return tree


def adapt_of(
    tree: Tree, method: Method, ops: ModuleType = fused, config: BertConfig | None = None
) -> Adapt:
    """The hook through which the encoder calls the tree's adapters; `identity` without any. The
    base's config is needed for "pfeiffer", whose adapters read through the base's LayerNorms."""
    if "adapters" not in tree:
        return identity
    adapters, activation = tree["adapters"], method.activation
    if method.name == "lora":
        return attach_lora(adapters)
    if method.name == "pfeiffer":
        if config is None:
            raise ValueError("Pfeiffer's adapters need the base's config")
        layers, eps = tree["base"]["layers"], config.layer_norm_eps
        return attach_pfeiffer(adapters, layers, eps, activation, ops)
    return attach_variant(adapters, activation, variant_named(method.variant), ops)


def settle(
    tree: Tree,
    batch: Batch,
    config: BertConfig,
    method: Method,
    ops: ModuleType = fused,
    first_only: bool = True,
) -> Tree:
    """The tree ready for use after training: with batch normalisation in the adapters, its
    statistics are taken from this batch of training texts; any other tree is returned as it is.
    `first_only`: as in training, the last layer computes [CLS] alone (see `minibert.model.encode`).
    """
    if "adapters" not in tree:
        return tree

    def run(adapt: Adapt) -> None:
        encode(tree["base"], batch, config, adapt=adapt, ops=ops, first_only=first_only)

    variant = variant_named(method.variant)
    with one_blas_thread:  # the same bits for any number of threads
        settled = population_statistics(tree["adapters"], variant, method.activation, run, ops)
    return {**tree, "adapters": settled}


def fixed_states(
    tree: Tree,
    batch: Batch,
    config: BertConfig,
    method: Method,
    fixed: int,
    ops: ModuleType = fused,
) -> Array:
    """What leaves the embeddings and the `fixed` layers at the bottom, without dropout.
    -> [N, D], or the [CLS] rows [B, D] when that is every layer"""
    base, adapt = tree["base"], adapt_of(tree, method, ops, config)
    x = embed(base, batch, config, None, ops)
    return encoder_layers(
        base, range(fixed), x, batch.lengths, config, adapt=adapt, ops=ops, first_only=True
    )[-1]


def forward(
    tree: Tree,
    batch: Batch,
    config: BertConfig,
    method: Method,
    *,
    rng: np.random.Generator | None = None,
    fixed: int | None = None,
    states: Array | None = None,
    ops: ModuleType = fused,
) -> Array:
    """Text to logits through the whole model: [N tokens] -> [B, C]. `rng` switches dropout on.

    With `fixed`, the embeddings and that many layers have no dropout; `states` are then their
    `fixed_states`, where known.
    """
    base, adapt = tree["base"], adapt_of(tree, method, ops, config)
    if fixed is None:
        states = embed(base, batch, config, rng, ops)
    elif states is None:
        states = fixed_states(tree, batch, config, method, fixed, ops)
    numbers = range(fixed or 0, config.num_hidden_layers)
    first = encoder_layers(
        base, numbers, states, batch.lengths, config, adapt=adapt, rng=rng, ops=ops, first_only=True
    )[-1]  # [B, D]
    pooled = pool(base, first, batch, ops)  # [B, D]
    return classify(tree["head"], pooled, config.hidden_dropout_prob, rng, ops)


def method_rows(base: Base, size: int | None = None) -> list[tuple[Method, str, int]]:
    """Every kind of method on a base: (the method, what it trains beside the head, how many
    parameters that is with the head of a task of two classes). `size`: of "adapters"."""
    config, adapters, full = base.config, method_named("adapters", size), METHODS["full"]
    half = max(1, config.num_hidden_layers // 2)
    top = top_layers(full, 1, config)
    kinds = [
        (adapters, "adapters, every LayerNorm"),
        (top_layers(adapters, half, config), "those of the top half"),
        (layer_span(adapters, 0, half - 1, config), "those of the lower half"),
        (full, "everything"),
        (top, "the top layer, the pooler"),
        (METHODS["norms"], "every LayerNorm"),
        (METHODS["head"], "nothing (frozen features)"),
        (METHODS["lora"], "A and B beside query, value"),
        (METHODS["pfeiffer"], "one adapter a layer"),
        (METHODS["biases"], "every bias (BitFit)"),
    ]  # fmt: skip
    rows = []
    for method, what in kinds:
        tree = init_task(base, method, RECIPES["paper"], 2, 0)
        rows.append((method, what, sum(row[1] for row in parameter_table(tree, method))))
    return rows
