"""Table 2's rows: what is tried and chosen for each task, and its score on the test set, beside the
paper's."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from adapters.reproduce.plans.choices import (
    best,
    best_size,
    chosen,
    size_grids,
    top_layers,
    top_method,
)
from adapters.reproduce.plans.plan import FULL
from adapters.reproduce.plans.table2_plan import Table2Plan
from adapters.reproduce.report.statistics import Scores, chosen_scores
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from adapters.reproduce.sweep.task_toml import PUBLISHED


def top_grid(plan: Table2Plan, runs: Runs, task: str) -> list[Config]:
    """What is tried for variable fine-tuning: each number of top layers, the fewest first, and at
    last all layers, which is full fine-tuning."""
    methods = [top_method(plan, top) for top in top_layers(plan)]
    full = plan.grid(task, FULL)
    if plan.numbers.sweep_top:
        return [config for method in methods for config in plan.grid(task, method)] + full
    like = chosen(plan, runs, task, FULL)
    return [{**like, "method": method} for method in methods if like] + full


def best_top(plan: Table2Plan, runs: Runs, task: str) -> Config | None:
    """The best number of top layers, with its rate and epochs."""
    return best(runs, top_grid(plan, runs, task))


class Row(NamedTuple):
    """A row of the table: its name, the paper's name for it, and what is tried and what is chosen
    for a task."""

    name: str
    published: str
    tried: Callable[[Table2Plan, Runs, str], list[Config]]
    choose: Callable[[Table2Plan, Runs, str], Config | None]


FULL_ROW = Row(
    "full fine-tuning",
    PUBLISHED[0],
    lambda plan, runs, task: plan.grid(task, FULL),
    lambda plan, runs, task: chosen(plan, runs, task, FULL),
)
ROWS = (
    FULL_ROW,
    Row("variable fine-tuning, best top n", PUBLISHED[1], top_grid, best_top),
    Row("adapters, best size for each task", PUBLISHED[2], size_grids, best_size),
)
NO_BERT = "no BERT: TF-IDF, logistic regression"
PAPER_ROWS = (PUBLISHED[3], *(row.published for row in ROWS))  # in the same order, NO_BERT first


def accuracy(config: Config, result: dict[str, Any]) -> float:
    """The test accuracy of a run."""
    return float(result["test"]["accuracy"])


def row_scores(plan: Table2Plan, runs: Runs, row: Row) -> dict[str, Scores]:
    """A row's test accuracies for each task, over the seeds."""
    return {
        task: chosen_scores(
            plan, runs, row.choose(plan, runs, task), row.tried(plan, runs, task), accuracy
        )
        for task in plan.tasks
    }


def no_bert_scores(plan: Table2Plan, runs: Runs) -> dict[str, Scores]:
    """The test accuracy of TF-IDF and logistic regression for each task: one run, without seed."""
    found = {task: runs.get(run_key(plan.without_bert(task))) for task in plan.tasks}
    return {
        task: Scores((accuracy(run["config"], run["result"]),) if run else ())
        for task, run in found.items()
    }


def constant_guesses(plan: Table2Plan, runs: Runs) -> dict[str, Scores]:
    """The test accuracy of always guessing the most frequent class; any run of a task has it."""
    found = {}
    for task in plan.tasks:
        tried = [plan.without_bert(task), *(c for r in ROWS for c in r.tried(plan, runs, task))]
        results = (runs[run_key(c)]["result"] for c in tried if run_key(c) in runs)
        known = (result.get("constant", {}).get("accuracy") for result in results)
        found[task] = Scores(tuple(guess for guess in known if guess is not None)[:1])
    return found


def published(plan: Table2Plan, task: str, name: str) -> float | None:
    """The paper's accuracy on a task, in hundredths, if task.toml has it. name: of `PUBLISHED`."""
    return plan.task_named(task).paper.get(name)


def published_mean(plan: Table2Plan, tasks: Sequence[str], name: str) -> float | None:
    """Their mean over tasks; None unless each is known."""
    known = [number for task in tasks if (number := published(plan, task, name)) is not None]
    return sum(known) / len(known) if len(known) == len(tasks) else None
