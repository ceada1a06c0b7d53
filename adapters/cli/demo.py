"""`minibert demo`: the whole path in about a minute, on real weights, and on real data if they can
be fetched."""

import math
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.cli.programs import minibert_program
from adapters.embed import embed_texts
from adapters.finetune import Trained, train_task
from adapters.learning_curve import learning_curve
from adapters.logistic import fit_logistic
from adapters.methods.table import method_named
from adapters.predict import likeliest, predict_texts
from adapters.progress import Progress
from adapters.recipes import recipe_named
from adapters.show import constant_name, facts, table, trained_table
from adapters.task_file import TaskFile, load_task
from adapters.task_model import new_task_model
from adapters.train_data import subset
from minibert.checkpoint import Base, load_base
from minibert.data.glue import glue_data
from minibert.data.tasks import Data
from minibert.errors import InputError
from minibert.fetch.datasets import fetch_task, find_task
from minibert.fetch.models import fetch_model
from minibert.training.schedule import Settings

TASK, EXAMPLES, SHOWN, LENGTH = "sst-2", 1500, 8, 128
# measured, on the project's own reviews
SEEDS = "seeds 0, 1 and 2 of the adapters gave 95.4, 95.0 and 95.4, a mean of 95.3 +- 0.1"


@dataclass(frozen=True)
class Contestant:
    """One of the trainings that the demo compares: its folder, what it trains in words, and how."""

    folder: str
    what: str
    method: str
    pooling: str
    rate: float
    epochs: int


# The base was trained to mean its mean; the paper's heads read the pooler. The pooled vectors of
# this base are small, so a good head on them needs large weights: a high rate.
CONTESTANTS = (
    Contestant("adapters", "adapters, LayerNorms, head on the mean", "adapters", "mean", 1e-3, 6),
    Contestant("head-on-mean", "head alone, on the mean", "head", "mean", 3e-3, 12),
    Contestant("head-on-pooler", "head alone, on the pooler", "head", "pooler", 1e-1, 12),
)


def demo_data() -> Data:
    """SST-2, fetched if necessary, or else the project's own sample."""
    try:
        if find_task(TASK) is None:
            fetch_task(TASK)
        data = glue_data(TASK)
    except InputError as error:
        print(f"GLUE's SST-2 is not available ({error}); using minibert's own sample.")
        return glue_data(TASK, sample=True)
    return subset(data, min(EXAMPLES, len(data.train)), seed=0)


def demo(out: Path) -> None:
    """Train adapters and, to compare, the head alone; save, reload and use the adapters.

    A demo that was stopped is resumed; a finished one in `out` is replaced. Raises InputError when
    the weights cannot be fetched.
    """
    started = time.monotonic()
    picture = out / "curve.png"
    tasks = [out / one.folder / "task.safetensors" for one in CONTESTANTS]
    if picture.exists() and all(task.exists() for task in tasks):  # the picture is written last
        for task in tasks:
            task.with_name("checkpoint.safetensors").unlink(missing_ok=True)
            task.unlink()
        picture.unlink()
    base = load_base(fetch_model("minilm"))
    data = demo_data()
    announce(base, data)
    runs = {one: run(base, data, one, out) for one in CONTESTANTS}

    metric, constant = data.task.metrics[0], next(iter(runs.values())).constant
    rows = [(one.what, trained.epochs[-1][metric]) for one, trained in runs.items()]
    rows.append(("logistic regression on the frozen base's means", logistic_accuracy(base, data)))
    rows.append((f"nothing ({constant_name(data.task)})", constant[metric]))
    headers = ("trained", f"dev {metric} (%), last epoch")
    print(f"\n{table([(what, f'{100 * value:.1f}') for what, value in rows], headers)}")
    print(uncertainty(rows[0][1], data))

    curves = {one.what: (trained.losses, trained.epochs) for one, trained in runs.items()}
    title = f"{base.name.partition('@')[0]} learns {data.task.name} from {len(data.train):,} texts"
    learning_curve(picture, curves, f"{title}\n{data.source}", constant)
    path = out / "adapters" / "task.safetensors"
    print(f"\nadapter file    {path} ({path.stat().st_size / 1e6:.2f} MB)")
    print(f"learning curve  {picture}\n")
    print("\n".join(answered(load_task(path), base, data)))
    print(f"\n{time.monotonic() - started:.0f} s in all. Try your own:")
    print(f'  {minibert_program()} predict {shlex.quote(str(path))} "A TEXT"')


def announce(base: Base, data: Data) -> None:
    """What is about to be trained, on what."""
    examples = f"{len(data.train):,} training and {len(data.dev):,} dev examples"
    weights = f"{base.folder}, sha256 {base.sha256[:12]}..."
    print(facts([("weights", weights), ("data", f"{data.source}: {examples}")]))
    outputs = data.task.outputs
    recipe, method = recipe_named("paper"), method_named("adapters")
    model = new_task_model(base, method, recipe, outputs, seed=0, pooling=CONTESTANTS[0].pooling)
    print(f"\n{trained_table(model)}\n", flush=True)


def run(base: Base, data: Data, one: Contestant, out: Path) -> Trained:
    """One training, under a progress bar."""
    settings = Settings(rate=one.rate, epochs=one.epochs, batch_size=16)
    progress = Progress(one.folder)
    try:
        return train_task(
            base,
            data,
            method_named(one.method),
            settings,
            max_length=LENGTH,
            pooling=one.pooling,
            out=out / one.folder,
            resume=True,
            on_report=progress,
        )
    finally:
        progress.close()


def logistic_accuracy(base: Base, data: Data) -> float:
    """The dev accuracy of logistic regression on the mean of each text's last states, of a base as
    it is."""
    train, dev = (
        embed_texts(base, [str(example.text) for example in examples], max_length=LENGTH)
        for examples in (data.train, data.dev)
    )
    model = fit_logistic(train, np.array([example.label for example in data.train]))
    gold = np.array([example.label for example in data.dev])
    return float(np.mean((model.probability(dev) > 0.5) == (gold == 1)))


def uncertainty(accuracy: float, data: Data) -> str:
    """How sure an accuracy is, by the number of dev sentences; on the sample also other seeds'."""
    error, half = (
        100 * math.sqrt(share * (1 - share) / len(data.dev)) for share in (accuracy, 0.5)
    )
    said = (
        f"(on {len(data.dev)} sentences the first number has a standard error of {error:.1f}, "
        f"one of 50 has {half:.1f}"
    )
    return f"{said})" if data.source.startswith("GLUE") else f"{said};\n{SEEDS})"


def answered(task: TaskFile, base: Base, data: Data) -> Iterator[str]:
    """Some dev sentences, drawn with the seed, with the task's answers: right or wrong."""
    drawn = np.random.default_rng(0).permutation(len(data.dev))[:SHOWN]
    examples = [data.dev[i] for i in drawn]
    yield f"{len(examples)} dev sentences, answered by the adapter as read back from its file:"
    logits = predict_texts(task, base, [example.text for example in examples])
    for example, row in zip(examples, logits, strict=True):
        answer, chances = likeliest(task.task, row)
        verdict = "right" if answer == task.task.names[int(example.label)] else "WRONG"
        yield f"  {verdict}  {answer:8} {chances[answer]:.2f}  {example.text}"
