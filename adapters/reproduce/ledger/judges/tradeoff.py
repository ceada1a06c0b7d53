"""How the claims of figures 1, 3 and 4 are judged: score against trained parameters."""

from functools import partial

from adapters.reproduce.comparison.estimates import Estimate, difference
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement, against_full, judgement
from adapters.reproduce.ledger.verdicts import FAILS, HOLDS, MARGIN, OPEN, any_of, at_least, below
from adapters.reproduce.plans.choices import best_of_size, chosen, of_top_layers
from adapters.reproduce.plans.plan import FULL, NORMS, Plan
from adapters.reproduce.report.shares import parameters_of
from adapters.reproduce.sweep.runs_file import Runs


def orders_of_magnitude(plan: Plan, runs: Runs) -> Judgement:
    """Among the sizes with at most 1/100 of the parameters, the smallest that is within the margin
    on average; if none is, the best of them."""
    tried: dict[int, Estimate] = {}
    fewer: dict[int, float] = {}
    missing = False
    for size in plan.budget.sizes:
        found = against_full(plan, runs, partial(best_of_size, size=size))
        times = _times_fewer_parameters(plan, runs, size)
        if times is not None and times < 100:
            continue
        if found is None or times is None:
            missing = True
        else:
            tried[size], fewer[size] = found, times
    if not tried:
        return UNDECIDED
    enough = [n for n in tried if at_least(tried[n], -MARGIN, len(tried)) == HOLDS]
    size = min(enough) if enough else max(tried, key=lambda size: tried[size].value)
    points = f"{tried[size].text(len(tried))} points"
    text = f"m = {size}: {points} with 1/{fewer[size]:.0f} of the parameters"
    verdict = any_of(at_least, list(tried.values()), -MARGIN)
    return text, OPEN if missing and verdict == FAILS else verdict


def _times_fewer_parameters(plan: Plan, runs: Runs, size: int) -> float | None:
    """How many times fewer parameters adapters of this size train than full fine-tuning does."""
    task = plan.tasks[0]  # the number is the same for every task
    ours, full = best_of_size(plan, runs, task, size), chosen(plan, runs, task, FULL)
    few, many = (parameters_of(runs, [config] if config else []) for config in (ours, full))
    return many["task"] / few["task"] if few and many else None


def fewer_top_layers_lose(plan: Plan, runs: Runs) -> Judgement:
    """Figure 4, with the top layer alone."""
    pairs = []
    for task in plan.tasks:
        configs = of_top_layers(plan, runs, task)
        if not configs:
            return UNDECIDED
        pairs.append((configs[0], chosen(plan, runs, task, FULL)))
    found = difference(plan, runs, pairs)
    return judgement(found, below(found, 0.0))


def norms_are_not_enough(plan: Plan, runs: Runs) -> Judgement:
    """Figure 4, LayerNorms and head alone."""
    found = against_full(plan, runs, partial(chosen, method=NORMS))
    return judgement(found, below(found, 0.0))
