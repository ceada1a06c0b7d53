"""The exercises there are: tutorials/exercises/info.toml, and the folder of each."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minibert.errors import InputError


@dataclass(frozen=True)
class Exercise:
    """One exercise, as info.toml describes it. `minutes` are a student's who has read `tutorial`, a
    script of tutorials/; `difficulty` is 1 to 3; the three `hints` go from a nudge to nearly the
    answer."""

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
        """NN_name: the name of its folder."""
        return f"{self.number:02d}_{self.name}"

    @property
    def file(self) -> str:
        """NN_name.py: the name of the student's file."""
        return f"{self.label}.py"

    @property
    def folder(self) -> Path:
        """Where its stub, solution and specification are."""
        return material() / self.label


def material() -> Path:
    """The folder with all exercises: tutorials/exercises of a checkout, which an installed package
    carries as adapters/exercises/material."""
    package = Path(__file__).parent
    for folder in (package.parents[1] / "tutorials" / "exercises", package / "material"):
        if (folder / "info.toml").exists():
            return folder
    raise FileNotFoundError("this installation has no exercises")


@cache
def exercises() -> tuple[Exercise, ...]:
    """All of them, in order."""
    tables = tomllib.loads((material() / "info.toml").read_text("utf-8"))["exercise"]
    found = (Exercise(**{**table, "hints": tuple(table["hints"])}) for table in tables)
    return tuple(sorted(found, key=lambda exercise: exercise.number))


def exercise_named(word: str) -> Exercise:
    """The exercise of a number ("5", "05"), a name, or a file ("05_layer_norm_vjp.py"). Raises
    InputError for another."""
    plain = Path(word).name.removesuffix(".py")
    for exercise in exercises():
        number = plain.isdecimal() and int(plain) == exercise.number
        if number or plain in (exercise.name, exercise.label):
            return exercise
    raise InputError(f"{word}: no such exercise; there are 1 to {len(exercises())}, see list")
