"""Table 2's methods against full fine-tuning, on the same test examples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters.reproduce.comparison.contributions import finished, of_answers
from adapters.reproduce.comparison.paired import variance_of_difference
from adapters.reproduce.comparison.variances import Variance, error, total
from adapters.reproduce.plans.table2_plan import Table2Plan
from adapters.reproduce.report.pages import cell, markdown_table
from adapters.reproduce.report.statistics import MISSING, hundredths, scores_of
from adapters.reproduce.studies.table2_rows import FULL_ROW, NO_BERT, ROWS, Row, accuracy
from adapters.reproduce.sweep.runs_file import Config, Runs

LESS = "The difference to full fine-tuning, on the same test examples."
ERRORS = (
    "The 95 % interval, for other seeds *and* other test examples, is the value ± twice its error; "
    "in the table above, ± is over the seeds alone."
)
SAME = "same"  # the answers, so that the difference is 0


class Difference(NamedTuple):
    """A method's mean test accuracy less full fine-tuning's, in hundredths, and its variance over
    seeds and examples; None where fewer than two seeds or missing answers do not tell it."""

    value: float
    variance: Variance | None

    def __str__(self) -> str:
        if self.variance and not (self.value or self.variance.value):
            return SAME
        known = error(self.variance) / 100 if self.variance else None
        return hundredths(self.value / 100, known or None, sign=True)


def differences(plan: Table2Plan, runs: Runs) -> dict[str, list[Difference | None]]:
    """Each other method's difference for each task, and at last their mean; None where there are no
    runs to compare. Raises InputError for damaged answers."""
    compared = {NO_BERT: [[plan.without_bert(task)] for task in plan.tasks]}
    for row in ROWS:
        if row is not FULL_ROW:
            compared[row.name] = [_configs(plan, runs, row, task) for task in plan.tasks]
    found = {}
    for name, configs in compared.items():
        pairs = zip(plan.tasks, configs, strict=True)
        each = [_difference(plan, runs, task, ones) for task, ones in pairs]
        found[name] = [*each, _mean(each)]
    return found


def differences_table(plan: Table2Plan, runs: Runs) -> str:
    """The differences as Markdown, and what their errors mean; "" where nothing is compared yet."""
    found = differences(plan, runs)
    known = [one for each in found.values() for one in each if one is not None]
    if not known:
        return ""
    lines = [
        [name, *(MISSING if one is None else str(one) for one in each)]
        for name, each in found.items()
    ]
    meaning = f"{LESS} {ERRORS}" if any("±" in str(one) for one in known) else LESS
    return f"{meaning}\n\n{markdown_table(lines, ['', *map(cell, plan.tasks), 'average'])}"


def _configs(plan: Table2Plan, runs: Runs, row: Row, task: str) -> list[Config]:
    """A row's runs of a task, one for each seed; none while nothing is chosen."""
    config = row.choose(plan, runs, task)
    return plan.with_seeds(config) if config else []


def _difference(
    plan: Table2Plan, runs: Runs, task: str, configs: Sequence[Config]
) -> Difference | None:
    full = _configs(plan, runs, FULL_ROW, task)
    one, other = (scores_of(runs, each, accuracy).mean for each in (configs, full))
    if one is None or other is None:
        return None
    value = 100 * (one - other)
    if configs == full:  # variable fine-tuning whose best n is all layers
        return Difference(value, Variance(0.0))
    first, second = (_contributions(plan, runs, task, each) for each in (configs, full))
    if first is None or second is None:
        return Difference(value, None)
    return Difference(value, variance_of_difference(first, second))


def _contributions(
    plan: Table2Plan, runs: Runs, task: str, configs: Sequence[Config]
) -> np.ndarray | None:
    """What each test example contributes to the accuracies of a method's runs, in hundredths:
    [S, n]; None with fewer than two seeds or examples, or without answers."""
    results = finished(runs, configs)
    labels = [example.label for example in plan.parts(task)[2]]
    if len(labels) < 2 or not all("answers" in result for result in results.values()):
        return None
    psi = [
        100 * of_answers(result, "test", "accuracy", labels, f"run {key}")
        for key, result in results.items()
    ]
    if "seed" not in configs[0]:  # without chance in it, any other run would answer the same
        psi *= 2
    return np.stack(psi) if len(psi) > 1 else None


def _mean(parts: Sequence[Difference | None]) -> Difference | None:
    """Of different tasks, which are independent: their variances add."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    value, number = sum(part.value for part in known) / len(known), len(known)
    variances = [part.variance for part in known if part.variance is not None]
    whole = total(variances) / number**2 if len(variances) == number else None
    return Difference(value, whole)
