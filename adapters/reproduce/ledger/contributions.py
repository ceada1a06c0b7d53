"""What each dev example contributed to the scores of runs, from the answers that they kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters.reproduce.ledger.jackknife import pseudo_values
from adapters.reproduce.report.statistics import REPORTED
from adapters.reproduce.sweep.answers import unpacked
from adapters.reproduce.sweep.configured import parts_of
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.data.metrics import METRICS
from minibert.errors import InputError
from minibert.fetch.datasets import find_task


def contributions(runs: Runs, configs: Sequence[Config]) -> np.ndarray | None:
    """The pseudo-values of a task's or SQuAD's runs that differ only in their seed: [S, n]. Runs
    that are missing or diverged are left out. None if one of the others kept no answers, if the
    task's data are not here, or with fewer than two runs or examples, which do not tell how seeds
    or examples differ.

    Raises InputError, naming the run, for answers that do not give its score on the dev set as it
    is today.
    """
    found = [
        (config, runs[key]["result"]) for config in configs if (key := run_key(config)) in runs
    ]
    finished = [(config, result) for config, result in found if "diverged" not in result]
    if len(finished) < 2 or not all("answers" in result for _, result in finished):
        return None
    if not _labels_are_here(configs[0]):
        return None
    of_kind = {"classify": _of_task, "squad": _of_questions}
    psi = np.stack([of_kind[config["kind"]](config, result) for config, result in finished])
    return psi if psi.shape[1] > 1 else None


def _labels_are_here(config: Config) -> bool:
    """Whether answers can be compared with labels: a ledger is about studies, too, that were made
    elsewhere. A question's F1 needs none."""
    return config["kind"] == "squad" or config["sample"] or find_task(config["task"]) is not None


def _of_task(config: Config, result: dict[str, Any]) -> np.ndarray:
    """A "classify" run's: [n]."""
    gold = np.array([example.label for example in parts_of(config)[1]])
    answers = _answers(config, result, len(gold))
    metric = REPORTED.get(config["task"], "accuracy")
    _check(config, metric, METRICS[metric](answers, gold), result["dev"][metric])
    return pseudo_values(metric, answers, gold)


def _of_questions(config: Config, result: dict[str, Any]) -> np.ndarray:
    """A "squad" run's: [n]. Its score is a mean, so they are the questions' own."""
    number = (result.get("examples") or [0])[-1]
    answers = _answers(config, result, number).astype(float)
    _check(config, "f1", float(answers.mean()), result["dev"]["f1"])
    return answers


def _answers(config: Config, result: dict[str, Any], number: int) -> np.ndarray:
    where = f"run {run_key(config)}"
    answers = unpacked(result["answers"], where)
    if len(answers) != number:
        raise InputError(f"{where}: has {len(answers)} answers to {number} dev examples")
    return answers


def _check(config: Config, metric: str, today: float, then: float) -> None:
    if abs(today - then) > 1e-6:
        raise InputError(
            f"run {run_key(config)}: its answers have {metric} {today:.4f} on the dev set, not "
            f"{then:.4f} as when it ran: the data have changed"
        )
