"""The examples of a task of table 2's folder that a budget uses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from adapters.reproduce.sweep.task_folder import FolderTask
from minibert.data.own import empty_texts
from minibert.data.tasks import Data, Example
from minibert.errors import InputError
from minibert.training.schedule import generator

DRAWN = 101  # a purpose of random numbers, beside those in minibert.training.schedule


def drawn(task: FolderTask, numbers: Sequence[int]) -> tuple[Data, list[Example]]:
    """That many training, development and test examples, or all where there are no more. They are
    drawn with a fixed seed, so every run of a budget sees the same ones. Of the training examples,
    one of each class comes first; what is scored is drawn at random. Raises InputError where no
    training text is left that has a word."""
    parts = [
        _shuffled(part, generator(0, DRAWN, i)) if number < len(part) else part
        for i, (part, number) in enumerate(
            zip((task.data.train, task.data.dev, task.test), numbers, strict=True)
        )
    ]
    if numbers[0] < len(parts[0]):
        parts[0] = _each_class_first(parts[0])
    train, dev, test = (part[:number] for part, number in zip(parts, numbers, strict=True))
    if empty_texts(train) == len(train):
        raise InputError(f"{task.name}/train.tsv: every text that is drawn is empty")
    return replace(task.data, train=train, dev=dev), test


def _shuffled(part: list[Example], rng: np.random.Generator) -> list[Example]:
    return [part[i] for i in rng.permutation(len(part))]


def _each_class_first(part: list[Example]) -> list[Example]:
    """The first example of each class, then the others."""
    first = {example.label: i for i, example in reversed([*enumerate(part)])}
    others = [i for i in range(len(part)) if i not in first.values()]
    return [part[i] for i in sorted(first.values()) + others]
