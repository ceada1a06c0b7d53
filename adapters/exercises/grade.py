"""For teachers: grades a student's whole folder. Nothing in it is trusted, and nothing changed."""

from pathlib import Path
from typing import Any

from adapters.exercises.assertions import Wrong
from adapters.exercises.catalogue import exercises
from adapters.exercises.judge import Verdict, judge, read_source
from adapters.exercises.student import SECONDS
from minibert.errors import InputError


def grade(folder: Path | str, seconds: float = SECONDS) -> dict[str, Any]:
    """Grade every exercise in a folder, each within that many seconds.

    -> {"folder", "passed": how many, "of": how many there are, "exercises": [{"exercise": NN_name,
    "title", "passed": bool, "seconds", "failed": the sentence of the specification or None,
    "error": the first error in full or None}]}. The folder's state file is ignored. Raises
    InputError when there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    sources = {}  # all files are read before any of them is run, as one might change the others
    for exercise in exercises():
        try:
            sources[exercise] = read_source(folder / exercise.file)
        except Wrong:
            continue  # the verdict will say why
    rows = [
        _row(judge(exercise, folder / exercise.file, seconds, sources.get(exercise)))
        for exercise in exercises()
    ]
    passed = sum(bool(row["passed"]) for row in rows)
    return {"folder": str(folder), "passed": passed, "of": len(rows), "exercises": rows}


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "exercise": verdict.exercise.label,
        "title": verdict.exercise.title,
        "passed": verdict.passed,
        "seconds": round(verdict.seconds, 2),
        "failed": verdict.failed or None,
        "error": verdict.error or None,
    }


def grade_table(graded: dict[str, Any]) -> str:
    """The result of `grade` as a table."""
    from tabulate import tabulate

    rows = []
    for row in graded["exercises"]:
        first_error = (row["error"] or "").partition("\n")[0]
        passed = "passed" if row["passed"] else "no"
        rows.append((row["exercise"], passed, row["seconds"], first_error))
    table = tabulate(rows, ("exercise", "", "seconds", "first error"), floatfmt=".1f")
    return f"{graded['folder']}: {graded['passed']} of {graded['of']}\n\n{table}"
