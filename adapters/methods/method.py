"""Tuning methods as data: which parameters a task trains, and which stay frozen.

All parameters of a task's model form one tree: "base" (the BERT), "adapters" and "head". A method
is a list of patterns over the paths of that tree: a path that one of them matches is trained, all
others are frozen. That is the whole of "freezing": `split` gives the trained part to the optimiser,
and only that part is ever differentiated.
"""

import re
from dataclasses import dataclass

from minibert.tree import Tree, leaves, partition

NORMS = r"base\.(embeddings|layers)\.(.*\.)?norm\."  # not the masked-token head's, never used
ADAPTERS = r"adapters\..*(weight|bias)$"
HEAD = r"head\."
POOLER = r"base\.pooler\."
BIASES = r"base\.(embeddings|layers|pooler)\.(.*\.)?bias$"

SIZE_SYMBOLS = {"lora": "r"}  # what a method's paper calls its size; Houlsby's m is usual


@dataclass(frozen=True)
class Method:
    """Patterns of the trained paths; `size` is the adapters' m or LoRA's r, None for no adapters.

    Only layers from `first_layer` to `last_layer` (None: the top) are trained, and the embeddings
    only if `first_layer` is 0. `activation` and `variant` are the adapters'; `std` is that of their
    initialisation, None for the recipe's. `targets` and `alpha` are LoRA's, see there.

    sizes: where the adapters are, and how large each is, if that is not the same in all layers:
    (("0.attention", 16), ("3.feed_forward", 64)). Only adapters from other libraries have it.
    """

    name: str
    trained: tuple[str, ...]
    size: int | None = None
    activation: str = "gelu_tanh"
    first_layer: int = 0
    last_layer: int | None = None
    variant: str = "serial"
    std: float | None = None
    targets: tuple[str, ...] = ()
    alpha: float | None = None
    sizes: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        words = [self.name]
        if self.variant != "serial":
            words.append(self.variant)
        if self.size is not None:
            symbol, sizes = SIZE_SYMBOLS.get(self.name, "m"), {size for _, size in self.sizes}
            several = f" to {max(sizes)}" if len(sizes) > 1 else ""
            words.append(f"{symbol} = {min(sizes, default=self.size)}{several}")
        if self.targets:
            words.append(f"on {' + '.join(self.targets)}")
        if self.alpha is not None:
            words.append(f"alpha = {self.alpha:g}")
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
        layer = re.match(r"(?:base\.layers|adapters)\.(\d+)\.", path)
        if layer and not self.has_layer(int(layer[1])):
            return False
        if self.first_layer and path.startswith("base.embeddings."):
            return False
        return any(re.match(pattern, path) for pattern in self.trained)


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
