"""The rows of a table that is written in a known way: CSV, TSV or JSON lines.

Rows are counted from 1, the header included, as a spreadsheet counts them.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from minibert.errors import InputError, several
from minibert.json_files import parse_json

csv.field_size_limit(2**31 - 1)  # by default a cell of 131,072 characters is an error

NAMES = {
    "\t": "tab-separated",
    ",": "comma-separated",
    ";": "semicolon-separated",
    "": "JSON lines",
}


class Row(NamedTuple):
    """A row's number and its cells by column: text, or with JSON lines any JSON value."""

    number: int
    cells: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table that can be read, again and again. `name` is what messages call it.

    header: whether the first line names the columns; without one they are "1", "2", ...
    delimiter: one of `NAMES`. quoted: a cell that begins with a quotation mark ends with one, as
    the `csv` module, pandas and spreadsheets write it, and may have delimiters and line breaks
    between them; otherwise quotation marks are text, as in GLUE's files.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    delimiter: str
    quoted: bool
    header: bool = True

    def __str__(self) -> str:
        kind = NAMES[self.delimiter]
        return kind if not self.delimiter else f"{kind}, {'quoted' if self.quoted else 'raw'} cells"

    def with_columns(self, wanted: Sequence[str]) -> "Table":
        """The table itself. Raises InputError when it lacks a column or has it twice."""
        for column in wanted:
            if column not in self.columns:
                found = ", ".join(self.columns)[:200]
                where = f"in its header ({found})" if self.header else f"(it has {found})"
                raise InputError(f"{self.name}: has no column {column!r} {where}")
            if self.columns.count(column) > 1:
                raise InputError(f"{self.name}: has two columns {column!r}")
        return self

    def rows(self) -> Iterator[Row]:
        """Every row below the header, read as it is asked for. Raises InputError, naming the row,
        for another number of cells than the header has, or a cell or line that is damaged."""
        if not self.delimiter:
            yield from self._json_rows()
            return
        width = len(self.columns)
        lines = quoted_cells(self) if self.quoted else raw_cells(self)
        if self.header:
            next(lines)
        for number, cells in lines:
            if len(cells) != width:
                wrong = f"row {number}: has {several(len(cells), 'column')}, expected {width}"
                raise InputError(f"{self.name} {_explained(self, wrong)}")
            yield Row(number, dict(zip(self.columns, cells, strict=True)))

    def _json_rows(self) -> Iterator[Row]:
        with self.path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                cells = parse_json(line, f"{self.name} row {number}", unique=True)
                if not isinstance(cells, dict):
                    raise InputError(f"{self.name} row {number}: is no JSON object {{...}}")
                yield Row(number, cells)


def _explained(table: Table, wrong: str) -> str:
    """What is wrong with a row, `wrong`. Where cells begin with quotation marks but the table is
    read as raw, because these do not fit, the cause may be in another row: then it is told first
    what is wrong with the table as a quoted one."""
    if table.quoted:
        return wrong
    if not any(cell.startswith('"') for _, cells in raw_cells(table) for cell in cells):
        return wrong
    try:
        for _ in replace(table, quoted=True).rows():
            pass
    except InputError as error:
        as_quoted = str(error).removeprefix(f"{table.name} ")
        if as_quoted != wrong:
            return f"{as_quoted}; with quotation marks as text, {wrong}"
    return wrong


def raw_cells(table: Table) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and cells, the header's first; quotation marks are text. Empty lines at the end
    are not rows, unless the table has one column: then each is an empty text."""
    empty: list[int] = []
    started = False  # empty lines before the header are nothing
    with table.path.open(encoding="utf-8-sig", newline="\n") as file:  # U+2028 etc. end no line
        for number, line in enumerate(file, start=1):
            line = line.removesuffix("\n").removesuffix("\r")
            if not line and (len(table.columns) > 1 or not started):
                if started:
                    empty.append(number)
                continue
            started = True
            for before in empty:  # they were not at the end
                yield before, [""]
            empty.clear()
            yield number, line.split(table.delimiter)


def quoted_cells(table: Table) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and cells, the header's first, as the `csv` module reads them; empty lines are
    not rows. Raises InputError, naming the row, where the quotation marks do not fit."""
    number = 0
    with table.path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=table.delimiter, strict=True)
        try:
            for number, cells in enumerate(reader, start=1):
                if cells:
                    yield number, cells
        except csv.Error as error:
            raise InputError(f"{table.name} row {number + 1}: is badly quoted: {error}") from None
