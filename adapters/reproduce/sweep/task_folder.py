"""Table 2's folder of tasks: NAME/train.tsv, dev.tsv and test.tsv, and what NAME/task.toml says.

    text = "tweet"               the column of the texts
    label = "sentiment"          the column of the classes
    paper = [83.6, 84.0, 84.5]   optional: the paper's accuracies, see `PUBLISHED`
    classes = ["no", "NA"]       optional: by default the labels of train.tsv

Columns have names where the three files have a header; numbers, from 1, where they have none.
Nothing else is known of a task: it is told from others by the sha256 of its texts and labels, so a
sweep goes on when its folder has been moved or renamed.
"""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from minibert.data.labels import check_spellings, in_order, is_missing, is_numeric
from minibert.data.own import Columns, Labelled, read_labelled
from minibert.data.records import open_table
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError, several, shown
from minibert.files import check_is_file, read_bounded
from minibert.json_files import fitted
from minibert.training.schedule import generator

PARTS = ("train.tsv", "dev.tsv", "test.tsv")
ABOUT = "task.toml"
PUBLISHED = ("full fine-tuning", "variable fine-tuning", "adapters")  # the order of `paper`
MOST_CLASSES = 256  # an answer is kept in one byte
DRAWN = 101  # a purpose of random numbers, beside those in minibert.training.schedule
LARGEST = 1 << 16  # bytes of a task.toml
REMEDY = f"`classes` in {ABOUT}"


@dataclass(frozen=True)
class TaskToml:
    """What task.toml says."""

    text: str | int
    label: str | int
    paper: list[float] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    @property
    def header(self) -> bool:
        """Whether the files have one, so that columns have names."""
        return isinstance(self.text, str)

    @property
    def columns(self) -> Columns:
        """The columns as a table has them."""
        return Columns((str(self.text),), str(self.label))


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

    Raises InputError, naming file and row, for a folder without tasks, one that lacks a file, and
    whatever is wrong with a file: see `read_task`.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise InputError(
            f"{folder}: has no tasks, folders NAME with {', '.join(PARTS)} and {ABOUT}"
        )
    return tuple(read_task(path) for path in found)


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
    that is not there, a row without label, a label of dev.tsv or test.tsv that train.tsv lacks,
    fewer than two classes or more than MOST_CLASSES, and a task.toml that says something else.
    """
    about = read_about(folder / ABOUT)
    train, dev, test = ([*_rows(folder / part, about)] for part in PARTS)
    classes = _classes(about, train, folder / PARTS[0])
    parts = [
        _examples(rows, classes, folder / part)
        for part, rows in zip(PARTS, (train, dev, test), strict=True)
    ]
    if not any(str(text).strip() for text, _ in parts[0]):
        raise InputError(f"{folder / PARTS[0]}: every text is empty")
    columns = about.columns
    # neither name nor path: a run that was stopped goes on wherever the folder is by then
    task = Task("own", "", columns.text, columns.label, classes, classes)
    data = Data(task, parts[0], parts[1], f"{PARTS[0]} and {PARTS[1]}")
    paper = dict(zip(PUBLISHED, about.paper, strict=True)) if about.paper else {}
    return FolderTask(folder.name, data, parts[2], paper, _sha256(classes, parts))


def drawn(task: FolderTask, numbers: Sequence[int]) -> tuple[Data, list[Example]]:
    """That many training, development and test examples, or all where there are no more. They are
    drawn with a fixed seed, so every run of a budget sees the same ones; every class is among the
    training examples, as far as they go round."""
    parts = [
        _some(part, number, generator(0, DRAWN, i))
        for i, (part, number) in enumerate(
            zip((task.data.train, task.data.dev, task.test), numbers, strict=True)
        )
    ]
    return replace(task.data, train=parts[0], dev=parts[1]), parts[2]


def _some(part: list[Example], number: int, rng: np.random.Generator) -> list[Example]:
    """That many examples, one of each class first."""
    if number >= len(part):
        return part
    order = [part[i] for i in rng.permutation(len(part))]
    first = {example.label: i for i, example in reversed([*enumerate(order)])}
    others = [i for i in range(len(order)) if i not in first.values()]
    return [order[i] for i in (sorted(first.values()) + others)[:number]]


def read_about(path: Path) -> TaskToml:
    """What a task.toml says. Raises InputError, naming file and entry, for anything else."""
    try:
        text = read_bounded(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8") from None
    try:
        entries = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not TOML: {error}") from None
    try:
        about: TaskToml = fitted(TaskToml, entries, path)
    except OverflowError:
        raise InputError(f"{path}: has a number that is no float") from None
    _check_columns(about, path)
    if len(about.paper) not in (0, len(PUBLISHED)):
        raise InputError(f"{path}: paper has {len(about.paper)} numbers, not {len(PUBLISHED)}")
    if wrong := [number for number in about.paper if not 0 <= number <= 100]:
        raise InputError(f"{path}: paper has {wrong[0]:g}, which is no accuracy from 0 to 100")
    if len(set(about.classes)) != len(about.classes):
        raise InputError(f"{path}: classes has one class twice")
    return about


def _check_columns(about: TaskToml, path: Path) -> None:
    columns = (about.text, about.label)
    if len({type(column) for column in columns}) > 1:
        raise InputError(f"{path}: text and label must both be names of columns, or both numbers")
    for column in columns:
        if isinstance(column, int) and column < 1:
            raise InputError(f"{path}: columns are counted from 1, not {shown(column)}")
    try:
        Columns((str(about.text),), str(about.label))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _rows(path: Path, about: TaskToml) -> list[Labelled]:
    columns = about.columns
    check_is_file(path)
    table = open_table(path, columns.all, about.header)
    return list(read_labelled(table, columns))


def _classes(about: TaskToml, train: Sequence[Labelled], where: Path) -> tuple[str, ...]:
    """The classes, sorted. Raises InputError for labels that cannot be classes."""
    counts = Counter(row.label for row in train)
    column = f"{where}: column {about.columns.label!r}"
    if about.classes:
        if lacking := [name for name in about.classes if name not in counts]:
            raise InputError(f"{where}: has no row of the class {lacking[0]!r} that {ABOUT} lists")
    else:
        numeric = is_numeric(counts)
        for row in train:
            if is_missing(row.label, numeric):
                raise InputError(
                    f"{where} row {row.row}: the label {row.label!r} looks missing; leave the row "
                    f"out, or name the classes with {REMEDY}"
                )
        check_spellings(counts, column, REMEDY)
    classes = in_order(about.classes or counts)
    if not 2 <= len(classes) <= MOST_CLASSES:
        labels = several(len(classes), "different label")
        raise InputError(f"{column} has {labels}, not 2 to {MOST_CLASSES}")
    return classes


def _examples(rows: Sequence[Labelled], classes: Sequence[str], where: Path) -> list[Example]:
    """The rows with class numbers for labels. Raises InputError for a label that is no class."""
    numbers = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row.label not in numbers:
            known = ", ".join(classes)[:200]
            raise InputError(
                f"{where} row {row.row}: the label {row.label[:40]!r} is not among the classes "
                f"of {PARTS[0]}: {known}"
            )
    return [Example(row.text, numbers[row.label]) for row in rows]


def _sha256(classes: Sequence[str], parts: Sequence[Sequence[Example]]) -> str:
    """Of the classes and of every part's texts and class numbers, in their order."""
    content = [list(classes), *([[text, label] for text, label in part] for part in parts)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
