"""The training loop: steps, the best epoch, checkpoints.

It knows nothing of BERT or adapters: it is given named arrays to train, a loss of them, and a way
to score them.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minibert.errors import Diverged, Interrupted
from minibert.machine.threads import thread_count
from minibert.training.optim import Leaves, adam_step, clip_global_norm, global_norm
from minibert.training.resume import Checkpoint, State, check_place, save_state, start
from minibert.training.schedule import DROPOUT, Settings, Step, epoch_batches, generator, schedule
from minibert.training.shards import batch_gradients


@dataclass(frozen=True)
class Problem:
    """What is trained: `leaves`, the parameters by path.

    loss(leaves, numbers, rng) is differentiated: the mean loss of the examples of these numbers,
    with rng for their dropout. score(leaves) gives the dev metrics, the first of which chooses the
    best epoch. lengths: the examples' token counts [examples]. batches(examples, settings, epoch)
    draws an epoch's batches.
    """

    leaves: Leaves
    loss: Callable[[Leaves, np.ndarray, np.random.Generator], Any]
    score: Callable[[Leaves], dict[str, float]]
    lengths: np.ndarray
    batches: Callable[[int, Settings, int], list[np.ndarray]] = epoch_batches


@dataclass(frozen=True)
class Report:
    """What the progress callback is told after every step: `step` of `total` is done, in `epoch`
    (from 0), with the batch's loss, tokens and seconds, and `scores` at an epoch's end."""

    step: int
    total: int
    epoch: int
    loss: float
    tokens: int
    seconds: float
    scores: dict[str, float] | None = None


def fit(
    problem: Problem,
    settings: Settings,
    checkpoint: Checkpoint | None = None,
    *,
    threads: int | None = None,
    pause_after: int | None = None,
    on_best: Callable[[State], None] = lambda state: None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> State:
    """Train with Adam. The best epoch's parameters are kept in `state.best`; on_best(state) is
    called at each new best. `settings.stop_after` may end it early; `pause_after` leaves it after
    so many of its epochs, to be resumed.

    A step is differentiated shard by shard, on `threads` threads (default: one a core; any number
    gives the same bits). The checkpoint is written after every epoch and at least once a minute.
    Raises Interrupted after Ctrl-C with the state saved, Diverged when the loss is no longer finite
    (the last good checkpoint stays), InputError for a checkpoint of another run.
    """
    if checkpoint:
        about = {**checkpoint.about, **asdict(settings), "examples": len(problem.lengths)}
        checkpoint = replace(checkpoint, about=about)
    problem = replace(problem, lengths=np.asarray(problem.lengths))
    threads = thread_count(threads)
    examples = len(problem.lengths)
    per_epoch = len(problem.batches(examples, settings, 0))
    total = per_epoch * settings.epochs
    pause = settings.epochs if pause_after is None else pause_after
    state = start(problem.leaves, checkpoint)
    if checkpoint:
        check_place(checkpoint, state, per_epoch, total)
    saved_at = time.monotonic()
    try:
        if state.step // per_epoch > len(state.epochs):  # stopped while scoring an epoch
            state = finish_epoch(problem, state, on_best)
            if checkpoint:
                save_state(checkpoint, state)
        for step in schedule(settings, examples, state.step, problem.batches):
            if state.has_stalled(settings.stop_after) or len(state.epochs) >= pause:
                break
            started = time.perf_counter()
            state = train_step(problem, settings, state, step, threads)
            seconds = time.perf_counter() - started
            epoch_ends = state.step % per_epoch == 0
            if epoch_ends:
                state = finish_epoch(problem, state, on_best)
            scores = state.epochs[-1] if epoch_ends else None
            tokens = int(problem.lengths[step.batch].sum())
            loss = state.losses[-1]
            on_report(Report(state.step, total, step.epoch, loss, tokens, seconds, scores))
            due = checkpoint and time.monotonic() - saved_at > checkpoint.seconds
            if checkpoint and (epoch_ends or due):
                save_state(checkpoint, state)
                saved_at = time.monotonic()
    except Diverged as error:
        kept = checkpoint and state.epochs
        raise Diverged(f"{error}; the best epoch so far is kept" if kept else f"{error}") from None
    except KeyboardInterrupt:
        if checkpoint:
            save_state(checkpoint, state)
        raise Interrupted(f"stopped after step {state.step} of {total}") from None
    return state


def train_step(
    problem: Problem, settings: Settings, state: State, step: Step, threads: int
) -> State:
    """The state after one step: gradients, clipping, Adam. Raises Diverged when the loss or a
    gradient is not finite."""
    dropout = partial(generator, settings.seed, DROPOUT, step.number)
    loss, grads = batch_gradients(
        problem.loss, state.leaves, step.batch, problem.lengths, dropout, threads
    )
    with np.errstate(over="ignore", invalid="ignore"):
        norm = global_norm(grads)
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise Diverged(
            f"the loss is no longer finite at step {step.number + 1} (epoch {step.epoch + 1}): "
            f"learning rate {settings.rate:g} diverges"
        )
    grads = clip_global_norm(grads, norm, settings.adam.clip)
    leaves, adam = adam_step(state.leaves, grads, state.adam, step.rate, settings.adam, threads)
    return replace(state, leaves=leaves, adam=adam, losses=[*state.losses, loss])


def finish_epoch(problem: Problem, state: State, on_best: Callable[[State], None]) -> State:
    """Score an epoch; keep its parameters if its first score is the best so far."""
    state = replace(state, epochs=[*state.epochs, problem.score(state.leaves)])
    if state.results["epoch"] == len(state.epochs):
        state = replace(state, best=state.leaves)
        on_best(state)
    return state
