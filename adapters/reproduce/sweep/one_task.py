"""The kinds of runs that are about one task: trained and scored; with adapters removed; SQuAD."""

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.cached_layers import Bottom, cache_states
from adapters.predict import encode_examples, predict_logits
from adapters.reproduce.sweep.answers import packed
from adapters.reproduce.sweep.configured import (
    Parts,
    base_for,
    method_of,
    parts_of,
    questions,
    settings_of,
)
from adapters.reproduce.sweep.learning import (
    learned,
    parameter_counts,
    scores_and_answers,
    under_way,
)
from adapters.reproduce.sweep.runs_file import Config, run_key
from adapters.task_file import TaskFile, load_task, on_base, save_task
from minibert.data.squad import question_scores, token_f1
from minibert.data.tasks import Example, Task, constant_score
from minibert.errors import Diverged
from minibert.files import lock


def classify(config: Config, folder: Path, threads: int) -> dict[str, Any]:
    """Train one GLUE task; score it on the dev set.

    Task files with adapters are kept for the runs that start from one (`trained`).
    """
    task, scores, others = learned(config, parts_of(config), under_way(config, folder), threads)
    if method_of(config).size is not None:
        save_task(_task_path(config, folder), task)
    return {"dev": scores, **others}


def own_task(config: Config, parts: Parts, folder: Path, threads: int) -> dict[str, Any]:
    """Train one task of table 2; score it on its test set."""
    _, scores, others = learned(config, parts, under_way(config, folder), threads)
    return {"test": scores, **others}


def _task_path(config: Config, folder: Path) -> Path:
    return folder / "tasks" / f"{run_key(config)}.safetensors"


def trained(config: Config, folder: Path, threads: int) -> TaskFile:
    """The task file of a "classify" configuration with adapters, trained again if it is missing:
    in a folder of its own, as sweeps remove that of a run which has finished. Raises Diverged when
    its training does."""
    path, out = _task_path(config, folder), folder / "under-way" / f"{run_key(config)}.task"
    guard = out.with_name(f"{out.name}.lock")
    with lock(guard):
        try:
            if not path.exists():
                task, *_ = learned(config, parts_of(config), out, threads)
                save_task(path, task)
        except Diverged:
            _remove(out, guard)
            raise
        _remove(out, guard)  # whoever waits for the lock will find the task
    return load_task(path)


def _remove(out: Path, guard: Path) -> None:
    """Remove a training's checkpoints and its lock file."""
    shutil.rmtree(out, ignore_errors=True)
    with suppress(OSError):  # Windows removes no file that is open
        guard.unlink(missing_ok=True)


def ablation(config: Config, folder: Path, threads: int) -> dict[str, Any]:
    """A trained task's dev scores without the adapters of each contiguous span of layers, with no
    further training (section 3.6, figure 6 left); its LayerNorms and head stay.

    The layers below a span are unchanged, so their states are cached.
    """
    source = config["of"]
    task = trained(source, folder, threads)
    base, (_, dev) = base_for(source), parts_of(source)
    model = on_base(task, base)
    encoded = encode_examples(base, dev, task.max_length, pooling=task.pooling)
    layers = base.config.num_hidden_layers
    whole = predict_logits(model, encoded, threads)
    spans, adapters = [], model.tree["adapters"]
    for first in range(layers):
        below = cache_states(model, encoded, first, threads) if first else Bottom(None)
        for last in range(first, layers):
            kept = {n: pair for n, pair in adapters.items() if not first <= n <= last}
            without = replace(model, tree={**model.tree, "adapters": kept})
            logits = predict_logits(without, encoded, threads, below)
            spans.append({"first": first, "last": last, **_on_dev(task.task, logits, dev)})
    constant = constant_score(task.task, parts_of(source)[0].train, dev)
    return {**_on_dev(task.task, whole, dev), "spans": spans, "constant": constant}


def _on_dev(task: Task, logits: np.ndarray, dev: list[Example]) -> dict[str, Any]:
    scores, answers = scores_and_answers(task, logits, dev)
    return {"dev": scores, "answers": answers}


def squad(config: Config, folder: Path, threads: int) -> dict[str, Any]:
    """Train question answering; exact match and F1 on the dev questions after each epoch (figure
    5). They select nothing: the result is always the last epoch's, and so are the answers, of which
    each question's F1 is kept."""
    from adapters.answering import train_squad

    base, method = base_for(config), method_of(config)
    data = questions(config["examples"], config["dev_examples"])
    done = train_squad(
        base,
        data,
        method,
        settings_of(config),
        max_length=config["max_length"],
        stride=config["stride"],
        out=under_way(config, folder),
        resume=True,
        threads=threads,
    )
    answers = replace(done, trained=done.last).answers(data.dev, threads)
    return {
        "dev": done.epochs[-1],
        "answers": packed(np.array(question_scores(token_f1, data.dev, answers))),
        "epochs": done.epochs,
        "parameters": parameter_counts(done.model),
        "examples": [len(data.train), len(data.dev)],
    }
