"""What --fast costs in quality: adapters in all of MiniLM's layers and in some, on four tasks.

python benchmarks/fast_quality.py [TASK ...]

Runs what is missing in benchmarks/results/fast/runs.jsonl, one line a run, and prints all there is.
It needs the real GLUE, and hours; each run is kept as it ends.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import minibert  # noqa: F401 - before NumPy, whose kernels it chooses

# isort: split
from adapters.finetune import train_task
from adapters.methods.table import METHODS, top_layers
from adapters.recipes import default_rate_epochs, enough_epochs
from adapters.show import table
from adapters.train_data import subset
from minibert.checkpoint import Base, load_base
from minibert.data.glue import glue_data
from minibert.data.tasks import Data
from minibert.fetch.models import locate_model
from minibert.training.schedule import Settings

RUNS = Path(__file__).parent / "results" / "fast" / "runs.jsonl"
TASKS, SEEDS, LAYERS = ("sst-2", "rte", "cola", "mrpc"), (0, 1, 2), (6, 3)  # all, and the top half


@dataclass(frozen=True)
class Way:
    """How a run is trained: in the top `layers` layers, at this peak rate."""

    task: str
    layers: int
    rate: float
    epochs: int
    batch_size: int
    seed: int


def data_of(task: str) -> Data:
    """The task's data; of SST-2 the same 4,000 sentences for all seeds."""
    data = glue_data(task)
    return subset(data, 4000, 0) if task == "sst-2" else data


def scores(way: Way, data: Data, base: Base) -> list[float]:
    """The first dev metric after each epoch, in hundredths."""
    method = top_layers(METHODS["adapters"], way.layers, base.config)
    settings = Settings(way.rate, way.epochs, way.batch_size, way.seed)
    trained = train_task(base, data, method, settings)
    return [round(100 * next(iter(epoch.values())), 1) for epoch in trained.epochs]


def known() -> Iterator[tuple[Way, list[float]]]:
    """The runs that are there."""
    for line in RUNS.read_text("utf-8").splitlines() if RUNS.exists() else ():
        run = json.loads(line)
        yield Way(**run["way"]), run["scores"]


def main(tasks: list[str]) -> None:
    """Run what is missing, and print the best epochs of all runs."""
    base, done = load_base(locate_model("minilm")), dict(known())
    for task in tasks:
        data = data_of(task)
        rate, epochs = default_rate_epochs("adapters", task, base.sha256)
        epochs = enough_epochs(epochs, len(data.train), 32)
        for seed in SEEDS:
            for layers in LAYERS:
                way = Way(task, layers, rate, epochs, 32, seed)
                if way not in done:
                    done[way] = scores(way, data, base)
                    with RUNS.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"way": asdict(way), "scores": done[way]}) + "\n")
    rows = [[*asdict(way).values(), max(found)] for way, found in sorted(done.items(), key=str)]
    print(table(rows, [*asdict(next(iter(done))), "best epoch"]))


if __name__ == "__main__":
    main(sys.argv[1:] or list(TASKS))
