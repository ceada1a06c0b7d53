"""Anybody's table, from a file or standard input: finding out how it is written."""

import csv
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from minibert.data.rows import Table, quoted_cells, raw_cells
from minibert.errors import InputError

STANDARD_INPUT = Path("-")


def open_table(path: Path | str, wanted: Sequence[str] = (), header: bool = True) -> Table:
    """Find out how a table is written, from its content; "-" is standard input.

    `wanted`: columns that must be there; they also tell which delimiter it is. A table without a
    `header` is tab-separated, as no names tell a delimiter from a comma in a text. Raises
    InputError, naming the file, when it is missing, empty, no UTF-8 text, a JSON array, has lines
    that end with CR alone, or lacks a column or has it twice.
    """
    path = Path(path)
    name = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        path = _spooled() if path == STANDARD_INPUT else path
        first = _check_text(path, name)
        if not header:
            table = _without_header(path, name, first)
            _check_line_ends(table, first)
            return table.with_columns(wanted)
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
        table = Table(path, name, headers[delimiter], delimiter, quoted).with_columns(wanted)
        _check_line_ends(table, first)
        return table
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None


def read_alike(tables: Sequence[Table]) -> list[Table]:
    """The tables of one task. Where the quotation marks in a tab-separated one are its texts' own,
    so are those in the others that can be read either way."""
    tabbed = [table for table in tables if table.delimiter == "\t"]
    quoted, raw = ([t for t in tabbed if t.quoted == kind] for kind in (True, False))
    if not (quoted and any(map(_has_marks, raw))):
        return list(tables)
    return [
        replace(table, quoted=False) if table in quoted and _may_be_raw(table) else table
        for table in tables
    ]


def _has_marks(table: Table) -> bool:
    return any(cell.startswith('"') for _, cells in raw_cells(table) for cell in cells)


def _may_be_raw(table: Table) -> bool:
    """Whether nothing shows that a program has quoted the table: no mark in its first line, none
    doubled, and no tab or line break between two."""
    for number, (_, cells) in enumerate(raw_cells(table)):
        marked = [cell for cell in cells if cell.startswith('"')]
        if len(cells) != len(table.columns) or (marked and number == 0):
            return False
        if any('""' in cell[1:-1] for cell in marked):
            return False
    return True


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


def _check_line_ends(table: Table, first: str) -> None:
    """Raises InputError for raw cells where the header has a CR, as rows would be taken for a part
    of it, or where a table without header is one line with CR that no LF ends. (The `csv` module,
    which reads quoted cells, takes a CR for the end of a line.)"""
    if table.quoted or "\r" not in first:
        return
    with table.path.open("rb") as file:
        ended, more = file.readline().endswith(b"\n"), bool(file.read(1))
    if table.header or not (ended or more):
        raise InputError(f"{table.name}: its lines end with CR alone; save it with LF or CR LF")


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
    for _, cells in raw_cells(table):
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
        return all(len(cells) == len(table.columns) for _, cells in quoted_cells(table))
    except InputError:
        return False
