"""From texts to predictions, and to a task's metrics on labelled examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters.store import TaskFile, on_base
from adapters.tuning import forward
from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.tasks import Example, score
from minibert.tokenizer import Encoded, Text, encode_texts, make_batch
from minibert.tree import Tree

BATCH_TOKENS = 4096  # as many texts at once as fit


def check_length(base: Base, max_length: int) -> int:
    """Raises InputError for a maximal length that the base has no positions for."""
    positions = base.config.max_position_embeddings
    if not 4 <= max_length <= positions:
        raise InputError(
            f"max length must be from 4 to {positions} ({base.name}), not {max_length}"
        )
    return max_length


def encode_examples(base: Base, examples: Sequence[Example], max_length: int) -> list[Encoded]:
    """The examples' texts as token ids."""
    return encode_texts(base.tokenizer, [e.text for e in examples], max_length)


def predict_logits(
    tree: Tree, base: Base, activation: str, encoded: Sequence[Encoded]
) -> np.ndarray:
    """The logits of every text, in the given order: [B, C].

    Texts of similar length are computed together, which changes nothing but the time.
    """
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids))
    logits: list[Any] = [None] * len(encoded)
    while order:
        chosen: list[int] = []
        tokens = 0
        while order and (not chosen or tokens + len(encoded[order[0]].ids) <= BATCH_TOKENS):
            tokens += len(encoded[order[0]].ids)
            chosen.append(order.pop(0))
        batch = make_batch([encoded[i] for i in chosen])
        for i, row in zip(chosen, forward(tree, batch, base.config, activation), strict=True):
            logits[i] = row
    classes = len(tree["head"]["bias"])
    return np.array(logits, tree["head"]["bias"].dtype).reshape(len(encoded), classes)


def evaluate_task(task: TaskFile, base: Base, examples: Sequence[Example]) -> dict[str, float]:
    """A task file's metrics on examples. Raises InputError when it is of another base, or when
    there are no examples."""
    if not examples:
        raise InputError(f"{task.task.name}: there are no examples to score")
    encoded = encode_examples(base, examples, task.max_length)
    logits = predict_logits(on_base(task, base), base, task.method.activation, encoded)
    return score(task.task, logits, [e.label for e in examples])


def predict_texts(task: TaskFile, base: Base, texts: Sequence[Text]) -> np.ndarray:
    """The logits [B, C] of texts. Raises InputError when the task is of another base."""
    encoded = encode_texts(base.tokenizer, texts, task.max_length)
    return predict_logits(on_base(task, base), base, task.method.activation, encoded)
