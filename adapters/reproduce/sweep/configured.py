"""What a configuration stands for: its base, its data, its method and its settings."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from adapters.methods.method import Method
from adapters.methods.table import method_named
from adapters.reproduce.sweep.drawn import drawn
from adapters.reproduce.sweep.runs_file import Config, run_key
from adapters.reproduce.sweep.task_folder import task_with
from adapters.train_data import subset
from minibert.checkpoint import Base, load_base
from minibert.data.glue import glue_data
from minibert.data.squad import Questions, squad_data
from minibert.data.tasks import Data, Example
from minibert.errors import InputError
from minibert.fetch.models import locate_model
from minibert.training.schedule import Settings, generator

VALIDATION = 100  # a purpose of random numbers, beside those in minibert.training.schedule

Parts = tuple[Data, list[Example]]  # to learn and to choose by; to score the result on


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


@cache
def questions(examples: int | None, dev_examples: int | None) -> Questions:
    """SQuAD's training and dev questions, or this many of each, drawn with a fixed seed."""
    found = []
    for number, (part, most) in enumerate(zip(squad_data(), (examples, dev_examples), strict=True)):
        order = generator(0, VALIDATION, 2, number).permutation(len(part))[:most]
        found.append([part[i] for i in sorted(order)])
    return Questions(*found)
