"""How the claims of figure 5 are judged: SQuAD by the adapters' size."""

from typing import Any

import numpy as np

from adapters.reproduce.comparison.estimates import Estimate, paired_variance
from adapters.reproduce.comparison.variances import of_mean, total
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judge, Judgement
from adapters.reproduce.ledger.verdicts import MARGIN, at_least
from adapters.reproduce.plans.plan import FULL, Plan, sized
from adapters.reproduce.report.statistics import dev_metric, scores_of
from adapters.reproduce.studies import squad_sizes
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

F1 = dev_metric("f1")


def _squad_runs(plan: Plan, runs: Runs, method: dict[str, Any]) -> list[Config]:
    """The configurations of the grid's best mean F1, one for each seed, as in the study's table;
    none while a run of the grid is missing."""
    grid = [config for configs in squad_sizes.tried(plan, method) for config in configs]
    if any(run_key(config) not in runs for config in grid):
        return []
    return squad_sizes.best_of_grid(plan, runs, method)


def squad_by_size(size: int) -> Judge:
    """A judge of adapters of this size."""

    def judge(plan: Plan, runs: Runs) -> Judgement:
        if plan.sample or size not in plan.budget.squad_sizes:
            return UNDECIDED
        first, second = (_squad_runs(plan, runs, method) for method in (sized(size), FULL))
        ours, full = (scores_of(runs, configs, F1) for configs in (first, second))
        if ours.mean is None or full.mean is None:
            return UNDECIDED
        variance, seeds_only = paired_variance(runs, first, second, F1), False
        if variance is None and min(len(ours.values), len(full.values)) > 1:
            parts = [of_mean(100 * np.array(scores.values)) for scores in (ours, full)]
            variance, seeds_only = total(parts), True
        diverged = ours.diverged + full.diverged
        found = Estimate(100 * (ours.mean - full.mean), variance, seeds_only, diverged)
        text = f"m = {size}: {100 * ours.mean:.1f} against {100 * full.mean:.1f}, {found}"
        return text, at_least(found, -MARGIN)

    return judge
