"""What tasks cost in parameters, as the paper counts them."""

from collections.abc import Sequence

import numpy as np

from adapters.reproduce.plans.plan import FULL, Plan
from adapters.reproduce.report.statistics import MISSING
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key


def parameters_of(runs: Runs, configs: Sequence[Config]) -> dict[str, int] | None:
    """The parameter counts of the first of these configurations whose result has them."""
    for config in configs:
        run = runs.get(run_key(config))
        if run is not None and "parameters" in run["result"]:
            counts: dict[str, int] = run["result"]["parameters"]
            return counts
    return None


def paper_share(counts: dict[str, int]) -> float:
    """The share of parameters that a task trains by the paper's count: its adapters, relative to
    the encoder's layers; 1 if the layers themselves are trained. `counts`: see
    `learning.parameter_counts`."""
    return 1.0 if counts["task"] == counts["all"] else counts["adapters"] / counts["layers"]


def share(plan: Plan, config: Config, counts: dict[str, int]) -> float:
    """The share of the encoder's layers' parameters that a task adds, as the paper counts: n of
    the L layers for variable fine-tuning; see `paper_share` for the others."""
    if first_layer := config["method"].get("first_layer"):
        return float(plan.layers - first_layer) / plan.layers
    return paper_share(counts)


def paper_total(shares: Sequence[float], tuned: bool) -> float:
    """The parameters of all tasks together, relative to one network: each task's share, and the
    base as far as any task uses it.

    Adapters are added to the whole base. Fine-tuned layers (`tuned`) take the place of the base's:
    a task needs the base only below its lowest fine-tuned layer, so all together need what the task
    with the fewest fine-tuned layers needs. That is nothing where all are fully fine-tuned.
    """
    base = 1 - min(shares, default=0) if tuned else 1
    return base + sum(shares)


def parameter_cells(
    plan: Plan, runs: Runs, configs: Sequence[Config | None], digits: int = 1
) -> list[str]:
    """What a table's row costs, from what is chosen for each task: the parameters of all tasks
    together, with so many `digits`; the mean share of a task as the paper counts it; and that of
    all parameters. Unknown until every task has a run."""
    shares, own = [], []
    for config in configs:
        counts = parameters_of(runs, plan.with_seeds(config)) if config else None
        if config is None or counts is None:
            return [MISSING] * 3
        shares.append(share(plan, config, counts))
        own.append(counts["task"] / counts["all"])
    means = (f"{100 * np.mean(values):.1f} %" for values in (shares, own))
    tuned = all(
        config is not None and config["method"]["name"] == FULL["name"] for config in configs
    )
    return [f"{paper_total(shares, tuned):.{digits}f}x", *means]
