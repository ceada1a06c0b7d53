"""A training batch cut into shards: the loss and its gradients, on several threads.

The mean loss of a batch is a weighted mean over its parts, and so are its gradients:

    loss(batch) = sum_s (B_s / B) loss(shard s),   B_s of the B examples being in shard s.

So shards can be differentiated one by one and added up (gradient accumulation). That spreads a
step over the cores, and only the shards under way need memory for activations. How a batch is
cut depends on its lengths alone, and the sum is taken in the shards' order: any number of threads
gives the same bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minibert.machine.threads import each
from minibert.training.gradients import Leaves, value_and_grads

# Target tokens of a shard. Fewer rows make matrix products slower; more leave cores idle and take
# memory. With many trained parameters adding up gradients dominates, so shards are larger.
TOKENS, TOKENS_OF_MANY = 512, 2048
MANY = 5_000_000  # trained parameters

Loss = Callable[[dict[str, Any], np.ndarray, np.random.Generator], Any]


def cut(batch: np.ndarray, lengths: np.ndarray, tokens: int = TOKENS) -> list[np.ndarray]:
    """A batch's example numbers as shards of about equal token counts; `lengths` has every
    example's. There are 2, 4, 8, ... shards, so that cores share them evenly, of about `tokens`
    tokens each; fewer where one text is longer than a share. None is empty.

    Examples are sorted by length first, as attention is faster on equal lengths side by side.
    """
    sizes = lengths[batch]
    order = np.argsort(sizes, kind="stable")
    ends = np.cumsum(sizes[order])  # [B] tokens up to and including each example
    doublings = max(1, round(np.log2(max(1.0, ends[-1] / tokens))))
    count = min(2**doublings, len(batch))
    middles = ends - sizes[order] / 2
    shard_of = np.minimum((middles * count / ends[-1]).astype(int), count - 1)  # [B]
    shards = [batch[order[shard_of == shard]] for shard in range(count)]
    return [shard for shard in shards if len(shard)]


def batch_gradients(
    loss: Loss,
    leaves: Leaves,
    batch: np.ndarray,
    lengths: np.ndarray,
    generator: Callable[[int], np.random.Generator],
    threads: int,
) -> tuple[float, Leaves]:
    """The batch's mean loss and its gradient for every leaf.

    loss(leaves, numbers, rng) is the mean over the examples of those numbers; generator(s) makes
    the dropout generator of shard s.
    """
    many = sum(leaf.size for leaf in leaves.values()) > MANY
    shards = cut(batch, lengths, TOKENS_OF_MANY if many else TOKENS)

    def one(number: int) -> tuple[float, Leaves]:
        shard = shards[number]
        share = len(shard) / len(batch)  # a Python float: float32 stays float32
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # `train_step` checks
            rng = generator(number)
            return value_and_grads(lambda flat: loss(flat, shard, rng) * share, leaves)

    total = 0.0
    grads: Leaves = {}
    for value, shard_grads in each(one, range(len(shards)), threads):
        total += value
        for path, grad in shard_grads.items():
            grads[path] = grads[path] + grad if path in grads else grad
    return total, grads
