"""What NAME/task.toml says of a task in table 2's folder.

    text = "tweet"               the column of the texts
    label = "sentiment"          the column of the classes
    paper = [83.6, 84.0, 84.5]   optional: the paper's accuracies in %, see `PUBLISHED`
    classes = ["no", "NA"]       optional: by default the labels of train.tsv

Columns have names where the three files have a header; numbers, from 1, where they have none.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from minibert.data.own import Columns
from minibert.errors import InputError, several, shown
from minibert.files import read_bounded
from minibert.json_files import fitted

ABOUT = "task.toml"
# The order of `paper`; the last may be left out.
PUBLISHED = ("full fine-tuning", "variable fine-tuning", "adapters", "no BERT")
MOST_COLUMNS = 1 << 16
MOST_CLASSES = 256  # an answer is kept in one byte
LARGEST = 1 << 16  # bytes of a task.toml


@dataclass(frozen=True)
class TaskToml:
    """What task.toml says. An empty list is as good as none."""

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
    _check_paper(about.paper, path)
    _check_classes(about.classes, path)
    return about


def _check_columns(about: TaskToml, path: Path) -> None:
    columns = (about.text, about.label)
    if len({type(column) for column in columns}) > 1:
        raise InputError(f"{path}: text and label must both be names of columns, or both numbers")
    for column in columns:
        if isinstance(column, int) and not 1 <= column <= MOST_COLUMNS:
            raise InputError(
                f"{path}: columns are counted from 1 to {MOST_COLUMNS}, not {shown(column)}"
            )
    try:
        Columns((str(about.text),), str(about.label))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_paper(paper: list[float], path: Path) -> None:
    most = len(PUBLISHED)
    if len(paper) not in (0, most - 1, most):
        raise InputError(f"{path}: paper has {len(paper)} numbers, not {most - 1} or {most}")
    if wrong := [number for number in paper if not 0 <= number <= 100]:
        raise InputError(f"{path}: paper has {wrong[0]:g}, which is no accuracy from 0 to 100")
    if paper and max(paper) <= 1:  # no task's accuracies are all below 1 %
        raise InputError(f"{path}: paper has fractions, as {paper[0]:g}; accuracies are in %")


def _check_classes(classes: list[str], path: Path) -> None:
    if blank := [name for name in classes if name != name.strip() or not name]:
        raise InputError(f"{path}: classes has {shown(blank[0])}, but labels have no blanks around")
    if len(set(classes)) != len(classes):
        raise InputError(f"{path}: classes has one class twice")
    if len(classes) == 1 or len(classes) > MOST_CLASSES:
        names = several(len(classes), "name")
        raise InputError(f"{path}: classes has {names}, not 2 to {MOST_CLASSES}")
