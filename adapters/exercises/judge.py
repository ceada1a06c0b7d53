"""The judge: runs an exercise's specification, check.py, against one file of a student's.

The checks run here, the student's code in a process of its own (`student`). What is right, and
whether a check has passed, never leaves this process.
"""

import runpy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.exercises.advice import advice
from adapters.exercises.assertions import StudentError, Wrong
from adapters.exercises.catalogue import Exercise
from adapters.exercises.student import SECONDS, Process, Student

LARGEST_FILE = 1 << 20  # bytes
LONGEST_MESSAGE = 3000  # characters

Check = Callable[[Any], None]


@dataclass(frozen=True)
class Verdict:
    """What the judge found in one file. `met`: the sentences of the specification that hold, in
    order; `failed`: the first that does not; `error`: why. Both are "" after a pass."""

    exercise: Exercise
    path: Path
    passed: bool
    seconds: float
    met: tuple[str, ...] = ()
    failed: str = ""
    error: str = ""
    printed: str = ""  # the beginning of the student's output
    written: bool = True  # False if the only fault is a function that is not written yet
    unwritten: str = ""  # the name of that function


def judge(
    exercise: Exercise, path: Path, seconds: float = SECONDS, source: bytes | None = None
) -> Verdict:
    """Check one file, or the `source` that was read from it, within that many seconds. Raises
    nothing, whatever the file does."""
    start = time.monotonic()
    met: list[str] = []
    failed = error = printed = unwritten = ""
    written = True
    process = None
    try:
        code = read_source(path) if source is None else source
        process = Process(code, str(path), seconds)
        with process:
            for check in checks(exercise):
                failed = sentence(check)
                check(Student(process))
                met.append(failed)
        failed = ""
    except StudentError as caught:
        written = "NotImplementedError" not in caught.kinds
        unwritten = "" if written else _clean(caught.function[:100])
        advised = advice(caught.kinds, caught.text)
        error = f"{caught}\n{advised}" if advised else str(caught)
    except Wrong as caught:
        error = str(caught)
    except Exception as caught:  # the check could not handle the result
        error = f"what your function returned is not of the kind asked for: {caught}"
    if process:
        printed = process.printed
    return Verdict(
        exercise,
        path,
        passed=not error,
        seconds=time.monotonic() - start,
        met=tuple(met),
        failed=failed,
        error=_clean(error),
        printed=_clean(printed),
        written=written,
        unwritten=unwritten,
    )


def checks(exercise: Exercise) -> list[Check]:
    """The specification of an exercise: the check_* functions of its check.py, in order."""
    names = runpy.run_path(str(exercise.folder / "check.py"))
    return [function for name, function in names.items() if name.startswith("check_")]


def sentence(check: Check) -> str:
    """What a check specifies: its docstring."""
    return " ".join((check.__doc__ or check.__name__).split())


def read_source(path: Path) -> bytes:
    """The content of the student's file. Raises Wrong when there is no such file, or it is too
    large."""
    try:
        if path.is_symlink() or not path.is_file():  # it may link to others' files, or be a pipe
            raise Wrong(f"{path}: there is no such file")
        with path.open("rb") as file:
            source = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Wrong(f"{path}: cannot be read: {error.strerror}") from None
    if len(source) > LARGEST_FILE:
        raise Wrong(f"{path}: is larger than {LARGEST_FILE:,} bytes")
    return source


def _clean(text: str) -> str:
    """Without characters that control a terminal, and cut to a sensible length."""
    text = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " ..."
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
