"""The judge: runs an exercise's specification, check.py, against one file of a student's.

The checks run here, the student's code in a process of its own (`student`). What is right, and
whether a check has passed, never leaves this process: a pass is that the last of the checks has
returned here. What is no fault of the student's is no verdict, but a `JudgeError`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

from adapters.exercises.advice import advice
from adapters.exercises.assertions import Ended, JudgeError, StudentError, Wrong
from adapters.exercises.catalogue import Exercise, exercises
from adapters.exercises.student import SECONDS, Process, Student, check_seconds

LARGEST_FILE = 1 << 20  # bytes
LONGEST_MESSAGE = 3000  # characters

# What is raised in a check whatever the student's function returns: by this machine or a mistake in
# the check.
OURS = (OSError, MemoryError, ImportError, NameError)

Check = Callable[[Any], None]


@dataclass(frozen=True)
class Verdict:
    """What the judge found in one file. `met`: the sentences of the specification that hold, in
    order (those before `failed`, or with `every` all) `of` how many; `failed`: the first that does
    not; `error`: why. Both are "" after a pass."""

    exercise: Exercise
    path: Path
    of: int
    seconds: float
    met: tuple[str, ...] = ()
    failed: str = ""
    error: str = ""
    printed: str = ""  # the beginning of the student's output
    written: bool = True  # False if the only fault is a function that is not written yet
    unwritten: str = ""  # the name of that function
    timed_out: bool = False

    @property
    def passed(self) -> bool:
        """Whether every check has returned, and there was one: nothing else is a pass."""
        return 0 < len(self.met) == self.of


@dataclass(frozen=True)
class _Failure:
    """A check that does not hold, and why. `unwritten`: the name of the function that is not
    written yet, if nothing else is wrong, else None; `ended`: no more answers will come."""

    sentence: str = ""
    error: str = ""
    unwritten: str | None = None
    ended: bool = False
    timed_out: bool = False


def judge(
    exercise: Exercise,
    path: Path,
    seconds: float = SECONDS,
    source: bytes | Wrong | None = None,
    every: bool = False,
) -> Verdict:
    """Check one file within that many seconds: up to the first check that fails or, with `every`,
    all of them. `source`: what was read from it before, or why it could not be. Raises nothing for
    what the file does; JudgeError where the judge itself cannot work, InputError for a time that is
    no time limit."""
    check_seconds(seconds)
    specification = checks(exercise)  # all is read before any of the student's code runs
    start = time.monotonic()
    met: list[str] = []
    failures: list[_Failure] = []
    process = None
    try:
        if isinstance(source, Wrong):
            raise source
        code = read_source(path) if source is None else source
        process = Process(code, str(path), seconds)
        with process:
            for check in specification:
                failure = _failure(check, process)
                if failure is None:
                    met.append(sentence(check))
                else:
                    failures.append(failure)
                    if failure.ended or not every:
                        break
    except Wrong as wrong:  # before the first check: there is no file, or it fails to load
        failures.append(_explained("", wrong))
    first = failures[0] if failures else _Failure()
    return Verdict(
        exercise,
        path,
        of=len(specification),
        seconds=time.monotonic() - start,
        met=tuple(met),
        failed=first.sentence,
        error=_clean(first.error),
        printed=_clean(process.printed) if process else "",
        written=first.unwritten is None,
        unwritten=first.unwritten or "",
        timed_out=any(failure.timed_out for failure in failures),
    )


def _failure(check: Check, process: Process) -> _Failure | None:
    """Run one check. -> why it does not hold, or None if it does. Raises JudgeError for what no
    result of the student's can be blamed for."""
    before = process.answers
    try:
        check(Student(process))
    except Wrong as wrong:
        return _explained(sentence(check), wrong)
    except Exception as error:
        if isinstance(error, OURS) or process.answers == before:
            where = f"{process.path}: not judged: {check.__name__} of the exercise fails itself"
            raise JudgeError(f"{where}: {type(error).__name__}: {error}") from error
        # the check could not handle the result
        odd = f"what your function returned is not of the kind asked for: {error}"
        return _Failure(sentence(check), odd)
    return None


def _explained(failed: str, caught: Wrong) -> _Failure:
    """What a check raised, in words. `failed`: the check's sentence."""
    if isinstance(caught, StudentError):
        advised = advice(caught.kinds, caught.text)
        error = f"{caught}\n{advised}" if advised else str(caught)
        unwritten = _clean(caught.function[:100]) if "NotImplementedError" in caught.kinds else None
        return _Failure(failed, error, unwritten)
    if isinstance(caught, Ended):
        return _Failure(failed, str(caught), ended=True, timed_out=caught.timed_out)
    return _Failure(failed, str(caught))


def checks(exercise: Exercise) -> list[Check]:
    """The specification of an exercise: the check_* functions of its check.py, in order. They are
    made anew each time, as what a student's function changes in place is changed here, too; and
    without runpy, which several threads cannot use at once. Raises JudgeError when there are none.
    """
    made = _checks_of(specifications()[exercise])
    if not made:
        raise JudgeError(f"{exercise.label}: this installation has no checks for it")
    return made


@cache
def specifications() -> dict[Exercise, CodeType]:
    """The check.py of every exercise. All are read, and what they import is imported, when the
    first is needed: a student's code could change those of later exercises. Raises JudgeError."""
    import_module("numpy.ma")  # np.median would, when it is first called
    found = {}
    for exercise in exercises():
        path = exercise.folder / "check.py"
        try:
            found[exercise] = compile(path.read_bytes(), str(path), "exec")
            _checks_of(found[exercise])
        except Exception as error:
            raise JudgeError(f"{path}: cannot be used: {type(error).__name__}: {error}") from error
    return found


def _checks_of(code: CodeType) -> list[Check]:
    names: dict[str, Any] = {"__name__": "check", "__file__": code.co_filename}
    exec(code, names)
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
