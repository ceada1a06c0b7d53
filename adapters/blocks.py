"""A table's rows in blocks, and who answers them: this process, or others in its place."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from adapters.predict import NotFinite, OnEncoded, ignore, predict_texts
from adapters.task_file import TaskFile
from minibert.checkpoint import Base
from minibert.data.rows import Row
from minibert.errors import InputError
from minibert.tokenizer import Text


class Block(NamedTuple):
    """Rows of the table `name`, and their texts. What is computed together is one block's, so that
    the bits are the same whoever computes it."""

    name: str
    rows: list[Row]
    texts: list[Text]

    def refused(self, error: NotFinite) -> InputError:
        """What is wrong with one of the texts, by its row."""
        return error.at(f"{self.name} row {self.rows[error.number].number}")


# Blocks in, each with its logits [B, C] out, in the same order. Raises InputError where
# `predict_texts` does, and names the row.
Answers = Callable[[Iterator[Block]], Iterator[tuple[Block, np.ndarray]]]


class Unfinished(InputError):
    """Blocks cannot be answered now, through no fault of theirs: what is done already is worth
    keeping."""


def answers_here(
    task: TaskFile, base: Base, threads: int | None = None, on_encoded: OnEncoded = ignore
) -> Answers:
    """This process answers. `threads` and `on_encoded` as in `predict_texts`."""

    def answers(blocks: Iterator[Block]) -> Iterator[tuple[Block, np.ndarray]]:
        for block in blocks:
            try:
                logits = predict_texts(task, base, block.texts, threads, on_encoded)
            except NotFinite as error:
                raise block.refused(error) from None
            yield block, logits

    return answers
