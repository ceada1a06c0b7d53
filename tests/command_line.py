"""What the tests of the command line share: typing a command, and a small base to type it with."""

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from adapters.cli import run

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "goldens" / "tiny"  # a random BERT: 2 layers, d = 32, 64 positions
SAMPLE = ROOT / "minibert" / "data" / "samples"
ON_TINY = ("--base", TINY, "--max-length", 48)


class Result(NamedTuple):
    """What a command left behind: its exit code and what it wrote."""

    code: int
    out: str
    err: str


def minibert(*words: object, stdin: bytes = b"") -> Result:
    """Type `minibert WORDS...`, in this process; nothing here is a terminal. A Python warning
    counts as written to standard error, where it would go."""
    out, err = io.StringIO(), io.StringIO()
    typed = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "stdin", typed),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("default")
        code = run([str(word) for word in words])
    return Result(code, out.getvalue(), err.getvalue() + "".join(f"{w.message}\n" for w in warned))


def works(*words: object, stdin: bytes = b"") -> Result:
    """The same, where all must go well."""
    result = minibert(*words, stdin=stdin)
    assert result.code == 0, result.err
    return result


def environment(**more: str) -> dict[str, str]:
    """For a minibert in a process of its own: this checkout, whatever is installed."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def write_tsv(path: Path, header: str, rows: list[tuple]) -> Path:
    """A file of one's own: a header line and rows, with tabs between the cells."""
    lines = ["\t".join(header.split()), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content; lock files, which stay empty, aside."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {n: p.read_bytes() for n, p in found.items() if p.is_file() and p.name != ".lock"}
