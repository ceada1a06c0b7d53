"""What is known: verdicts, each for as long as it would be the same again.

A mutant is known by the hash of the changed statement. That it was killed is known until the test
that did it changes; that it survived, until any of its module's tests does. The ledger is a file
with a line for each verdict, written as they come.
"""

import ast
import hashlib
import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from trials import Outcome

COPIED = (
    "minibert",
    "adapters",
    "tests",
    "weights/*.toml",
    "tutorials/exercises",
    "pyproject.toml",
)


class Mutant(NamedTuple):
    """One change to a module's text. `was` and `becomes` are the lines that differ, without their
    indentation; `place` is the function, class or name that they belong to; `key` is the hash of
    that statement with the change made, so it stays when other statements are edited."""

    module: str
    place: str
    was: str
    becomes: str
    text: str
    key: str


def copied(root: Path, copy: Path) -> None:
    """Bring a copy of the project up to date: what is unchanged stays, with its bytecode."""
    found = [p for name in COPIED for p in root.glob(name)]
    sources = {p for top in found for p in ([top] if top.is_file() else top.rglob("*"))}
    sources = {p for p in sources if p.is_file() and "__pycache__" not in p.parts}
    for source in sources:
        target = copy / source.relative_to(root)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for target in [p for p in copy.rglob("*") if p.is_file() and "__pycache__" not in p.parts]:
        if root / target.relative_to(copy) not in sources:
            target.unlink()


class _Alone(ast.NodeTransformer):
    """Takes all tests but one out of a program."""

    def __init__(self, test: str) -> None:
        self.test = test

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef | None:
        return None if node.name.startswith("test_") and node.name != self.test else node


@cache
def program(path: Path, test: str | None = None) -> str:
    """A file as Python reads it, without comments; with `test`, without its other tests."""
    if not path.exists():
        return ""
    tree = ast.parse(path.read_text("utf-8"))
    return ast.dump(tree if test is None else _Alone(test).visit(tree))


class Ledger:
    """The verdicts so far, of this run and all earlier ones."""

    def __init__(self, path: Path, copy: Path, config: dict[str, Any]) -> None:
        self.path, self.copy, self.config = path, copy, config
        self.verdicts: dict[str, dict[str, Any]] = {}
        for line in path.read_text("utf-8").splitlines() if path.exists() else []:
            with suppress(ValueError):  # half a line, of a run that was ended while writing
                entry = json.loads(line)
                self.verdicts[entry.pop("key")] = entry

    def stamp(self, module: str, verdict: str, by: str) -> str:
        """The hash of what a verdict depends on beside the mutant: of one that was killed, the test
        that did it; of any other, all tests of the module."""
        shared = [program(self.copy / name) for name in self.config["shared"]]
        if verdict == "killed":
            path, *_, test = by.partition("[")[0].split("::") if "::" in by else (by, "")
            return hashed([*shared, program(self.copy / path, test)])
        tests = self.config["tests"][module]
        return hashed([*shared, *tests, *(program(self.copy / t.split("::")[0]) for t in tests)])

    def verdict(self, mutant: Mutant) -> str | None:
        """killed, timed out or survived; None when it has to be tried (again)."""
        found = self.verdicts.get(mutant.key)
        if not found or found["stamp"] != self.stamp(mutant.module, found["verdict"], found["by"]):
            return None
        return str(found["verdict"])

    def killer(self, mutant: Mutant) -> str:
        """The test that killed it when it was tried last; "" for none."""
        found = self.verdicts.get(mutant.key, {})
        return str(found["by"]) if found.get("verdict") == "killed" else ""

    def add(self, mutant: Mutant, outcome: Outcome) -> None:
        """Remember an outcome."""
        of_tests = self.stamp(mutant.module, outcome.verdict, outcome.by)
        entry = {"verdict": outcome.verdict, "by": outcome.by, "stamp": of_tests}
        self.verdicts[mutant.key] = entry
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps({"key": mutant.key, **entry}))


def hashed(texts: Iterable[str]) -> str:
    """The hash of these texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
