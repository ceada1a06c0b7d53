"""Figure 6, left: the adapters of each contiguous span of layers removed from trained tasks,
without training again."""

from adapters.reproduce.plans import ADAPTERS, Plan
from adapters.reproduce.store import Config, Runs
from adapters.reproduce.table1 import chosen

NAME = "ablation"


def of(config: Config) -> Config:
    """The ablation of what a configuration trains."""
    return {"kind": "ablation", "of": config}


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in plan.tasks:
        configs += plan.grid(task, ADAPTERS)
        if like := chosen(plan, runs, task, ADAPTERS):
            for config in plan.with_seeds(like):
                configs += [config, of(config)]
    return configs
