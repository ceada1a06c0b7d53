"""The student's loop: whenever a file is saved it is checked; after a pass comes the next one."""

import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.exercises.assertions import Wrong
from adapters.exercises.catalogue import Exercise, exercises
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
from adapters.output import write_as_it_is

CLEAR = "\x1b[2J\x1b[3J\x1b[H"
MILLISECONDS = 1000  # between two looks at the files if the system reports no changes


def check_file(folder: Path, exercise: Exercise, seconds: float = SECONDS) -> Verdict:
    """Check one file of a student's folder, and remember whether it passed."""
    path = folder.resolve() / exercise.file
    source: bytes | Wrong
    try:
        source = read_source(path)
    except Wrong as why:
        source = why
    verdict = judge(exercise, path, seconds, source)
    version = digest(source) if isinstance(source, bytes) and verdict.passed else ""
    remember_verdict(folder, exercise, version)
    return verdict


def check_all(folder: Path, seconds: float = SECONDS) -> bool:
    """Check every file in order, ignoring what is remembered, up to the first that fails, and show
    the result. -> whether all have passed"""
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
    """Check whatever is saved, until Ctrl-C or until all exercises are done."""
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
            if other is not exercise:  # one that is done, or a later one
                show(folder, check_file(folder, other, seconds), clear=True)
        if exercise in saved and (exercise := _advance(folder, seconds)) is None:
            return


def _advance(folder: Path, seconds: float) -> Exercise | None:
    """Check the exercises that have not passed, in order, until one fails. -> that one, or None
    when all are done"""
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
    """Print the progress bar, what has just passed, and a verdict (None: all are done). `clear`:
    clear the terminal first."""
    state = read_state(folder)
    done = sum(has_passed(folder, exercise, state) for exercise in exercises())
    lines = [f"minibert exercises  {progress(done, len(exercises()))}", ""]
    if passed:
        lines += [*(f"Passed: {v.exercise.title}  ({v.path})" for v in passed), ""]
    lines += [heading(verdict.exercise), explain(verdict)] if verdict else [finished(folder)]
    if clear and sys.stdout.isatty():
        write_as_it_is(CLEAR)
    print("\n".join([*lines, ""]), flush=True)


def _versions(folder: Path) -> dict[str, str]:
    return {exercise.label: digest_file(folder / exercise.file) for exercise in exercises()}
