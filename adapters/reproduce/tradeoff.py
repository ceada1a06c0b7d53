"""Figures 1, 3 and 4: accuracy against the number of trained parameters, for adapters of many
sizes, fine-tuning of the top k layers, and LayerNorms alone.

As in the paper, a task's score is taken relative to full fine-tuning on that task, and the curve
shows the 20th, 50th and 80th percentile over tasks.
"""

from adapters.reproduce.plans import ADAPTERS, Plan
from adapters.reproduce.store import Config, Runs
from adapters.reproduce.table1 import FULL, chosen, of_sizes

NAME = "tradeoff"
NORMS = {"name": "norms"}


def top_layers(plan: Plan) -> list[int]:
    """The numbers of top layers to fine-tune; the budget gives them as so many of 12."""
    return sorted({max(1, round(top * plan.layers / 12)) for top in plan.budget.top})


def top_method(plan: Plan, top: int) -> dict[str, object]:
    """Full fine-tuning of the top layers (section 3.4: variable fine-tuning)."""
    return {"name": "full", "first_layer": plan.layers - top}


def of_top_layers(plan: Plan, runs: Runs, task: str) -> list[Config]:
    """Top-k fine-tuning at the rate and epochs that are best for full fine-tuning."""
    like = chosen(plan, runs, task, FULL)
    if like is None:
        return []
    return [{**like, "method": top_method(plan, top)} for top in top_layers(plan)]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in plan.tasks:
        configs += [*plan.grid(task, ADAPTERS), *plan.grid(task, FULL), *plan.grid(task, NORMS)]
        found = of_sizes(plan, runs, task, plan.budget.sizes) + of_top_layers(plan, runs, task)
        for config in found:
            configs += plan.with_seeds(config, plan.budget.curve_seeds)
        for method in (ADAPTERS, FULL, NORMS):
            if like := chosen(plan, runs, task, method):
                configs += plan.with_seeds(like, plan.budget.curve_seeds)
    return configs
