"""What each dev example contributed to the scores of runs, from the answers that they kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters.reproduce.ledger.jackknife import pseudo_values
from adapters.reproduce.report.statistics import REPORTED
from adapters.reproduce.sweep.answers import unpacked
from adapters.reproduce.sweep.one_run import parts_of, questions
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.data.metrics import METRICS
from minibert.errors import InputError


def contributions(runs: Runs, configs: Sequence[Config]) -> np.ndarray | None:
    """The pseudo-values of a task's or SQuAD's runs that differ only in their seed: [S, n]. Runs
    that are missing or diverged are left out. None if one of the others kept no answers, or with
    fewer than two of them or two examples, which do not tell how seeds or examples differ.

    Raises InputError, naming the run, for answers that do not give its score on the dev set as it
    is today.
    """
    found = [
        (config, runs[key]["result"]) for config in configs if (key := run_key(config)) in runs
    ]
    finished = [(config, result) for config, result in found if "diverged" not in result]
    if len(finished) < 2 or not all("answers" in result for _, result in finished):
        return None
    of_kind = {"classify": _of_task, "squad": _of_questions}
    psi = np.stack([of_kind[config["kind"]](config, result) for config, result in finished])
    return psi if psi.shape[1] > 1 else None


def _of_task(config: Config, result: dict[str, Any]) -> np.ndarray:
    """A "classify" run's: [n]."""
    gold = np.array([example.label for example in parts_of(config)[1]])
    answers = _answers(config, result, len(gold))
    metric = REPORTED.get(config["task"], "accuracy")
    _check(config, metric, METRICS[metric](answers, gold), result["dev"][metric])
    return pseudo_values(metric, answers, gold)


def _of_questions(config: Config, result: dict[str, Any]) -> np.ndarray:
    """A "squad" run's: [n]. Its score is a mean, so they are the questions' own."""
    dev = questions(config["examples"], config["dev_examples"]).dev
    answers = _answers(config, result, len(dev)).astype(float)
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
