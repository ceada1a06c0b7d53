"""How the claim of section 3.6 is judged: the extensions of the adapter."""

from adapters.reproduce.comparison.estimates import Estimate, difference
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement
from adapters.reproduce.ledger.verdicts import MARGIN, all_of, at_most
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.studies import extensions
from adapters.reproduce.sweep.runs_file import Runs


def extensions_gain_nothing(plan: Plan, runs: Runs) -> Judgement:
    """Every extension compared with the adapter itself, over the tasks, each at its own rate."""
    found: dict[str, Estimate] = {}
    for name, method in extensions.methods().items():
        pairs = []
        for task in extensions.tasks(plan):
            ours, plain = (
                extensions.best_rate(plan, runs, task, one) for one in (method, ADAPTERS)
            )
            pairs.append((task, ours, plain))
        estimate = difference(plan, runs, pairs)
        if name != extensions.ADAPTER:
            if estimate is None:
                return UNDECIDED
            found[name] = estimate
    verdicts = [at_most(estimate, MARGIN) for estimate in found.values()]
    return ", ".join(f"{name} {estimate}" for name, estimate in found.items()), all_of(verdicts)
