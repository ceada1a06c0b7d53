"""Several tasks learned together: one network for all, trained in full, and a head for each.

It takes every task's data at once, and for one more task everything anew: what adapters are there
to avoid (Houlsby et al. 2019, section 1). Training is that of MT-DNN (Liu et al. 2019, arXiv
1901.11504, algorithm 1): a batch is of one task, and the batches of all tasks are shuffled
together, so that a task has its turn as often as it has batches. In a step of another task a head's
gradient is 0: it moves by Adam's momentum, and by weight decay where the recipe has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from statistics import mean
from typing import Any

import numpy as np

from adapters.finetune import prepare, split_options
from adapters.methods.table import METHODS
from adapters.task_model import TaskModel
from adapters.train_data import scale_of
from adapters.training_run import Training, fit_training
from minibert.checkpoint import Base
from minibert.data.tasks import Data
from minibert.errors import InputError, shown
from minibert.training.schedule import ORDER, Batches, Settings, epoch_batches, generator
from minibert.tree import merge

MEAN = "mean"  # of the tasks' first metrics: chooses the best epoch


@dataclass(frozen=True)
class TrainedTogether:
    """A finished run: each task's model at the best epoch, all of them with the same base.

    `epochs`: after each epoch the mean of the tasks' first dev metrics, then each of them by the
    task's name; `best_epoch` is the one with the best mean, from 1; `losses`: one a step.
    """

    models: list[TaskModel]
    losses: list[float]
    epochs: list[dict[str, float]]
    best_epoch: int


def train_jointly(
    base: Base,
    tasks: Sequence[Data],
    settings: Settings,
    *,
    recipe: str = "paper",
    max_length: int = 128,
    **options: Any,
) -> TrainedTogether:
    """Train the base in full on all tasks, with a head for each.

    `options` are those of `train_task`. With `out`, that folder holds the state to resume from and
    report.json. Raises what `train_task` does, and InputError for two tasks of one name, whose
    scores could not be told apart, or of the name "mean".
    """
    names = [data.task.name for data in tasks]
    if not names or len({MEAN, *names}) <= len(names):
        raise InputError(f"tasks trained together need names of their own, not {shown(names)}")
    head, run = split_options(options)
    each = [
        prepare(base, data, METHODS["full"], settings, recipe, max_length, head, run)
        for data in tasks
    ]
    training = joined(each)
    state = fit_training(training, run)
    best = training.with_leaves(state.best)
    models = [
        scale_of(data).model_in_own_units(of_task(best, one, number))
        for number, (data, one) in enumerate(zip(tasks, each, strict=True))
    ]
    return TrainedTogether(models, state.losses, state.epochs, int(state.results["epoch"]))


def joined(each: Sequence[Training]) -> Training:
    """The tasks' own trainings as one: their examples are numbered through, and the tree has their
    heads under numbers, from 0. The heads of other tasks have no part in a batch's loss."""
    sizes = [len(one.lengths) for one in each]
    starts = np.cumsum([0, *sizes])
    names = [one.identity["task"] for one in each]
    bases = [one.model.tree["base"] for one in each]  # without pooler for tasks that read none
    heads = {number: one.model.tree["head"] for number, one in enumerate(each)}

    def loss(model: TaskModel, numbers: np.ndarray, rng: np.random.Generator) -> Any:
        task = int(np.searchsorted(starts, numbers[0], side="right")) - 1
        return each[task].loss(of_task(model, each[task], task), numbers - starts[task], rng)

    def score(model: TaskModel) -> dict[str, float]:
        found = [one.score(of_task(model, one, number)) for number, one in enumerate(each)]
        firsts = [next(iter(scores.values())) for scores in found]
        return {MEAN: mean(firsts), **dict(zip(names, firsts, strict=True))}

    return replace(
        each[0],
        model=replace(each[0].model, tree={"base": reduce(merge, bases), "head": heads}),
        loss=loss,
        score=score,
        lengths=[length for one in each for length in one.lengths],
        identity={"together": [one.identity for one in each]},
        metrics=(MEAN, *names),
        batches=shuffled(sizes),
    )


def of_task(model: TaskModel, one: Training, number: int) -> TaskModel:
    """One task's model out of that of all tasks."""
    tree = {"base": model.tree["base"], "head": model.tree["head"][number]}
    return replace(one.model, tree=tree)


def shuffled(sizes: Sequence[int]) -> Batches:
    """How the batches of tasks with these numbers of examples are drawn: each task's are those that
    it would have alone, in that order, and whose turn it is, is shuffled."""
    starts = np.cumsum([0, *sizes])

    def batches(examples: int, settings: Settings, epoch: int) -> list[np.ndarray]:
        alone = [epoch_batches(size, settings, epoch) for size in sizes]
        turns = [task for task, own in enumerate(alone) for _ in own]
        rng = generator(settings.seed, ORDER, epoch, 1)
        left = [iter(own) for own in alone]
        return [starts[task] + next(left[task]) for task in rng.permutation(turns)]

    return batches
