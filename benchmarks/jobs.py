"""How each kind of row is prepared: the work of its sides, with the same texts on both."""

import csv
import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

from fixtures import random_checkpoint, small_task
from processes import Side
from products import products
from texts import MODELS, random_batch, real_batches, real_parts, real_texts, tokens

from minibert.fetch.models import locate_model
from minibert.machine.kernels import COLUMNS, INNER, ROWS
from minibert.tokenizer import Text, encode_texts, load_tokenizer

HERE = Path(__file__).parent
SGEMMS = 4  # products in a run, enough for the time that threads take to wake not to matter
SENTENCE = "The soup was cold and the waiter could not have cared less."


@dataclass(frozen=True)
class Setup:
    """Where and how to measure: the two Pythons, the threads, a folder for large files."""

    ours: str
    peer: str
    threads: int
    folder: Path

    def our_side(self, env: dict[str, str], **work: Any) -> Side:
        """A worker of this project."""
        env = {"PYTHONPATH": str(HERE.parent), **env}  # the peers never get this
        return Side((self.ours, str(HERE / "ours.py")), {"threads": self.threads, **work}, env)

    def peer_side(self, **work: Any) -> Side:
        """A worker of the peers. ONNX Runtime's threads may spin: that is faster, and ends some 40
        ms after a run, well within the pause before the next turn."""
        work = {"threads": self.threads, "spinning": "1", **work}
        return Side((self.peer, str(HERE / "peer.py")), work)


@dataclass(frozen=True)
class Job:
    """A row ready to be measured. `scale`: the row's figure if both times were equal (see
    `records`); `tokens`: a run's real tokens; `note`: where the texts come from, or the like."""

    sides: dict[str, Side]
    scale: float = 1.0
    tokens: int = 0
    note: str = ""


def shape(model: str, texts: str) -> tuple[dict[str, Any], str]:
    """The model and the texts of a work, and the texts' source. `texts`: "32x64" for random texts
    of one length, "rte" or "sst-2" for the task's own."""
    config = MODELS[model]
    if "x" in texts:
        number, length = map(int, texts.split("x"))
        batches, source = random_batch(number, length, config.vocab_size), ""
    else:
        batches, source = real_batches(texts, 4 if config.num_hidden_layers <= 6 else 2)
    return {"config": dataclasses.asdict(config), "batches": batches}, source


def against(
    model: str, texts: str, ours: dict[str, Any], peer: str, kernels: str | None, setup: Setup
) -> Job:
    """Our work and a peer's on the same texts."""
    given, source = shape(model, texts)
    env = {"OPENBLAS_CORETYPE": kernels} if kernels else {}
    sides = {
        "ours": setup.our_side(env, **given, **ours),
        "peer": setup.peer_side(what=peer, size=64, **given),
    }
    return Job(sides, tokens=tokens(given["batches"]), note=source)


def cold_start(setup: Setup) -> Job:
    """One sentence by a whole command, ours and transformers'."""
    base = locate_model("minilm")
    task = small_task(setup.folder / "task", base)
    env = {"PYTHONPATH": str(HERE.parent)}
    ours = (setup.ours, "-m", "minibert", "predict", str(task), SENTENCE, "--base", str(base))
    peer = (setup.peer, str(HERE / "peer_predict.py"), str(base), SENTENCE)
    return Job({"ours": Side(ours, None, env), "peer": Side(peer)})


def loading(of_file: bool, setup: Setup) -> Job:
    """BERT-base's weights, checked and mapped into memory, with their file already in the system's
    cache. `of_file`: measure the memory relative to the file, with every weight read once, since a
    page that was never read takes no memory."""
    folder = random_checkpoint(setup.folder / "bert-base", MODELS["bert-base"])
    megabytes = (folder / "model.safetensors").stat().st_size / (1 << 20)
    sides = {"ours": setup.our_side({}, what="load", folder=str(folder), touch=of_file)}
    return Job(sides, 1 / megabytes if of_file else 1.0, note=f"file of {megabytes:.1f} MB")


STEP: dict[str, Any] = {"what": "steps", "method": "adapters", "size": 64}
FULL = {"what": "steps", "method": "full"}
CLASSIFY = {"what": "classify", "method": "head"}
FORWARD = {"what": "forward"}
WORK: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "forward": (FORWARD, {"first_only": False}),
    "classification": (CLASSIFY, {"outputs": 2}),
    "adapter step": (STEP, {"outputs": 2, "trained": "adapters", "size": 64}),
    "full step": (FULL, {"outputs": 2, "trained": "full"}),
}


def share(model: str, texts: str, work: str, setup: Setup) -> Job:
    """A work compared with one large matrix product: the figure is the share of the machine."""
    given, _ = shape(model, texts)
    ours, counted = WORK[work]
    lengths = [len(text) for batch in given["batches"] for text in batch]
    done = products(MODELS[model], lengths, **counted)
    sides = {
        "ours": setup.our_side({}, **given, **ours),
        "sgemm": setup.our_side({}, what="sgemm", products=SGEMMS),
    }
    note = f"{2 * done / 1e9:,.4g} GFLOP of products"
    return Job(sides, done / (SGEMMS * ROWS * INNER * COLUMNS), len(lengths) * lengths[0], note)


