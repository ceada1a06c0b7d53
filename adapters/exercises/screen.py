"""The text that `minibert exercises` shows: verdicts, the list, the progress bar."""

import shlex
import textwrap
from pathlib import Path

from adapters.exercises.catalogue import Exercise, exercises
from adapters.exercises.judge import Verdict
from adapters.exercises.workbook import State, has_passed, has_solutions, to_do

WIDTH = 88
PRINTED_LINES = 20


def progress(done: int, total: int) -> str:
    """A bar: "[######------]  6 of 12"."""
    return f"[{'#' * (2 * done)}{'-' * (2 * (total - done))}]  {done} of {total}"


def command(words: str, folder: Path) -> str:
    """The command to type, ready to be copied: with --in, unless the folder is the current one."""
    folder, here = folder.resolve(), Path.cwd()
    if folder == here:
        return f"minibert exercises {words}"
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    return f"minibert exercises {words} --in {shlex.quote(str(shown))}"


def heading(exercise: Exercise) -> str:
    """What an exercise is about, in two or three lines."""
    facts = f"{exercise.minutes} minutes, difficulty {exercise.difficulty} of 3"
    goal = textwrap.fill(exercise.goal, WIDTH)
    return f"Exercise {exercise.number}: {exercise.title} ({facts})\n{goal}\n"


def explain(verdict: Verdict) -> str:
    """A verdict: the file, what holds, the first thing that does not and why, and what to do
    next."""
    lines = [f"graded  {verdict.path}", "", *(f"  ok   {met}" for met in verdict.met)]
    if verdict.failed and (verdict.written or verdict.met):
        lines += [f"  {'NO  ' if verdict.written else 'next'} {verdict.failed}"]
    if verdict.error and verdict.written:
        lines += ["", *(wrap(line) for line in verdict.error.splitlines())]
    if verdict.printed:
        printed = verdict.printed.splitlines()
        lines += ["", "Your code printed:", *(f"  | {line}" for line in printed[:PRINTED_LINES])]
        lines += ["  | ..."] * (len(printed) > PRINTED_LINES)
    return "\n".join([*lines, *[""] * bool(lines[-1]), _what_next(verdict)])


def _what_next(verdict: Verdict) -> str:
    """What the student should do next."""
    exercise = verdict.exercise
    if verdict.passed:
        return "Passed."
    hint = command(f"hint {exercise.number}", verdict.path.parent)
    if verdict.written:
        return f"Fix it and save. A hint: {hint}"
    name = f"`{verdict.unwritten}`" if verdict.unwritten else "something"
    write = f"write it in place of `raise NotImplementedError`, and save.\nStuck? {hint}"
    if verdict.met:
        return f"So far, so good. Next comes {name}:\n{write}"
    read = f"Read the file (and first the tutorial {exercise.tutorial}),"
    return f"Not written yet: {name}. {read}\n{write}"


def wrap(line: str) -> str:
    """One line of a message, indented and wrapped; lines of code are only indented."""
    return "  " + line if line.startswith("    ") else _fill(line, indent="  ")


def _fill(text: str, indent: str = "") -> str:
    """Text in lines of at most WIDTH characters, with long words, as in code, left whole."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def listing(folder: Path, state: State) -> str:
    """All exercises: which are done, minutes, difficulty, the tutorial to read first."""
    from tabulate import tabulate

    left = to_do(folder, state)
    rows = []
    for exercise in exercises():
        mark = "done" if has_passed(folder, exercise, state) else ""
        mark = "next" if left and exercise is left[0] else mark
        about = (exercise.minutes, "*" * exercise.difficulty, exercise.tutorial)
        rows.append((exercise.number, exercise.title, mark, *about))
    names = ("", "exercise", "", "minutes", "difficulty", "tutorial")
    done = len(exercises()) - len(left)
    return f"{tabulate(rows, names)}\n\n{progress(done, len(exercises()))}"


def hint(exercise: Exercise, level: int, text: str) -> str:
    """One of the hints, under the exercise's heading."""
    return f"{heading(exercise)}\n{_fill(f'Hint {level} of {len(exercise.hints)}: {text}')}"


def finished(folder: Path) -> str:
    """What is shown after the last exercise."""
    if not has_solutions():
        return "All exercises are done."
    return f"All exercises are done. Compare with ours: {command('solution NN', folder)}"
