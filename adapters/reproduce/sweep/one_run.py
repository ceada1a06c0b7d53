"""One run: from a configuration to its result, both JSON-serialisable.

A run does not depend on earlier runs. The one thing it can reuse from them, a trained task file, it
recreates bit for bit when the file is missing. So any worker can compute any run.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from adapters.cached_layers import Bottom, cache_states
from adapters.finetune import Trained, train_task
from adapters.joint import train_jointly
from adapters.methods.method import Method, parameter_table
from adapters.methods.table import method_named
from adapters.predict import encode_examples, predict_logits, predict_texts
from adapters.reproduce.sweep.answers import packed
from adapters.reproduce.sweep.runs_file import Config, run_key
from adapters.reproduce.sweep.task_folder import drawn, task_with
from adapters.reproduce.sweep.tfidf import tfidf
from adapters.task_file import TaskFile, load_task, on_base, save_task
from adapters.task_model import POOLER, TaskModel
from adapters.train_data import subset
from minibert.checkpoint import Base, load_base
from minibert.data.glue import glue_data
from minibert.data.squad import Questions, question_scores, squad_data, token_f1
from minibert.data.tasks import Data, Example, constant_score, predictions, score
from minibert.errors import Diverged, InputError
from minibert.fetch.models import locate_model
from minibert.files import lock
from minibert.training.schedule import Settings, generator
from minibert.tree import count

VALIDATION = 100  # a purpose of random numbers, beside those in minibert.training.schedule


Parts = tuple[Data, list[Example]]  # to learn and to choose by; to score the result on


def execute(
    config: Config, folder: Path, threads: int, tasks: Path | None = None
) -> dict[str, Any]:
    """Compute one run. `folder` holds the checkpoints of runs in progress and small task files.
    `tasks` is table 2's folder of tasks: where it is, is no part of a configuration.

    A learning rate at which training diverges is a result too: {"diverged": what happened}.
    Raises InputError for missing data or weights.
    """
    try:
        if config["kind"] in KINDS_OF_TABLE2:
            parts = own_parts(config, tasks)
            result = KINDS_OF_TABLE2[config["kind"]](config, parts, folder, threads)
        else:
            result = KINDS[config["kind"]](config, folder, threads)
    except Diverged as error:
        result = {"diverged": str(error)}
    shutil.rmtree(_under_way(config, folder), ignore_errors=True)
    return result


def _under_way(config: Config, folder: Path) -> Path:
    return folder / "under-way" / run_key(config)


@cache
def base_of(name: str) -> Base:
    """The frozen BERT, loaded once per process."""
    return load_base(locate_model(name))


def base_for(config: Config) -> Base:
    """A configuration's base. Raises InputError when this worker has other weights of that name."""
    base = base_of(config["base"])
    if base.sha256 != config["base_sha256"]:
        raise InputError(
            f"{base.folder}: has weights with sha256 {base.sha256[:12]}..., but the run needs "
            f"{config['base_sha256'][:12]}..."
        )
    return base


def method_of(config: Config) -> Method:
    """The tuning method of a configuration: a name, and whatever differs from the defaults."""
    chosen = dict(config["method"])
    span = {name: chosen.pop(name) for name in ("first_layer", "last_layer") if name in chosen}
    return replace(method_named(**chosen), **span)


@cache
def parts(
    task: str, sample: bool, examples: int | None, dev_examples: int | None, validation: float
) -> Parts:
    """(the training set, split into a training and a validation part; GLUE's dev set).

    Hyperparameters and the best epoch are chosen on the validation part; results are reported on
    the dev set. The parts are drawn with a fixed seed: every run of a task sees the same ones,
    whatever its own seed.
    """
    data = glue_data(task, sample)
    dev = data.dev
    if examples is not None and examples < len(data.train):
        data = subset(data, examples, 0)
    if dev_examples is not None and dev_examples < len(dev):
        dev = [dev[i] for i in generator(0, VALIDATION, 1).permutation(len(dev))[:dev_examples]]
    order = generator(0, VALIDATION).permutation(len(data.train))
    held_out = max(1, round(validation * len(order)))
    train, chosen = order[held_out:], order[:held_out]
    kept = replace(data, train=[data.train[i] for i in train], dev=[data.train[i] for i in chosen])
    return kept, dev


def parts_of(config: Config) -> Parts:
    """The parts of a configuration's task."""
    names = ("task", "sample", "examples", "dev_examples", "validation")
    return parts(*(config[name] for name in names))


def own_parts(config: Config, tasks: Path | None) -> Parts:
    """The parts of a configuration of table 2: its folder's own training and development examples,
    and its test examples. Raises InputError when the folder has no such data."""
    if tasks is None:
        raise InputError(f"the run {run_key(config)} of table2 needs its folder of tasks")
    names = ("examples", "dev_examples", "test_examples")
    return drawn(task_with(tasks, config["data_sha256"]), [config[name] for name in names])


def settings_of(config: Config) -> Settings:
    """A configuration's learning rate, epochs, batch size and seed."""
    names = ("rate", "epochs", "batch_size", "seed")
    return Settings(**{name: config[name] for name in names})


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


