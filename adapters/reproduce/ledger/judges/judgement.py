"""The type of a judge, and what several judges share: the difference to full fine-tuning."""

from collections.abc import Callable, Sequence

from adapters.reproduce.comparison.estimates import Estimate, difference
from adapters.reproduce.ledger.verdicts import OPEN
from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import FULL, Plan
from adapters.reproduce.sweep.runs_file import Config, Runs

Judgement = tuple[str, str]  # what the runs show, and the verdict
Judge = Callable[[Plan, Runs], Judgement]
UNDECIDED: Judgement = ("-", OPEN)


def judgement(estimate: Estimate | None, verdict: str) -> Judgement:
    """The estimate as text, with the verdict; undecided without an estimate."""
    return (str(estimate), verdict) if estimate else UNDECIDED


def on_tasks(plan: Plan, tasks: Sequence[str]) -> str:
    """The tasks that are judged, as a prefix ("sst-2: "); "" if they are all of the plan's."""
    return "" if list(tasks) == list(plan.tasks) else f"{', '.join(tasks)}: "


def against_full(
    plan: Plan, runs: Runs, choose: Callable[[Plan, Runs, str], Config | None]
) -> Estimate | None:
    """The mean difference between what `choose` picks for each task and full fine-tuning."""
    pairs = [(choose(plan, runs, t), chosen(plan, runs, t, FULL)) for t in plan.tasks]
    return difference(plan, runs, pairs)
