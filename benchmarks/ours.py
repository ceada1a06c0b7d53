"""This project's side of `make bench` and `make compare`; it computes as the commands do."""

import minibert  # noqa: F401 - before NumPy, whose kernels it chooses

# isort: split
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from worker import Work, serve

from adapters.cached_layers import Bottom, cache_states, frozen_layers
from adapters.embed import embed_texts
from adapters.fast import fast_method
from adapters.finetune import task_loss, train_task
from adapters.methods.table import method_named, top_layers
from adapters.predict import predict_logits, predict_texts
from adapters.recipes import recipe_named
from adapters.score_table import Scoring, score_to_file
from adapters.search.configurations import grid
from adapters.search.halving import search_task
from adapters.task_file import load_task
from adapters.task_model import TaskModel, new_task_model
from adapters.together import logits_apart, logits_together
from adapters.training_run import Training
from minibert.batch import group_by_length, make_batch
from minibert.checkpoint import Base, load_base
from minibert.config import BertConfig
from minibert.data.records import open_table
from minibert.data.tasks import Data, Example, Task
from minibert.machine.kernels import COLUMNS, INNER, ROWS
from minibert.machine.threads import each
from minibert.model import encode, pool
from minibert.parameters import random_params
from minibert.tokenizer import Encoded
from minibert.training.loop import train_step
from minibert.training.resume import start
from minibert.training.schedule import Settings, Step
from minibert.tree import leaves

Run = Callable[[], object]


def prepare(work: Work) -> Run:
    """The work as a function, with everything already built."""
    if work["what"] == "sgemm":
        return sgemm(work["products"])
    if work["what"] == "load":
        return load(Path(work["folder"]), work["touch"])
    if work["what"] == "predict":
        return predict(Path(work["folder"]), Path(work["task"]), work["texts"], work["threads"])
    if work["what"] == "embed":
        return embed(Path(work["folder"]), work["texts"], work["threads"])
    if work["what"] == "train":
        return train(work)
    if work["what"] == "configurations":
        return configurations(work)
    if work["what"] == "table":
        paths = (Path(work[name]) for name in ("folder", "task", "table"))
        return table(*paths, work["threads"])
    config = BertConfig(**work["config"])
    base = Base("random", Path(), config, random_params(config), "0")
    batches = [
        [Encoded(np.array(ids), np.zeros(len(ids), np.int64)) for ids in texts]
        for texts in work["batches"]
    ]
    if work["what"] == "forward":
        return forward(base, batches, work["threads"])
    method = method_named(work["method"], work.get("size"))
    if "top" in work:
        method = top_layers(method, work["top"], config)
    if work["what"] == "tasks":
        models = {
            str(seed): new_task_model(base, method, recipe_named("paper"), 2, seed)
            for seed in range(work["tasks"])
        }
        return tasks(models, batches, work["how"], work["threads"])
    model = new_task_model(base, method, recipe_named("paper"), 2, 0)
    if work["what"] == "classify":
        return classify(model, batches, work["threads"])
    return steps(model, batches, work["threads"], work.get("cache", False))


def load(folder: Path, touch: bool) -> Run:
    """Check a checkpoint folder and map it into memory; with `touch`, read every weight."""

    def run() -> None:
        base = load_base(folder)
        if touch:
            for _, leaf in leaves(base.params):
                leaf.max()

    return run


def embed(folder: Path, texts: list[str], threads: int) -> Run:
    """From texts to sentence vectors, as in `minibert embed`."""
    base = load_base(folder)
    return lambda: embed_texts(base, texts, max_length=128, threads=threads)


def predict(folder: Path, task_path: Path, texts: list[str], threads: int) -> Run:
    """From texts to labels, tokenization included."""
    base, task = load_base(folder), load_task(task_path)
    return lambda: predict_texts(task, base, texts, threads).argmax(-1)


def train(work: Work) -> Run:
    """A whole training from texts to the last epoch's scores, as `minibert train` [`--fast`] does
    it. The labels alternate: time does not depend on them, and --fast may not stop early here."""
    base = load_base(Path(work["folder"]))
    train, dev = (
        [
            Example(tuple(text) if isinstance(text, list) else text, i % 2)
            for i, text in enumerate(part)
        ]
        for part in (work["texts"], work["dev"])
    )
    pairs = isinstance(train[0].text, tuple)
    task = Task(
        "task", "", ("first", "second") if pairs else ("text",), "label", ("0", "1"), ("0", "1")
    )
    method, settings = method_named("adapters", work["size"]), Settings(epochs=work["epochs"])
    if work["fast"]:
        method = fast_method(method, base.config)
    data = Data(task, train, dev, "texts")
    return lambda: train_task(base, data, method, settings, threads=work["threads"])


