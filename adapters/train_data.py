"""What a training does with its examples before it begins: draw some, split some off, weigh the
classes, bring scores to one scale."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from adapters.task_model import TaskModel
from minibert.data.own import known_note
from minibert.data.tasks import Data, Example
from minibert.errors import InputError, shown
from minibert.training.schedule import SPLIT, SUBSET, generator
from minibert.tree import Tree

Item = TypeVar("Item")


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, from everywhere: a table may be sorted."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def subset(data: Data, examples: int, seed: int) -> Data:
    """The data with that many training examples, drawn with the seed. Raises InputError for fewer
    than 1 or more than there are."""
    if not 1 <= examples <= len(data.train):
        raise InputError(
            f"train examples must be from 1 to {len(data.train)}, not {shown(examples)}"
        )
    chosen = generator(seed, SUBSET).permutation(len(data.train))[:examples]
    source = f"{data.source} ({examples:,} drawn with seed {seed})"
    return replace(data, train=[data.train[i] for i in chosen], source=source)


def split_dev(data: Data, share: float, seed: int) -> Data:
    """The data with a share of the training examples split off as development examples, drawn with
    the seed and stratified: each class gives that share of its examples, to less than two of them,
    and keeps at least one for training. Raises InputError for a share that leaves no development or
    no training example. Data whose texts repeat say so in `notes`: a development example that was
    trained on says little.

    Each class's examples, in an order drawn, get the places (rank + u) / n with one u from [0, 1)
    for the class; the smallest places of all are split off.
    """
    if not 0 < share < 1:
        raise InputError(f"the dev share must be between 0 and 1, not {share:g}")
    rng, total = generator(seed, SPLIT), round(share * len(data.train))
    groups: dict[int, list[int]] = {}
    for i, example in enumerate(data.train):
        groups.setdefault(0 if data.task.regression else int(example.label), []).append(i)
    places: dict[int, float] = {}
    for label in sorted(groups):
        order, u = rng.permutation(groups[label]), rng.random()
        places |= {int(i): (rank + u) / len(order) for rank, i in enumerate(order[:-1])}
    chosen = set(sorted(places, key=lambda i: places[i])[:total])
    if not chosen:
        raise InputError(
            f"{data.source}: {len(data.train)} examples are too few to split off a share of "
            f"{share:g} for development"
        )
    train = [example for i, example in enumerate(data.train) if i not in chosen]
    dev = [example for i, example in enumerate(data.train) if i in chosen]
    source = f"{data.source} (a share of {share:g} split off with seed {seed})"
    notes = (*data.notes, *known_note(train, dev))
    return replace(data, train=train, dev=dev, source=source, notes=notes)


def balanced_weights(examples: list[Example], classes: int) -> np.ndarray:
    """A weight for each class, by which all classes weigh alike in the loss: examples / (classes
    that occur x examples of this class). -> float32 [C]; the mean over the examples is 1."""
    counts = Counter(int(example.label) for example in examples)
    weights = np.zeros(classes, np.float32)
    for label, count in counts.items():
        weights[label] = len(examples) / (len(counts) * count)
    return weights


@dataclass(frozen=True)
class Scale:
    """The mean and standard deviation of a regression's training scores.

    A head begins at 0 and learns in steps of about the learning rate, so it is trained to give
    (score - mean) / deviation; afterwards its weights are brought back to the scores' own units.
    """

    mean: float = 0.0
    deviation: float = 1.0

    def standardised(self, scores: np.ndarray) -> np.ndarray:
        """Scores [B] as the head learns them: float32 [B]."""
        return ((scores - self.mean) / self.deviation).astype(np.float32)

    def in_own_units(self, tree: Tree) -> Tree:
        """A trained tree whose head answers in the scores' own units: s (x W + b) + m is
        x (s W) + (s b + m)."""
        if self == Scale():
            return tree
        weight, bias = (tree["head"][name] for name in ("weight", "bias"))
        s, m = bias.dtype.type(self.deviation), bias.dtype.type(self.mean)
        return {**tree, "head": {"weight": s * weight, "bias": s * bias + m}}

    def model_in_own_units(self, model: TaskModel) -> TaskModel:
        """A whole model likewise."""
        return replace(model, tree=self.in_own_units(model.tree))


def scale_of(data: Data) -> Scale:
    """The scale of a regression's training scores; for classes the one that changes nothing. Raises
    InputError for scores that float32 cannot tell apart."""
    if not data.task.regression:
        return Scale()
    scores = np.array([example.label for example in data.train], np.float64)
    if not np.abs(scores).max() < 1e30:
        raise InputError(f"{data.source}: has a score beyond 1e30, which float32 cannot square")
    mean, deviation = float(scores.mean()), float(scores.std())
    if scores.min() == scores.max():  # nothing to scale, even if rounding makes a deviation
        return Scale(mean, 1.0)
    if deviation < 1e-5 * abs(mean):
        raise InputError(
            f"{data.source}: the scores differ by {deviation:.3g} around {mean:.6g}, too little "
            "for float32; subtract what they have in common"
        )
    return Scale(mean, deviation)
