"""How the claim of section 3.2 is judged: enough epochs, on SST-2."""

from adapters.reproduce.comparison.estimates import difference
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement
from adapters.reproduce.ledger.verdicts import MARGIN, at_least
from adapters.reproduce.plans.choices import best, chosen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
from adapters.reproduce.studies import epochs
from adapters.reproduce.sweep.runs_file import Runs


def more_epochs_close_the_gap(plan: Plan, runs: Runs) -> Judgement:
    """SST-2: adapters of size 64, at the rate and epochs that are best on validation among all that
    were tried, compared with full fine-tuning."""
    task = epochs.TASK
    if task not in plan.tasks:
        return UNDECIDED
    like = best(runs, plan.grid(task, ADAPTERS) + epochs.longer(plan))
    found = difference(plan, runs, [(like, chosen(plan, runs, task, FULL))])
    if found is None or like is None:
        return UNDECIDED
    return f"{like['rate']:g}, {like['epochs']} epochs: {found}", at_least(found, -MARGIN)
