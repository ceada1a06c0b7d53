"""A task of somebody's own, from a table of labelled texts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from minibert.data.labels import find_classes, is_missing, is_numeric, label_text
from minibert.data.records import open_table, read_alike
from minibert.data.rows import Row, Table
from minibert.data.tables import read_label
from minibert.data.tasks import Data, Example, Task, check_apart, check_text_columns
from minibert.errors import InputError, several
from minibert.tokenizer import Text

SCORE_METRICS = ("r2", "pearson", "spearman")  # of a regression of one's own


class Labelled(NamedTuple):
    """A row of a table: its number, its text, and its label as the table spells it."""

    row: int
    text: Text
    label: str


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are the text (one, or two for pairs) and the label."""

    text: tuple[str, ...] = ("text",)
    label: str = "label"

    def __post_init__(self) -> None:
        if len(self.text) not in (1, 2):
            raise InputError(f"a text is one or two columns, not {len(self.text)}")
        check_apart(self.text)
        for name in (*self.text, self.label):
            if not name:
                raise InputError("the name of a column must not be empty")
        if self.label in self.text:
            raise InputError(f"column {self.label!r} cannot be both text and label")

    @property
    def all(self) -> tuple[str, ...]:
        """The text's columns and the label's."""
        return (*self.text, self.label)


def own_data(
    train: Path | str,
    dev: Path | str | None,
    text: Sequence[str],
    label: str,
    regression: bool = False,
    *,
    classes: Sequence[str] = (),
    positive: str = "",
    drop_unlabelled: bool = False,
) -> Data:
    """A user's own table: CSV, TSV or JSON lines with named columns (`records.open_table`).

    `text` names one or two columns. Without `dev` there are no development examples yet. The
    classes are the labels found, without blanks around them, or exactly `classes`; `positive` is
    the one of two that F1 is of (default: the last). Rows without label are an error, or dropped
    and counted with `drop_unlabelled`.

    Raises InputError, naming file, row and column, when a table does not match. (Eight arguments:
    each says something else about the tables.)
    """
    columns = Columns(tuple(text), label)
    if regression and (classes or positive):
        raise InputError("a regression has no classes and no positive one")
    paths = [path for path in (train, dev) if path is not None]
    tables = read_alike([open_table(path, columns.all) for path in paths])
    parts = [list(read_labelled(table, columns)) for table in tables]
    labels = Counter(row.label for part in parts for row in part)
    task = Task(tables[0].path.stem, "", columns.text, label, metrics=SCORE_METRICS)
    if tables[0].name == "standard input":
        task = replace(task, name="own")
    numeric = regression or is_numeric(labels)
    hint = "" if regression else ", or name the classes with --classes"
    task = replace(task, values=tuple(classes), names=tuple(classes))
    kept = [
        _without_missing(task, table, part, numeric, drop_unlabelled, hint)
        for table, part in zip(tables, parts, strict=True)
    ]
    if not regression:
        names = [table.name for table in tables]
        task = _with_classes(task, names, kept, tuple(classes), positive)
    examples = [
        [_example(task, table, row) for row in part]
        for table, part in zip(tables, kept, strict=True)
    ]
    source = " and ".join(table.name for table in tables)
    dropped = sum(map(len, parts)) - sum(map(len, kept))
    notes = [f"{table.name}: {table}" for table in tables]
    if dropped:
        notes.append(f"{several(dropped, 'row')} without label dropped")
    notes += text_notes(*examples)
    return Data(task, examples[0], examples[1] if dev is not None else [], source, tuple(notes))


def text_notes(train: Sequence[Example], dev: Sequence[Example] = ()) -> Iterator[str]:
    """What to know of the texts: how many are empty, repeated, or in both tables."""
    if empty := empty_texts((*train, *dev)):
        yield f"{several(empty, 'row')} with an empty text"
    if again := len(train) - len({example.text for example in train}):
        yield f"{several(again, 'row')} with the text of an earlier row"
    yield from known_note(train, dev)


def known_note(train: Sequence[Example], dev: Sequence[Example]) -> Iterator[str]:
    """How many development texts are trained on, if any."""
    if known := known_texts(train, dev):
        yield f"{several(known, 'development row')} with a text that is trained on"


def empty_texts(examples: Sequence[Example]) -> int:
    """How many examples have an empty text, or an empty half of a pair."""
    cells = ((e.text,) if isinstance(e.text, str) else e.text for e in examples)
    return sum(not all(cell.strip() for cell in text) for text in cells)


