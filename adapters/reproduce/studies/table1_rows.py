"""Table 1's rows: what is tried and chosen for each task, with how many seeds, and its scores."""

from collections.abc import Callable
from typing import Any, NamedTuple

from adapters.reproduce.plans.choices import best_size, chosen, size_grids
from adapters.reproduce.plans.plan import ADAPTERS, FULL, HEAD, Plan
from adapters.reproduce.report.statistics import Scores, chosen_scores, main_score
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from adapters.task_model import MEAN

METHODS: tuple[dict[str, Any], ...] = (ADAPTERS, FULL, HEAD)


def by_mean(plan: Plan, runs: Runs, task: str, method: dict[str, Any]) -> Config | None:
    """A method's chosen configuration with the other pooling; None where the budget has none."""
    like = chosen(plan, runs, task, method) if plan.budget.both_poolings else None
    return {**like, "pooling": MEAN} if like else None


class Row(NamedTuple):
    """A row of the table: its name, what is tried and what is chosen for a task, and the seeds."""

    name: str
    tried: Callable[[Plan, Runs, str], list[Config]]
    choose: Callable[[Plan, Runs, str], Config | None]
    seeds: Callable[[Plan], int] = lambda plan: plan.seeds


def _row(name: str, method: dict[str, Any]) -> Row:
    return Row(
        name,
        lambda plan, runs, task: plan.grid(task, method),
        lambda plan, runs, task: chosen(plan, runs, task, method),
    )


def _mean_row(name: str, method: dict[str, Any]) -> Row:
    return Row(
        f"{name}, `mean`",
        lambda plan, runs, task: plan.grid(task, method),
        lambda plan, runs, task: by_mean(plan, runs, task, method),
        lambda plan: plan.curve_seeds,
    )


ROWS = (  # here and below, full fine-tuning, with which the others are compared, is the first
    _row("full fine-tuning", FULL),
    Row("adapters, best size for each task", size_grids, best_size),
    _row("adapters, m = 64", ADAPTERS),
    _row("head only (frozen features)", HEAD),
)
MEAN_ROWS = (
    _mean_row("full fine-tuning", FULL),
    _mean_row("adapters, m = 64", ADAPTERS),
    _mean_row("head only (frozen features)", HEAD),
)


def row_scores(plan: Plan, runs: Runs, row: Row) -> dict[str, Scores]:
    """A row's dev scores for each task, over the row's seeds."""
    found = {}
    for task in plan.tasks:
        config, tried = row.choose(plan, runs, task), row.tried(plan, runs, task)
        found[task] = chosen_scores(plan, runs, config, tried, enough=row.seeds(plan))
    return found


def constant(plan: Plan, runs: Runs, task: str) -> float | None:
    """The score of always guessing the majority class; any run of the task has it."""
    for row in ROWS:
        for config in row.tried(plan, runs, task):
            result = runs.get(run_key(config), {"result": {}})["result"]
            if "constant" in result:
                return main_score(task, result["constant"])
    return None
