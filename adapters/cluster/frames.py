"""A pandas frame in, the same frame with a task's answers out: for `map_partitions` of Dask."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.cluster.worker import held_base
from adapters.predict import NotFinite, predict_texts
from adapters.score_table import CHUNK, answer
from adapters.task_file import TaskFile, load_task
from minibert.data.tasks import check_text_columns
from minibert.errors import InputError, shown
from minibert.tokenizer import Text

if TYPE_CHECKING:
    from pandas import DataFrame


def predict_frame(
    frame: "DataFrame",
    task: TaskFile | Path | str,
    text: str | Sequence[str],
    base: Path | str = "",
    threads: int | None = 1,
) -> "DataFrame":
    """The frame with new columns: `predicted_label` and each label's `probability_...`, or
    `predicted_score`, as `minibert predict --input` adds them to a table.

    task: a trained task or its file; text: the column of texts, or the two of pairs; base: the
    task's base by its name or folder on this machine ("": by the task's own name for it), which a
    process loads once. A frame without rows needs none: `meta=predict_frame(table._meta, task,
    text)` tells Dask the columns.

    Raises InputError for columns that are missing or taken already, a cell that is no text (by its
    row's index), a base that is missing or another one, and as `predict_texts` does.
    """
    task = task if isinstance(task, TaskFile) else load_task(task)
    columns = [text] if isinstance(text, str) else list(text)
    new = list(answer(task.task, np.zeros(task.task.outputs)))
    _check_columns(frame, columns, new, task)
    texts = _texts(frame, columns)
    logits = np.zeros((len(texts), task.task.outputs), np.float32)
    for start in range(0, len(texts), CHUNK):
        rows = slice(start, start + CHUNK)
        try:
            logits[rows] = predict_texts(task, held_base(task, str(base)), texts[rows], threads)
        except NotFinite as error:
            raise error.at(f"row {shown(frame.index[start + error.number])}") from None
    answers = [answer(task.task, row) for row in logits]
    return frame.assign(**{name: _column([row[name] for row in answers], name) for name in new})


def _check_columns(frame: "DataFrame", columns: list[str], new: list[str], task: TaskFile) -> None:
    found = list(frame.columns)
    check_text_columns(task.task, columns)
    for name in columns:
        if found.count(name) != 1:
            how = "no column" if name not in found else "two columns"
            raise InputError(f"the frame has {how} {shown(name)} ({shown(found)})")
    if taken := set(found) & set(new):
        raise InputError(f"the frame has a column {min(taken)!r} already; rename it")


def _texts(frame: "DataFrame", columns: list[str]) -> list[Text]:
    cells = [frame[name].tolist() for name in columns]
    for name, column in zip(columns, cells, strict=True):
        for row, cell in zip(frame.index, column, strict=True):
            if not isinstance(cell, str):
                raise InputError(f"row {shown(row)}: {name!r} is {shown(cell)}, not a text")
    return cells[0] if len(cells) == 1 else list(zip(*cells, strict=True))


def _column(values: list[object], name: str) -> np.ndarray:
    """A column whose type is the same with no rows at all."""
    return np.array(values, "U" if name == "predicted_label" else "f8")