def table(folder: Path, task_path: Path, path: Path, threads: int) -> Run:
    """From a table to the same table with answers, as in `minibert predict --input`."""
    base, task = load_base(folder), load_task(task_path)
    scoring = Scoring(task, base, open_table(path, ["text"]), ("text",), threads=threads)
    return lambda: score_to_file(scoring, path.with_name(f"answered-{path.name}"))


def sgemm(number: int) -> Run:
    """This many float32 products of BERT-base's feed-forward size, with BLAS's own threads."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, INNER), np.float32)
    weight = rng.standard_normal((INNER, COLUMNS), np.float32)
    out = np.empty((ROWS, COLUMNS), np.float32)

    def run() -> None:
        for _ in range(number):
            np.matmul(x, weight, out=out)

    return run


def forward(base: Base, batches: list[list[Encoded]], threads: int) -> Run:
    """All hidden states of every token, and the pooled vectors, as the peers compute them."""

    def one(texts: list[Encoded], group: list[int]) -> tuple[np.ndarray, np.ndarray]:
        batch = make_batch([texts[i] for i in group])
        states = encode(base.params, batch, base.config)[-1]
        return states, pool(base.params, states, batch)

    def run() -> None:
        for texts in batches:
            groups = group_by_length([len(text.ids) for text in texts])
            list(each(partial(one, texts), groups, threads))

    return run


def classify(model: TaskModel, batches: list[list[Encoded]], threads: int) -> Run:
    """From texts to logits, as in `minibert predict`."""

    def run() -> None:
        for texts in batches:
            predict_logits(model, texts, threads)

    return run


def tasks(
    models: dict[str, TaskModel], batches: list[list[Encoded]], how: str, threads: int
) -> Run:
    """All tasks on all texts "together" or "one by one"; or batches whose texts take turns with the
    tasks, "mixed", as against "one task" on the same batches."""
    texts = [text for batch in batches for text in batch]

    def mixed() -> None:
        for batch in batches:
            own = {name: batch[i :: len(models)] for i, name in enumerate(models)}
            logits_apart(models, own, threads)

    return {
        "together": lambda: logits_together(models, texts, threads),
        "one by one": lambda: [predict_logits(model, texts, threads) for model in models.values()],
        "mixed": mixed,
        "one task": classify(models["0"], batches, threads),
    }[how]


def configurations(work: Work) -> Run:
    """The usual configurations of a task, by a "search" or in "single runs", each from its texts to
    its task file. The labels alternate: the time does not depend on them."""
    base = load_base(Path(work["folder"]))
    examples = [Example(text, i % 2) for i, text in enumerate(work["texts"])]
    train, dev = examples[: work["train"]], examples[work["train"] :]
    task = Task("searched", "", ("text",), "label", ("0", "1"), ("0", "1"))
    data = Data(task, train, dev, "texts")
    settings = Settings(epochs=work["epochs"])
    ways = grid(method_named("adapters"), base.config, settings)
    longest = min(128, base.config.max_position_embeddings)
    alike: dict[str, Any] = {"max_length": longest, "threads": work["threads"]}

    def single_runs(out: Path) -> None:
        for number, way in enumerate(ways):
            train_task(base, data, way.method, way.settings, out=out / str(number), **alike)

    def run() -> None:
        with TemporaryDirectory() as out:
            if work["how"] == "search":
                search_task(base, data, ways, out, **alike)
            else:
                single_runs(Path(out))

    return run


def steps(model: TaskModel, batches: list[list[Encoded]], threads: int, cache: bool) -> Run:
    """One training step for each batch, by the training loop's own function; with `cache`, the
    states that leave the frozen layers are already cached, as from the second epoch on."""
    texts = [text for batch in batches for text in batch]
    ends = np.cumsum([len(batch) for batch in batches])
    numbers = [np.arange(end - len(batch), end) for end, batch in zip(ends, batches, strict=True)]
    frozen, settings = frozen_layers(model), Settings(rate=1e-4)
    bottom = Bottom(frozen)
    if cache and frozen is not None:
        bottom = cache_states(model, texts, frozen, threads)
    labels = np.concatenate([np.arange(len(batch)) % 2 for batch in batches])
    training = Training(
        model,
        settings,
        task_loss(texts, labels, False, bottom),
        score=lambda model: {},
        lengths=[len(text.ids) for text in texts],
        sample=make_batch(texts[:1]),
        first_only=True,
        identity={},
    )
    problem = training.problem()
    state = start(problem.leaves, None)

    def run() -> None:
        nonlocal state
        for batch in numbers:
            step = Step(state.step, 0, batch, settings.rate)
            state = train_step(problem, settings, state, step, threads)

    return run


if __name__ == "__main__":
    serve(prepare)
