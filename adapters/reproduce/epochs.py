"""What closes the gap between adapters and full fine-tuning on SST-2: rate, epochs or size.

The paper trained for 3 to 20 epochs at rates up to 3e-3.
"""

from adapters.reproduce.plans import ADAPTERS, Plan
from adapters.reproduce.store import Config, Runs
from adapters.reproduce.table1 import of_sizes
from adapters.reproduce.table1 import wanted as wanted_by_table1

NAME = "epochs"
TASK = "sst-2"


def longer(plan: Plan) -> list[Config]:
    """Adapters of size 64 at the budget's further rates and epochs."""
    return [plan.classify(TASK, ADAPTERS, rate, n) for rate, n in plan.budget.more_epochs]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    from dataclasses import replace

    if TASK not in plan.tasks or not plan.budget.more_epochs:
        return []
    only = replace(plan, tasks=(TASK,))
    configs = wanted_by_table1(only, runs) + of_sizes(only, runs, TASK, plan.budget.sizes)
    return configs + longer(plan)
