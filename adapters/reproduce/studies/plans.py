"""How much is run: three budgets, and the configurations that the studies make from them.

Sweeps of the paper (section 3.2 and 3.5, its appendix): rates 3e-5, 3e-4, 3e-3 and 3 or 20 epochs
for GLUE on BERT-large. Small models want higher rates; the smaller budgets' grids are around what
works on MiniLM.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.errors import InputError

Grid = tuple[tuple[float, int], ...]  # (learning rate, epochs)


@dataclass(frozen=True)
class Budget:
    """One budget's numbers. `examples`: of a task's training set, None for all; `grids`: what is
    tried for each tuning method, by the validation part."""

    name: str
    what: str
    seeds: int
    examples: dict[str, int | None]
    dev_examples: int | None
    validation: float
    grids: dict[str, Grid]
    longer: dict[str, dict[str, Grid]]  # tried besides, by method and task: where epochs are cheap
    best_of: tuple[int, ...]  # sizes of "adapters, best size of each task"
    swept: tuple[int, ...]  # sizes with a whole grid of their own; the others take m = 64's best
    sizes: tuple[int, ...]  # of figure 4
    top: tuple[int, ...]  # top-k fine-tuning, as so many of 12 layers
    stds: tuple[float, ...]  # initial, figure 6 right
    std_tasks: tuple[str, ...]
    variant_tasks: tuple[str, ...]
    more_epochs: Grid  # tried on SST-2 beside the grid
    squad_examples: tuple[int | None, int | None]
    squad_sizes: tuple[int, ...]
    squad_grids: dict[str, Grid]
    curve_seeds: int  # of what table 1 and figure 6 do not need


TASKS = ("cola", "sst-2", "mrpc", "rte")

BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            "quick",
            "everything once, on some hundred examples of each task",
            seeds=1,
            examples={"cola": 1000, "sst-2": 1000, "mrpc": 250, "rte": 200},
            dev_examples=200,
            validation=0.1,
            grids={
                "adapters": ((1e-3, 4),),
                "full": ((1e-4, 3),),
                "norms": ((3e-3, 4),),
                "head": ((1e-1, 10),),
            },
            longer={},
            best_of=(8, 64, 256),
            swept=(64,),
            sizes=(1, 8, 64, 256),
            top=(2, 6, 10),
            stds=(1e-7, 1e-2, 1e-1, 1.0),
            std_tasks=("cola", "sst-2"),
            variant_tasks=("sst-2",),
            more_epochs=(),
            squad_examples=(300, 100),
            squad_sizes=(2, 64),
            squad_grids={"adapters": ((1e-3, 2),), "full": ((1e-4, 2),)},
            curve_seeds=1,
        ),
        Budget(
            "full",
            "the real training sets (4,000 sentences of SST-2, at most 6,000 questions), in hours",
            seeds=3,
            examples={"cola": None, "sst-2": 4000, "mrpc": None, "rte": None},
            dev_examples=None,
            validation=0.1,
            grids={
                "adapters": ((6e-4, 3), (2e-3, 3)),
                "full": ((5e-5, 3), (1e-4, 3)),
                "norms": ((3e-3, 3),),
                "head": ((1e-2, 10), (1e-1, 10)),
            },
            longer={
                "adapters": {"cola": ((6e-4, 6),), "sst-2": ((6e-4, 6),)},
                "full": {"cola": ((5e-5, 6),), "sst-2": ((5e-5, 6),)},
            },
            best_of=(8, 64, 256),
            swept=(64, 256),  # rates that suit m = 64 may be too high for wide ones
            sizes=(1, 8, 64, 256),
            top=(2, 6),
            stds=(1e-7, 1e-2, 1e-1, 1.0),
            std_tasks=("sst-2",),  # the cheapest; five hours are few
            variant_tasks=("sst-2",),
            more_epochs=((1e-3, 20), (3e-3, 20)),
            squad_examples=(6000, 1600),
            squad_sizes=(2, 64),
            squad_grids={"adapters": ((1e-3, 2),), "full": ((1e-4, 2),)},
            curve_seeds=1,
        ),
        Budget(
            "paper",
            "the paper's own grids, for days on many machines",
            seeds=5,
            examples=dict.fromkeys(TASKS),
            dev_examples=None,
            validation=0.1,
            grids={
                "adapters": tuple((r, e) for r in (3e-5, 3e-4, 3e-3) for e in (3, 20)),
                "full": tuple((r, e) for r in (3e-5, 3e-4, 3e-3) for e in (3, 20)),
                "norms": tuple((r, e) for r in (3e-5, 3e-4, 3e-3) for e in (3, 20)),
                "head": tuple((r, e) for r in (3e-4, 3e-3, 3e-2) for e in (3, 20)),
            },
            longer={},
            best_of=(8, 64, 256),
            swept=tuple(2**n for n in range(10)),
            sizes=tuple(2**n for n in range(10)),
            top=(1, 2, 3, 5, 7, 9, 11),
            stds=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
            std_tasks=TASKS,
            variant_tasks=TASKS,
            more_epochs=(),
            squad_examples=(None, None),
            squad_sizes=tuple(2**n for n in range(10)),
            squad_grids={
                "adapters": tuple((r, e) for r in (3e-5, 1e-4, 3e-4, 1e-3) for e in (3, 10, 20)),
                "full": tuple((r, e) for r in (3e-5, 1e-4, 3e-4, 1e-3) for e in (3, 10, 20)),
            },
            curve_seeds=3,
        ),
    )
}


def budget_named(name: str) -> Budget:
    """Raises InputError, listing the known ones, for another name."""
    if name not in BUDGETS:
        raise InputError(f"unknown budget {name!r}; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]


@dataclass(frozen=True)
class Plan:
    """A budget for one base: all that the studies need to write configurations."""

    budget: Budget
    base: str
    base_sha256: str
    layers: int
    seeds: int
    tasks: tuple[str, ...] = TASKS
    sample: bool = False

    @property
    def base_name(self) -> str:
        """The base without a folder's path."""
        return Path(self.base).name

    @property
    def base_shown(self) -> str:
        """The base as pages name it. Where on a machine a folder lies is nothing for a page."""
        return self.base_name if Path(self.base).is_absolute() else self.base

    def classify(
        self, task: str, method: dict[str, Any], rate: float, epochs: int, seed: int = 0
    ) -> Config:
        """A run that trains one task. `method`: "name" and whatever is not as usual."""
        return {
            "kind": "classify",
            "base": self.base,
            "base_sha256": self.base_sha256,
            "task": task,
            "sample": self.sample,
            "examples": None if self.sample else self.budget.examples[task],
            "dev_examples": self.budget.dev_examples,
            "validation": self.budget.validation,
            "method": method,
            "recipe": "paper",
            "rate": rate,
            "epochs": epochs,
            "batch_size": 32,
            "max_length": 128,
            "seed": seed,
        }

    def grid(self, task: str, method: dict[str, Any]) -> list[Config]:
        """The budget's grid for a method, with seed 0."""
        longer = self.budget.longer.get(method["name"], {})
        grid = self.budget.grids[method["name"]] + longer.get(task, ())
        return [self.classify(task, method, rate, epochs) for rate, epochs in grid]

    def squad(self, method: dict[str, Any], rate: float, epochs: int, seed: int = 0) -> Config:
        """A run that trains question answering."""
        examples, dev_examples = self.budget.squad_examples
        return {
            "kind": "squad",
            "base": self.base,
            "base_sha256": self.base_sha256,
            "examples": examples,
            "dev_examples": dev_examples,
            "method": method,
            "rate": rate,
            "epochs": epochs,
            "batch_size": 32,
            "max_length": 384,
            "stride": 128,
            "seed": seed,
        }

    def with_seeds(self, config: Config, seeds: int | None = None) -> list[Config]:
        """The same run with each of the seeds, or of so many of them."""
        return [{**config, "seed": seed} for seed in range(min(seeds or self.seeds, self.seeds))]


ADAPTERS = {"name": "adapters", "size": 64}


def sized(size: int) -> dict[str, Any]:
    """Adapters of that size."""
    return {**ADAPTERS, "size": size}


def best(runs: Runs, configs: list[Config]) -> Config | None:
    """The configuration that is best on validation (the first of equals), None while one of them
    has not run or when all diverged."""
    found = []
    for config in configs:
        if (run := runs.get(run_key(config))) is None:
            return None
        if (value := validation(run)) is not None:
            found.append((value, config))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def validation(run: dict[str, Any]) -> float | None:
    """A run's best value of the task's first metric on the validation part; None if it diverged."""
    if "diverged" in run["result"]:
        return None
    epochs = run["result"]["validation"]
    return max(next(iter(scores.values())) for scores in epochs)


def main_score(task: str, scores: dict[str, float]) -> float:
    """The metric that the paper reports: F1 for MRPC and QQP, Spearman for STS-B, else the only."""
    reported = {"mrpc": "f1", "qqp": "f1", "sts-b": "spearman"}
    return scores[reported.get(task, next(iter(scores)))]
