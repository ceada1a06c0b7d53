"""Table 2's folder of tasks: NAME/train.tsv, dev.tsv and test.tsv, read as NAME/task.toml says
(`task_toml`).

A task is told from others by the sha256 of its texts and labels, so a sweep goes on when its folder
has been moved or renamed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from adapters.reproduce.sweep.task_toml import (
    ABOUT,
    MOST_CLASSES,
    PUBLISHED,
    TaskToml,
    read_about,
)
from minibert.data.labels import check_spellings, in_order, is_missing, is_numeric, warnings
from minibert.data.own import Labelled, empty_texts, known_texts, read_labelled
from minibert.data.records import open_table, read_alike
from minibert.data.rows import Table
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError, several, visible
from minibert.files import check_is_file

PARTS = ("train.tsv", "dev.tsv", "test.tsv")
REMEDY = f"`classes` in {ABOUT}"


@dataclass(frozen=True)
class FolderTask:
    """One task of the folder: its training and development examples, its test examples, what the
    paper published for it (empty: nothing), and the sha256 of all examples and classes."""

    name: str
    data: Data
    test: list[Example]
    paper: dict[str, float]
    sha256: str


def read_tasks(folder: Path) -> tuple[FolderTask, ...]:
    """Every task of a folder, by name; files beside the tasks' folders, and what begins with a dot,
    are left alone.

    Raises InputError, naming file and row, for a folder without tasks, one that lacks a file, a
    link that leads nowhere, one task under two names, and whatever is wrong with a file: see
    `read_task`.
    """
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        if lost := [path for path in names if path.is_symlink() and not path.exists()]:
            raise InputError(f"{visible(str(lost[0]))}: is a link to nothing")
        found = [path for path in names if path.is_dir()]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    if not found:
        raise InputError(
            f"{folder}: has no tasks, folders NAME with {', '.join(PARTS)} and {ABOUT}"
            + ("; it is a task itself: give the folder that it is in" if _is_task(folder) else "")
        )
    for path in found:
        if path.name != path.name.encode("utf-8", "replace").decode():
            raise InputError(f"{visible(str(path))}: its name, a task's, is not UTF-8")
    tasks = tuple(read_task(path) for path in found)
    for one, other in combinations(tasks, 2):
        if one.sha256 == other.sha256:  # their runs would be one and the same
            raise InputError(f"{folder / other.name}: is the same task as {folder / one.name}")
    return tasks


def _is_task(folder: Path) -> bool:
    return (folder / ABOUT).exists() or any((folder / part).exists() for part in PARTS)


def check_outside(folder: Path, out: Path) -> None:
    """Raises InputError where `out`, to be written into, is in the folder: it would be a task."""
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out}: is in {folder}, where every folder is a task; choose --out")


def task_with(folder: Path, sha256: str) -> FolderTask:
    """The task of the folder with these data. Raises InputError as `read_tasks` does, and when
    there is none: files have changed since the sweep began."""
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    stamp = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    for task in _read_once(folder, stamp):
        if task.sha256 == sha256:
            return task
    raise InputError(
        f"{folder}: has no task with data sha256 {sha256[:12]}...; have its files changed?"
    )


@lru_cache(maxsize=1)
def _read_once(folder: Path, stamp: object) -> tuple[FolderTask, ...]:
    """The tasks of the folder, read again only when its files have another `stamp`."""
    return read_tasks(folder)


def read_task(folder: Path) -> FolderTask:
    """One task. The classes are the labels of train.tsv, or those that task.toml lists.

    Raises InputError, naming file and row, for a file that is missing, empty or damaged, a column
    that is not there, a header where there should be none, a row without label, a label of dev.tsv
    or test.tsv that train.tsv lacks, fewer than two classes or more than MOST_CLASSES, two files
    with the same examples, one whose texts are all empty, and what `read_about` refuses.
    """
    about = read_about(folder / ABOUT)
    opened = read_alike([_opened(folder / part, about) for part in PARTS])
    tables = [list(read_labelled(table, about.columns)) for table in opened]
    _check_no_header(about, tables, folder)
    classes = _classes(about, tables[0], folder)
    known_from = ABOUT if about.classes else PARTS[0]
    parts = [
        _examples(rows, classes, known_from, folder / part)
        for part, rows in zip(PARTS, tables, strict=True)
    ]
    for name, part in zip(PARTS, parts, strict=True):
        if empty_texts(part) == len(part):
            raise InputError(f"{folder / name}: every text is empty")
    for (name, part), (other_name, other) in combinations(zip(PARTS, parts, strict=True), 2):
        if Counter(part) == Counter(other):
            same = f"has the same examples as {folder / name}"
            raise InputError(f"{folder / other_name}: {same}")
    columns = about.columns
    # neither name nor path: a run that was stopped goes on wherever the folder is by then
    task = Task("own", "", columns.text, columns.label, classes, classes)
    empty = empty_texts([example for part in parts for example in part])
    notes = [f"{several(empty, 'row')} with an empty text"] if empty else []
    for name, part in zip(PARTS[1:], parts[1:], strict=True):
        if known := known_texts(parts[0], part):
            notes.append(f"{name}: {known:,} of {len(part):,} texts also in {PARTS[0]}")
    train, dev = ([example.label for example in part] for part in parts[:2])
    notes += warnings(classes, train, dev, "leave such rows out", "table2 only classifies")
    data = Data(task, parts[0], parts[1], f"{PARTS[0]} and {PARTS[1]}", tuple(notes))
    paper = dict(zip(PUBLISHED, about.paper, strict=False))  # the last may be missing
    return FolderTask(folder.name, data, parts[2], paper, _sha256(classes, parts))


def _opened(path: Path, about: TaskToml) -> Table:
    check_is_file(path)
    return open_table(path, about.columns.all, about.header)


def _check_no_header(about: TaskToml, tables: Sequence[list[Labelled]], folder: Path) -> None:
    """Raises InputError where files that task.toml says have no header seem to begin with one: the
    first label is in no row below. (One in dev.tsv or test.tsv alone is no class of train.tsv.)"""
    first = tables[0][0]
    below = {row.label for rows in tables for row in rows[1:]}
    known = first.label in below or first.label in about.classes or is_missing(first.label, True)
    if not (about.header or known):
        where = f"{folder / PARTS[0]} row {first.row}"
        raise InputError(
            f"{where}: no other row has the label {first.label[:40]!r}; "
            f"if this is a header, text and label in {ABOUT} must be names, not numbers; "
            f"otherwise list all classes in {REMEDY}"
        )


def _classes(about: TaskToml, train: Sequence[Labelled], folder: Path) -> tuple[str, ...]:
    """The classes, sorted. Raises InputError for labels that cannot be classes."""
    counts, where = Counter(row.label for row in train), folder / PARTS[0]
    if about.classes:
        if lacking := [name for name in about.classes if name not in counts]:
            raise InputError(
                f"{folder / ABOUT}: classes has {lacking[0]!r}, which is no label in {PARTS[0]}"
            )
        return in_order(about.classes)
    numeric, column = is_numeric(counts), f"{where}: column {about.columns.label!r}"
    for row in train:
        if is_missing(row.label, numeric):
            raise InputError(
                f"{where} row {row.row}: the label {row.label!r} looks missing; leave the row "
                f"out, or name the classes with {REMEDY}"
            )
    check_spellings(counts, column, REMEDY)
    if not 2 <= len(counts) <= MOST_CLASSES:
        labels = several(len(counts), "different label")
        raise InputError(f"{column} has {labels}, not 2 to {MOST_CLASSES}")
    return in_order(counts)


def _examples(
    rows: Sequence[Labelled], classes: Sequence[str], known_from: str, where: Path
) -> list[Example]:
    """The rows with class numbers for labels. Raises InputError for a label that is no class;
    `known_from`: the file that has the classes."""
    numbers = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if not row.label:
            raise InputError(f"{where} row {row.row}: has no label; all three files need labels")
        if row.label not in numbers:
            known = ", ".join(classes)[:200]
            raise InputError(
                f"{where} row {row.row}: the label {row.label[:40]!r} is not among the classes "
                f"of {known_from}: {known}"
            )
    return [Example(row.text, numbers[row.label]) for row in rows]


def _sha256(classes: Sequence[str], parts: Sequence[Sequence[Example]]) -> str:
    """Of the classes and of every part's texts and class numbers, in their order."""
    content = [list(classes), *([[text, label] for text, label in part] for part in parts)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