def top(number: int, setup: Setup) -> Job:
    """An epoch of 4 steps that trains MiniLM's top layers, with and without cached states."""
    config = MODELS["minilm"]
    batches = [random_batch(32, 64, config.vocab_size, seed)[0] for seed in range(4)]
    work = {**STEP, "config": dataclasses.asdict(config), "batches": batches}
    sides = {
        "ours": setup.our_side({}, **work, top=number, cache=True),
        "peer": setup.our_side({}, **work, top=number),
        "all layers": setup.our_side({}, **work),
    }
    return Job(sides, tokens=tokens(batches))


SEARCHED = (256, 64)  # training and dev texts


def hyperparameters(epochs: int, setup: Setup) -> Job:
    """The usual 12 configurations of adapters in the top half and less, on SST-2 sentences: by
    `minibert search`, against each trained by itself through all epochs."""
    texts, source = real_texts("sst-2", sum(SEARCHED))
    base = locate_model("minilm")
    given = {"texts": texts, "folder": str(base), "train": SEARCHED[0], "epochs": epochs}
    sides = {
        "ours": setup.our_side({}, what="configurations", how="search", **given),
        "peer": setup.our_side({}, what="configurations", how="single runs", **given),
    }
    return Job(sides, note=source)


def texts_to_labels(peer: str, number: int, setup: Setup) -> Job:
    """Sentences of SST-2 from text to label, tokenization included."""
    task = small_task(setup.folder / "task", locate_model("minilm"))
    return _from_texts(peer, number, setup, what="predict", task=str(task))


def texts_to_vectors(peer: str, number: int, setup: Setup) -> Job:
    """Sentences of SST-2 from text to sentence vector, tokenization included."""
    return _from_texts(peer, number, setup, what="embed")


def _from_texts(peer: str, number: int, setup: Setup, **ours: str) -> Job:
    texts, source = real_texts("sst-2", number)
    base = locate_model("minilm")
    given = {"texts": texts, "folder": str(base)}
    sides = {
        "ours": setup.our_side({}, **ours, **given),
        "peer": setup.peer_side(what=peer, **given),
    }
    encoded = encode_texts(load_tokenizer(base), texts, 128)
    return Job(sides, tokens=sum(len(text.ids) for text in encoded), note=source)


# A whole training as `minibert train` does it: (training texts, dev texts), in proportion to 4,000
# sentences of SST-2 and to RTE, and the usual number of epochs.
WHOLE = {"sst-2": (512, 112, 3), "rte": (128, 14, 5)}


def whole_training(task: str, other: str, setup: Setup) -> Job:
    """`minibert train --fast` from texts to the last epoch's scores, against the same without it,
    or AdapterHub's adapters in all layers and as many epochs."""
    train, dev, epochs = WHOLE[task]
    texts, dev_texts, source = real_parts(task, train, dev)
    base = locate_model("minilm")
    given = {"folder": str(base), "texts": texts, "dev": dev_texts, "epochs": epochs, "size": 64}
    ours = {**given, "what": "train"}
    if other == "AdapterHub":
        peer = setup.peer_side(**given, what="adapterhub train")
    else:
        peer = setup.our_side({}, **ours, fast=False)
    encoded = encode_texts(load_tokenizer(base), texts, 128)
    count = epochs * sum(len(text.ids) for text in encoded)
    return Job(
        {"ours": setup.our_side({}, **ours, fast=True), "peer": peer}, tokens=count, note=source
    )


def streamed(rows: int, few: int, setup: Setup) -> Job:
    """A table of many rows, answered and written, against one of few. The base is so small that
    what is done for each row is most of the work: reading, tokenizing, writing."""
    vocabulary = MODELS["minilm"].vocab_size
    config = dataclasses.replace(MODELS["tiny"], vocab_size=vocabulary, max_position_embeddings=128)
    base = random_checkpoint(setup.folder / "small", config)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(locate_model("minilm") / name, base / name)
    task = small_task(setup.folder / "small-task", base)
    texts, source = real_texts("sst-2", few)
    given = {"what": "table", "folder": str(base), "task": str(task)}
    sides = {
        side: setup.our_side({}, **given, table=str(_table(setup.folder, texts, number)))
        for side, number in (("ours", rows), ("peer", few))
    }
    return Job(sides, rows / few, note=source)


def _table(folder: Path, texts: Sequence[Text], rows: int) -> Path:
    """A CSV file of so many rows, the texts over and over again."""
    path = folder / f"{rows}-rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            chain([("number", "text")], enumerate(islice(cycle(texts), rows)))
        )
    return path


TASKS: dict[str, Any] = {"what": "tasks", "method": "adapters", "size": 64, "tasks": 8}


def many_tasks(how: str, other: str, top: int | None, setup: Setup) -> Job:
    """8 tasks on SST-2 sentences in batches of 32, against another way to ask them: of ours, or
    AdapterHub's. `top`: adapters in so many of the top layers only."""
    config = dataclasses.asdict(MODELS["minilm"])
    batches, source = real_batches("sst-2", 31 if how == "together" else 8)
    work = {**TASKS, "config": config, "batches": batches, **({"top": top} if top else {})}
    if other == "AdapterHub":
        peer = setup.peer_side(**{**work, "what": "adapterhub tasks", "how": how})
    else:
        peer = setup.our_side({}, **work, how=other)
    sides = {"ours": setup.our_side({}, **work, how=how), "peer": peer}
    return Job(sides, tokens=tokens(batches), note=source)
