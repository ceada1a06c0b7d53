"""The training loop: batches, steps, the best epoch, checkpoints and resuming.

It knows nothing of BERT or adapters: it is given named arrays to train, a loss of them, and a
way to score them. All randomness comes from one seed, through generators that are keyed by what
they are for and when (epoch's order, step's and shard's dropout). So a resumed run draws what the
uninterrupted run would have drawn, and continues to the same bits.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minibert.errors import InputError
from minibert.machine.threads import thread_count
from minibert.tensors import as_stored, read_safetensors, write_safetensors
from minibert.training.optim import (
    Adam,
    Leaves,
    adam_start,
    adam_step,
    clip_global_norm,
    global_norm,
    warm_up_then_decay,
)
from minibert.training.shards import batch_gradients

ORDER, DROPOUT, INIT, SUBSET = range(4)  # what a generator is for


@dataclass(frozen=True)
class Settings:
    """A run's own numbers. `rate` is the peak of the learning rate."""

    rate: float = 1e-3
    epochs: int = 3
    batch_size: int = 32
    seed: int = 0
    warm_up: float = 0.1
    rebased: bool = True
    adam: Adam = field(default_factory=Adam)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise InputError(f"the learning rate must be positive, not {self.rate}")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, not {self.seed}")


@dataclass(frozen=True)
class State:
    """Where a run stands after `step` steps: all that resuming needs. Never changed, only replaced
    by the next one, so that Ctrl-C at any moment finds it whole."""

    leaves: Leaves
    adam: dict[str, Any]
    best: Leaves
    losses: list[float] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """The number of finished steps."""
        return int(self.adam["step"])


@dataclass(frozen=True)
class Report:
    """What the progress callback is told after every step and every epoch."""

    step: int
    total: int
    epoch: int
    loss: float
    tokens: int
    seconds: float
    scores: dict[str, float] | None = None


class Interrupted(Exception):
    """Ctrl-C came; the state is saved."""


def generator(seed: int, purpose: int, *numbers: int) -> np.random.Generator:
    """The random generator of a purpose, at a step (and shard) or epoch, of the run with that
    seed."""
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, *numbers))
    return np.random.Generator(np.random.SFC64(sequence))


def epoch_batches(examples: int, settings: Settings, epoch: int) -> list[np.ndarray]:
    """One epoch's batches: example numbers in an order of the epoch's own."""
    order = generator(settings.seed, ORDER, epoch).permutation(examples)
    return [order[i : i + settings.batch_size] for i in range(0, examples, settings.batch_size)]


def schedule(settings: Settings, examples: int) -> Iterator[tuple[int, int, np.ndarray, float]]:
    """All steps of a run: (step, epoch, the batch's example numbers, learning rate)."""
    per_epoch = math.ceil(examples / settings.batch_size)
    total = per_epoch * settings.epochs
    warm_up = round(settings.warm_up * total)
    for epoch in range(settings.epochs):
        for i, batch in enumerate(epoch_batches(examples, settings, epoch)):
            step = epoch * per_epoch + i
            factor = warm_up_then_decay(step, total, warm_up, settings.rebased)
            yield step, epoch, batch, settings.rate * factor


