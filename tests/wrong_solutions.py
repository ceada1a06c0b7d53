"""The named wrong solutions of the exercises: each is our solution with one mistake."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class WrongSolution(NamedTuple):
    """A mistake's name, part of what the judge must say about it, and a file's text with it."""

    name: str
    says: str
    source: str


def wrong_solutions(folder: Path) -> list[WrongSolution]:
    """All of an exercise: the changes in wrong.toml, each applied to solution.py alone."""
    solution = (folder / "solution.py").read_text("utf-8")
    tables = tomllib.loads((folder / "wrong.toml").read_text("utf-8"))
    return [
        WrongSolution(name, table["says"], changed(solution, table, f"{folder.name}: {name}"))
        for name, table in tables.items()
    ]


def wrong_source(folder: Path, name: str) -> str:
    """The text of the one with this name."""
    return next(wrong.source for wrong in wrong_solutions(folder) if wrong.name == name)


def changed(source: str, table: dict, where: str) -> str:
    """The source with `becomes` in place of `was`: one piece of text each, or a list of pieces.

    Raises ValueError, whose message begins with `where`, if a piece does not occur exactly once
    (which would be ambiguous), or if the table has other keys than says, was and becomes.
    """
    if table.keys() != {"says", "was", "becomes"}:
        raise ValueError(f"{where} has {[*table]}, but should have says, was and becomes")
    for was, becomes in zip(pieces(table["was"]), pieces(table["becomes"]), strict=True):
        if (count := source.count(was)) != 1:
            raise ValueError(f"{where}: the solution has {was!r} {count} times, but should once")
        source = source.replace(was, becomes)
    return source


def pieces(text: str | list[str]) -> list[str]:
    """The pieces as a list."""
    return [text] if isinstance(text, str) else text