# ------------------------------------------------------------------------------- the kinds of runs


def _train(base: Base, config: Config, data: Data, out: Path, threads: int) -> Trained:
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


def _learned(
    config: Config, parts: Parts, folder: Path, threads: int
) -> tuple[TaskFile, dict[str, float], dict[str, Any]]:
    """Train a task and score it at the epoch that is best on validation: the task file, the scores
    of `parts[1]`, and what else a run keeps."""
    base, (data, held_out) = base_for(config), parts
    done = _train(base, config, data, _under_way(config, folder), threads)
    logits = predict_texts(done.task, base, [example.text for example in held_out], threads)
    scores = score(data.task, logits, [example.label for example in held_out])
    return (
        done.task,
        scores,
        {
            "answers": packed(predictions(data.task, logits)),
            "validation": done.epochs,
            "best_epoch": done.task.results["epoch"],
            "loss": float(np.mean(done.losses[-len(done.losses) // len(done.epochs) :])),
            "constant": constant_score(data.task, data.train, held_out),
            "parameters": parameter_counts(on_base(done.task, base)),
            "examples": [len(data.train), len(data.dev), len(held_out)],
        },
    )


def classify(config: Config, folder: Path, threads: int) -> dict[str, Any]:
    """Train one GLUE task; score it on the dev set.

    Task files with adapters are kept for the runs that start from one (`trained`).
    """
    task, scores, others = _learned(config, parts_of(config), folder, threads)
    if method_of(config).size is not None:
        save_task(_task_path(config, folder), task)
    return {"dev": scores, **others}


def own_task(config: Config, parts: Parts, folder: Path, threads: int) -> dict[str, Any]:
    """Train one task of table 2; score it on its test set."""
    _, scores, others = _learned(config, parts, folder, threads)
    return {"test": scores, **others}


def without_bert(config: Config, parts: Parts, folder: Path, threads: int) -> dict[str, Any]:
    """Table 2's row without BERT."""
    return tfidf(*parts)


def _task_path(config: Config, folder: Path) -> Path:
    return folder / "tasks" / f"{run_key(config)}.safetensors"


def trained(config: Config, folder: Path, threads: int) -> TaskFile:
    """The task file of a "classify" configuration with adapters, trained first if it is missing.
    Raises Diverged when its training does."""
    path = _task_path(config, folder)
    with lock(folder / "under-way" / f"{run_key(config)}.task.lock"):
        if not path.exists() and "diverged" in (result := execute(config, folder, threads)):
            raise Diverged(result["diverged"])
    return load_task(path)


def ablation(config: Config, folder: Path, threads: int) -> dict[str, Any]:
    """A trained task's dev scores without the adapters of each contiguous span of layers, with no
    further training (section 3.6, figure 6 left); its LayerNorms and head stay.

    The layers below a span are unchanged, so their states are cached.
    """
    source = config["of"]
    task = trained(source, folder, threads)
    base, (_, dev) = base_for(source), parts_of(source)
    model, gold = on_base(task, base), [example.label for example in dev]
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
            spans.append({"first": first, "last": last, "dev": score(task.task, logits, gold)})
    constant = constant_score(task.task, parts_of(source)[0].train, dev)
    return {"dev": score(task.task, whole, gold), "spans": spans, "constant": constant}


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
            out = _under_way(config, folder) / str(number)
            task = _train(base, step, parts_of(step)[0], out, threads).task
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
        out=_under_way(config, folder),
        resume=True,
        threads=threads,
    )
    scores, answers = [], []
    for model, (data, dev) in zip(done.models, parts, strict=True):
        encoded = encode_examples(base, dev, first["max_length"], pooling=model.pooling)
        logits = predict_logits(model, encoded, threads)
        scores.append(score(data.task, logits, [example.label for example in dev]))
        answers.append(packed(predictions(data.task, logits)))
    heads = [count(model.tree["head"]) for model in done.models]
    return {
        "scores": [scores],
        "answers": answers,
        "validation": done.epochs,
        "best_epoch": done.best_epoch,
        "parameters": count(done.models[0].tree["base"]) + sum(heads),
        "examples": [len(data.train) for data, _ in parts],
    }


@cache
def questions(examples: int | None, dev_examples: int | None) -> Questions:
    """SQuAD's training and dev questions, or this many of each, drawn with a fixed seed."""
    found = []
    for number, (part, most) in enumerate(zip(squad_data(), (examples, dev_examples), strict=True)):
        order = generator(0, VALIDATION, 2, number).permutation(len(part))[:most]
        found.append([part[i] for i in sorted(order)])
    return Questions(*found)


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
        out=_under_way(config, folder),
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


KINDS: dict[str, Callable[[Config, Path, int], dict[str, Any]]] = {
    "classify": classify,
    "ablation": ablation,
    "sequence": sequence,
    "joint": joint,
    "squad": squad,
}

KINDS_OF_TABLE2: dict[str, Callable[[Config, Parts, Path, int], dict[str, Any]]] = {
    "own": own_task,
    "tfidf": without_bert,
}
