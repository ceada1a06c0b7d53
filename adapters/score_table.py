"""A table in, the same table out, with a trained task's answer in every row.

Rows are read, answered and written in chunks, so memory stays the same however long the table is.
The result grows in a partial file beside its place; a stopped run resumes from there.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from adapters.blocks import Answers, Block, Unfinished, answers_here
from adapters.predict import OnEncoded, ignore, likeliest
from adapters.task_file import TaskFile, task_digest
from minibert.checkpoint import Base
from minibert.data.own import row_text
from minibert.data.rows import Row, Table
from minibert.data.tasks import Task, check_text_columns
from minibert.errors import InputError
from minibert.files import (
    atomic_write,
    check_other,
    check_unshared,
    is_stream,
    lock,
    open_stream,
    put_in_place,
    sha256_file,
    writing,
)
from minibert.json_files import fitted, read_json
from minibert.tokenizer import Text

CHUNK = 1024  # rows
INDEX = ("index", "id")  # a column of GLUE's test files
DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": "", ".json": ""}

Cells = dict[str, Any]


@dataclass(frozen=True)
class Scoring:
    """What is to be scored: a table, and which of its columns are the task's text. submission:
    write GLUE's two columns, index and prediction, instead of the table's own and the answer;
    on_encoded: called with every chunk's texts as token ids.

    answers: who computes the logits (default: this process, with `base`, `threads` and
    `on_encoded`, which nobody else needs)."""

    task: TaskFile
    base: Base | None
    table: Table
    text: tuple[str, ...]
    submission: bool = False
    threads: int | None = None
    on_encoded: OnEncoded = ignore
    answers: Answers | None = None

    def columns(self) -> list[str]:
        """The columns of the result. Raises InputError for a name that the table has twice or that
        is one of the answer's, for a submission without an index, and for other text columns than
        the task takes."""
        task, own = self.task.task, list(self.table.columns)
        check_text_columns(task, self.text)
        if self.submission:
            if not self.table.delimiter:
                raise InputError(f"{self.table.name}: is JSON lines, not a test file of GLUE's")
            if not set(INDEX) & set(own):
                lacks = "has no column 'index' or 'id', as GLUE's test files have"
                raise InputError(f"{self.table.name}: {lacks}")
            return ["index", "prediction"]
        self.table.with_columns(own)  # each once, or one of two would be lost
        new = list(answer(task, np.zeros(task.outputs)))
        if taken := set(own) & set(new):
            raise InputError(f"{self.table.name}: has a column {min(taken)!r} already; rename it")
        return own + new

    def count(self) -> int:
        """How many rows the table has. Raises InputError as `rows` does, before anything is
        scored."""
        return sum(1 for _ in map(self._text, self.table.rows()))

    def rows(self, skip: int = 0) -> Iterator[Cells]:
        """The rows of the result, without the first `skip`. Raises InputError, naming the row, for
        a cell that is no text, or one beside the columns."""
        for block, logits in self._answers()(self._blocks(skip)):
            for row, values in zip(block.rows, logits, strict=True):
                if self.submission:
                    yield submitted(self.task.task, row, values)
                else:
                    yield row.cells | answer(self.task.task, values)

    def _blocks(self, skip: int) -> Iterator[Block]:
        source = islice(self.table.rows(), skip, None)
        while chunk := list(islice(source, CHUNK)):
            yield Block(self.table.name, chunk, [self._text(row) for row in chunk])

    def _text(self, row: Row) -> Text:
        if not self.submission and (strange := row.cells.keys() - set(self.table.columns)):
            where = f"{self.table.name} row {row.number}"
            raise InputError(f"{where}: has {min(strange)!r}, which the first row lacks")
        return row_text(self.table, row, self.text)

    def _answers(self) -> Answers:
        if self.answers:
            return self.answers
        if self.base is None:
            raise ValueError("a table is scored with a base, or by `answers`")
        return answers_here(self.task, self.base, self.threads, self.on_encoded)

    def identity(self) -> str:
        """What must be the same for a stopped run to be resumed."""
        parts = [sha256_file(self.table.path), task_digest(self.task), self.text, self.submission]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def answer(task: Task, logits: np.ndarray) -> Cells:
    """The new cells of a row, from its logits [C]: the label and every label's probability, or the
    score."""
    if task.regression:
        return {"predicted_score": float(str(logits[0]))}  # the shortest that is this float32
    label, chances = likeliest(task, logits)
    named = {f"probability_{name}": round(chance, 6) for name, chance in chances.items()}
    return {"predicted_label": label, **named}


def submitted(task: Task, row: Row, logits: np.ndarray) -> Cells:
    """A row as GLUE's site takes it: the index of the test file and the label as GLUE spells it."""
    index = next(row.cells[name] for name in INDEX if name in row.cells)
    value = f"{logits[0]:.3f}" if task.regression else task.values[int(logits.argmax())]
    return {"index": index, "prediction": value}


def write_line(cells: Sequence[Any], delimiter: str) -> str:
    """One line of CSV or TSV. What JSON lines have beside texts and numbers, as true or a list, is
    written as there, null as an empty cell."""
    line = io.StringIO()
    # the writer quotes a cell that has any character of its line end, so \r has to be one
    csv.writer(line, delimiter=delimiter, lineterminator="\r\n").writerow(map(_cell, cells))
    return line.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def result_lines(scoring: Scoring, delimiter: str, skip: int = 0) -> Iterator[str]:
    """The result line by line, the header first unless rows are skipped; JSON lines, in ASCII, for
    the delimiter ""."""
    columns = scoring.columns()
    if delimiter and not skip:
        yield write_line(columns, delimiter)
    for cells in scoring.rows(skip):
        if delimiter:
            yield write_line([cells.get(column, "") for column in columns], delimiter)
        else:
            yield json.dumps(cells) + "\n"


