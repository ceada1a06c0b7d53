"""The student's loop: a file is saved, it is checked, and after a pass comes the next."""

import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.exercises.catalogue import Exercise, exercises
from adapters.exercises.check import Wrong
from adapters.exercises.judge import Verdict, judge, read_source
from adapters.exercises.screen import explain, finished, heading, progress
from adapters.exercises.student import SECONDS
from adapters.exercises.workbook import (
    digest,
    digest_file,
    has_passed,
    read_state,
    remember_verdict,
    to_do,
)

CLEAR = "\x1b[2J\x1b[3J\x1b[H"
MILLISECONDS = 1000  # between two looks at the files where the system tells of no change


def check_file(folder: Path, exercise: Exercise, seconds: float = SECONDS) -> Verdict:
    """Check one file of a student's folder, and remember whether it passed."""
    path = folder.resolve() / exercise.file
    try:
        source = read_source(path)
    except Wrong:
        source = None  # the verdict says why
    verdict = judge(exercise, path, seconds, source)
    remember_verdict(folder, exercise, digest(source) if source and verdict.passed else "")
    return verdict


def check_all(folder: Path, seconds: float = SECONDS) -> bool:
    """Check every file in order, whatever is remembered, up to the first that does not pass, and
    show what was found. -> whether all have passed"""
    passed: list[Verdict] = []
    for exercise in exercises():
        verdict = check_file(folder, exercise, seconds)
        if not verdict.passed:
            show(folder, verdict, passed)
            return False
        passed.append(verdict)
    show(folder, None, passed)
    return True


def watch(folder: Path, seconds: float = SECONDS) -> None:
    """Check what is saved, until Ctrl-C or until all is done."""
    from watchfiles import watch as changes

    before = _versions(folder)
    exercise = _advance(folder, seconds)
    if exercise is None:
        return
    for _ in changes(
        folder, recursive=False, rust_timeout=MILLISECONDS, yield_on_timeout=True, debounce=200
    ):
        now = _versions(folder)
        saved = [e for e in exercises() if now[e.label] != before[e.label] and now[e.label]]
        before = now
        for other in saved:
            if other is not exercise:  # one that was done, or one ahead
                show(folder, check_file(folder, other, seconds), clear=True)
        if exercise in saved and (exercise := _advance(folder, seconds)) is None:
            return


def _advance(folder: Path, seconds: float) -> Exercise | None:
    """Check from the first exercise that has not passed on, until one does not pass. -> that one,
    or None when all are done"""
    passed: list[Verdict] = []
    while left := to_do(folder, read_state(folder)):
        verdict = check_file(folder, left[0], seconds)
        if not verdict.passed:
            show(folder, verdict, passed, clear=True)
            return left[0]
        passed.append(verdict)
    show(folder, None, passed, clear=True)
    return None


def show(
    folder: Path, verdict: Verdict | None, passed: Sequence[Verdict] = (), clear: bool = False
) -> None:
    """Print a page, on a terminal with `clear` a fresh screen: the progress bar, what has just
    passed, and a verdict; None: all is done."""
    state = read_state(folder)
    done = sum(has_passed(folder, exercise, state) for exercise in exercises())
    lines = [f"minibert exercises  {progress(done, len(exercises()))}", ""]
    if passed:
        lines += [*(f"Passed: {v.exercise.title}  ({v.path})" for v in passed), ""]
    lines += [heading(verdict.exercise), explain(verdict)] if verdict else [finished(folder)]
    print(CLEAR if clear and sys.stdout.isatty() else "", end="")
    print("\n".join([*lines, ""]), flush=True)


def _versions(folder: Path) -> dict[str, str]:
    return {exercise.label: digest_file(folder / exercise.file) for exercise in exercises()}
