"""Measured rows, saved as JSON lines as they finish, and the figures computed from them.

The first line describes the machine; every other line is a row. A row's figure is its scale times
a / b, with a and b as in FIGURES, each the median over the rounds.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from minibert.errors import InputError
from minibert.files import atomic_write

Record = dict[str, Any]  # row, rounds, sides {name: {seconds: [...], peak_mb: [...]}}, scale, ...

# figure: (a's side and quantity, b's (None: b = 1), whether more is better)
FIGURES = {
    "speed": (("peer", "seconds"), ("ours", "seconds"), True),
    "time": (("ours", "seconds"), ("peer", "seconds"), False),
    "memory": (("ours", "peak_mb"), ("peer", "peak_mb"), False),
    "seconds": (("ours", "seconds"), None, False),
    "file": (("ours", "peak_mb"), None, False),
    "share": (("sgemm", "seconds"), ("ours", "seconds"), True),
}

# Parts of a machine's description that may change between two parts of one comparison.
CHANGING = ("commit", "date", "sgemm")


@dataclass(frozen=True)
class Figure:
    """A row's figure. `value` is computed from the medians; `middle`, `low` and `high` are the
    median and range of the figures of single rounds."""

    value: float
    middle: float
    low: float
    high: float

    def meets(self, figure: str, wanted: float) -> bool:
        """Whether the figure is as good as wanted."""
        return self.value >= wanted if FIGURES[figure][2] else self.value <= wanted


def figure_of(kind: str, record: Record) -> Figure:
    """The figure of one row."""
    a, b, _ = FIGURES[kind]
    over, scale = quantity(record, *a), record["scale"]
    under = quantity(record, *b) if b else [1.0] * len(over)
    single = [scale * x / y for x, y in zip(over, under, strict=True)]
    value = scale * median(over) / median(under)
    return Figure(value, median(single), min(single), max(single))


def quantity(record: Record, side: str, name: str) -> list[float]:
    """One number for each round."""
    values: list[float] = record["sides"][side][name]
    return values


def read_lines(path: Path) -> tuple[Record | None, dict[str, Record]]:
    """The machine (None if nothing has been measured yet), and the rows by name. An incomplete last
    line is ignored.

    Raises InputError for a file that is something else.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None, {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    machine, rows = None, {}
    lines = text.split("\n")[:-1]  # what follows the last newline is an incomplete line
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            if number == 1:
                machine = content["machine"]
            else:
                rows[content["row"]] = content
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}: line {number} is not a result of `make compare`") from None
    return machine, rows


def write_lines(path: Path, machine: Record, rows: dict[str, Record]) -> None:
    """Write the whole file."""
    content = [{"machine": machine}, *rows.values()]
    atomic_write(path, "".join(json.dumps(line) + "\n" for line in content))


def same_machine(one: Record | None, other: Record) -> bool:
    """Whether both descriptions are of the same machine with the same libraries."""
    if one is None:
        return False
    names = (one.keys() | other.keys()) - set(CHANGING)
    return all(one.get(name) == other.get(name) for name in names)
