"""Anybody's table, row by row: CSV, TSV or JSON lines, from a file or standard input.

Rows are counted from 1, the header included, as a spreadsheet counts them.
"""

import csv
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from minibert.errors import InputError
from minibert.json_files import parse_json

csv.field_size_limit(2**31 - 1)  # by default a cell of 131,072 characters is an error

STANDARD_INPUT = Path("-")
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
        lines = _quoted_cells(self) if self.quoted else _raw_cells(self)
        if self.header:
            next(lines)
        for number, cells in lines:
            if len(cells) != width:
                raise InputError(
                    f"{self.name} row {number}: has {len(cells)} columns, expected {width}"
                )
            yield Row(number, dict(zip(self.columns, cells, strict=True)))

    def _json_rows(self) -> Iterator[Row]:
        with self.path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                cells = parse_json(line, f"{self.name} row {number}")
                if not isinstance(cells, dict):
                    raise InputError(f"{self.name} row {number}: is no JSON object {{...}}")
                yield Row(number, cells)


def open_table(path: Path | str, wanted: Sequence[str] = (), header: bool = True) -> Table:
    """Find out how a table is written, from its content; "-" is standard input.

    `wanted`: columns that must be there; they also tell which delimiter it is. A table without a
    `header` is tab-separated, as no names tell a delimiter from a comma in a text. Raises
    InputError, naming the file, when it is missing, empty, not UTF-8, or lacks a column or has it
    twice.
    """
    path = Path(path)
    name = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        path = _spooled() if path == STANDARD_INPUT else path
        first = _check_text(path, name)
        if not header:
            return _without_header(path, name, first).with_columns(wanted)
        if first.startswith("["):
            raise InputError(f"{name}: is a JSON array; one JSON object per line is needed")
        if first.startswith("{"):
            table = Table(path, name, (), "", False)
            columns = tuple(next(table.rows()).cells)
            return replace(table, columns=columns).with_columns(wanted)
        headers = {delimiter: _header(path, first, delimiter) for delimiter in "\t,;"}
        fitting = [d for d, names in headers.items() if set(wanted) <= set(names)]
        delimiter = max(fitting or headers, key=lambda d: len(headers[d]))  # the first of equals
        quoted = True
        if len(headers[delimiter]) == 1:
            delimiter = "\t"  # one column: commas in it are text
        if delimiter == "\t":
            quoted = _is_quoted(Table(path, name, headers["\t"], "\t", False))
        return Table(path, name, headers[delimiter], delimiter, quoted).with_columns(wanted)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None


def _without_header(path: Path, name: str, first: str) -> Table:
    """A tab-separated table that begins with its first row; its columns are "1", "2", ..."""
    as_raw, as_quoted = first.split("\t"), _header(path, first, "\t")  # that row's cells
    tables = [
        Table(path, name, tuple(str(n + 1) for n in range(len(cells))), "\t", False, header=False)
        for cells in (as_raw, as_quoted)
    ]
    quoted = [replace(table, quoted=True) for table in tables if _is_quoted(table)]
    return quoted[0] if quoted else tables[0]


def _spooled() -> Path:
    """Standard input as a file, which can be read twice; it goes when the process ends."""
    import atexit

    with tempfile.NamedTemporaryFile(prefix="minibert-", suffix=".table", delete=False) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    path = Path(file.name)
    atexit.register(path.unlink, missing_ok=True)
    return path


def _check_text(path: Path, name: str) -> str:
    """The first line of a file that is UTF-8 text throughout, without byte order mark."""
    first = ""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise InputError(f"{name}: is UTF-16; save it as UTF-8")
            if b"\0" in line:
                raise InputError(f"{name}: is a binary file, not text")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InputError(f"{name} line {number}: is not UTF-8; save it as UTF-8") from None
            first = first or text.rstrip("\r\n")
    if not first:
        raise InputError(f"{name}: is empty")
    return first


def _header(path: Path, line: str, delimiter: str) -> tuple[str, ...]:
    """The names of the columns, without blanks around them; `line` is the first that is not empty,
    which a quoted cell may go beyond."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            cells = next(cells for cells in reader if cells)
        except (csv.Error, StopIteration):
            cells = line.split(delimiter)
    return tuple(cell.strip() for cell in cells)


def _is_quoted(table: Table) -> bool:
    """Whether a tab-separated file is quoted. Where every line has the header's cells, no cell can
    hide a tab or a line break: then it is quoted if each cell that begins with a quotation mark
    also ends with one and doubles those between. Otherwise it is quoted if that explains it."""
    fits, well_formed, marks = True, True, False
    for _, cells in _raw_cells(table):
        fits = fits and len(cells) == len(table.columns)
        for cell in cells:
            if cell.startswith('"'):
                marks = True
                inner = cell[1:-1].replace('""', "")
                closed = len(cell) > 1 and cell.endswith('"') and '"' not in inner
                well_formed = well_formed and closed
    if fits or not marks:
        return marks and well_formed
    try:
        return all(len(cells) == len(table.columns) for _, cells in _quoted_cells(table))
    except InputError:
        return False


def _raw_cells(table: Table) -> Iterator[tuple[int, list[str]]]:
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


def _quoted_cells(table: Table) -> Iterator[tuple[int, list[str]]]:
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
