"""One task learned and scored, and what a run keeps of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.finetune import Trained, train_task
from adapters.methods.method import parameter_table
from adapters.predict import predict_texts
from adapters.reproduce.sweep.answers import packed
from adapters.reproduce.sweep.configured import Parts, base_for, method_of, settings_of
from adapters.reproduce.sweep.runs_file import Config, run_key
from adapters.task_file import TaskFile, on_base
from adapters.task_model import POOLER, TaskModel
from minibert.checkpoint import Base
from minibert.data.tasks import Data, Example, Task, constant_score, predictions, score


def scores_and_answers(
    task: Task, logits: np.ndarray, examples: Sequence[Example]
) -> tuple[dict[str, float], str]:
    """The scores of logits, [B, classes], on labelled examples, and the answers as a run keeps
    them."""
    gold = [example.label for example in examples]
    return score(task, logits, gold), packed(predictions(task, logits))


def under_way(config: Config, folder: Path) -> Path:
    """Where the checkpoints of a run in progress are."""
    return folder / "under-way" / run_key(config)


def train_config(base: Base, config: Config, data: Data, out: Path, threads: int) -> Trained:
    """Train a "classify" configuration on its own base, or on what earlier tasks made of it. The
    head reads what the paper's does, unless the configuration has another pooling."""
    return train_task(
        base,
        data,
        method_of(config),
        settings_of(config),
        recipe=config["recipe"],
        max_length=config["max_length"],
        pooling=config.get("pooling", POOLER),
        out=out,
        resume=True,
        threads=threads,
    )


def learned(
    config: Config, parts: Parts, out: Path, threads: int
) -> tuple[TaskFile, dict[str, float], dict[str, Any]]:
    """Train a task and score it at the epoch that is best on validation: the task file, the scores
    of `parts[1]`, and what else a run keeps. `out`: the folder for checkpoints."""
    base, (data, held_out) = base_for(config), parts
    done = train_config(base, config, data, out, threads)
    logits = predict_texts(done.task, base, [example.text for example in held_out], threads)
    scores, answers = scores_and_answers(data.task, logits, held_out)
    return (
        done.task,
        scores,
        {
            "answers": answers,
            "validation": done.epochs,
            "best_epoch": done.task.results["epoch"],
            "loss": float(np.mean(done.losses[-len(done.losses) // len(done.epochs) :])),
            "constant": constant_score(data.task, data.train, held_out),
            "parameters": parameter_counts(on_base(done.task, base)),
            "examples": [len(data.train), len(data.dev), len(held_out)],
        },
    )


def parameter_counts(model: TaskModel) -> dict[str, int]:
    """How many parameters a task trains, by the paper's count and in all.

    "task": its trained parameters without the head, whose size depends on the task; "adapters";
    "head"; "all": the model without the head; "layers": the encoder's layers alone, to which the
    paper relates the adapters.
    """
    rows = {
        group: (trained, frozen)
        for group, trained, frozen in parameter_table(model.tree, model.method)
    }
    head = sum(rows.pop("task head"))
    rows.pop("masked-token head", None)
    embedding_norm = 2 * model.base.config.hidden_size
    layers = sum(sum(rows[group]) for group in ("attention", "feed-forward", "LayerNorms"))
    adapters, _ = rows.pop("adapters", (0, 0))  # statistics of batch normalisation are not trained
    return {
        "task": sum(trained for trained, _ in rows.values()) + adapters,
        "adapters": adapters,
        "head": head,
        "all": sum(trained + frozen for trained, frozen in rows.values()),
        "layers": layers - embedding_norm,
    }
