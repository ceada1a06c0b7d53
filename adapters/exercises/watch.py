"""The student's loop: a file is saved, it is checked, and after a pass comes the next."""

import sys
from pathlib import Path

from adapters.exercises.catalogue import Exercise, exercises
from adapters.exercises.check import Wrong
from adapters.exercises.judge import Verdict, judge, read_source
from adapters.exercises.screen import explain, finished, heading, progress
from adapters.exercises.student import SECONDS
from adapters.exercises.workbook import digest, digest_file, read_state, remember_verdict, to_do

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


def check_all(folder: Path, seconds: float = SECONDS) -> Verdict | None:
    """Check every file in order, whatever is remembered. -> the first verdict that is no pass, or
    None"""
    for exercise in exercises():
        verdict = check_file(folder, exercise, seconds)
        if not verdict.passed:
            return verdict
    return None


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
                _show(folder, check_file(folder, other, seconds))
        if exercise in saved and (exercise := _advance(folder, seconds)) is None:
            return


def _advance(folder: Path, seconds: float) -> Exercise | None:
    """Check from the first exercise that has not passed on, until one does not pass. -> that one,
    or None when all are done"""
    passed: list[Verdict] = []
    while left := to_do(folder, read_state(folder)):
        verdict = check_file(folder, left[0], seconds)
        if not verdict.passed:
            _show(folder, verdict, passed)
            return left[0]
        passed.append(verdict)
    _print_page(folder, [*(f"Passed: {v.exercise.title}." for v in passed), finished()])
    return None


def _show(folder: Path, verdict: Verdict, passed: list[Verdict] | None = None) -> None:
    lines = [f"Passed: {v.exercise.title}  ({v.path})" for v in passed or []]
    _print_page(folder, [*lines, *[""] * bool(lines), heading(verdict.exercise), explain(verdict)])


def _print_page(folder: Path, lines: list[str]) -> None:
    """A fresh screen with the progress bar, or on no terminal just more lines."""
    done = len(exercises()) - len(to_do(folder, read_state(folder)))
    page = "\n".join([f"minibert exercises  {progress(done, len(exercises()))}", "", *lines, ""])
    print(f"{CLEAR if sys.stdout.isatty() else ''}{page}", flush=True)


def _versions(folder: Path) -> dict[str, str]:
    return {exercise.label: digest_file(folder / exercise.file) for exercise in exercises()}
