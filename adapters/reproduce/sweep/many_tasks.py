"""The kinds of runs in which several tasks are learned, one after the other or together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.joint import train_jointly
from adapters.predict import encode_examples, predict_logits
from adapters.reproduce.sweep.configured import base_for, parts_of, settings_of
from adapters.reproduce.sweep.learning import scores_and_answers, train_config, under_way
from adapters.reproduce.sweep.one_task import trained
from adapters.reproduce.sweep.runs_file import Config
from adapters.task_file import TaskFile, on_base
from adapters.task_model import POOLER, TaskModel
from minibert.checkpoint import Base
from minibert.data.tasks import score
from minibert.tree import count


def sequence(config: Config, folder: Path, threads: int) -> dict[str, Any]:
    """Tasks learned one after the other (section 1): by fully fine-tuning one shared network, or
    by adapters on the frozen base. After each task, all tasks so far are scored, each with its own
    head on the network as it is by then.

    "scores"[i][j]: the scores of task j after learning task i; "changed"[i][j]: how many of its dev
    texts have logits that differ in at least one bit from those right after it was learned.
    """
    steps = config["steps"]
    first = base = base_for(steps[0])
    files: list[TaskFile] = []
    logits_then: list[np.ndarray] = []
    scores: list[list[dict[str, float]]] = []
    changed: list[list[int]] = []
    for number, step in enumerate(steps):
        if config["shared"]:
            out = under_way(config, folder) / str(number)
            task = train_config(base, step, parts_of(step)[0], out, threads).task
            learned = on_base(task, base).tree["base"]
            base = replace(base, params=learned, sha256=f"after {number + 1} tasks")
        else:
            task = trained(step, folder, threads)
        files.append(task)
        scores.append([])
        changed.append([])
        for j, file in enumerate(files):
            dev = parts_of(steps[j])[1]
            encoded = encode_examples(base, dev, file.max_length, pooling=file.pooling)
            if config["shared"]:
                tree = {"base": base.params, "head": file.trained["head"]}
                model = TaskModel(base, file.method, tree, file.pooling)
            else:
                model = on_base(file, base)
            logits = predict_logits(model, encoded, threads)
            if j == number:
                logits_then.append(logits)
            scores[-1].append(score(file.task, logits, [example.label for example in dev]))
            changed[-1].append(int((logits != logits_then[j]).any(axis=1).sum()))
    return {"scores": scores, "changed": changed, "parameters": _total(first, files, config)}


def _total(base: Base, files: list[TaskFile], config: Config) -> int:
    """The number of parameters after the last task: the base, and what each task adds to it."""
    own = [count(f.trained["head"] if config["shared"] else f.trained) for f in files]
    return count(base.params) + sum(own)


def joint(config: Config, folder: Path, threads: int) -> dict[str, Any]:
    """Tasks learned together (section 1): one network, trained in full, and a head for each. All
    are scored on their dev sets at the epoch whose mean score is best on validation.

    "scores"[0][j]: the scores of task j; "validation": after each epoch the mean of all tasks'
    first metrics, then each of them; "parameters": of the network with all heads.
    """
    steps = config["steps"]
    first, base, parts = steps[0], base_for(steps[0]), [parts_of(step) for step in steps]
    done = train_jointly(
        base,
        [data for data, _ in parts],
        settings_of(first),
        recipe=first["recipe"],
        max_length=first["max_length"],
        pooling=first.get("pooling", POOLER),
        out=under_way(config, folder),
        resume=True,
        threads=threads,
    )
    scores, answers = [], []
    for model, (data, dev) in zip(done.models, parts, strict=True):
        encoded = encode_examples(base, dev, first["max_length"], pooling=model.pooling)
        logits = predict_logits(model, encoded, threads)
        of_task, word = scores_and_answers(data.task, logits, dev)
        scores.append(of_task)
        answers.append(word)
    heads = [count(model.tree["head"]) for model in done.models]
    return {
        "scores": [scores],
        "answers": answers,
        "validation": done.epochs,
        "best_epoch": done.best_epoch,
        "parameters": count(done.models[0].tree["base"]) + sum(heads),
        "examples": [len(data.train) for data, _ in parts],
    }
