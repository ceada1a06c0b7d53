"""The named wrong solutions of the exercises: each is ours with one mistake, a changed text."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class WrongSolution(NamedTuple):
    """A mistake, a part of what the judge must say of it, and the text of a file that has it."""

    name: str
    says: str
    source: str


def wrong_solutions(folder: Path) -> list[WrongSolution]:
    """All of an exercise's folder: the changes of wrong.toml, each made in solution.py alone."""
    solution = (folder / "solution.py").read_text("utf-8")
    tables = tomllib.loads((folder / "wrong.toml").read_text("utf-8"))
    return [
        WrongSolution(name, table["says"], changed(solution, table, f"{folder.name}: {name}"))
        for name, table in tables.items()
    ]


def wrong_source(folder: Path, name: str) -> str:
    """The text of one of them."""
    return next(wrong.source for wrong in wrong_solutions(folder) if wrong.name == name)


def changed(source: str, table: dict, where: str) -> str:
    """The source with `becomes` in place of `was`: one piece of text each, or a list of pieces.

    `where` begins the error's message. ValueError: a piece does not occur exactly once (so it
    would not be clear what is changed), or the table has other keys than says, was and becomes.
    """
    if table.keys() != {"says", "was", "becomes"}:
        raise ValueError(f"{where} has {[*table]}, but should have says, was and becomes")
    for was, becomes in zip(pieces(table["was"]), pieces(table["becomes"]), strict=True):
        if (count := source.count(was)) != 1:
            raise ValueError(f"{where}: the solution has {was!r} {count} times, but should once")
        source = source.replace(was, becomes)
    return source


def pieces(text: str | list[str]) -> list[str]:
    """Always a list."""
    return [text] if isinstance(text, str) else text
