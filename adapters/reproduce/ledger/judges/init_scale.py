"""How the claims of figure 6, right, are judged: the scale of the initial weights."""

from adapters.reproduce.comparison.estimates import Estimate, difference
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement, judgement, on_tasks
from adapters.reproduce.ledger.verdicts import MARGIN, all_of, at_least, below
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.studies import init_scale
from adapters.reproduce.sweep.runs_file import Runs


def _std_difference(plan: Plan, runs: Runs, std: float) -> Estimate | None:
    """The scores at an initial std minus those at the default one, over the tasks."""
    pairs = []
    for task in init_scale.tasks(plan):
        by_std = init_scale.of_stds(plan, runs, task)
        if std not in by_std:
            return None
        pairs.append((by_std[std], by_std[init_scale.DEFAULT_STD]))
    return difference(plan, runs, pairs)


def small_stds_are_alike(plan: Plan, runs: Runs) -> Judgement:
    """Figure 6, each std below the default."""
    stds = [std for std in plan.budget.stds if std < init_scale.DEFAULT_STD]
    found = {std: _std_difference(plan, runs, std) for std in stds}
    known = [estimate for estimate in found.values() if estimate]
    if len(known) < len(stds):
        return UNDECIDED
    text = ", ".join(f"{std:g}: {estimate}" for std, estimate in found.items())
    return on_tasks(plan, init_scale.tasks(plan)) + text, all_of(at_least, known, -MARGIN)


def large_stds_are_worse(plan: Plan, runs: Runs) -> Judgement:
    """Figure 6, with the largest std."""
    found = _std_difference(plan, runs, max(plan.budget.stds))
    text, verdict = judgement(found, below(found, 0.0))
    return on_tasks(plan, init_scale.tasks(plan)) + text if found else text, verdict
