"""A task that the tiny random BERT can learn in a second: which of two words does a text hold?"""

from pathlib import Path
from typing import Any

import numpy as np

from adapters.finetune import Trained, train_task
from adapters.methods.table import METHODS, method_named
from minibert.checkpoint import Base
from minibert.data.tasks import Data, Example, Task
from minibert.training.schedule import Settings

WORDS = ["ba", "bi", "bo", "da", "di", "do", "fa", "fi", "fo", "ga", "gi", "go"]
TASK = Task("toy", "", ("text",), "label", ("0", "1"), ("morulan", "tikora"))
SCORE_TASK = Task("toy-score", "", ("text",), "score", metrics=("pearson", "spearman"))
METHOD_LIST = [
    method_named("adapters", 4),
    *(METHODS[name] for name in ("full", "norms", "head")),
    method_named("lora", 2),
    method_named("pfeiffer", 4),
    METHODS["biases"],
]
ADAPTERS = METHOD_LIST[0]
SETTINGS = Settings(rate=1e-2, epochs=3, batch_size=16)  # of 44 examples: 9 steps, the last short
MAX_LENGTH = 16


def examples(number: int, seed: int, regression: bool = False) -> list[Example]:
    """Texts of 2 to 8 words, one of which says the class; the classes alternate. As a regression
    the score is 2 for the second class, and 0.1 more for every word."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(number):
        words = [str(word) for word in rng.choice(WORDS, rng.integers(1, 8))]
        words.insert(int(rng.integers(len(words) + 1)), TASK.names[i % 2])
        label = 2.0 * (i % 2) + 0.1 * len(words) if regression else i % 2
        made.append(Example(" ".join(words), label))
    return made


def toy_data(train: int = 44, dev: int = 24, regression: bool = False) -> Data:
    task = SCORE_TASK if regression else TASK
    made = (examples(train, 1, regression), examples(dev, 2, regression))
    return Data(task, *made, "toy data")


def train(base: Base, out: Path | None = None, **changes: Any) -> Trained:
    """A run on the toy data; `changes` are other arguments for `train_task`."""
    usual = {"data": toy_data(), "method": ADAPTERS, "settings": SETTINGS, "max_length": MAX_LENGTH}
    return train_task(base, out=out, **{**usual, **changes})
