"""Figure 5: F1 on SQuAD v1.1 by the adapters' size, against full fine-tuning."""

from adapters.reproduce.plans import Plan, sized
from adapters.reproduce.store import Config, Runs

NAME = "squad"


def methods(plan: Plan) -> list[dict[str, object]]:
    """Full fine-tuning, and adapters of the budget's sizes."""
    return [{"name": "full"}, *(sized(size) for size in plan.budget.squad_sizes)]


def grid(plan: Plan, method: dict[str, object], seed: int = 0) -> list[Config]:
    """A method with the rates and epochs of the budget."""
    grid = plan.budget.squad_grids[str(method["name"])]
    return [plan.squad(method, rate, epochs, seed) for rate, epochs in grid]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """All configurations: SQuAD's grid does not depend on results."""
    if plan.sample:  # there is no sample of questions
        return []
    return [
        config
        for seed in range(plan.budget.curve_seeds)
        for method in methods(plan)
        for config in grid(plan, method, seed)
    ]
