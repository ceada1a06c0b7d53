"""Which pooling, rate and epochs to begin with on a base: the runs behind docs/defaults.md.

    python benchmarks/defaults.py similarity  # what the head reads of a pair that is scored
    python benchmarks/defaults.py rates       # every method's rates, one seed
    python benchmarks/defaults.py epochs      # how many epochs for how many examples
    python benchmarks/defaults.py methods     # every method at its default rate, both poolings

Real GLUE must be there (MINIBERT_GLUE). Finished runs are kept, in results/minilm-defaults, and not
computed again, so it can be stopped at any time.
"""

import argparse
from pathlib import Path

from adapters.recipes import default_rate_epochs, enough_epochs
from adapters.reproduce.sweep.configured import base_of, parts_of
from adapters.reproduce.sweep.one_run import execute
from adapters.reproduce.sweep.run_sweep import run_sweep
from adapters.reproduce.sweep.runs_file import Config
from adapters.reproduce.sweep.workers import Workers
from adapters.task_model import COSINE, MEAN, POOLER

FOLDER = Path(__file__).parents[1] / "results" / "minilm-defaults"
BASE = "minilm"
TASKS = ("sst-2", "cola", "rte", "mrpc")
SEEDS = 3
BATCH = 32
RATES = {
    "adapters": (1e-3, 2e-3),
    "full": (5e-5, 1e-4),
    "norms": (1e-3, 3e-3, 1e-2),
    "head": (1e-2, 1e-1),
    "lora": (1e-3, 2e-3, 5e-3),
    "pfeiffer": (1e-3, 2e-3, 4e-3),
    "biases": (1e-3, 3e-3, 1e-2),
}
# Epochs tried for how many examples: (whether of the sample, examples, epochs, seeds).
LENGTHS = (
    (True, 160, (10, 20, 40, 80), 3),
    (True, None, (5, 10, 20), 3),
    (False, 2500, (3, 5, 10), 1),
    (False, 10000, (2, 3, 5), 1),
)


def run_of(
    task: str, method: str, pooling: str, rate: float, epochs: int | None = None, seed: int = 0
) -> Config:
    """A run on GLUE's task (4,000 sentences of SST-2), or on the sample's sts-b."""
    config: Config = {
        "kind": "classify",
        "base": BASE,
        "base_sha256": base_of(BASE).sha256,
        "task": task,
        "sample": task == "sts-b",
        "examples": 4000 if task == "sst-2" else None,
        "dev_examples": None,
        "validation": 0.1,
        "method": {"name": method},
        "pooling": pooling,
        "recipe": "paper",
        "rate": rate,
        "batch_size": BATCH,
        "max_length": 128,
        "seed": seed,
    }
    if epochs is None:
        _, epochs = default_rate_epochs(method, task)
        epochs = enough_epochs(epochs, len(parts_of(config)[0].train), BATCH)
    return {**config, "epochs": epochs}


def rates() -> list[Config]:
    """Every method at each of its rates on SST-2."""
    tried = [(method, rate) for method, rates in RATES.items() for rate in rates]
    return [run_of("sst-2", method, MEAN, rate, 3) for method, rate in tried]


def similarity() -> list[Config]:
    """Adapters on the sample's sts-b, with every pooling that may serve for pairs."""
    return [
        run_of("sts-b", "adapters", pooling, 1e-3, seed=seed)
        for seed in range(SEEDS)
        for pooling in (COSINE, MEAN, POOLER)
    ]


def methods() -> list[Config]:
    """Every method at its default rate on every task, with both poolings."""
    return [
        run_of(task, method, pooling, default_rate_epochs(method, task, sha256)[0], seed=seed)
        for sha256 in [base_of(BASE).sha256]
        for task in TASKS
        for seed in range(SEEDS)
        for pooling in (MEAN, POOLER)
        for method in RATES
    ]


def epochs() -> list[Config]:
    """Adapters at their default rate, on few and on many examples."""
    rate, _ = default_rate_epochs("adapters", "sst-2", base_of(BASE).sha256)
    return [
        {
            **run_of("sst-2", "adapters", MEAN, rate, number, seed),
            "sample": sample,
            "examples": examples,
        }
        for sample, examples, tried, seeds in LENGTHS
        for seed in range(seeds)
        for number in tried
    ]


STAGES = {"rates": rates, "similarity": similarity, "epochs": epochs, "methods": methods}


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=[*STAGES])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)

    def tell(finished: Config | None, running: int, left: int) -> None:
        if finished is not None:
            print(f"{running} running, {left} left: {finished}", flush=True)

    run_sweep(STAGES[options.stage](), execute, FOLDER, Workers(options.workers), tell)


if __name__ == "__main__":
    main()
