"""One training run of a task's model, of whatever kind: prepared, fitted, its best epoch extracted.

`finetune` prepares classification and regression, `answering` questions and answers; both are
fitted here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapters.methods.method import split
from adapters.run_folder import RunOptions, own_folder, write_report
from adapters.task_model import TaskModel, settle
from minibert.batch import Batch
from minibert.training.loop import Problem, fit
from minibert.training.optim import Leaves
from minibert.training.resume import State
from minibert.training.schedule import Batches, Settings, epoch_batches
from minibert.tree import Tree, from_leaves, leaves, merge


@dataclass(frozen=True)
class Training:
    """A training, ready to run. `model` is as before the first step.

    loss(model, numbers, rng): of the training examples of these numbers; score(model): the dev
    metrics; lengths: the examples' tokens. sample: training texts, for what is settled after
    training; first_only: the loss needs each text's [CLS] alone. identity: what a run must have in
    common with the one that it resumes. metrics: the names of the dev metrics, where known, the
    first of which chooses the best epoch. untrained: those of the base's own cosine, where training
    begins with it. batches: how an epoch's are drawn.
    """

    model: TaskModel
    settings: Settings
    loss: Callable[[TaskModel, np.ndarray, np.random.Generator], Any]
    score: Callable[[TaskModel], dict[str, float]]
    lengths: Sequence[int]
    sample: Batch
    first_only: bool
    identity: dict[str, Any]
    metrics: tuple[str, ...] = ()
    untrained: dict[str, float] | None = None
    batches: Batches = epoch_batches

    def problem(self) -> Problem:
        """The training as the loop sees it: functions of the trained leaves {path: array} alone.
        The frozen rest of the tree is a constant of the loss."""
        trained, frozen = split(self.model.tree, self.model.method)
        paths = [path for path, _ in leaves(trained)]

        def loss(flat: Leaves, numbers: np.ndarray, rng: np.random.Generator) -> Any:
            tree = merge(frozen, from_leaves({path: flat[path] for path in paths}))
            return self.loss(replace(self.model, tree=tree), numbers, rng)

        def score(flat: Leaves) -> dict[str, float]:
            return self.score(self.with_leaves(flat))

        lengths = np.array(self.lengths)
        return Problem(dict(leaves(trained)), loss, score, lengths, self.batches)

    def with_leaves(self, flat: Leaves) -> TaskModel:
        """The model with these trained leaves, ready for use."""
        tree = merge(self.model.tree, from_leaves(flat))
        return settle(replace(self.model, tree=tree), self.sample, self.first_only)

    def best(self, state: State) -> Tree:
        """What the best epoch has learned: a sparse tree, to be laid over the base."""
        tree = from_leaves(state.best)
        if "adapters" in tree:  # with what is settled after training
            tree["adapters"] = self.with_leaves(state.best).tree["adapters"]
        return tree


def fit_training(
    training: Training,
    run: RunOptions,
    on_best: Callable[[State], None] = lambda state: None,
) -> State:
    """Train, or resume, in the run's own folder, and write its report there. Raises what `fit` and
    `own_folder` do."""
    with own_folder(run):
        state = fit(
            training.problem(),
            training.settings,
            run.checkpoint(training.identity, training.metrics),
            threads=run.threads,
            pause_after=run.pause_after,
            on_best=on_best,
            on_report=run.on_report,
        )
        if run.folder:
            write_report(run.folder, training.identity, training.settings, state)
    return state
