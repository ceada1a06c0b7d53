"""For teachers: a student's whole folder, graded. Nothing in the folder is trusted or changed."""

from pathlib import Path
from typing import Any

from adapters.exercises.catalogue import exercises
from adapters.exercises.check import Wrong
from adapters.exercises.judge import judge, read_source
from adapters.exercises.student import SECONDS
from minibert.errors import InputError


def grade(folder: Path | str, seconds: float = SECONDS) -> dict[str, Any]:
    """Grade every exercise in a folder, each for at most that many seconds.

    -> {"folder", "passed": how many, "of": how many there are, "exercises": [{"exercise": NN_name,
    "title", "passed": bool, "seconds", "failed": the sentence of the specification or None,
    "error": the first error in full or None}]}. The folder's state file does not count. Raises
    InputError when there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    sources = {}  # all files are read before any of them can run
    for exercise in exercises():
        try:
            sources[exercise] = read_source(folder / exercise.file)
        except Wrong:
            continue  # the verdict will say so
    rows = []
    for exercise in exercises():
        verdict = judge(exercise, folder / exercise.file, seconds, sources.get(exercise))
        rows.append({
            "exercise": exercise.label,
            "title": exercise.title,
            "passed": verdict.passed,
            "seconds": round(verdict.seconds, 2),
            "failed": verdict.failed or None,
            "error": verdict.error or None,
        })  # fmt: skip
    passed = sum(bool(row["passed"]) for row in rows)
    return {"folder": str(folder), "passed": passed, "of": len(rows), "exercises": rows}


def grade_table(graded: dict[str, Any]) -> str:
    """What `grade` found, as a table."""
    from tabulate import tabulate

    rows = [
        (row["exercise"], "passed" if row["passed"] else "no", row["seconds"],
         (row["error"] or "").partition("\n")[0])
        for row in graded["exercises"]
    ]  # fmt: skip
    table = tabulate(rows, ("exercise", "", "seconds", "first error"), floatfmt=".1f")
    return f"{graded['folder']}: {graded['passed']} of {graded['of']}\n\n{table}"