def known_texts(train: Sequence[Example], others: Sequence[Example]) -> int:
    """How many other examples have the text of a training example."""
    texts = {example.text for example in train}
    return sum(example.text in texts for example in others)


def own_examples(
    task: Task, path: Path | str, columns: Columns | None = None, drop_unlabelled: bool = False
) -> list[Example]:
    """The labelled texts of another table, for a trained task. `columns` default to those that the
    task was trained on; a label may be a class's name. Raises InputError as `own_data` does, and
    for a label that the task does not know."""
    columns = columns or Columns(tuple(map(str, task.text)), str(task.label))
    check_text_columns(task, columns.text)
    table = open_table(path, columns.all)
    rows = list(read_labelled(table, columns))
    if not any(row.label in task.values for row in rows):
        task = replace(task, values=task.names)
    numeric = task.regression  # -1 is missing unless it is one of the task's own labels
    kept = _without_missing(task, table, rows, numeric, drop_unlabelled)
    return [_example(task, table, row) for row in kept]


def read_labelled(table: Table, columns: Columns) -> Iterator[Labelled]:
    """The rows of a table, labels still as text. Raises InputError for no rows at all, or a cell
    that is no text."""
    empty = True
    for row in table.rows():
        empty = False
        label = label_text(_cell(table, row, columns.label))
        if label is None:
            shown = repr(row.cells[columns.label])[:40]
            raise InputError(
                f"{table.name} row {row.number}: {columns.label!r} is {shown}, no label"
            )
        yield Labelled(row.number, row_text(table, row, columns.text), label)
    if empty:
        raise InputError(f"{table.name}: has a header but no rows")


def row_text(table: Table, row: Row, columns: Sequence[str]) -> Text:
    """A row's text, or its pair of texts. Raises InputError, naming the row, where JSON has
    something else."""
    cells = []
    for column in columns:
        cell = _cell(table, row, column)
        if not isinstance(cell, str):
            shown = "null" if cell is None else repr(cell)[:40]
            raise InputError(f"{table.name} row {row.number}: {column!r} is {shown}, not a text")
        cells.append(cell)
    return cells[0] if len(cells) == 1 else (cells[0], cells[1])


def _cell(table: Table, row: Row, column: str) -> object:
    if column not in row.cells:
        raise InputError(f"{table.name} row {row.number}: has no {column!r}")
    return row.cells[column]


def _without_missing(
    task: Task,
    table: Table,
    rows: list[Labelled],
    numeric: bool,
    drop: bool,
    hint: str = "",
) -> list[Labelled]:
    """The rows with a label. Labels that the task knows are labels whatever they look like. `hint`:
    what else there is to do about one that looks missing."""
    kept = []
    for row in rows:
        if row.label in task.values or not is_missing(row.label, numeric):
            kept.append(row)
        elif not drop:
            raise InputError(
                f"{table.name} row {row.row}: the label {row.label!r} looks missing; "
                f"leave such rows out with --drop-unlabelled{hint}"
            )
    if not kept:
        raise InputError(f"{table.name}: has no row with a label")
    return kept


def _with_classes(
    task: Task,
    names: Sequence[str],
    parts: list[list[Labelled]],
    classes: tuple[str, ...],
    positive: str,
) -> Task:
    """The task with its classes, the positive one of two last, and the metrics that suit them;
    `names` are those of the tables."""
    where = f"{' and '.join(names)}: column {task.label!r}"
    in_train = {row.label for row in parts[0]}
    if len(in_train) < 2:
        what = f"{names[0]}: column {task.label!r}"
        raise InputError(f"{what} has only one label; at least two are needed")
    if len(set(classes)) != len(classes) or len(classes) == 1:
        raise InputError("classes must be two or more different labels")
    rows = [row for part in parts for row in part]
    values = classes or find_classes(Counter(row.label for row in rows), len(rows), where)
    if positive:
        if positive not in values:
            known = ", ".join(values)
            raise InputError(f"positive class {positive!r} is no label of {where}; known: {known}")
        if len(values) != 2:
            raise InputError(f"a positive class needs two classes, not {len(values)}")
        values = (*(value for value in values if value != positive), positive)
    return replace(task, values=values, names=values, metrics=class_metrics(len(values)))


def class_metrics(classes: int) -> tuple[str, ...]:
    """The metrics of a task of one's own with so many classes: with two also the last one's F1."""
    return ("accuracy", "macro_f1", "f1") if classes == 2 else ("accuracy", "macro_f1")


def _example(task: Task, table: Table, row: Labelled) -> Example:
    return Example(row.text, read_label(task, row.label, f"{table.name} row {row.row}"))