def score_to_file(
    scoring: Scoring,
    out: Path,
    resume: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write the result in the form that `delimiter_of` tells; return the number of rows.
    on_rows(rows so far) is called after every chunk.

    `resume` continues a stopped run. Raises InputError as `Scoring.rows` and `delimiter_of` do,
    when the partial file is of another table or task, or when it cannot be written; Unfinished,
    with the chunks that are done kept for `resume`, where `scoring.answers` does.
    """
    scoring.columns()  # refuses before anything is written
    with writing(out):
        check_other(out, [scoring.table.path], "the table itself")
        if scoring.base:
            check_other(out, scoring.base.folder.glob("*"), "a file of the base")
        delimiter = delimiter_of(out, scoring)
        if is_stream(out):  # nothing to resume, nor to replace
            return _stream(scoring, delimiter, out, on_rows)
    out = Path(os.path.realpath(out))  # a link stays a link
    part, log, guard = (out.with_name(f".{out.name}.part{end}") for end in ("", ".json", ".lock"))
    for own in (part, log):
        check_unshared(own)
    with lock(guard, f"{out}: another process is writing it"):
        try:
            rows = _score(scoring, delimiter, part, log, resume, on_rows)
            put_in_place(part, out)
        except Unfinished as error:
            if log.exists():
                raise Unfinished(f"{error}; the rows that are done are kept for --resume") from None
            part.unlink(missing_ok=True)
            raise
        except InputError:
            if not resume:
                part.unlink(missing_ok=True)
                log.unlink(missing_ok=True)
            raise
        except OSError as error:
            raise InputError(f"{out}: cannot be written: {error.strerror or error}") from None
        finally:
            guard.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
    return rows


def _stream(scoring: Scoring, delimiter: str, out: Path, on_rows: Callable[[int], None]) -> int:
    rows = -1 if delimiter else 0  # the header is none
    with open_stream(out) as file:
        for line in result_lines(scoring, delimiter):
            file.write(line.encode("utf-8", "backslashreplace"))
            rows += 1
            on_rows(max(0, rows))
    return rows


def _score(
    scoring: Scoring,
    delimiter: str,
    part: Path,
    log: Path,
    resume: bool,
    on_rows: Callable[[int], None],
) -> int:
    """Write the partial file to its end, and after every chunk the log of how far it is; the number
    of rows. What the log counts is on the disk before it says so."""
    about = {"of": scoring.identity(), "delimiter": delimiter}
    known = resume and part.exists() and log.exists()
    rows, size = _resumed(log, about, part.stat().st_size) if known else (0, 0)
    if not rows:
        log.unlink(missing_ok=True)  # of an earlier run
    part.touch(0o600)  # private, until it has the mode of the file that it replaces
    with part.open("r+b" if rows else "wb") as file:
        file.truncate(size)
        file.seek(size)
        lines = result_lines(scoring, delimiter, rows)
        if delimiter and not rows:
            file.write(next(lines).encode("utf-8", "backslashreplace"))
        while chunk := list(islice(lines, CHUNK)):
            file.write("".join(chunk).encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
            rows += len(chunk)
            atomic_write(log, json.dumps(about | {"rows": rows, "bytes": file.tell()}))
            on_rows(rows)
        file.flush()
        os.fsync(file.fileno())
    return rows


def delimiter_of(out: Path | None, scoring: Scoring) -> str:
    """What stands between the result's cells, "" for JSON lines: as the file's suffix says; as in
    the table where it says nothing. Raises InputError for a suffix that says something else."""
    if scoring.submission:
        return "\t"
    suffix, table = out.suffix.lower() if out else "", scoring.table
    if suffix in DELIMITERS:
        return DELIMITERS[suffix]
    if suffix not in ("", ".txt", table.path.suffix.lower()):
        raise InputError(f"{out}: a scored table is written as .csv, .tsv or .jsonl")
    return table.delimiter


def _resumed(log: Path, about: dict[str, str], size_now: int) -> tuple[int, int]:
    """The rows and bytes that count of a partial file, which has `size_now` bytes."""
    try:
        kept = fitted(dict[str, Any], read_json(log), log)
        rows, size = (fitted(int, kept.pop(name, None), log) for name in ("rows", "bytes"))
    except InputError:
        rows, size = 0, -1
        kept = about
    if not (rows > 0 and 0 <= size <= size_now):
        raise InputError(f"{log}: is damaged; start anew without --resume")
    if kept != about:
        raise InputError(f"{log}: is of another table or task; start anew without --resume")
    return rows, size


def glue_test_columns(task: Task, table: Table) -> tuple[Table, tuple[str, ...]]:
    """A GLUE test file, whose cells are raw, and its text columns (CoLA's has a header, unlike its
    training file). Raises InputError for a task that is not GLUE's, and for JSON lines."""
    if not (task.folder and table.delimiter):
        what = f"{table.name}: is JSON lines" if task.folder else f"{task.name} is not a GLUE task"
        raise InputError(f"{what}; --submission is for GLUE's test files")
    text = ("sentence",) if task.name == "cola" else tuple(map(str, task.text))
    return replace(table, quoted=False), text
