"""A task's files: tab-separated without any quoting, one example a line.

Rows are counted from 1, the header included.
"""

import sys
from pathlib import Path

import numpy as np

from minibert.data.tasks import Column, Example, Task
from minibert.errors import InputError, several
from minibert.tokenizer import Text


def read_lines(path: Path) -> list[str]:
    """A text file's lines, without line ends and without empty ones at its end. Raises InputError
    for a missing, empty, binary or non-UTF-8 file."""
    try:
        lines = _lines(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path}: is empty")
    return lines


def _lines(data: bytes, name: str) -> list[str]:
    """Decode UTF-8 into lines; a final newline adds none. Raises InputError for anything else."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{name}: is UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise InputError(f"{name}: is a binary file, not text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise InputError(f"{name} row {row}: is not UTF-8") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]  # U+2028 etc. end no line
    return lines if lines[-1] else lines[:-1]


def read_examples(task: Task, path: Path | str) -> list[Example]:
    """Read one of a task's files. Rows are counted from 1, the header included.

    Raises InputError, naming file and row, for a file that is unreadable or of another task: a
    column that is missing, a wrong number of columns, an unknown label, no rows.
    """
    path = Path(path)
    lines = read_lines(path)
    header = lines[0].split("\t") if task.header else None
    columns = [_find(column, header, path) for column in (*task.text, task.label)]
    width = len(header) if header else max(columns) + 1
    examples = []
    for row, cells in _rows(lines, path, width, task.header, task.skip_short_rows):
        *texts, label = (cells[column] for column in columns)
        text = texts[0] if len(texts) == 1 else (texts[0], texts[1])
        examples.append(Example(text, read_label(task, label, f"{path} row {row}")))
    return examples


def _rows(
    lines: list[str], path: Path, width: int, header: bool, skip_short: bool
) -> list[tuple[int, list[str]]]:
    """(row number, cells) below the header. Raises InputError for another number of cells than
    `width`, or no rows."""
    rows = [(n, line.split("\t")) for n, line in enumerate(lines, start=1) if n > header]
    for row, cells in rows:
        if len(cells) > width or (len(cells) < width and not skip_short):
            found = several(len(cells), "column")
            raise InputError(f"{path} row {row}: has {found}, expected {width}")
    rows = [(row, cells) for row, cells in rows if len(cells) == width]
    if not rows:
        raise InputError(f"{path}: has a header but no rows")
    return rows


def _find(column: Column, header: list[str] | None, path: Path) -> int:
    if isinstance(column, int):
        return column
    if header is None or column not in header:
        found = ", ".join(header or ())[:200]
        raise InputError(f"{path}: has no column {column!r} in its header ({found})")
    return header.index(column)


def read_label(task: Task, cell: str, where: str) -> int | float:
    """A cell's class number or score. Raises InputError, naming `where`, for a label that is not
    one of the task's, or no finite number; Python's 1_000 is none."""
    shown = repr(cell[:40])
    if not task.regression:
        if cell not in task.values:
            known = ", ".join(task.values)
            raise InputError(f"{where}: unknown label {shown}; known: {known}")
        return task.values.index(cell)
    try:
        score = float("nan" if "_" in cell else cell)
    except ValueError:
        score = float("nan")
    if not np.isfinite(score):
        raise InputError(f"{where}: the label {shown} is not a number")
    return score


def read_texts(task: Task, path: Path | None) -> list[Text]:
    """Unlabelled texts, one a line, from a file or (path None) from standard input; a task on pairs
    takes two, separated by a tab. An empty line is an empty text.

    Raises InputError, naming file and row, for an unreadable file or the wrong number of texts.
    """
    name = "standard input" if path is None else str(path)
    try:
        data = sys.stdin.buffer.read() if path is None else path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    lines, texts = _lines(data, name), []
    if b"\n" not in data and "\r" in "".join(lines):
        raise InputError(f"{name}: its lines end with CR alone; save it with LF or CR LF")
    for row, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if len(cells) != len(task.text):
            raise InputError(
                f"{name} row {row}: has {several(len(cells), 'text')}, "
                f"but {task.name} takes {len(task.text)} (separated by a tab)"
            )
        texts.append(cells[0] if len(cells) == 1 else (cells[0], cells[1]))
    if not texts:
        raise InputError(f"{name}: is empty")
    return texts
