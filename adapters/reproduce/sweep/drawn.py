"""The examples of a task of table 2's folder that a budget uses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from adapters.reproduce.sweep.task_folder import FolderTask
from minibert.data.tasks import Data, Example
from minibert.training.schedule import generator

DRAWN = 101  # a purpose of random numbers, beside those in minibert.training.schedule


def drawn(task: FolderTask, numbers: Sequence[int]) -> tuple[Data, list[Example]]:
    """That many training, development and test examples, or all where there are no more. They are
    drawn with a fixed seed, so every run of a budget sees the same ones; every class is among the
    training examples, as far as they go round."""
    parts = [
        _some(part, number, generator(0, DRAWN, i))
        for i, (part, number) in enumerate(
            zip((task.data.train, task.data.dev, task.test), numbers, strict=True)
        )
    ]
    return replace(task.data, train=parts[0], dev=parts[1]), parts[2]


def _some(part: list[Example], number: int, rng: np.random.Generator) -> list[Example]:
    """That many examples, one of each class first."""
    if number >= len(part):
        return part
    order = [part[i] for i in rng.permutation(len(part))]
    first = {example.label: i for i, example in reversed([*enumerate(order)])}
    others = [i for i in range(len(order)) if i not in first.values()]
    return [order[i] for i in (sorted(first.values()) + others)[:number]]
