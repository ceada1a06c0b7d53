"""The fixed bottom of a model: the embeddings and layers below the lowest trained parameter.

Nothing in it changes while a task is trained, so it is a fixed function of the text, computed
without dropout like any feature extractor. Its states can then be computed once and kept, and
every later epoch runs the layers above them only.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from adapters.methods.table import Method
from adapters.task_model import fixed_states
from minibert.checkpoint import Base
from minibert.machine.threads import each
from minibert.tokenizer import Encoded, group_by_length, make_batch
from minibert.tree import Tree, leaves

LIMIT = 2 << 30  # bytes: more states than that are not kept


def fixed_layers(tree: Tree, method: Method) -> int | None:
    """How many layers at the bottom the method leaves as they are, embeddings included; None when
    it trains something of the embeddings, so that nothing is fixed."""
    layers = len(tree["base"]["layers"])
    trained = [path for path, _ in leaves(tree) if method.trains(path)]
    if any(path.startswith("base.embeddings.") for path in trained):
        return None
    numbers = (re.match(r"(?:base\.layers|adapters)\.(\d+)\.", path) for path in trained)
    return min((int(number[1]) for number in numbers if number), default=layers)


def states_bytes(base: Base, encoded: Sequence[Encoded], fixed: int) -> int:
    """What `keep_states` would take: one row a token, or a text when all layers are fixed."""
    whole = fixed == base.config.num_hidden_layers
    rows = len(encoded) if whole else sum(len(text.ids) for text in encoded)
    return 4 * rows * base.config.hidden_size


def keep_states(
    tree: Tree,
    base: Base,
    method: Method,
    encoded: Sequence[Encoded],
    fixed: int,
    threads: int,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> list[np.ndarray]:
    """What leaves the fixed layers, for every text: [T, D], or [1, D] when all layers are fixed.

    on_done(texts, of so many) is called now and then.
    """

    def run(group: list[int]) -> list[np.ndarray]:
        batch = make_batch([encoded[i] for i in group])
        states = fixed_states(tree, batch, base.config, method, fixed)
        rows = batch.lengths if len(states) == len(batch.ids) else np.ones(len(group), int)
        return np.split(states, np.cumsum(rows)[:-1])

    groups = group_by_length([len(text.ids) for text in encoded])
    kept: list[np.ndarray] = [np.empty(0)] * len(encoded)
    done = 0
    for group, parts in zip(groups, each(run, groups, threads), strict=True):
        for i, states in zip(group, parts, strict=True):
            kept[i] = states
        done += len(group)
        on_done(done, len(encoded))
    return kept
