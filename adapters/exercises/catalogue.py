"""The list of exercises: tutorials/exercises/info.toml and a folder for each."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minibert.errors import InputError


@dataclass(frozen=True)
class Exercise:
    """One exercise, as info.toml describes it. `tutorial`: the script in tutorials/ to read first;
    `minutes`: how long it takes a student who has read it; `difficulty`: 1 to 3; `hints`: three,
    from a nudge to nearly the answer."""

    number: int
    name: str
    title: str
    tutorial: str
    minutes: int
    difficulty: int
    goal: str
    hints: tuple[str, ...]

    @property
    def label(self) -> str:
        """NN_name, the name of its folder."""
        return f"{self.number:02d}_{self.name}"

    @property
    def file(self) -> str:
        """NN_name.py, the name of the student's file."""
        return f"{self.label}.py"

    @property
    def folder(self) -> Path:
        """The folder with its stub, solution and specification."""
        return material() / self.label


def material() -> Path:
    """The folder with all exercises: tutorials/exercises in a checkout, adapters/exercises/material
    in an installed package."""
    package = Path(__file__).parent
    for folder in (package.parents[1] / "tutorials" / "exercises", package / "material"):
        if (folder / "info.toml").exists():
            return folder
    raise FileNotFoundError("this installation has no exercises")


@cache
def exercises() -> tuple[Exercise, ...]:
    """All exercises, in order."""
    tables = tomllib.loads((material() / "info.toml").read_text("utf-8"))["exercise"]
    found = (Exercise(**{**table, "hints": tuple(table["hints"])}) for table in tables)
    return tuple(sorted(found, key=lambda exercise: exercise.number))


def exercise_named(word: str) -> Exercise:
    """The exercise with this number ("5", "05"), name or file ("05_layer_norm_vjp.py"). Raises
    InputError for any other word."""
    plain = Path(word).name.removesuffix(".py")
    for exercise in exercises():
        number = plain.isdecimal() and plain.lstrip("0") == str(exercise.number)
        if number or plain in (exercise.name, exercise.label):
            return exercise
    raise InputError(f"{word}: no such exercise; there are 1 to {len(exercises())}, see list")
