"""How the claim of section 3.6 is judged: the extensions of the adapter."""

from adapters.reproduce.comparison.estimates import Estimate, difference
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement, on_tasks
from adapters.reproduce.ledger.verdicts import MARGIN, all_of, at_most
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.studies import extensions
from adapters.reproduce.sweep.runs_file import Runs


def extensions_gain_nothing(plan: Plan, runs: Runs) -> Judgement:
    """Every extension compared with the adapter itself, over the tasks, each at its own rate. One
    that diverges at every rate is no gain."""
    found: dict[str, Estimate] = {}
    diverged = []
    for name, method in extensions.methods().items():
        if name == extensions.ADAPTER:
            continue
        if extensions.always_diverged(plan, runs, method):
            diverged.append(name)
            continue
        pairs = []
        for task in extensions.tasks(plan):
            ours, plain = (
                extensions.best_rate(plan, runs, task, one) for one in (method, ADAPTERS)
            )
            pairs.append((ours, plain))
        estimate = difference(plan, runs, pairs)
        if estimate is None:
            return UNDECIDED
        found[name] = estimate
    told = [f"{name} {estimate}" for name, estimate in found.items()]
    text = ", ".join([*told, *(f"{name} diverged" for name in diverged)])
    where = on_tasks(plan, extensions.tasks(plan))
    return where + text, all_of(at_most, list(found.values()), MARGIN)
