"""Where a run stands, written to its checkpoint file and read back."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minibert.errors import InputError, brief, shown
from minibert.json_files import fitted, parse_json
from minibert.tensors import (
    LARGEST_HEADER,
    as_stored,
    content_sha256,
    read_safetensors,
    write_safetensors,
)
from minibert.training.optim import Leaves, adam_start

GROUPS = ("first", "second", "now", "best")  # of a checkpoint's tensors


@dataclass(frozen=True)
class State:
    """Where a run stands after `step` steps: all that resuming needs. Never modified, only
    replaced, so that Ctrl-C always finds it consistent."""

    leaves: Leaves
    adam: dict[str, Any]
    best: Leaves
    losses: list[float] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """The number of finished steps."""
        return int(self.adam["step"])

    @property
    def results(self) -> dict[str, float]:
        """The scores of the best epoch, by the first of them, with its number, "epoch", from 1."""
        first = next(iter(self.epochs[0]))
        best = max(range(len(self.epochs)), key=lambda i: self.epochs[i][first])
        return {**self.epochs[best], "epoch": best + 1}

    def has_stalled(self, epochs: int | None) -> bool:
        """Whether this many epochs in turn have not raised the best score."""
        if epochs is None or not self.epochs:
            return False
        return len(self.epochs) - int(self.results["epoch"]) >= epochs


@dataclass(frozen=True)
class Checkpoint:
    """A run's checkpoint file. `about` identifies the run; a checkpoint of another run is refused.

    resume: start from the file if it is there. seconds: the time between writes, besides one at
    each epoch's end. unsaid: defaults for keys of `about` that older files lack. scores: the names
    of each epoch's scores, where they are known.
    """

    path: Path
    about: dict[str, Any]
    resume: bool = False
    seconds: float = 60.0
    unsaid: dict[str, Any] = field(default_factory=dict)
    scores: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Log:
    """What a checkpoint says beside its tensors. Earlier versions wrote no sha256."""

    step: int
    losses: list[float]
    epochs: list[dict[str, float]]
    about: dict[str, Any]
    sha256: str = ""


def start(leaves: Leaves, checkpoint: Checkpoint | None) -> State:
    """The state to begin with: before the first step, or the checkpoint's where one is to be
    resumed. Raises InputError as `load_state` does."""
    if checkpoint and checkpoint.resume and checkpoint.path.exists():
        return load_state(checkpoint, leaves)
    return State(leaves, adam_start(leaves), leaves)


def save_state(checkpoint: Checkpoint, state: State) -> None:
    """Write a checkpoint, atomically."""
    groups = {
        "now": state.leaves,
        "best": state.best,
        "first": state.adam["first"],
        "second": state.adam["second"],
    }
    tensors = {
        f"{group}/{p}": as_stored(p, a)
        for group, leaves in groups.items()
        for p, a in leaves.items()
    }
    about = checkpoint.about
    log = {"step": state.step, "losses": state.losses, "epochs": state.epochs, "about": about}
    log["sha256"] = content_sha256(log, tensors)
    write_safetensors(checkpoint.path, tensors, {"run": json.dumps(log)})


def load_state(checkpoint: Checkpoint, like: Leaves) -> State:
    """Read a checkpoint of the leaves `like`. Raises InputError, naming the option, when it is of
    another run, and naming what is wrong when it is damaged."""
    path = checkpoint.path
    tensors, metadata = read_safetensors(path)
    if "run" not in metadata:
        raise InputError(f"{path}: is no training checkpoint")
    where = f"{path}: is damaged: its log"
    said = parse_json(metadata["run"], where, LARGEST_HEADER)
    log: _Log = fitted(_Log, said, where)
    promised = said.pop("sha256", None)
    if promised is not None and promised != content_sha256(said, tensors):
        raise InputError(f"{path}: is damaged: its sha256 is not the one that it promises")
    _check_same_run(checkpoint, {**checkpoint.unsaid, **log.about})
    names = {tuple(scores) for scores in log.epochs}
    known = {checkpoint.scores} if checkpoint.scores else names
    if len(log.losses) != log.step or len(names) > 1 or () in names or not names <= known:
        raise InputError(f"{path}: is damaged: its steps, losses and epochs do not fit")
    groups = {name: _group(path, tensors, name, like) for name in GROUPS}
    if extra := tensors.keys() - {f"{name}/{p}" for name in GROUPS for p in like}:
        raise InputError(f"{path}: has {shown(min(extra))}, which is not trained")
    if any((values < 0).any() for values in groups["second"].values()):
        raise InputError(f"{path}: is damaged: a mean of squares is negative")
    adam = {"step": log.step, "first": groups["first"], "second": groups["second"]}
    return State(groups["now"], adam, groups["best"], log.losses, log.epochs)


def _check_same_run(checkpoint: Checkpoint, theirs: dict[str, Any]) -> None:
    for name, value in json.loads(json.dumps(checkpoint.about)).items():
        if theirs.get(name) != value:
            how = "resume with the same options"
            if name == "epochs":
                how = (
                    "the learning rate falls to 0 over all epochs, so a run cannot be lengthened; "
                    "resume with the same epochs, or train anew in another folder"
                )
            raise InputError(
                f"{checkpoint.path}: was made with {name} {brief(repr(theirs.get(name)))}, not "
                f"{brief(repr(value))}; {how}"
            )


def _group(path: Path, tensors: Leaves, group: str, like: Leaves) -> Leaves:
    """The tensors of a group, one for each of the leaves `like`, of the same shape and type."""
    found = {}
    for p, leaf in like.items():
        name = f"{group}/{p}"
        if name not in tensors:
            raise InputError(f"{path}: lacks {name}")
        values = np.array(as_stored(p, tensors[name]))
        if values.shape != leaf.shape:
            raise InputError(f"{path}: {name} has shape {values.shape}, not {leaf.shape}")
        if values.dtype != leaf.dtype:
            raise InputError(f"{path}: {name} is of type {values.dtype}, not {leaf.dtype}")
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {name} has values that are NaN or infinite")
        found[p] = values
    return found


def check_place(checkpoint: Checkpoint, state: State, per_epoch: int, steps: int) -> None:
    """Raises InputError for a state that is beyond the run's `steps`, or has another number of
    scored epochs than its step says (one less at an epoch's end, which is scored next)."""
    done, rest = divmod(state.step, per_epoch)
    scored = len(state.epochs)
    if not 0 <= state.step <= steps or not (scored == done or (scored == done - 1 and rest == 0)):
        raise InputError(
            f"{checkpoint.path}: is damaged: {state.step} of {steps} steps and {scored} epochs"
        )
