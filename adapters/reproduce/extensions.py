"""The extensions that the paper tried without gain (section 3.6, at its end), beside the adapter
itself: normalisation inside, another layer, other activations, attention only, parallel."""

from typing import Any

from adapters.reproduce.plans import ADAPTERS, Plan
from adapters.reproduce.store import Config, Runs
from adapters.reproduce.table1 import chosen
from adapters.variants import VARIANTS

NAME = "extensions"
ACTIVATIONS = ("tanh",)
# Normalised features do not shrink with the initial weights, so that these variants start as near
# to the identity as the others only with a smaller std (`variants.distance_bound`).
NORMALISED_STD = 1e-3


def methods() -> dict[str, dict[str, Any]]:
    """Each extension as a tuning method, by a name for people; the first is the paper's adapter."""
    found: dict[str, dict[str, Any]] = {"serial": ADAPTERS}
    for variant in VARIANTS.values():
        if variant.name != "serial":
            found[variant.name] = {**ADAPTERS, "variant": variant.name}
            if variant.norm:
                found[variant.name]["std"] = NORMALISED_STD
    for activation in ACTIVATIONS:
        found[activation] = {**ADAPTERS, "activation": activation}
    return found


def tasks(plan: Plan) -> list[str]:
    """The budget's tasks for this comparison that the plan has."""
    return [task for task in plan.budget.variant_tasks if task in plan.tasks]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in tasks(plan):
        configs += plan.grid(task, ADAPTERS)
        if like := chosen(plan, runs, task, ADAPTERS):
            for method in methods().values():
                config = {**like, "method": method}
                configs += plan.with_seeds(config, plan.budget.curve_seeds)
    return configs
