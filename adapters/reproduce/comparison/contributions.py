"""What each example contributed to the scores of runs, from the answers that they kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters.reproduce.comparison.jackknife import pseudo_values
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.statistics import reported_metric, results_of
from adapters.reproduce.sweep.answers import unpacked
from adapters.reproduce.sweep.configured import parts_of
from adapters.reproduce.sweep.runs_file import Config, Results, Runs
from minibert.data.metrics import METRICS
from minibert.errors import InputError
from minibert.fetch.datasets import find_task


def contributions(runs: Runs, configs: Sequence[Config]) -> np.ndarray | None:
    """The pseudo-values of a task's or SQuAD's runs that differ only in their seed: [S', n]. Runs
    that are missing, diverged or kept no answers are left out. None if too few kept any
    (`answered`), if the task's data are not here, or if these are one example.

    Raises InputError, naming the run, for answers that do not give its score: a task's on the dev
    set as it is today, SQuAD's by their own mean.
    """
    found = results_of(runs, configs)
    return contributions_of(configs[0], {key: found[key] for key in answered(found)})


def answered(*states: Results) -> list[str]:
    """The keys of the models that kept their answers, in each of the states that are given; none if
    they are fewer than two or than half, which do not tell how the others' answers differ."""
    keys = [key for key in states[0] if all("answers" in state[key] for state in states)]
    return keys if len(keys) >= max(2, len(states[0]) / 2) else []


def contributions_of(config: Config, results: Results) -> np.ndarray | None:
    """The pseudo-values [S', n] of the answers of models that differ only in their seed; None
    without results, if the task's labels are not here, or if they are one example. `config`: of one
    of their trainings. Errors as in `contributions`."""
    if not results or not labels_are_here(config):
        return None
    of_kind = {"classify": _of_task, "squad": _of_questions}[config["kind"]]
    psi = [of_kind(config, result, f"run {key}") for key, result in results.items()]
    check_as_many({key: len(one) for key, one in zip(results, psi, strict=True)})
    return np.stack(psi) if len(psi[0]) > 1 else None


def check_as_many(numbers: dict[str, int]) -> None:
    """Raise InputError, naming two runs, unless all have answers to as many examples: numbers by
    the runs' keys."""
    (key, number), *others = numbers.items()
    for other, another in others:
        if another != number:
            raise InputError(
                f"runs {key} and {other}: have answers to {number} and {another} examples"
            )


def labels_are_here(config: Config) -> bool:
    """Whether answers can be compared with labels: a ledger may be written where there are only the
    runs. SQuAD's keep each question's F1, which needs none."""
    return config["kind"] == "squad" or config["sample"] or find_task(config["task"]) is not None


def without_labels(plan: Plan) -> list[str]:
    """The plan's tasks whose labels are not here, so that no answers can be compared."""
    return [task for task in plan.tasks if not labels_are_here(plan.task_config(task))]


def _of_task(config: Config, result: dict[str, Any], where: str) -> np.ndarray:
    """A "classify" run's: [n]."""
    labels = [example.label for example in parts_of(config)[1]]
    return of_answers(result, "dev", reported_metric(config["task"]), labels, where)


def of_answers(
    result: dict[str, Any], part: str, metric: str, labels: Sequence[float], where: str
) -> np.ndarray:
    """The pseudo-values of a run's answers to the n examples of a part, "dev" or "test", that have
    these labels: [n]. Raises InputError, naming `where`, as `contributions`."""
    gold = np.array(labels)
    answers = _answers(result, part, len(gold), where)
    _check(result, part, metric, METRICS[metric](answers, gold), where)
    return pseudo_values(metric, answers, gold)


def _of_questions(config: Config, result: dict[str, Any], where: str) -> np.ndarray:
    """A "squad" run's: [n]. Its score is a mean, so they are the questions' own."""
    number = (result.get("examples") or [0])[-1]
    answers = _answers(result, "dev", number, where).astype(float)
    _check(result, "dev", "f1", float(answers.mean()), where)
    return answers


def _answers(result: dict[str, Any], part: str, number: int, where: str) -> np.ndarray:
    answers = unpacked(result["answers"], where)
    if len(answers) != number:
        raise InputError(f"{where}: has {len(answers)} answers to {number} {part} examples")
    return answers


def _check(result: dict[str, Any], part: str, metric: str, today: float, where: str) -> None:
    then = result[part][metric]
    if abs(today - then) > 1e-6:
        raise InputError(
            f"{where}: its answers have {metric} {today:.4f} on the {part} set, not {then:.4f} as "
            "when it ran: the data have changed, or the run's line has"
        )
