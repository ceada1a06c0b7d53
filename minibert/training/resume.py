"""Where a run stands, written to its checkpoint file and read back."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minibert.errors import InputError
from minibert.tensors import as_stored, read_safetensors, write_safetensors
from minibert.training.optim import Leaves, adam_start


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
    each epoch's end. unsaid: defaults for keys of `about` that older files lack.
    """

    path: Path
    about: dict[str, Any]
    resume: bool = False
    seconds: float = 60.0
    unsaid: dict[str, Any] = field(default_factory=dict)


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
    write_safetensors(checkpoint.path, tensors, {"run": json.dumps(log)})


def load_state(checkpoint: Checkpoint, like: Leaves) -> State:
    """Read a checkpoint of the leaves `like`. Raises InputError, naming the option, when it is of
    another run."""
    path = checkpoint.path
    tensors, metadata = read_safetensors(path)
    try:
        log = json.loads(metadata["run"])
        theirs = {**checkpoint.unsaid, **log["about"]}
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"{path}: is no training checkpoint") from None
    for name, value in json.loads(json.dumps(checkpoint.about)).items():
        if theirs.get(name) != value:
            how = "resume with the same options"
            if name == "epochs":
                how = (
                    "the learning rate falls to 0 over all epochs, so a run cannot be lengthened; "
                    "resume with the same epochs, or train anew in another folder"
                )
            raise InputError(
                f"{path}: was made with {name} {theirs.get(name)!r}, not {value!r}; {how}"
            )

    def group(name: str) -> Leaves:
        found = {p: np.array(as_stored(p, tensors[f"{name}/{p}"])) for p in like}
        for p, leaf in found.items():
            if leaf.shape != like[p].shape:
                raise InputError(f"{path}: {name}/{p} has shape {leaf.shape}, not {like[p].shape}")
        return found

    try:
        moments = {"first": group("first"), "second": group("second")}
        step, losses, epochs = log["step"], log["losses"], log["epochs"]
        sound = type(step) is int and isinstance(losses, list) and len(losses) == step
        sound = sound and all(isinstance(loss, float | int) for loss in losses)
        if not sound or not all(isinstance(scores, dict) and scores for scores in epochs):
            raise InputError(f"{path}: is damaged: its steps, losses and epochs do not fit")
        return State(group("now"), {"step": step, **moments}, group("best"), losses, epochs)
    except KeyError as error:
        raise InputError(f"{path}: lacks {error.args[0]}") from None
    except TypeError:
        raise InputError(f"{path}: is damaged: its epochs are no list") from None
