"""The text of the studies' reports: Markdown sections, tables, and the names of the tasks."""

import re
from collections.abc import Iterable, Sequence

from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.statistics import reported_metric
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from adapters.show import table
from minibert.data.tasks import GLUE
from minibert.errors import several, visible

NO_RUNS = "There are no runs yet."


def title(task: str) -> str:
    """A task's name as GLUE spells it."""
    return GLUE[task].folder


def cell(name: str) -> str:
    """A name of a user's own, as a cell of a Markdown table: its marks are no Markdown or HTML. (An
    underscore between letters is none.)"""
    return re.sub(r"[\\`*\[\]<|&~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", visible(name))


def with_metric(task: str) -> str:
    """A task's name with the metric that the paper reports for it: "MRPC (F1)"."""
    metric = reported_metric(task)
    return f"{title(task)} ({metric if metric == 'accuracy' else metric.capitalize()})"


def conditions(plan: Plan, seeds: int | None = None, data: str = "") -> str:
    """The base, budget, data and number of seeds of all runs in a report, as one sentence. `seeds`:
    fewer than the plan's; `data`: in words, "" where the study says it."""
    seeds = plan.seeds if seeds is None else min(seeds, plan.seeds)
    up_to = "up to " if seeds > 1 else ""
    return (
        f"Base `{plan.base_shown}`, budget `{plan.budget.name}`{f' ({data})' if data else ''}, "
        f"{up_to}{several(seeds, 'seed')}; scores in hundredths, mean ± standard error over the "
        "seeds."
    )


def glue_conditions(plan: Plan, seeds: int | None = None) -> str:
    """The same for a study on GLUE."""
    data = "the project's own sample sentences" if plan.sample else plan.budget.what
    return conditions(plan, seeds, data)


def section(heading: str, *parts: str) -> str:
    """A Markdown section; empty parts are left out."""
    return "\n\n".join([f"## {heading}", *(part for part in parts if part)]) + "\n"


def markdown_table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    """A Markdown table, its first column left-aligned, the others right-aligned."""
    return table(list(rows), headers, "pipe")


def any_finished(runs: Runs, configs: Iterable[Config]) -> bool:
    """Whether one of the configurations has a result, even if only that it diverged."""
    return any(run_key(config) in runs for config in configs)
