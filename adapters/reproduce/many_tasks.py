"""Tasks that arrive one after the other (section 1): adapters keep every earlier task to the bit,
fine-tuning one network for one task after the other forgets."""

from typing import Any

from adapters.reproduce.plans import ADAPTERS, Plan
from adapters.reproduce.store import Config, Runs
from adapters.reproduce.table1 import FULL, chosen

NAME = "many-tasks"


def sequence(plan: Plan, runs: Runs, method: dict[str, Any], seed: int = 0) -> Config | None:
    """All tasks in turn by one method, each at its own best rate and epochs; None while these are
    not known."""
    steps = [chosen(plan, runs, task, method) for task in plan.tasks]
    if None in steps:
        return None
    return {
        "kind": "sequence",
        "shared": method["name"] == "full",
        "steps": [{**step, "seed": seed} for step in steps if step],
    }


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for method in (ADAPTERS, FULL):
        for task in plan.tasks:
            configs += plan.grid(task, method)
        if config := sequence(plan, runs, method):
            configs.append(config)
    return configs
