"""What a run's result has to be: what each kind of run gives, of which types and how many.

A runs file may come from another machine, or be damaged: what is wrong is told by its row, not by a
report that fails or, worse, does not.
"""

import math
from collections.abc import Iterable
from typing import Any

from adapters.reproduce.sweep.answers import unpacked
from minibert.data.tasks import GLUE
from minibert.errors import InputError, shown
from minibert.json_files import fitted

COUNTED = {"task", "adapters", "head", "all", "layers"}  # by `learning.parameter_counts`

# The entries of results, and which of them each kind of run gives unless it has diverged.
Metrics = dict[str, float]  # {name: value}
FORMS: dict[str, Any] = {
    "dev": Metrics,
    "test": Metrics,
    "answers": str,
    "constant": Metrics,
    "validation": list[Metrics],
    "epochs": list[Metrics],
    "spans": list[dict[str, int | str | Metrics]],
    "scores": list[list[Metrics]],
    "changed": list[list[int]],
    "parameters": dict[str, int],
    "examples": list[int],
    "best_epoch": int,
    "loss": float,
    "seconds": float,
    "machine": str,
    "diverged": str,
    "features": str,
    "cost": float,
}
FORMS_OF_KIND: dict[str, dict[str, Any]] = {
    "sequence": {"parameters": int},
    "joint": {"parameters": int, "answers": list[str]},
}
GIVES = {
    "classify": ("dev", "validation", "best_epoch"),
    "ablation": ("dev", "spans", "constant"),
    "sequence": ("scores", "changed", "parameters"),
    "joint": ("scores", "answers", "validation", "parameters", "examples"),
    "squad": ("dev", "epochs", "examples"),
    "own": ("test", "validation"),
    "tfidf": ("test", "validation"),
}


def checked_result(config: dict[str, Any], result: dict[str, Any], where: str) -> dict[str, Any]:
    """The result, its entries of the types that they should have.

    Raises InputError, naming `where` and the entry, for a result without what its kind of run
    gives, or with an entry of another form.
    """
    kind, task = config.get("kind"), config.get("task")
    kind = kind if isinstance(kind, str) else ""
    forms = FORMS | FORMS_OF_KIND.get(kind, {})
    result = {
        name: fitted(forms.get(name, Any), value, f"{where}: {name}")
        for name, value in result.items()
    }
    needed = GIVES.get(kind, ()) if "diverged" not in result else ()
    if missing := [name for name in needed if not result.get(name)]:
        raise InputError(f"{where} has no {missing[0]}")
    if isinstance(result.get("parameters"), dict):
        _check_parameters(result["parameters"], f"{where}: parameters")
    answers = result.get("answers", [])
    spans = [span["answers"] for span in result.get("spans", []) if "answers" in span]
    for word in [*([answers] if isinstance(answers, str) else answers), *spans]:
        unpacked(fitted(str, word, f"{where}: answers"), where)
    if not all(result.get("validation", [])):
        raise InputError(f"{where} has an epoch without scores")
    if kind == "classify" and needed:
        constant = [result["constant"]] if "constant" in result else []
        _check_metrics(task, (result["dev"], *result["validation"], *constant), where)
    if kind == "ablation" and needed:
        _check_spans(config, result, where)
    if kind == "squad" and needed:
        if lacking := {"f1", "exact_match"} - result["dev"].keys():
            raise InputError(f"{where} lacks a score: {min(lacking)}")
        if len(result["examples"]) != 2:
            raise InputError(f"{where}: examples are not two numbers: for training, and dev")
    if kind in ("sequence", "joint") and needed:
        _check_tasks(config, result, where)
    if kind in ("own", "tfidf") and needed:
        for scores in (result["test"], *result["validation"]):
            if "accuracy" not in scores:
                raise InputError(f"{where} lacks a score: accuracy")
    return result


def _check_parameters(counts: dict[str, int], where: str) -> None:
    """Raises InputError for parameter counts that no training has."""
    if lacking := COUNTED - counts.keys():
        raise InputError(f"{where}: lacks {min(lacking)}")
    for name, count in counts.items():
        if count < (name in ("all", "layers")):
            raise InputError(f"{where}.{name}: is {shown(count)}, which is no count")


def _check_spans(config: dict[str, Any], result: dict[str, Any], where: str) -> None:
    """Raises InputError unless a result of adapters removed has scores before, without each span,
    and of the constant guess."""
    task = fitted(dict[str, Any], config.get("of"), where).get("task")
    spans = result["spans"]
    kinds = {"first": int, "last": int, "dev": dict}
    if any(not isinstance(span.get(name), kind) for span in spans for name, kind in kinds.items()):
        raise InputError(f"{where} has a span without its layers or scores")
    layers = math.isqrt(2 * len(spans))  # n layers have n (n + 1) / 2 spans
    expected = [(first, last) for first in range(layers) for last in range(first, layers)]
    if sorted((span["first"], span["last"]) for span in spans) != expected:
        raise InputError(f"{where} does not have each span of layers once")
    several = (result["dev"], result["constant"], *(span["dev"] for span in spans))
    _check_metrics(task, several, where)


def _check_tasks(config: dict[str, Any], result: dict[str, Any], where: str) -> None:
    """Raises InputError unless a result of many tasks has every task: after each that was learned,
    those so far; of tasks learned together, one row of all."""
    tasks = [step.get("task") for step in fitted(list[dict[str, Any]], config.get("steps"), where)]
    lengths = [len(row) for row in result["scores"]]
    if config["kind"] == "joint":
        lengths += [len(result["answers"]), len(result["examples"])]
        whole = lengths == 3 * [len(tasks)]
    else:
        changed = [len(row) for row in result["changed"]]
        whole = lengths == changed == [*range(1, len(tasks) + 1)]
    if not whole:
        raise InputError(f"{where} does not have every task")
    for row in result["scores"]:
        for task, scores in zip(tasks, row, strict=False):
            _check_metrics(task, [scores], where)


def _check_metrics(task: object, several: Iterable[Metrics], where: str) -> None:
    """Raises InputError for scores without all the metrics of their GLUE task."""
    wanted = set(GLUE[task].metrics) if isinstance(task, str) and task in GLUE else set()
    for scores in several:
        if lacking := wanted - scores.keys():
            raise InputError(f"{where} lacks a score: {min(lacking)}")
