"""The other way to have many tasks (section 1): one network trained on all of them together, with a
head for each. Part of the study `many-tasks`.

It is trained on all tasks, and on all but the last: what differs is what the last one costs.
"""

from typing import Any

from adapters.reproduce.plans.choices import best
from adapters.reproduce.plans.plan import FULL, Plan
from adapters.reproduce.report.statistics import results_of
from adapters.reproduce.sweep.runs_file import Config, Runs


def grid(plan: Plan) -> list[Config]:
    """All tasks together at each rate and number of epochs of the budget, with seed 0."""
    return [
        {
            "kind": "joint",
            "steps": [plan.classify(task, FULL, rate, epochs) for task in plan.tasks],
        }
        for rate, epochs in plan.budget.joint_grid
    ]


def of_seeds(plan: Plan, runs: Runs, tasks: int) -> dict[int, Config]:
    """The first so many tasks together, at the rate and epochs that are best for all, by seed;
    empty until these are known."""
    like = best(runs, grid(plan))
    if like is None:
        return {}
    return {
        seed: {**like, "steps": [{**step, "seed": seed} for step in like["steps"][:tasks]]}
        for seed in range(plan.curve_seeds)
    }


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs = grid(plan)
    for tasks in numbers_of_tasks(plan):
        configs += of_seeds(plan, runs, tasks).values()
    return configs


def numbers_of_tasks(plan: Plan) -> list[int]:
    """How many tasks are trained together: all but the last, if that is any, and all."""
    return [number for number in (len(plan.tasks) - 1, len(plan.tasks)) if number]


def finished(plan: Plan, runs: Runs, tasks: int) -> dict[int, dict[str, Any]]:
    """The results for the first so many tasks, by seed, of what has run without diverging."""
    return {
        seed: result
        for seed, config in of_seeds(plan, runs, tasks).items()
        for result in results_of(runs, [config]).values()
    }
