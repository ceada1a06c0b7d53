"""Low-rank adaptation, LoRA: Hu et al. 2021, arXiv 2106.09685. Beyond the paper of this project.

    z = x W + b + (alpha / r) (x A) B                     section 4.1

W [in, out] and b are the base's, frozen; A [in, r] and B [r, out] are trained, for the query and
the value of every layer (section 5.1), or for others of its six linear maps. x are the map's input
rows, z its output, r is the rank. (The paper multiplies columns and so writes B A x.) No layer is
added: once trained, A B can be added to W, and the model is an ordinary BERT again.
"""

import math
from types import ModuleType

import numpy as np

from adapters.methods.method import Method
from minibert import fused
from minibert.config import BertConfig
from minibert.errors import InputError, shown
from minibert.model import ATTENTION_OUTPUT, INNER, KEY, OUTER, QUERY, VALUE, Adapt
from minibert.ops import Array
from minibert.tree import Tree, from_leaves, merge

ADAPTED = (QUERY, VALUE)

# The linear maps of a layer that may be adapted, and where their parameters are.
MAPS = {
    QUERY: "attention.query",
    KEY: "attention.key",
    VALUE: "attention.value",
    ATTENTION_OUTPUT: "attention.output",
    INNER: "feed_forward.inner",
    OUTER: "feed_forward.output",
}

# Not a parameter to tune: the paper leaves alpha at the first rank that it tries, so that another
# rank needs no other learning rate (section 4.1). 8, with rank 8, is public libraries' default.
ALPHA = 8.0


def scaling(part: Tree, alpha: float | None) -> float:
    """alpha / r, where None is the usual alpha."""
    return (ALPHA if alpha is None else alpha) / part["down"]["weight"].shape[1]


def low_rank(part: Tree, z: Array, x: Array, alpha: float | None = None) -> Array:
    """z + (alpha / r) (x A) B. [N, out], [N, in] -> [N, out], by way of [N, r].

    The gradient of A B, as large as W's, is never formed: those of A and B take r columns each.
    """
    down, up = part["down"]["weight"], part["up"]["weight"]
    return z + (x @ down * scaling(part, alpha)) @ up


def attach(tree: Tree, config: BertConfig, method: Method, ops: ModuleType = fused) -> Adapt:
    """The hook that the encoder calls: tree["adapters"][layer][map], where there is one; all else
    is left as it is. Matrix products alone: `ops` makes no difference."""

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        part = tree["adapters"].get(layer, {}).get(place)
        return z if part is None else low_rank(part, z, x, method.alpha)

    return adapt


def init(rng: np.random.Generator, config: BertConfig, method: Method) -> Tree:
    """{layer: {"query": {"down", "up"}, "value": {"down", "up"}}}, or the maps in method.targets.

    The method says the rank. Raises InputError for a rank below 1.
    """
    r = method.size or 0
    if r < 1:
        raise InputError(f"the rank must be at least 1, not {shown(r)}")
    return {
        layer: {
            name: init_map(rng, *map_sizes(config, name), r) for name in method.targets or ADAPTED
        }
        for layer in range(config.num_hidden_layers)
    }


def map_sizes(config: BertConfig, name: str) -> tuple[int, int]:
    """How many features a map reads, and how many it writes."""
    d, f = config.hidden_size, config.intermediate_size
    return {INNER: (d, f), OUTER: (f, d)}.get(name, (d, d))


def init_map(rng: np.random.Generator, size_in: int, size_out: int, r: int) -> Tree:
    """A ("down") and B ("up") of one map. As B is 0, training starts at exactly the base.

    A is uniform within 1 / sqrt(in): Kaiming's with slope sqrt(5), as in the released code. (The
    paper says Gaussian, without a variance.) Drawn as [out, in] and seen as [in, out].
    """
    bound = 1 / math.sqrt(size_in)
    return {
        "down": {"weight": rng.uniform(-bound, bound, (r, size_in)).astype(np.float32).T},
        "up": {"weight": np.zeros((size_out, r), np.float32).T},
    }


def layer_parameters(config: BertConfig, method: Method) -> int:
    """Of one layer: r (in + out) for each adapted map, two matrices without biases."""
    maps = method.targets or ADAPTED
    return (method.size or 0) * sum(sum(map_sizes(config, name)) for name in maps)


def check_targets(targets: tuple[str, ...]) -> None:
    """Raises InputError, listing the known ones, for a map that a layer does not have, or has
    twice."""
    for name in targets:
        if name not in MAPS:
            raise InputError(f"unknown LoRA target {shown(name)}; known: {', '.join(MAPS)}")
        if targets.count(name) > 1:
            raise InputError(f"LoRA target {name} is given twice")


def merge_lora(tree: Tree, alpha: float | None = None) -> Tree:
    """A task's tree without "adapters": W + (alpha / r) A B takes the place of each adapted W
    (section 4.1, "no additional inference latency"). The mathematics of tutorial 16. Equal up to
    rounding; arrays that do not change are shared.
    """
    merged = {}
    for layer, parts in tree["adapters"].items():
        for name, part in parts.items():
            sublayer, own = MAPS[name].split(".")
            weight = tree["base"]["layers"][layer][sublayer][own]["weight"]
            down, up = part["down"]["weight"], part["up"]["weight"]
            # the sum is made as [out, in], the way every weight lies in memory
            change = (up.T @ down.T) * scaling(part, alpha)  # [out, r] @ [r, in]
            merged[f"base.layers.{layer}.{MAPS[name]}.weight"] = (weight.T + change).T
    rest = {name: part for name, part in tree.items() if name != "adapters"}
    return merge(rest, from_leaves(merged))
