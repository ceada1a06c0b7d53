"""How the claims of section 1 on many tasks are judged: what is remembered, and what forgotten."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

from adapters.reproduce.comparison.estimates import over_seeds
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement, judgement
from adapters.reproduce.ledger.verdicts import FAILS, HOLDS, below
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
from adapters.reproduce.report.statistics import diverged_of, main_score
from adapters.reproduce.studies import many_tasks
from adapters.reproduce.sweep.runs_file import Runs


def memory_is_perfect(plan: Plan, runs: Runs) -> Judgement:
    """Exact: the logits are compared bit by bit, with every seed."""
    results = many_tasks.finished(plan, runs, ADAPTERS)
    if not results or len(plan.tasks) < 2:
        return UNDECIDED
    changed = sum(sum(row) for result in results for row in result["changed"])
    return f"{changed} texts with changed logits", HOLDS if changed == 0 else FAILS


def sequential_tuning_forgets(plan: Plan, runs: Runs) -> Judgement:
    """The mean change of the earlier tasks' scores, from right after learning to the end, over the
    seeds."""
    results = many_tasks.finished(plan, runs, FULL)
    if not results or len(plan.tasks) < 2:
        return UNDECIDED
    found = over_seeds([_mean_change(plan.tasks[:-1], result["scores"]) for result in results])
    lost = diverged_of(runs, many_tasks.sequences(plan, runs, FULL))
    found = replace(found, diverged=lost)
    return judgement(found, below(found, 0.0))


def _mean_change(tasks: Sequence[str], scores: list[list[dict[str, float]]]) -> float:
    """The mean over tasks of the last score minus the first, in hundredths. `scores`: see
    `sweep.many_tasks.sequence`."""
    changes = [
        main_score(task, scores[-1][j]) - main_score(task, scores[j][j])
        for j, task in enumerate(tasks)
    ]
    return 100 * mean(changes)
