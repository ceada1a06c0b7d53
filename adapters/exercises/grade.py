"""For teachers: grades students' whole folders. Nothing in them is trusted, and nothing changed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.exercises.assertions import Wrong
from adapters.exercises.catalogue import Exercise, exercises
from adapters.exercises.judge import Verdict, judge, read_source, specifications
from adapters.exercises.student import SECONDS
from minibert.errors import InputError

TIME_OUTS = 2  # after that many, the rest of a folder is not run


def grade(folder: Path | str, seconds: float = SECONDS) -> dict[str, Any]:
    """Grade every exercise in a folder, each within that many seconds. After two that run out of
    time, the others are not run.

    -> {"folder", "passed": how many, "of": how many there are, "credit": the sum of theirs,
    "exercises": [{"exercise": NN_name, "title", "passed": bool, "credit": the share of the checks
    that hold, "seconds", "failed": the first sentence of the specification that does not hold or
    None, "error": the first error in full or None}]}. The folder's state file is ignored. Raises
    InputError when there is no such folder, and JudgeError, an InputError, where the judge itself
    cannot work: there is no grade then.
    """
    return _graded(_read(Path(folder)), seconds)


@dataclass(frozen=True)
class _HandedIn:
    """A student's folder, and each file as it was before any was run, or why it cannot be read."""

    folder: Path
    sources: dict[Exercise, bytes | Wrong]


def _read(folder: Path) -> _HandedIn:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    sources: dict[Exercise, bytes | Wrong] = {}
    for exercise in exercises():
        try:
            sources[exercise] = read_source(folder / exercise.file)
        except Wrong as why:
            sources[exercise] = why
    return _HandedIn(folder, sources)


def _graded(handed_in: _HandedIn, seconds: float) -> dict[str, Any]:
    folder = handed_in.folder
    rows: list[dict[str, Any]] = []
    time_outs = 0
    for exercise in exercises():
        if time_outs < TIME_OUTS:
            path, source = folder / exercise.file, handed_in.sources[exercise]
            verdict = judge(exercise, path, seconds, source, every=True)
            time_outs += verdict.timed_out
            rows.append(_row(verdict))
        else:
            rows.append(_not_run(exercise))
    passed = sum(bool(row["passed"]) for row in rows)
    credit = round(sum(row["credit"] for row in rows), 2)
    return {
        "folder": str(folder),
        "passed": passed,
        "of": len(rows),
        "credit": credit,
        "exercises": rows,
    }


def grade_all(
    folders: Sequence[Path | str], seconds: float = SECONDS, workers: int = 1
) -> Iterator[dict[str, Any]]:
    """Grade several folders, `workers` at a time. -> what `grade` returns for each, in order.

    All files, the students' and the exercises', are read before any of them runs, as one might
    change the others. Threads are enough: each student's file runs in a process of its own, and the
    judge waits.
    """
    specifications()
    all_handed_in = [_read(Path(folder)) for folder in folders]
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda handed_in: _graded(handed_in, seconds), all_handed_in)


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "exercise": verdict.exercise.label,
        "title": verdict.exercise.title,
        "passed": verdict.passed,
        "credit": round(len(verdict.met) / verdict.of, 2),
        "seconds": round(verdict.seconds, 2),
        "failed": verdict.failed or None,
        "error": verdict.error or None,
    }


def _not_run(exercise: Exercise) -> dict[str, Any]:
    return {
        "exercise": exercise.label,
        "title": exercise.title,
        "passed": False,
        "credit": 0.0,
        "seconds": 0.0,
        "failed": None,
        "error": f"not run: {TIME_OUTS} exercises before it ran out of time",
    }


def grade_table(graded: dict[str, Any]) -> str:
    """The result of `grade` as a table."""
    from tabulate import tabulate

    rows = []
    for row in graded["exercises"]:
        first_error = (row["error"] or "").partition("\n")[0]
        passed = "passed" if row["passed"] else "no"
        rows.append((row["exercise"], passed, row["credit"], row["seconds"], first_error))
    names = ("exercise", "", "credit", "seconds", "first error")
    table = tabulate(rows, names, floatfmt=("", "", ".2f", ".1f", ""))
    return f"{graded['folder']}: {graded['passed']} of {graded['of']}\n\n{table}"
