"""A plan: one budget on one base, and the configurations that the studies make from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.reproduce.plans.budgets import Budget
from adapters.reproduce.sweep.runs_file import Config
from adapters.reproduce.sweep.task_folder import FolderTask

BATCH_SIZE = 32  # the paper's, section 3.1

# Tuning methods as configurations have them: a name, and whatever differs from the defaults.
ADAPTERS: dict[str, Any] = {"name": "adapters", "size": 64}
FULL: dict[str, Any] = {"name": "full"}
HEAD: dict[str, Any] = {"name": "head"}
NORMS: dict[str, Any] = {"name": "norms"}


def sized(size: int) -> dict[str, Any]:
    """Adapters of that size."""
    return {**ADAPTERS, "size": size}


@dataclass(frozen=True)
class TaskFolder:
    """Table 2's folder of tasks: where it is, and what is in it."""

    path: Path
    tasks: tuple[FolderTask, ...]


@dataclass(frozen=True)
class Plan:
    """A budget on one base: everything the studies need to make configurations. `asked_seeds`: for
    every study; None for the budget's own. `folder`: None without `table2`."""

    budget: Budget
    base: str
    base_sha256: str
    layers: int
    asked_seeds: int | None
    tasks: tuple[str, ...]
    sample: bool = False
    folder: TaskFolder | None = None

    @property
    def base_name(self) -> str:
        """The base without a folder's path."""
        return Path(self.base).name

    @property
    def base_shown(self) -> str:
        """The base as reports name it: without the path of a folder on this machine."""
        return self.base_name if Path(self.base).is_absolute() else self.base

    @property
    def seeds(self) -> int:
        """The number of seeds of every other study."""
        return self.budget.seeds if self.asked_seeds is None else self.asked_seeds

    @property
    def curve_seeds(self) -> int:
        """The same for tradeoff, squad, many-tasks, table 2 and the other pooling."""
        return self.budget.curve_seeds if self.asked_seeds is None else self.asked_seeds

    def task_config(self, task: str) -> Config:
        """What a run that trains one task says of the task: its kind, and which examples."""
        return {
            "kind": "classify",
            "task": task,
            "sample": self.sample,
            "examples": None if self.sample else self.budget.examples[task],
            "dev_examples": self.budget.dev_examples,
            "validation": self.budget.validation,
        }

    def classify(self, task: str, method: dict[str, Any], rate: float, epochs: int) -> Config:
        """A run that trains one task, with seed 0. `method` is like ADAPTERS."""
        return {
            **self.task_config(task),
            "base": self.base,
            "base_sha256": self.base_sha256,
            "method": method,
            "recipe": "paper",
            "rate": rate,
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "max_length": 128,
            "seed": 0,
        }

    def grid(self, task: str, method: dict[str, Any]) -> list[Config]:
        """The budget's grid for a method, with seed 0."""
        longer = self.budget.longer.get(method["name"], {})
        grid = self.budget.grids[method["name"]] + longer.get(task, ())
        return [self.classify(task, method, rate, epochs) for rate, epochs in grid]

    def squad(self, method: dict[str, Any], rate: float, epochs: int) -> Config:
        """A run that trains question answering, with seed 0."""
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
            "batch_size": BATCH_SIZE,
            "max_length": 384,
            "stride": 128,
            "seed": 0,
        }

    def with_seeds(self, config: Config, seeds: int | None = None) -> list[Config]:
        """The same run with each of the plan's seeds, or with the first `seeds` of them."""
        number = self.seeds if seeds is None else min(seeds, self.seeds)
        return [{**config, "seed": seed} for seed in range(number)]
