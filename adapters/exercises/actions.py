"""`minibert exercises ACTION ...`: what each action does. Each returns the exit code."""

import argparse
import json
import shlex
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from adapters.exercises.catalogue import Exercise, exercise_named, exercises
from adapters.exercises.class_table import as_text, check_format, class_table, write_table
from adapters.exercises.grade import grade_all, grade_table
from adapters.exercises.screen import command, explain, finished, heading, hint, listing
from adapters.exercises.student import check_seconds
from adapters.exercises.watch import check_all, check_file, watch
from adapters.exercises.workbook import (
    leave_out_solutions,
    next_hint,
    read_state,
    reset,
    solution,
    start,
    to_do,
)
from minibert.errors import InputError, check_at_most, shown
from minibert.machine.threads import MOST_THREADS
from minibert.start_folder import leave_out


def run(options: argparse.Namespace) -> int:
    """Do what the words say: an action and what it acts on; or watch a folder, by default this
    one. Raises InputError for words that make no sense."""
    words = list(options.words)
    action = words.pop(0) if words and words[0] in ACTIONS else "watch"
    check_seconds(options.seconds)
    if options.once and action != "watch":
        raise InputError(f"--once cannot be used with {action}")
    if options.json and action != "grade":
        raise InputError("--json can only be used with grade")
    if (options.table or options.workers is not None) and action != "grade":
        option = "--table" if options.table else "--workers"
        raise InputError(f"{option} can only be used with grade")
    if options.no_solutions and action != "start":
        raise InputError("--no-solutions can only be used with start")
    return ACTIONS[action](options, words)


def _watch(options: argparse.Namespace, words: list[str]) -> int:
    if options.folder and words:
        raise InputError(f"give the folder once, not {options.folder} and {words[0]}")
    if words and not Path(words[0]).is_dir():
        raise InputError(f"{words[0]}: neither a folder nor one of {', '.join(ACTIONS)}")
    folder = Path(_one(words, "the folder") or options.folder or ".")
    read_state(folder)
    if options.once:
        return 0 if check_all(folder, options.seconds) else 1
    try:
        watch(folder, options.seconds)
    except KeyboardInterrupt:
        print("\nUntil next time. What has passed is remembered.")
    return 0


def _start(options: argparse.Namespace, words: list[str]) -> int:
    folder = Path(_one(words, "the folder") or options.folder or "")
    if not (words or options.folder):
        raise InputError("start needs a folder: minibert exercises start DIR")
    if options.no_solutions:
        removed = leave_out_solutions()
        print(f"solutions left out of this installation: {removed} files removed")
    copied, kept = start(folder)
    if copied and kept:
        print(f"kept as they were: {', '.join(path.name for path in kept)}")
    many = f"{len(copied)} file{'s' * (len(copied) != 1)} copied to {folder}"
    print(many if copied else f"{folder} already has them; nothing was changed")
    print(f"now: minibert exercises {shlex.quote(str(folder))}")
    return 0


def _list(options: argparse.Namespace, words: list[str]) -> int:
    if words:
        raise InputError(f"list takes no {words[0]!r}; give the folder with --in")
    folder = _folder(options)
    print(listing(folder, read_state(folder)))
    return 0


def _hint(options: argparse.Namespace, words: list[str]) -> int:
    named, folder = _exercise(words), _folder(options)
    exercise = named or _next(folder)
    print(hint(exercise, *next_hint(folder, exercise)))
    return 0


def _check(options: argparse.Namespace, words: list[str]) -> int:
    named, folder = _exercise(words), _folder(options)
    exercise = named or _next(folder)
    verdict = check_file(folder, exercise, options.seconds)
    print(f"{heading(exercise)}\n{explain(verdict)}")
    if not verdict.passed:
        return 1
    left = to_do(folder, read_state(folder))
    print(f"Next: exercise {left[0].number}, {folder / left[0].file}" if left else finished(folder))
    return 0


def _reset(options: argparse.Namespace, words: list[str]) -> int:
    exercise, folder = _exercise(words), _folder(options)
    if exercise is None:
        raise InputError("reset needs the exercise's number: minibert exercises reset NN")
    kept = reset(folder, exercise)
    print(f"{folder / exercise.file} is the stub" + (f" again; yours is {kept}" if kept else ""))
    return 0


def _solution(options: argparse.Namespace, words: list[str]) -> int:
    exercise, folder = _exercise(words), _folder(options)
    if exercise is None:
        raise InputError("solution needs the exercise's number: minibert exercises solution NN")
    text = solution(folder, exercise)
    if text is None:
        print(f"Exercise {exercise.number} has not passed yet. Ask again to see its solution")
        print(f"anyway, or take a hint: {command(f'hint {exercise.number}', folder)}")
        return 1
    print(text, end="")
    return 0


def _grade(options: argparse.Namespace, words: list[str]) -> int:
    from joblib import cpu_count  # which knows a container's quota

    folders = words or ([options.folder] if options.folder else [])
    if not folders:
        raise InputError("grade needs a folder: minibert exercises grade DIR")
    for folder in folders:
        if not Path(folder).is_dir():  # checked for all of them before the first is graded
            raise InputError(f"{folder}: there is no such folder")
    if options.table:
        check_format(options.table)
    workers = cpu_count() if options.workers is None else options.workers
    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {shown(workers)}")
    check_at_most("--workers", workers, MOST_THREADS)
    for folder in folders:
        leave_out(folder)
    import_module("tabulate")  # once students' code has run, nothing is imported any more
    all_graded = []
    for graded in grade_all(folders, options.seconds, min(workers, len(folders))):
        print(json.dumps(graded) if options.json else grade_table(graded) + "\n", flush=True)
        all_graded.append(graded)
    table = class_table(all_graded)
    if len(folders) > 1 and not options.json:
        print(as_text(table))
    if options.table:
        write_table(options.table, table)
    return 0


def _one(words: list[str], what: str) -> str | None:
    """The only word, or None if there is none. `what` it should be, for the message."""
    if len(words) > 1 and words[1] in ACTIONS:
        raise InputError(f"{words[1]} comes first: minibert exercises {words[1]} --in {words[0]}")
    if len(words) > 1 and Path(words[1]).is_dir():
        raise InputError(f"give only {what}; for the folder: --in {words[1]}")
    if len(words) > 1:
        raise InputError(f"give only {what}, without {words[1]!r}")
    return words[0] if words else None


def _exercise(words: list[str]) -> Exercise | None:
    word = _one(words, "the exercise's number")
    return exercise_named(word) if word else None


def _next(folder: Path) -> Exercise:
    """The first exercise that has not passed; the last if all have."""
    left = to_do(folder, read_state(folder))
    return left[0] if left else exercises()[-1]


def _folder(options: argparse.Namespace) -> Path:
    folder = Path(options.folder or ".")
    read_state(folder)
    return folder


ACTIONS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "watch": _watch,
    "start": _start,
    "list": _list,
    "hint": _hint,
    "check": _check,
    "reset": _reset,
    "solution": _solution,
    "grade": _grade,
}
