"""Tuning methods as data: which parameters a task trains, and which stay frozen.

All parameters of a task's model form one tree: "base" (the BERT), "adapters" and "head". A
method is a list of patterns over the paths of that tree: a path that one of them matches is
trained, all others are frozen. That is the whole of "freezing": `split` gives the trained part
to the optimiser, and only that part is ever differentiated.
"""

import re
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from adapters.bottleneck import check_activation, truncated_normal
from adapters.lora import attach_lora, init_lora
from adapters.pfeiffer import attach_pfeiffer, init_pfeiffer
from adapters.recipes import RECIPES, Recipe
from adapters.variants import (
    STATISTICS,
    attach_variant,
    init_variants,
    population_statistics,
    variant_named,
)
from minibert import fused
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.heads import classify
from minibert.model import Adapt, embed, encode, encoder_layers, identity, pool
from minibert.ops import Array
from minibert.threads import one_blas_thread
from minibert.tokenizer import Batch
from minibert.train import INIT, generator
from minibert.tree import Tree, leaves, partition

NORMS = r"base\.(embeddings|layers)\.(.*\.)?norm\."  # not the masked-token head's, never used


@dataclass(frozen=True)
class Method:
    """Patterns of the trained paths; `size` is the adapters' m or LoRA's r, None for no adapters.

    Of the layers, those from `first_layer` up to `last_layer` (None: the top) are trained; with a
    `first_layer` above 0, the embeddings are not. `variant`: see `variants`; `std`: of the
    adapters' initialisation, None for the recipe's.
    """

    name: str
    trained: tuple[str, ...]
    size: int | None = None
    activation: str = "gelu_tanh"
    first_layer: int = 0
    last_layer: int | None = None
    variant: str = "serial"
    std: float | None = None

    def __str__(self) -> str:
        words = [self.name]
        if self.variant != "serial":
            words.append(self.variant)
        if self.size is not None:
            words.append(f"{'r' if self.name == 'lora' else 'm'} = {self.size}")
        if self.std is not None:
            words.append(f"initial std {self.std:g}")
        if self.first_layer:
            words.append(f"from layer {self.first_layer}")
        if self.last_layer is not None:
            words.append(f"up to layer {self.last_layer}")
        return ", ".join(words)

    def has_layer(self, number: int) -> bool:
        """Whether the layer is among those that may be trained."""
        return self.first_layer <= number and (self.last_layer is None or number <= self.last_layer)

    def trains(self, path: str) -> bool:
        """Whether the parameter at this path is trained."""
        if re.match(STATISTICS, path):
            return False
        layer = re.match(r"(?:base\.layers|adapters)\.(\d+)\.", path)
        if layer and not self.has_layer(int(layer[1])):
            return False
        if self.first_layer and path.startswith("base.embeddings."):
            return False
        return any(re.match(pattern, path) for pattern in self.trained)


# The paper's method (section 2.1): adapters, every LayerNorm (the embedding's too) and the head.
# The pooler is used and stays frozen, as in the released code.
#
# Beyond the paper: LoRA and Pfeiffer's adapters train nothing of the base, as where they come from.
# "biases" is BitFit (Ben Zaken et al. 2021, arXiv 2106.10199): every bias, the LayerNorms' too and,
# as in its released code, the pooler's.
METHODS = {
    method.name: method
    for method in (
        Method("adapters", (r"adapters\.", NORMS, r"head\."), size=64),
        Method("full", (r"base\.(embeddings|layers|pooler)\.", r"head\.")),
        Method("norms", (NORMS, r"head\.")),
        Method("head", (r"head\.",)),
        Method("lora", (r"adapters\.", r"head\."), size=8),
        Method("pfeiffer", (r"adapters\.", r"head\."), size=48, activation="relu"),
        Method("biases", (r"base\.(embeddings|layers|pooler)\.(.*\.)?bias$", r"head\.")),
    )
}

# What may be chosen of a method's adapters; the other methods have none.
CHOICES = {
    "adapters": ("size", "activation", "variant", "std"),
    "pfeiffer": ("size", "activation", "std"),
    "lora": ("size",),
}


def method_named(
    name: str,
    size: int | None = None,
    activation: str | None = None,
    variant: str = "serial",
    std: float | None = None,
) -> Method:
    """A method of the table, with adapters of this size (m, or LoRA's rank r), activation, variant
    and initial std instead of its own. Raises InputError for another name, an unknown activation or
    variant, an std that is not positive, or any of these for a method that has no such thing."""
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    if activation is not None:
        check_activation(activation)
    variant_named(variant)
    if std is not None and not 0 < std < float("inf"):
        raise InputError(f"the adapters' initial std must be positive, not {std}")
    method = METHODS[name]
    form = None if variant == "serial" else variant
    asked = {"size": size, "activation": activation, "variant": form, "std": std}
    chosen: dict[str, Any] = {what: value for what, value in asked.items() if value is not None}
    for what in chosen:
        if what not in CHOICES.get(name, ()):
            why = "has no adapters, so it " if method.size is None else ""
            raise InputError(f"method {name!r} {why}takes no {what}")
    return replace(method, **chosen)


def top_layers(method: Method, top: int, config: BertConfig) -> Method:
    """The method in the top `top` of the layers only. Raises InputError for a number of layers that
    the model has not, or a method that trains no layer."""
    if method.name == "head":
        raise InputError("method 'head' trains no layer, so it takes no number of top layers")
    if not 1 <= top <= config.num_hidden_layers:
        raise InputError(f"top layers must be from 1 to {config.num_hidden_layers}, not {top}")
    return replace(method, first_layer=config.num_hidden_layers - top)


def layer_span(method: Method, first: int, last: int, config: BertConfig) -> Method:
    """The method in the layers from `first` to `last` only, both counted from 0 and included; with
    adapters, the other layers have none. Raises InputError for layers that the model has not, or a
    method that trains no layer."""
    if method.name == "head":
        raise InputError("method 'head' trains no layer, so it takes no span of layers")
    layers = config.num_hidden_layers
    if not 0 <= first <= last < layers:
        raise InputError(
            f"a span of layers is two numbers from 0 to {layers - 1}, the lower one first, not "
            f"{first} {last}"
        )
    return replace(method, first_layer=first, last_layer=None if last == layers - 1 else last)


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


def split(tree: Tree, method: Method) -> tuple[Tree, Tree]:
    """(trained, frozen): every leaf of the tree is in exactly one of the two."""
    return partition(tree, method.trains)


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


# The groups of the parameter table, in the order of the model; the first match counts.
GROUPS = [
    ("LayerNorms", NORMS),
    ("embeddings", r"base\.embeddings"),
    ("attention", r"base\.layers\.\d+\.attention"),
    ("feed-forward", r"base\.layers\.\d+\.feed_forward"),
    ("pooler", r"base\.pooler"),
    ("masked-token head", r"base\.masked_tokens"),
    ("adapters", r"adapters"),
    ("task head", r"head"),
]


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


def parameter_table(tree: Tree, method: Method) -> list[tuple[str, int, int]]:
    """(group, trained parameters, frozen parameters) for every group that has any."""
    rows = {group: [0, 0] for group, _ in GROUPS}
    for path, leaf in leaves(tree):
        group = next(g for g, pattern in GROUPS if re.match(pattern, path))
        rows[group][0 if method.trains(path) else 1] += leaf.size
    return [
        (group, trained, frozen) for group, (trained, frozen) in rows.items() if trained + frozen
    ]
