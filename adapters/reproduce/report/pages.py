"""The words of the studies' reports: Markdown sections, tables, and how tasks are called."""

from collections.abc import Iterable, Sequence

from adapters.reproduce.studies.plans import Plan
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from adapters.show import table
from minibert.data.tasks import GLUE

NO_RUNS = "There are no runs yet."
UNITS = {"cola": "Matthews", "mrpc": "F1", "qqp": "F1", "sts-b": "Spearman"}


def title(task: str) -> str:
    """A task's name as GLUE spells it."""
    return GLUE[task].folder


def unit(task: str) -> str:
    """The metric that the paper reports for a task."""
    return UNITS.get(task, "accuracy")


def setting(plan: Plan, seeds: int | None = None) -> str:
    """What all runs of a report have in common, in a sentence; `seeds` when fewer than planned."""
    seeds = min(seeds or plan.seeds, plan.seeds)
    data = "the project's own sample sentences" if plan.sample else plan.budget.what
    return (
        f"Base `{plan.base_shown}`, budget `{plan.budget.name}` ({data}), {seeds} "
        f"seed{'s'[: seeds > 1]}; scores in hundredths, mean ± standard error over the seeds."
    )


def section(heading: str, *parts: str) -> str:
    """A Markdown section; empty parts are left out."""
    return "\n\n".join([f"## {heading}", *(part for part in parts if part)]) + "\n"


def markdown_table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    """A table as GitHub shows it, the first column to the left, the others to the right."""
    return table(list(rows), headers, "pipe")


def any_finished(runs: Runs, configs: Iterable[Config]) -> bool:
    """Whether one of the configurations has a result, be it that it diverged."""
    return any(run_key(config) in runs for config in configs)
