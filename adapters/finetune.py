"""From a task's examples to its trained, saved task file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.cached_layers import LIMIT, fixed_layers, keep_states, states_bytes
from adapters.methods.table import Method, split
from adapters.predict import check_length, encode_examples, predict_logits
from adapters.recipes import optimised, recipe_named
from adapters.run_folder import data_hash, described, own_folder, write_report
from adapters.task_file import TaskFile, save_task
from adapters.task_model import forward, init_task, settle
from minibert.checkpoint import Base
from minibert.data.glue import Data
from minibert.data.tasks import constant_score, score
from minibert.errors import InputError
from minibert.heads import loss
from minibert.machine.threads import thread_count
from minibert.tokenizer import Encoded, make_batch
from minibert.training.loop import SUBSET, Report, Settings, State, fit, generator
from minibert.tree import Tree, from_leaves, leaves, merge

STATISTICS_TEXTS = 256  # training texts, for the statistics of batch normalisation


@dataclass(frozen=True)
class Trained:
    """A finished run: the task file of its best epoch, and how it went.

    `epochs`: the dev metrics after each epoch; `losses`: one a step; `constant`: the metrics of
    always guessing the majority class.
    """

    task: TaskFile
    path: Path | None
    losses: list[float]
    epochs: list[dict[str, float]]
    constant: dict[str, float]


def subset(data: Data, examples: int, seed: int) -> Data:
    """The data with that many training examples, drawn with the seed. Raises InputError for fewer
    than 1 or more than there are."""
    if not 1 <= examples <= len(data.train):
        raise InputError(f"train examples must be from 1 to {len(data.train)}, not {examples}")
    chosen = generator(seed, SUBSET).permutation(len(data.train))[:examples]
    source = f"{data.source} ({examples:,} drawn with seed {seed})"
    return replace(data, train=[data.train[i] for i in chosen], source=source)


def task_loss(
    tree: Tree,
    base: Base,
    method: Method,
    encoded: Sequence[Encoded],
    labels: np.ndarray,
    regression: bool,
    states: Sequence[np.ndarray] | None = None,
) -> Callable[[dict[str, Any], np.ndarray, np.random.Generator], Any]:
    """The training loss as a function of the trained leaves {path: array} alone, for examples
    given by number. The frozen rest of the tree is a constant of that function; `states` are what
    leaves its fixed layers for each example, where they are kept."""
    fixed = fixed_layers(tree, method)
    trained, frozen = split(tree, method)
    paths = [path for path, _ in leaves(trained)]

    def batch_loss(flat: dict[str, Any], numbers: np.ndarray, rng: np.random.Generator) -> Any:
        whole = merge(frozen, from_leaves({path: flat[path] for path in paths}))
        batch = make_batch([encoded[i] for i in numbers])
        known = None if states is None else np.concatenate([states[i] for i in numbers])
        logits = forward(whole, batch, base.config, method, rng=rng, fixed=fixed, states=known)
        return loss(logits, labels[numbers], regression)

    return batch_loss


def train_task(
    base: Base,
    data: Data,
    method: Method,
    settings: Settings,
    *,
    recipe: str = "paper",
    max_length: int = 128,
    out: Path | str | None = None,
    resume: bool = False,
    threads: int | None = None,
    cache: bool = True,
    on_report: Callable[[Report], None] = lambda report: None,
    on_cache: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """Train one task on a frozen base; with `out`, keep it in that folder:

        task.safetensors         the best epoch, by the first dev metric
        checkpoint.safetensors   the state to resume from
        report.json              settings, metrics of every epoch, losses

    The settings' optimiser constants are replaced by the recipe's. `threads`: default one a core.
    With `cache`, what leaves the layers below the lowest trained parameter is computed only once,
    told to on_cache(texts, of so many), and kept in memory if it takes at most `fixed.LIMIT`.
    Raises InputError for bad settings, data without examples, a folder that holds another run or
    is in use, or a diverging loss; Interrupted after Ctrl-C, with the state saved.
    """
    chosen = recipe_named(recipe)
    settings = optimised(settings, chosen)
    check_length(base, max_length)
    if not (data.train and data.dev):
        raise InputError(f"{data.source}: has no {'dev' if data.train else 'training'} examples")
    task = data.task
    tree = init_task(base, method, chosen, task.outputs, settings.seed)
    encoded = encode_examples(base, data.train, max_length)
    dev = encode_examples(base, data.dev, max_length)
    labels = np.array([e.label for e in data.train], np.float32 if task.regression else np.int64)
    gold = [e.label for e in data.dev]
    fixed = fixed_layers(tree, method)
    states = dev_states = None
    if cache and fixed and states_bytes(base, encoded + dev, fixed) <= LIMIT:
        number = thread_count(threads)
        kept = keep_states(tree, base, method, encoded + dev, fixed, number, on_cache)
        states, dev_states = kept[: len(encoded)], kept[len(encoded) :]
    trained, _ = split(tree, method)

    sample = make_batch(encoded[:STATISTICS_TEXTS])

    def whole(flat: dict[str, Any]) -> Tree:
        return settle(merge(tree, from_leaves(flat)), sample, base.config, method)

    def evaluate(flat: dict[str, Any]) -> dict[str, float]:
        logits = predict_logits(whole(flat), base, method, dev, threads, dev_states, fixed)
        if not np.isfinite(logits).all():
            rate = settings.rate
            kept = "; the best epoch so far is kept" if path and path.exists() else ""
            raise InputError(
                f"the logits are no longer finite: learning rate {rate:g} diverges{kept}"
            )
        return score(task, logits, gold)

    def as_file(state: State, results: dict[str, Any]) -> TaskFile:
        best = from_leaves(state.best)
        if "adapters" in best:  # batch normalisation's statistics belong to them
            best["adapters"] = whole(state.best)["adapters"]
        return TaskFile(task, method, recipe, max_length, base.name, base.sha256, results, best)

    folder = Path(out) if out is not None else None
    path = folder / "task.safetensors" if folder else None
    identity = {
        "task": task.name,
        **described(method),
        "recipe": recipe,
        "max_length": max_length,
        "base": base.sha256,
        "data": data.source,
        "examples": len(data.train),
        "data_sha256": data_hash(data.train, data.dev),
        "labels": list(task.names),
    }

    def keep_best(state: State) -> None:
        if path:
            save_task(path, as_file(state, {**state.epochs[-1], "epoch": len(state.epochs)}))

    with own_folder(folder, resume):
        state = fit(
            dict(leaves(trained)),
            task_loss(tree, base, method, encoded, labels, task.regression, states),
            evaluate,
            [len(e.ids) for e in encoded],
            settings,
            folder=folder,
            identity=identity,
            resume=resume,
            on_best=keep_best,
            on_report=on_report,
            threads=threads,
        )
        first = task.metrics[0]
        best = max(range(len(state.epochs)), key=lambda i: state.epochs[i][first])
        results = {**state.epochs[best], "epoch": best + 1}
        if folder:
            write_report(folder, identity, settings, state, best=results)
    constant = constant_score(task, data.train, data.dev)
    return Trained(as_file(state, results), path, state.losses, state.epochs, constant)
