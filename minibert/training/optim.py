"""Adam by hand, with the warm-up, decay and clipping that BERT's fine-tuning uses.

Parameters and gradients are flat dicts {path: array}, as the training loop keeps them.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.machine.threads import each

Leaves = dict[str, np.ndarray]


@dataclass(frozen=True)
class Adam:
    """The optimiser's constants. Kingma & Ba 2015, arXiv 1412.6980; decoupled weight decay after
    Loshchilov & Hutter 2019, arXiv 1711.05101.

    `no_decay`: a regular expression for the paths that weight decay leaves alone.
    `clip`: the largest global gradient norm, or None.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    bias_correction: bool = True
    weight_decay: float = 0.0
    no_decay: str = r"bias$|\bnorm\."
    clip: float | None = None


def adam_start(params: Leaves) -> dict[str, Any]:
    """The state before the first step: both moments 0."""
    zeros = {path: np.zeros_like(p) for path, p in params.items()}
    return {"step": 0, "first": zeros, "second": {path: z.copy() for path, z in zeros.items()}}


def adam_step(
    params: Leaves,
    grads: Leaves,
    state: dict[str, Any],
    rate: float,
    adam: Adam,
    threads: int = 1,
) -> tuple[Leaves, dict[str, Any]]:
    """One step: new parameters and new state; the arguments are not changed.

    m = b1 m + (1 - b1) g                      the gradient's running mean
    v = b2 v + (1 - b2) g^2                    and running mean square
    p = p - rate (m' / (sqrt(v') + eps) + weight_decay p)
    where m' = m / (1 - b1^t), v' = v / (1 - b2^t) undo the start from 0 at step t (bias
    correction, arXiv 1412.6980 section 3), or m' = m, v' = v without it.
    """
    rate = float(rate)  # a NumPy scalar would widen float32 parameters
    step = state["step"] + 1
    correct1 = 1.0 - adam.beta1**step if adam.bias_correction else 1.0
    correct2 = 1.0 - adam.beta2**step if adam.bias_correction else 1.0

    def one(path: str) -> list[np.ndarray]:
        decay = 0.0 if re.search(adam.no_decay, path) else adam.weight_decay

        def update(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray) -> Any:
            m = adam.beta1 * m + (1.0 - adam.beta1) * g
            v = adam.beta2 * v + (1.0 - adam.beta2) * (g * g)
            change = (m / correct1) / (np.sqrt(v / correct2) + adam.eps)
            if decay:
                change += decay * p
            return p - rate * change, m, v

        given = params[path], grads[path], state["first"][path], state["second"][path]
        return _in_blocks(update, given)

    done = dict(zip(params, each(one, params, threads), strict=True))
    new, first, second = ({path: arrays[i] for path, arrays in done.items()} for i in range(3))
    return new, {"step": step, "first": first, "second": second}


BLOCK = 16_384  # elements: a block's intermediate results, 64 KB each, stay in a core's cache


def _in_blocks(update: Callable[..., Any], given: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """update(*given), elementwise, block by block: 3 arrays in the first one's memory layout."""
    like = given[0]
    turned = like.flags.f_contiguous  # a weight seen as [in, out] lies as [out, in]
    rows = [(array.T if turned else array).ravel() for array in given]  # views, if all lie alike
    new_rows = [np.empty(like.size, like.dtype) for _ in range(3)]
    for start in range(0, like.size, BLOCK):
        block = slice(start, start + BLOCK)
        for row, part in zip(new_rows, update(*(row[block] for row in rows)), strict=True):
            row[block] = part
    shape = like.shape
    return [row.reshape(shape[::-1]).T if turned else row.reshape(shape) for row in new_rows]


def global_norm(grads: Leaves) -> float:
    """The Euclidean length of all gradients laid end to end, in float64."""
    return math.sqrt(sum(float(np.einsum("i,i->", f, f, dtype=np.float64)) for f in _flat(grads)))


def _flat(grads: Leaves) -> list[np.ndarray]:
    return [g.ravel(order="A") for g in grads.values()]  # "A": no copy of a transposed leaf


def clip_global_norm(grads: Leaves, norm: float, largest: float | None) -> Leaves:
    """Scale all gradients, whose global norm is `norm`, down together to `largest` at most.
    Pascanu et al. 2013, arXiv 1211.5063."""
    if largest is None or norm <= largest:
        return grads
    scale = largest / norm
    return {path: g * scale for path, g in grads.items()}


def warm_up_then_decay(step: int, total: int, warm_up: int, rebased: bool = True) -> float:
    """The factor on the learning rate at a step (0, 1, ..., total - 1): it rises linearly from 0
    over the first `warm_up` steps, then falls linearly to 0 at `total`.

    `rebased=False` is the released adapter code's schedule: its decay runs from step 0, so the
    factor drops from 1 to 1 - warm_up/total where the warm-up ends.
    """
    if step < warm_up:
        return step / warm_up
    return (total - step) / (total - warm_up if rebased else total)