def fit(
    leaves: Leaves,
    loss: Callable[[Leaves, np.ndarray, np.random.Generator], Any],
    score: Callable[[Leaves], dict[str, float]],
    lengths: Sequence[int],
    settings: Settings,
    *,
    folder: Path | None = None,
    identity: dict[str, Any] | None = None,
    resume: bool = False,
    on_best: Callable[[State], None] = lambda state: None,
    on_report: Callable[[Report], None] = lambda report: None,
    checkpoint_seconds: float = 60.0,
    threads: int | None = None,
) -> State:
    """Train `leaves` by Adam; the best epoch by the first of the scores is kept in `best`.

    loss(leaves, batch, rng) is differentiated, shard by shard, on `threads` threads (default: one
    a core; any number gives the same bits); `lengths` are the examples' token counts. With a
    folder, `checkpoint.safetensors` there holds the state after every epoch and at least once a
    minute; `identity` is stored with it, and resuming under another one is refused. Raises
    Interrupted after Ctrl-C with the state saved, InputError when the loss is no longer finite (the
    last good checkpoint stays).
    """
    path = folder / "checkpoint.safetensors" if folder else None
    about = {**(identity or {}), **asdict(settings), "examples": len(lengths)}
    state = State(leaves, adam_start(leaves), leaves)
    if resume and path is not None and path.exists():
        state = load_state(path, leaves, about)
    threads = thread_count(threads)
    steps = list(schedule(settings, len(lengths)))
    per_epoch = len(steps) // settings.epochs
    sizes = np.asarray(lengths)
    saved_at = time.monotonic()
    try:
        if state.step // per_epoch > len(state.epochs):  # it was stopped while scoring an epoch
            state = finish_epoch(state, score(state.leaves), on_best)
            if path:
                save_state(path, state, about)
        for step, epoch, batch, rate in steps[state.step :]:
            started = time.perf_counter()
            dropout = partial(generator, settings.seed, DROPOUT, step)
            value, grads = batch_gradients(loss, state.leaves, batch, sizes, dropout, threads)
            with np.errstate(over="ignore", invalid="ignore"):
                norm = global_norm(grads)
            if not (math.isfinite(value) and math.isfinite(norm)):
                raise InputError(
                    f"the loss is no longer finite at step {step + 1} (epoch {epoch + 1}): "
                    f"learning rate {settings.rate:g} diverges; "
                    + ("the best epoch so far is kept" if state.epochs else "nothing was kept")
                )
            grads = clip_global_norm(grads, norm, settings.adam.clip)
            new_leaves, new_adam = adam_step(
                state.leaves, grads, state.adam, rate, settings.adam, threads
            )
            losses = [*state.losses, value]
            state = replace(state, leaves=new_leaves, adam=new_adam, losses=losses)
            epoch_ends = state.step % per_epoch == 0
            seconds = time.perf_counter() - started
            scores = None
            if epoch_ends:
                scores = score(state.leaves)
                state = finish_epoch(state, scores, on_best)
            report = Report(
                step + 1, len(steps), epoch, value, int(sizes[batch].sum()), seconds, scores
            )
            on_report(report)
            if path and (epoch_ends or time.monotonic() - saved_at > checkpoint_seconds):
                save_state(path, state, about)
                saved_at = time.monotonic()
    except KeyboardInterrupt:
        if path:
            save_state(path, state, about)
        raise Interrupted(f"stopped after step {state.step} of {len(steps)}") from None
    return state


def finish_epoch(state: State, scores: dict[str, float], on_best: Callable[[State], None]) -> State:
    """Note an epoch's scores; keep the parameters if its first score is the best so far."""
    first = next(iter(scores))
    better = all(scores[first] > earlier[first] for earlier in state.epochs)
    state = replace(state, epochs=[*state.epochs, scores])
    if better:
        state = replace(state, best=state.leaves)
        on_best(state)
    return state


def save_state(path: Path, state: State, about: dict[str, Any]) -> None:
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
    log = {"step": state.step, "losses": state.losses, "epochs": state.epochs, "about": about}
    write_safetensors(path, tensors, {"run": json.dumps(log)})


def load_state(path: Path, like: Leaves, about: dict[str, Any]) -> State:
    """Read a checkpoint. Raises InputError, naming the option, when it is of another run."""
    tensors, metadata = read_safetensors(path)
    try:
        log = json.loads(metadata["run"])
        theirs = log["about"]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: is no training checkpoint") from None
    for name, value in json.loads(json.dumps(about)).items():
        if theirs.get(name) != value:
            raise InputError(
                f"{path}: was made with {name} {theirs.get(name)!r}, not {value!r}; "
                "resume with the same options"
            )

    def group(name: str) -> Leaves:
        return {p: np.array(as_stored(p, tensors[f"{name}/{p}"])) for p in like}

    try:
        moments = {"first": group("first"), "second": group("second")}
        now, best = group("now"), group("best")
    except KeyError as error:
        raise InputError(f"{path}: lacks {error.args[0]}") from None
    return State(now, {"step": log["step"], **moments}, best, log["losses"], log["epochs"])
