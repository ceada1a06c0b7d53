"""From a task's examples to its trained, saved task file: prepare -> fit -> package."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.cached_layers import LIMIT, Bottom, cache_states, frozen_layers, states_bytes
from adapters.kept_states import kept_states
from adapters.methods.method import Method
from adapters.methods.table import METHODS
from adapters.predict import check_labels, encode_examples, predict_logits
from adapters.recipes import optimised, recipe_named
from adapters.run_folder import RunOptions, data_hash, describe_method
from adapters.similarity import fitted_head
from adapters.task_file import TaskFile, save_task
from adapters.task_model import (
    COSINE,
    TaskModel,
    check_head_dropout,
    check_length,
    check_pairs,
    chosen_pooling,
    forward,
    new_task_model,
)
from adapters.train_data import Scale, balanced_weights, scale_of, spread
from adapters.training_run import Training, fit_training
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.data.tasks import Data, constant_score, score
from minibert.errors import Diverged, InputError
from minibert.heads import loss, weighted_loss
from minibert.machine.threads import thread_count
from minibert.tokenizer import Encoded
from minibert.training.resume import State
from minibert.training.schedule import Settings

SAMPLE_TEXTS = 256  # training texts for `settle` and `fitted_head`


@dataclass(frozen=True)
class HeadOptions:
    """What the head reads, and how much each class counts in its loss.

    pooling: the vector of a text, as in `chosen_pooling`. class_weights [C]: the classes' weights;
    "balanced" makes all weigh alike, however few examples some have.
    """

    pooling: str | None = None
    class_weights: str | Sequence[float] | None = None


def split_options(options: dict[str, Any]) -> tuple[HeadOptions, RunOptions]:
    """The options of the head, and all others, which are the run's."""
    of_head = {field.name for field in fields(HeadOptions)}
    head = {name: value for name, value in options.items() if name in of_head}
    rest = {name: value for name, value in options.items() if name not in of_head}
    return HeadOptions(**head), RunOptions(**rest)


@dataclass(frozen=True)
class Trained:
    """A finished run: the task file of its best epoch, and how it went.

    `epochs`: the dev metrics after each epoch; `losses`: one a step; `constant`: the metrics of
    always guessing the majority class; `untrained`: those of the base's own cosine, where that is
    what training begins with (pooling `cosine`).
    """

    task: TaskFile
    path: Path | None
    losses: list[float]
    epochs: list[dict[str, float]]
    constant: dict[str, float]
    untrained: dict[str, float] | None = None


def train_task(
    base: Base,
    data: Data,
    method: Method,
    settings: Settings,
    *,
    recipe: str = "paper",
    max_length: int = 128,
    **options: Any,
) -> Trained:
    """Train one task on a frozen base.

    A regression's scores are learned standardised and answered in their own units
    (`train_data.Scale`). `options` are those of `HeadOptions`: pooling, class_weights; and those of
    `RunOptions`: out, resume, threads, cache, pause_after, on_report, on_cache, on_encoded. With
    `out`, that folder holds:

        task.safetensors         the best epoch, by the first dev metric
        checkpoint.safetensors   the state to resume from
        report.json              settings, metrics of every epoch, losses

    The settings' optimiser constants are replaced by the recipe's. Raises InputError for bad
    settings, data without examples, or a folder that holds another run or is in use; Diverged for
    a learning rate that is too high; Interrupted after Ctrl-C, with the state saved. (Seven
    arguments: four say what is trained, the others are options with defaults.)
    """
    head, run = split_options(options)
    training = prepare(base, data, method, settings, recipe, max_length, head, run)
    about = TaskFile(
        data.task,
        method,
        recipe,
        max_length,
        base.name,
        base.sha256,
        scale=astuple(scale_of(data)),
        pooling=training.model.pooling,
        base_tensors_sha256=base.tensors_sha256,
        base_reading=base.reading,
    )

    def keep(state: State) -> None:
        if run.task_path:
            save_task(run.task_path, package(about, training, state))

    state = fit_training(training, run, on_best=keep)
    constant = constant_score(data.task, data.train, data.dev)
    task = package(about, training, state)
    if run.task_path and not run.task_path.exists():  # of a finished run that lost it
        save_task(run.task_path, task)
    untrained = training.untrained
    return Trained(task, run.task_path, state.losses, state.epochs, constant, untrained)


