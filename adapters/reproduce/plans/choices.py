"""Which hyperparameters are best: chosen on the validation part of the training set, with seed 0.

Everything here is None, or empty, until the runs that decide it have finished.
"""

from typing import Any

from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan, sized
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key


def validation_score(result: dict[str, Any]) -> float | None:
    """The best value of the task's first metric on the validation part; None if it diverged."""
    if "diverged" in result:
        return None
    epochs = result["validation"]
    return max(next(iter(scores.values())) for scores in epochs)


def best(runs: Runs, configs: list[Config]) -> Config | None:
    """The configuration with the best validation score (the first, if several are equal); None
    while one of them is missing, or if all diverged."""
    found = []
    for config in configs:
        if (run := runs.get(run_key(config))) is None:
            return None
        if (value := validation_score(run["result"])) is not None:
            found.append((value, config))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def only_or_best(runs: Runs, tried: list[Config]) -> Config | None:
    """The best of these. Where only one is tried, it need not have run."""
    return tried[0] if len(tried) == 1 else best(runs, tried)


def chosen(plan: Plan, runs: Runs, task: str, method: dict[str, Any]) -> Config | None:
    """The best configuration of a method's grid."""
    return best(runs, plan.grid(task, method))


def size_grid(plan: Plan, runs: Runs, task: str, size: int) -> list[Config]:
    """What is tried for one size: the whole grid where the budget sweeps that size, otherwise the
    one rate and number of epochs that are best for size 64."""
    if size in plan.budget.swept:
        return plan.grid(task, sized(size))
    like = chosen(plan, runs, task, ADAPTERS)
    return [] if like is None else [{**like, "method": sized(size)}]


def best_of_size(plan: Plan, runs: Runs, task: str, size: int) -> Config | None:
    """The best configuration of one size."""
    return only_or_best(runs, size_grid(plan, runs, task, size))


def size_grids(plan: Plan, runs: Runs, task: str) -> list[Config]:
    """What is tried for all the sizes among which the best is chosen. Until the grid of each is
    known, that of size 64 alone: others need its rate and epochs."""
    grids = [size_grid(plan, runs, task, size) for size in plan.budget.best_of]
    whole = [config for grid in grids for config in grid]
    return whole if all(grids) else plan.grid(task, ADAPTERS)


def best_size(plan: Plan, runs: Runs, task: str) -> Config | None:
    """The best configuration over all those sizes."""
    return best(runs, size_grids(plan, runs, task))


def top_layers(plan: Plan) -> list[int]:
    """The numbers k of top layers to fine-tune, scaled from the budget's "k out of 12", and before
    them 1, the top layer alone. k is otherwise less than the number of layers: training them all is
    full fine-tuning."""
    counts = {min(plan.layers - 1, round(top * plan.layers / 12)) for top in plan.budget.top}
    return sorted({1, *counts} - {0}) if counts else []


def top_method(plan: Plan, top: int) -> dict[str, Any]:
    """Full fine-tuning of the top layers (section 3.4: variable fine-tuning)."""
    return {**FULL, "first_layer": plan.layers - top}


def of_top_layers(plan: Plan, runs: Runs, task: str) -> list[Config]:
    """Top-k fine-tuning at the rate and epochs that are best for full fine-tuning."""
    like = chosen(plan, runs, task, FULL)
    if like is None:
        return []
    return [{**like, "method": top_method(plan, top)} for top in top_layers(plan)]
