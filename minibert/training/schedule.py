"""A run's settings, and what they determine for every step: its examples, its learning rate, its
random numbers.

All randomness comes from one seed, through generators that are keyed by what they are for and when
(an epoch's order, a step's and shard's dropout). So a resumed run draws what the uninterrupted run
would have drawn, and continues to the same bits.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import NamedTuple

import numpy as np

from minibert.errors import InputError, check_at_most, shown
from minibert.training.optim import Adam, warm_up_then_decay

ORDER, DROPOUT, INIT, SUBSET, SPLIT = range(5)  # what a generator is for

# No run that ends comes near these.
MOST_EPOCHS, LARGEST_BATCH, FASTEST, LARGEST_SEED = 100_000, 1_000_000, 1e30, 2**63 - 1


@dataclass(frozen=True)
class Settings:
    """A run's own numbers. rate: the peak learning rate; stop_after: stop when this many epochs in
    turn have not raised the best score (None: never). A recipe replaces the others, where there is
    one: warm_up, the share of the steps in which the rate rises from 0; rebased, whether the decay
    begins where the warm-up ends, not at step 0; adam."""

    rate: float = 1e-3
    epochs: int = 3
    batch_size: int = 32
    seed: int = 0
    warm_up: float = 0.1
    rebased: bool = True
    adam: Adam = field(default_factory=Adam)
    stop_after: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "stop_after"):
            value = getattr(self, name)
            if name == "stop_after" and value is None:
                continue
            if not isinstance(value, Integral):
                raise InputError(f"{name} must be a whole number, not {shown(value)}")
            if value < 1:
                raise InputError(f"{name} must be at least 1, not {shown(value)}")
        if not 0 <= self.warm_up <= 1:
            raise InputError(f"warm_up must be from 0 to 1, not {shown(self.warm_up)}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise InputError(f"the learning rate must be positive, not {self.rate}")
        check_seed(self.seed)
        check_at_most("the learning rate", self.rate, FASTEST)
        check_at_most("epochs", self.epochs, MOST_EPOCHS)
        check_at_most("stop_after", self.stop_after or 1, MOST_EPOCHS)
        check_at_most("batch_size", self.batch_size, LARGEST_BATCH)


class Step(NamedTuple):
    """One training step: its number and its epoch's, both from 0; its examples' numbers [B]; its
    learning rate."""

    number: int
    epoch: int
    batch: np.ndarray
    rate: float


def check_seed(seed: int) -> None:
    """Raises InputError for a seed that is negative, or that not every reader of JSON can read."""
    if not isinstance(seed, Integral):
        raise InputError(f"seed must be a whole number, not {shown(seed)}")
    if seed < 0:
        raise InputError(f"seed must not be negative, not {shown(seed)}")
    check_at_most("seed", seed, LARGEST_SEED)


def generator(seed: int, purpose: int, *numbers: int) -> np.random.Generator:
    """The random generator for one purpose, at a step (and shard) or epoch, of a run with this
    seed. Raises InputError for a seed that is out of range."""
    check_seed(seed)
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, *numbers))
    return np.random.Generator(np.random.SFC64(sequence))


def epoch_batches(examples: int, settings: Settings, epoch: int) -> list[np.ndarray]:
    """One epoch's batches: example numbers, in an order drawn for this epoch."""
    order = generator(settings.seed, ORDER, epoch).permutation(examples)
    return [order[i : i + settings.batch_size] for i in range(0, examples, settings.batch_size)]


def steps_per_epoch(settings: Settings, examples: int) -> int:
    """How many batches these examples make."""
    return math.ceil(examples / settings.batch_size)


Batches = Callable[[int, Settings, int], list[np.ndarray]]  # like `epoch_batches`


def schedule(
    settings: Settings, examples: int, done: int = 0, batches: Batches = epoch_batches
) -> Iterator[Step]:
    """All steps of a run on this number of examples, after those that are `done`; each epoch's are
    drawn when it begins. `batches` draws them, as many in every epoch."""
    per_epoch = len(batches(examples, settings, 0))
    total = per_epoch * settings.epochs
    warm_up = round(settings.warm_up * total)
    for epoch in range(done // per_epoch, settings.epochs):
        for i, batch in enumerate(batches(examples, settings, epoch)):
            number = epoch * per_epoch + i
            if number < done:
                continue
            factor = warm_up_then_decay(number, total, warm_up, settings.rebased)
            yield Step(number, epoch, batch, settings.rate * factor)
