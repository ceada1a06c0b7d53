"""Low-rank adaptation, LoRA: Hu et al. 2021, arXiv 2106.09685. Beyond the paper of this project.

    z = x W + b + (alpha / r) (x A) B                     section 4.1

W [d, d] and b are the base's, frozen; A [d, r] and B [r, d] are trained, for the query and the
value of every layer (section 5.1). x are the rows, z their projection, r is the rank. (The paper
multiplies columns and so writes B A x.) No layer is added: once trained, A B can be added to W, and
the model is an ordinary BERT again.
"""

import math
from types import ModuleType

import numpy as np

from adapters.methods.method import Method
from minibert import fused
from minibert.config import BertConfig
from minibert.errors import InputError, shown
from minibert.model import QUERY, VALUE, Adapt
from minibert.ops import Array
from minibert.tree import Tree, from_leaves, merge

ADAPTED = (QUERY, VALUE)

# Not a parameter to tune: the paper leaves alpha at the first rank that it tries, so that another
# rank needs no other learning rate (section 4.1). 8, with rank 8, is public libraries' default.
ALPHA = 8


def low_rank(part: Tree, z: Array, x: Array) -> Array:
    """z + (alpha / r) (x A) B. [N, d], [N, d] -> [N, d], by way of [N, r].

    The gradient of A B, as large as W's, is never formed: those of A and B take r columns each.
    """
    down, up = part["down"]["weight"], part["up"]["weight"]
    return z + (x @ down * (ALPHA / down.shape[1])) @ up


def attach(tree: Tree, config: BertConfig, method: Method, ops: ModuleType = fused) -> Adapt:
    """The hook that the encoder calls: tree["adapters"][layer][projection], where there is one; all
    else is left as it is. Matrix products alone: `ops` makes no difference."""

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        part = tree["adapters"].get(layer, {}).get(place)
        return z if part is None else low_rank(part, z, x)

    return adapt


def init(rng: np.random.Generator, config: BertConfig, method: Method) -> Tree:
    """{layer: {"query": {"down", "up"}, "value": {"down", "up"}}}.

    The method says the rank. Raises InputError for a rank below 1.
    """
    r = method.size or 0
    if r < 1:
        raise InputError(f"the rank must be at least 1, not {shown(r)}")
    return {
        layer: {name: init_projection(rng, config.hidden_size, r) for name in ADAPTED}
        for layer in range(config.num_hidden_layers)
    }


def init_projection(rng: np.random.Generator, d: int, r: int) -> Tree:
    """A ("down") and B ("up") of one projection. As B is 0, training starts at exactly the base.

    A is uniform within 1 / sqrt(d): Kaiming's with slope sqrt(5), as in the released code. (The
    paper says Gaussian, without a variance.) Drawn as [out, in] and seen as [in, out].
    """
    bound = 1 / math.sqrt(d)
    return {
        "down": {"weight": rng.uniform(-bound, bound, (r, d)).astype(np.float32).T},
        "up": {"weight": np.zeros((d, r), np.float32).T},
    }


def layer_parameters(d: int, method: Method) -> int:
    """Of one layer: 2rd for each adapted projection, two matrices without biases."""
    return len(ADAPTED) * 2 * (method.size or 0) * d


def merge_lora(tree: Tree) -> Tree:
    """A task's tree without "adapters": W + (alpha / r) A B takes the place of each adapted W
    (section 4.1, "no additional inference latency"). The mathematics of tutorial 16. Equal up to
    rounding; arrays that do not change are shared.
    """
    merged = {}
    for layer, parts in tree["adapters"].items():
        for name, part in parts.items():
            path = ("base", "layers", layer, "attention", name, "weight")
            weight = tree["base"]["layers"][layer]["attention"][name]["weight"]
            down, up = part["down"]["weight"], part["up"]["weight"]
            # the sum is made as [out, in], the way every weight lies in memory
            change = (up.T @ down.T) * (ALPHA / down.shape[1])  # [d, r] @ [r, d]
            merged[".".join(map(str, path))] = (weight.T + change).T
    rest = {name: part for name, part in tree.items() if name != "adapters"}
    return merge(rest, from_leaves(merged))
