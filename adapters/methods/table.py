"""Tuning methods as data: which parameters a task trains, and which stay frozen.

All parameters of a task's model form one tree: "base" (the BERT), "adapters" and "head". A
method is a list of patterns over the paths of that tree: a path that one of them matches is
trained, all others are frozen. That is the whole of "freezing": `split` gives the trained part
to the optimiser, and only that part is ever differentiated.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from adapters.methods.bottleneck import check_activation
from adapters.methods.variants import STATISTICS, variant_named
from minibert.config import BertConfig
from minibert.errors import InputError
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


def split(tree: Tree, method: Method) -> tuple[Tree, Tree]:
    """(trained, frozen): every leaf of the tree is in exactly one of the two."""
    return partition(tree, method.trains)


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


def parameter_table(tree: Tree, method: Method) -> list[tuple[str, int, int]]:
    """(group, trained parameters, frozen parameters) for every group that has any."""
    rows = {group: [0, 0] for group, _ in GROUPS}
    for path, leaf in leaves(tree):
        group = next(g for g, pattern in GROUPS if re.match(pattern, path))
        rows[group][0 if method.trains(path) else 1] += leaf.size
    return [
        (group, trained, frozen) for group, (trained, frozen) in rows.items() if trained + frozen
    ]
