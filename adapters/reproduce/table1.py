"""Table 1: GLUE by adapters of size 64, by adapters of the best size for each task, by full
fine-tuning, and by the head alone on frozen features; and what each costs in parameters.

Rate and epochs are chosen on the validation part with seed 0, for each task and method. The sizes
are compared at the rate and epochs of size 64. All results are of GLUE's dev set.
"""

from typing import Any

from adapters.reproduce.plans import ADAPTERS, Plan, best, sized
from adapters.reproduce.store import Config, Runs

NAME = "table1"
FULL, HEAD = {"name": "full"}, {"name": "head"}
METHODS: tuple[dict[str, Any], ...] = (ADAPTERS, FULL, HEAD)


def chosen(plan: Plan, runs: Runs, task: str, method: dict[str, Any]) -> Config | None:
    """The best configuration of a method's grid; None while it is not known."""
    return best(runs, plan.grid(task, method))


def of_sizes(plan: Plan, runs: Runs, task: str, sizes: tuple[int, ...]) -> list[Config]:
    """Adapters of these sizes at the rate and epochs that are best for size 64."""
    like = chosen(plan, runs, task, ADAPTERS)
    return [] if like is None else [{**like, "method": sized(size)} for size in sizes]


def best_size(plan: Plan, runs: Runs, task: str) -> Config | None:
    """The best of the sizes on validation; None while it is not known."""
    configs = of_sizes(plan, runs, task, plan.budget.best_of)
    return best(runs, configs) if configs else None


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in plan.tasks:
        for method in METHODS:
            configs += plan.grid(task, method)
            if like := chosen(plan, runs, task, method):
                configs += plan.with_seeds(like)
        configs += of_sizes(plan, runs, task, plan.budget.best_of)
        if like := best_size(plan, runs, task):
            configs += plan.with_seeds(like)
    return configs
