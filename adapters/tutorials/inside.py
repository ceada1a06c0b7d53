"""What the tutorial on looking inside a network counts with: the words of a text as rows of its
tokens, how well numbers tell two classes apart, and the lengths of gradients."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from adapters.task_model import TaskModel, forward
from minibert.batch import Batch
from minibert.heads import loss
from minibert.tokenizer import Encoded
from minibert.training.gradients import value_and_grads
from minibert.tree import from_leaves, leaves, merge, partition

Words = list[np.ndarray]  # for each word of a text the rows of its tokens


def best_threshold(values: np.ndarray, labels: np.ndarray) -> float:
    """The share of labels 0 and 1 that one threshold along these values gets right, at best."""
    ordered = labels[np.argsort(values)]
    left = np.concatenate([[0], np.cumsum(1 - ordered)])  # zeros to the left of each place
    right = ordered.sum() - np.concatenate([[0], np.cumsum(ordered)])  # ones to its right
    share = (left + right) / len(labels)
    return float(max(share.max(), 1 - share.min()))


def rows_of_words(tokenizer: Tokenizer, text: str) -> Words:
    """The rows of each word's tokens; [CLS] and [SEP] belong to none."""
    numbers = tokenizer.encode(text).word_ids
    every = range(max(n for n in numbers if n is not None) + 1)
    return [np.flatnonzero([n == word for n in numbers]) for word in every]


def spelled(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words of a text, as they are read."""
    tokens = tokenizer.encode(text).tokens
    return [
        "".join(tokens[row].removeprefix("##") for row in rows)
        for rows in rows_of_words(tokenizer, text)
    ]


def erased(text: Encoded, rows: np.ndarray, mask: int) -> Encoded:
    """An encoded text with [MASK], the token `mask`, at these rows."""
    return text._replace(ids=np.where(np.isin(np.arange(len(text.ids)), rows), mask, text.ids))


def by_words(values: np.ndarray, starts: np.ndarray, words: Sequence[Words]) -> list[np.ndarray]:
    """Numbers of a batch's tokens added up to those of words. [N] -> for each text [words]"""
    parts = np.split(values, starts[1:])
    return [
        np.array([part[rows].sum() for rows in own]) for part, own in zip(parts, words, strict=True)
    ]


def gradient_lengths(model: TaskModel, batch: Batch, labels: np.ndarray) -> np.ndarray:
    """For each layer the length of the loss's gradient for its adapters. [L]"""
    adapters, others = partition(model.tree, lambda path: path.startswith("adapters."))

    def loss_of(flat: dict[str, Any]) -> Any:
        changed = replace(model, tree=merge(others, from_leaves(flat)))
        return loss(forward(changed, batch), labels, regression=False)

    _, slopes = value_and_grads(loss_of, dict(leaves(adapters)))
    squares = np.zeros(model.base.config.num_hidden_layers)
    for path, slope in slopes.items():
        squares[int(path.split(".")[1])] += np.sum(slope.astype(np.float64) ** 2)
    return np.sqrt(squares)
