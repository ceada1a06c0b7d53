"""For teachers: one table of the class, a row for each student and a column for each exercise, the
hardest first; as text, CSV or HTML."""

import csv
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.files import atomic_write

STYLE = """\
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; }
th, td { border: 1px solid #999; padding: 0.3em 0.6em; text-align: center; }
th:first-child { text-align: left; }
.all { background: #cfe8cf; color: #000; }
.part { background: #f5e6b8; color: #000; }
.none { background: #f3cccc; color: #000; }
"""


@dataclass(frozen=True)
class ClassTable:
    """The credit of a class. `exercises`: their labels, the hardest first; `students`: (name, the
    credit for each of these exercises from 0 to 1, how many have passed), in alphabetical order;
    `means`: the class's mean credit for each exercise."""

    exercises: tuple[str, ...]
    students: tuple[tuple[str, tuple[float, ...], int], ...]
    means: tuple[float, ...]


def class_table(graded: Sequence[dict[str, Any]]) -> ClassTable:
    """The table of a class, from what `grade` returned for each folder. Students go by their
    folders' names; where two folders have the same, by their paths."""
    names = [Path(one["folder"]).resolve().name for one in graded]
    if len(set(names)) < len(names):
        names = [one["folder"] for one in graded]
    credits = [{row["exercise"]: row["credit"] for row in one["exercises"]} for one in graded]
    labels = [*credits[0]] if credits else []
    means = {label: sum(own[label] for own in credits) / len(credits) for label in labels}
    hardest = sorted(labels, key=lambda label: means[label])
    students = [
        (name, tuple(own[label] for label in hardest), int(one["passed"]))
        for name, own, one in zip(names, credits, graded, strict=True)
    ]
    ordered = tuple(round(means[label], 2) for label in hardest)
    return ClassTable(tuple(hardest), tuple(sorted(students)), ordered)


def as_text(table: ClassTable) -> str:
    """For the terminal: the columns go by the exercises' numbers; 1 is all of it."""
    from tabulate import tabulate

    numbers = [label.partition("_")[0] for label in table.exercises]
    rows = [(name, *map(_short, credits), passed) for name, credits, passed in table.students]
    rows.append(("mean", *map(_short, table.means), ""))
    body = tabulate(rows, ("", *numbers, "passed"), disable_numparse=True)
    return f"The class, hardest exercise first; the share of the checks that hold:\n\n{body}"


def as_csv(table: ClassTable) -> str:
    """For a spreadsheet: student, passed, then the credit for each exercise."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("student", "passed", *table.exercises))
    for name, credits, passed in table.students:
        writer.writerow((name, passed, *credits))
    return out.getvalue()


def as_html(table: ClassTable) -> str:
    """A page of its own, without scripts; names are escaped."""

    def row(name: str, credits: Sequence[float], last: object) -> str:
        cells = "".join(f'<td class="{_kind(c)}">{_short(c)}</td>' for c in credits)
        return f"<tr><th>{html.escape(name)}</th>{cells}<td>{last}</td></tr>"

    header = "".join(f"<th>{html.escape(label)}</th>" for label in table.exercises)
    lines = [row(*student) for student in table.students] + [row("mean", table.means, "")]
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>The class</title>\n'
        f"<style>\n{STYLE}</style>\n<h1>The class</h1>\n"
        "<p>The share of the checks that hold, hardest exercise first.</p>\n"
        f"<table>\n<tr><th>student</th>{header}<th>passed</th></tr>\n"
        + "\n".join(lines)
        + "\n</table>\n</html>\n"
    )


FORMATS: dict[str, Callable[[ClassTable], str]] = {
    ".txt": lambda table: as_text(table) + "\n",
    ".csv": as_csv,
    ".html": as_html,
}


def check_format(path: Path) -> None:
    """Raise InputError unless the file's name ends in .txt, .csv or .html."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: the class's table can be {', '.join(FORMATS)}, by its name")


def write_table(path: Path, table: ClassTable) -> None:
    """Write the table to a file, in the format that its name says. Raises InputError for another
    format."""
    check_format(path)
    atomic_write(path, FORMATS[path.suffix](table))


def _short(credit: float) -> str:
    """1, 0.67, 0."""
    return f"{credit:.2f}".rstrip("0").rstrip(".")


def _kind(credit: float) -> str:
    return "all" if credit == 1 else "part" if credit else "none"
