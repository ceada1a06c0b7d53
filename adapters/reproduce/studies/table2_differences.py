"""Table 2's methods against full fine-tuning, on the same test examples."""

from collections.abc import Sequence

import numpy as np

from adapters.reproduce.comparison.contributions import answered, of_answers
from adapters.reproduce.comparison.estimates import Estimate, mean_of
from adapters.reproduce.comparison.paired import variance_of_difference
from adapters.reproduce.comparison.variances import Variance
from adapters.reproduce.plans.table2_plan import Table2Plan
from adapters.reproduce.report.pages import cell
from adapters.reproduce.report.statistics import diverged_of, results_of, scores_of
from adapters.reproduce.studies.differences import Differences, differences_markdown
from adapters.reproduce.studies.table2_rows import FULL_ROW, NO_BERT, ROWS, Row, accuracy
from adapters.reproduce.sweep.runs_file import Config, Runs

LESS = "The difference to full fine-tuning, on the same test examples."
INTERVALS = (
    "In brackets is the 95 % interval, for other seeds *and* other test examples; in the table "
    "above, ± is over the seeds alone."
)


def differences(plan: Table2Plan, runs: Runs) -> Differences:
    """Each other method's mean test accuracy less full fine-tuning's, in hundredths, for each task
    and at last on average; None where there are no runs to compare. Fewer than two seeds or missing
    answers tell no variance. Raises InputError for damaged answers."""
    compared = {NO_BERT: [[plan.without_bert(task)] for task in plan.tasks]}
    for row in ROWS:
        if row is not FULL_ROW:
            compared[row.name] = [_configs(plan, runs, row, task) for task in plan.tasks]
    found: Differences = {}
    for name, configs in compared.items():
        pairs = zip(plan.tasks, configs, strict=True)
        each = [_difference(plan, runs, task, ones) for task, ones in pairs]
        known = [one for one in each if one is not None]
        found[name] = [*each, mean_of(known) if len(known) == len(each) else None]
    return found


def differences_table(plan: Table2Plan, runs: Runs) -> str:
    """The differences as Markdown, and what the intervals are of; "" where nothing is compared."""
    found = differences(plan, runs)
    return differences_markdown(found, [*map(cell, plan.tasks)], LESS, INTERVALS)


def _configs(plan: Table2Plan, runs: Runs, row: Row, task: str) -> list[Config]:
    """A row's runs of a task, one for each seed; none while nothing is chosen."""
    config = row.choose(plan, runs, task)
    return plan.with_seeds(config) if config else []


def _difference(
    plan: Table2Plan, runs: Runs, task: str, configs: Sequence[Config]
) -> Estimate | None:
    full = _configs(plan, runs, FULL_ROW, task)
    one, other = (scores_of(runs, each, accuracy).mean for each in (configs, full))
    if one is None or other is None:
        return None
    if configs == full:  # variable fine-tuning whose best n is all layers
        return Estimate(0.0, Variance(0.0))
    first, second = (_contributions(plan, runs, task, each) for each in (configs, full))
    variance = None
    if first is not None and second is not None:
        scores = [_accuracies(runs, each) for each in (configs, full)]
        variance = variance_of_difference(first, second, scores)
    diverged = sum(diverged_of(runs, each) for each in (configs, full))
    return Estimate(100 * (one - other), variance, diverged=diverged)


def _contributions(
    plan: Table2Plan, runs: Runs, task: str, configs: Sequence[Config]
) -> np.ndarray | None:
    """What each test example contributes to the accuracies of a method's runs, in hundredths:
    [S', n]; None if too few kept answers (`contributions.answered`), or with one example."""
    results = results_of(runs, configs)
    labels = [example.label for example in plan.parts(task)[2]]
    keys = answered(results)
    if _without_chance(configs):
        keys = 2 * [key for key, result in results.items() if "answers" in result]
    if not keys or len(labels) < 2:
        return None
    psi = [of_answers(results[key], "test", "accuracy", labels, f"run {key}") for key in keys]
    return 100 * np.stack(psi)


def _accuracies(runs: Runs, configs: Sequence[Config]) -> np.ndarray:
    """The test accuracies of a method's runs, in hundredths, [S]."""
    values = 100 * np.array(scores_of(runs, configs, accuracy).values)
    return np.tile(values, 2) if _without_chance(configs) else values


def _without_chance(configs: Sequence[Config]) -> bool:
    """Whether any other run would answer the same: one counts as two that do (`paired`)."""
    return "seed" not in configs[0]
