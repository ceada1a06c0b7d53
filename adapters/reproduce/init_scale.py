"""Figure 6, right: the standard deviation of the adapters' initial weights, from 1e-7 to 1."""

from adapters.reproduce.plans import ADAPTERS, Plan
from adapters.reproduce.store import Config, Runs
from adapters.reproduce.table1 import chosen

NAME = "init-scale"
DEFAULT_STD = 1e-2  # the recipe's: the same runs as table 1's


def tasks(plan: Plan) -> list[str]:
    """The budget's tasks for this figure that the plan has."""
    return [task for task in plan.budget.std_tasks if task in plan.tasks]


def of_stds(plan: Plan, runs: Runs, task: str) -> list[tuple[float, Config]]:
    """(std, configuration with seed 0) at the rate and epochs that are best with the usual std."""
    like = chosen(plan, runs, task, ADAPTERS)
    if like is None:
        return []
    return [
        (std, like if std == DEFAULT_STD else {**like, "method": {**ADAPTERS, "std": std}})
        for std in plan.budget.stds
    ]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in tasks(plan):
        configs += plan.grid(task, ADAPTERS)
        for _, config in of_stds(plan, runs, task):
            configs += plan.with_seeds(config)
    return configs
