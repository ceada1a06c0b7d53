"""The frozen bottom of a model: the embeddings and layers below the lowest trained parameter.

Nothing in it changes while a task is trained, so it is a fixed function of the text, computed
without dropout like any feature extractor. Its output can be computed once and cached, and every
later epoch runs only the layers above.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.task_model import TaskModel, frozen_states
from minibert.batch import group_by_length, make_batch
from minibert.machine.threads import each
from minibert.tokenizer import Encoded
from minibert.tree import leaves

LIMIT = 2 << 30  # bytes: more states than this are not cached


@dataclass(frozen=True)
class Bottom:
    """The number of frozen layers at the bottom, above frozen embeddings (None: not even these are
    frozen), and their output for each text, where cached: [T, D], or [1, D], the row that is
    pooled, if all are frozen."""

    layers: int | None
    states: Sequence[np.ndarray] | None = None

    def batch_states(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """Their output for these texts, concatenated, if cached."""
        return None if self.states is None else np.concatenate([self.states[i] for i in numbers])


def frozen_layers(model: TaskModel) -> int | None:
    """How many layers at the bottom the method leaves as they are, embeddings included; None when
    it trains something of the embeddings, so that nothing is frozen."""
    trained = [path for path, _ in leaves(model.tree) if model.method.trains(path)]
    if any(path.startswith("base.embeddings.") for path in trained):
        return None
    numbers = (re.match(r"(?:base\.layers|adapters)\.(\d+)\.", path) for path in trained)
    layers = model.base.config.num_hidden_layers
    return min((int(number[1]) for number in numbers if number), default=layers)


def states_rows(model: TaskModel, encoded: Sequence[Encoded], frozen: int) -> list[int]:
    """The rows of each text's states: one per token, or one in all if every layer is frozen."""
    every = frozen == model.base.config.num_hidden_layers
    return [1 if every else len(text.ids) for text in encoded]


def states_bytes(model: TaskModel, encoded: Sequence[Encoded], frozen: int) -> int:
    """The bytes that `cache_states` would need."""
    return 4 * sum(states_rows(model, encoded, frozen)) * model.base.config.hidden_size


def computed_states(
    model: TaskModel,
    encoded: Sequence[Encoded],
    frozen: int,
    threads: int,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[list[int], np.ndarray]]:
    """The `frozen` layers' output, group by group from short texts to long: (numbers of the texts,
    their states one after the other [rows, D]). on_done(done, total) counts texts."""

    def run(group: list[int]) -> np.ndarray:
        return frozen_states(model, make_batch([encoded[i] for i in group]), frozen)

    groups = group_by_length([len(text.ids) for text in encoded])
    done = 0
    for group, states in zip(groups, each(run, groups, threads), strict=True):
        yield group, states
        done += len(group)
        on_done(done, len(encoded))


def by_text(groups: Iterable[tuple[list[int], np.ndarray]], rows: list[int]) -> list[np.ndarray]:
    """The states of each text, in the texts' order, out of those of groups; `rows` of each."""
    states = [np.empty(0)] * len(rows)
    for group, together in groups:
        parts = np.split(together, np.cumsum([rows[i] for i in group])[:-1])
        for i, part in zip(group, parts, strict=True):
            states[i] = part
    return states


def cache_states(
    model: TaskModel,
    encoded: Sequence[Encoded],
    frozen: int,
    threads: int,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Bottom:
    """A Bottom with the `frozen` layers' output for every text, in memory.

    on_done(done, total) counts texts.
    """
    groups = computed_states(model, encoded, frozen, threads, on_done)
    return Bottom(frozen, by_text(groups, states_rows(model, encoded, frozen)))
