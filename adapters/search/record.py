"""What a search has done so far, in a file that it can be resumed from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.files import atomic_write
from minibert.json_files import fitted, read_json

FILE = "search.json"
RUNS = "runs"  # the folder of the configurations' own runs
OF_A_RUN = ("task.safetensors", "checkpoint.safetensors", RUNS)  # no search begins over these


@dataclass(frozen=True)
class Tried:
    """How far a configuration has come: the dev metrics of its epochs, the seconds that they took,
    and what happened if it diverged."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    diverged: str = ""

    @property
    def best(self) -> dict[str, float]:
        """The metrics of the best epoch, by the first of them."""
        first = next(iter(self.epochs[0]))
        return max(self.epochs, key=lambda scores: scores[first])

    @property
    def score(self) -> float:
        """The first metric of the best epoch."""
        return next(iter(self.best.values()))


@dataclass
class Record:
    """What a search has done so far, and its file."""

    path: Path
    about: dict[str, Any]
    tried: list[Tried]

    def note(self, number: int, tried: Tried) -> None:
        """Note how a configuration went."""
        self.tried[number] = tried
        self.write()

    def write(self) -> None:
        """Write the file, atomically."""
        told = {"about": self.about, "tried": [asdict(one) for one in self.tried]}
        atomic_write(self.path, json.dumps(told, indent=1) + "\n")


@dataclass(frozen=True)
class _Written:
    """The form of a search's file."""

    about: dict[str, Any]
    tried: list[Tried]


def run_folder(out: Path, number: int) -> Path:
    """The folder of one configuration's run."""
    return out / RUNS / f"{number:02}"


def opened(path: Path, about: Mapping[str, Any], metrics: Sequence[str], resume: bool) -> Record:
    """The record of a new search, or of the one to be resumed, whose epochs have these metrics.
    Raises InputError for a folder that holds a search and is not to be resumed, or holds another,
    or something else that a search would overwrite."""
    about = dict(json.loads(json.dumps(about)))
    if not path.exists():
        for name in OF_A_RUN:
            if (path.parent / name).exists():
                raise InputError(
                    f"{path.parent}: has {name} of something else; choose another --out"
                )
        new = Record(path, about, [Tried()] * len(about["configurations"]))
        new.write()
        return new
    if not resume:
        raise InputError(
            f"{path.parent}: already holds a search; continue it with --resume, or choose another "
            "--out"
        )
    written: _Written = fitted(_Written, read_json(path), f"{path}: is damaged")
    for name, value in about.items():
        if written.about.get(name) != value:
            raise InputError(f"{path}: is of another search: {name} differs; resume with the same")
    scores = [epoch for one in written.tried for epoch in one.epochs]
    fits = all(list(epoch) == list(metrics) for epoch in scores)
    if len(written.tried) != len(about["configurations"]) or not fits:
        raise InputError(f"{path}: is damaged: its runs do not fit its configurations")
    return Record(path, about, written.tried)