def prepare(
    base: Base,
    data: Data,
    method: Method,
    settings: Settings,
    recipe: str = "paper",
    max_length: int = 128,
    head: HeadOptions | None = None,
    run: RunOptions | None = None,
) -> Training:
    """The training of a task of classes or scores: its texts encoded, its model made, the states of
    frozen layers cached. The arguments are those of `train_task`, hence eight."""
    head, run = head or HeadOptions(), run or RunOptions()
    chosen = recipe_named(recipe)
    settings = optimised(settings, chosen)
    check_length(base, max_length)
    check_head_dropout(base)
    if not (data.train and data.dev):
        raise InputError(f"{data.source}: has no {'dev' if data.train else 'training'} examples")
    if data.task.pairs:
        check_pairs(base)
    pooling = chosen_pooling(base, head.pooling, data.task)
    model = new_task_model(base, method, chosen, data.task.outputs, settings.seed, pooling)
    encoded, dev = (
        encode_examples(base, part, max_length, data.task.pairs, pooling)
        for part in (data.train, data.dev)
    )
    for part in (data.train, data.dev):
        check_labels(data.task, part)
    run.on_encoded([*encoded, *dev])
    bottom, dev_bottom = _bottoms(model, encoded, dev, run)
    scale, weights = scale_of(data), _class_weights(data, head.class_weights)
    labels = np.array([example.label for example in data.train])
    labels = scale.standardised(labels) if data.task.regression else labels.astype(np.int64)
    gold, untrained = [example.label for example in data.dev], None
    if pooling == COSINE:
        # fresh adapters are near the identity, but the base's own cosine has none
        bare = new_task_model(base, METHODS["head"], chosen, 1, settings.seed, pooling)
        untrained = score(data.task, predict_logits(bare, dev, run.threads, dev_bottom), gold)
        numbers = spread(range(len(encoded)), SAMPLE_TEXTS)
        cosines = predict_logits(model, [encoded[i] for i in numbers], run.threads)[:, 0]
        fitted = fitted_head(model.tree["head"], cosines, labels[numbers])
        model = replace(model, tree={**model.tree, "head": fitted})

    def dev_score(model: TaskModel) -> dict[str, float]:
        logits = predict_logits(scale.model_in_own_units(model), dev, run.threads, dev_bottom)
        if not np.isfinite(logits).all():
            raise Diverged(
                f"the logits are no longer finite: learning rate {settings.rate:g} diverges"
            )
        return score(data.task, logits, gold)

    return Training(
        model,
        settings,
        task_loss(encoded, labels, data.task.regression, bottom, weights),
        dev_score,
        lengths=[len(text.ids) for text in encoded],
        sample=make_batch(spread(encoded, SAMPLE_TEXTS)),
        first_only=model.first_only,
        identity={
            "task": data.task.name,
            **describe_method(method),
            "recipe": recipe,
            "max_length": max_length,
            "pooling": model.pooling,
            "base": base.sha256,
            "data": data.source,
            "examples": len(data.train),
            "data_sha256": data_hash(data.train, data.dev),
            "labels": list(data.task.names),
            "class_weights": None if weights is None else weights.tolist(),
            "scale": astuple(scale) if data.task.regression else None,
            "cached": bottom.states is not None,
        },
        metrics=data.task.metrics,
        untrained=untrained,
    )


def package(about: TaskFile, training: Training, state: State) -> TaskFile:
    """The task file of the best epoch; `about` has all else that the file says."""
    trained = Scale(*about.scale).in_own_units(training.best(state))
    return replace(about, results=state.results, trained=trained)


def _class_weights(data: Data, chosen: str | Sequence[float] | None) -> np.ndarray | None:
    if chosen is None:
        return None
    if data.task.regression:
        raise InputError("class weights are for classes, not for a regression")
    if isinstance(chosen, str):
        if chosen != "balanced":
            raise InputError(f"unknown class weights {chosen!r}; known: balanced")
        return balanced_weights(data.train, data.task.outputs)
    try:
        weights = np.array(chosen, np.float32)
    except (TypeError, ValueError):
        weights = np.array(np.nan)
    usable = np.isfinite(weights).all() and (weights >= 0).all() and weights.any()
    if weights.shape != (data.task.outputs,) or not usable:
        raise InputError(
            f"class weights must be {data.task.outputs} numbers of at least 0, not all 0"
        )
    return weights


def task_loss(
    encoded: Sequence[Encoded],
    labels: np.ndarray,
    regression: bool,
    bottom: Bottom,
    weights: np.ndarray | None = None,
) -> Callable[[TaskModel, np.ndarray, np.random.Generator], Any]:
    """loss(model, numbers, rng): the mean loss of the examples with these numbers, rng being
    dropout's; `weights` [C] of the classes, if they differ."""

    def batch_loss(model: TaskModel, numbers: np.ndarray, rng: np.random.Generator) -> Any:
        batch = make_batch([encoded[i] for i in numbers])
        logits = forward(model, batch, rng, bottom.layers, bottom.batch_states(numbers))
        if weights is not None:
            return weighted_loss(logits, labels[numbers], weights)
        return loss(logits, labels[numbers], regression)

    return batch_loss


def _bottoms(
    model: TaskModel, encoded: Sequence[Encoded], dev: Sequence[Encoded], run: RunOptions
) -> tuple[Bottom, Bottom]:
    """The frozen layers for the training and the dev texts, cached if that is wanted and fits."""
    frozen, texts, threads = frozen_layers(model), [*encoded, *dev], thread_count(run.threads)
    if frozen and isinstance(run.cache, str | Path):
        cached = kept_states(Path(run.cache), model, texts, frozen, threads, run.on_cache)
    elif frozen and run.cache and states_bytes(model, texts, frozen) <= LIMIT:
        cached = cache_states(model, texts, frozen, threads, run.on_cache)
    else:
        return Bottom(frozen), Bottom(frozen)
    assert cached.states is not None
    split = len(encoded)
    return Bottom(frozen, cached.states[:split]), Bottom(frozen, cached.states[split:])
