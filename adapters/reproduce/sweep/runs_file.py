"""The runs file: one line of JSON for each finished run, in a file that only ever grows.

A run is identified by the hash of its configuration. So a run that several studies need is computed
once, and a sweep that was killed at any moment resumes with the runs that are still missing.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapters.reproduce.sweep.answers import unpacked
from minibert.data.tasks import GLUE
from minibert.errors import InputError, shown
from minibert.files import lock
from minibert.json_files import fitted, parse_json

Config = dict[str, Any]
Runs = dict[str, dict[str, Any]]  # by key: {"key", "config", "result"}
Results = dict[str, dict[str, Any]]  # by key: the result, or a part of it, with its "dev" scores

FILE = "runs.jsonl"
MOST_SEEDS = 1000
COUNTED = {"task", "adapters", "head", "all", "layers"}  # by `learning.parameter_counts`

# The entries of results, and which of them each kind of run gives unless it has diverged.
Scores = dict[str, float]
FORMS: dict[str, Any] = {
    "dev": Scores,
    "test": Scores,
    "answers": str,
    "constant": Scores,
    "validation": list[Scores],
    "epochs": list[Scores],
    "spans": list[dict[str, int | str | Scores]],
    "scores": list[list[Scores]],
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


def run_key(config: Config) -> str:
    """The key of a configuration's run: the first 16 hexadecimal digits of the configuration's
    sha256, which depends neither on the order of the fields nor on where a base's folder is: its
    weights are known by their own sha256."""
    text = json.dumps(_anywhere(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _anywhere(part: Any) -> Any:
    """A part of a configuration with the names of bases' folders in place of their paths."""
    if isinstance(part, dict):
        base = {"base": Path(part["base"]).name} if isinstance(part.get("base"), str) else {}
        return {name: _anywhere(value) for name, value in part.items()} | base
    return [_anywhere(one) for one in part] if isinstance(part, list) else part


def seedless_key(config: Config) -> str:
    """What runs that differ in nothing but their seed have in common."""
    return run_key({**config, "seed": 0})


def read_runs(folder: Path) -> Runs:
    """All finished runs of a folder. An incomplete last line, left by a killed process, is ignored.

    Raises InputError, naming file and row, for any other damaged line, and for a run with another
    result than an earlier line has.
    """
    path = folder / FILE
    try:
        lines = _complete(path.read_bytes()).split(b"\n")[:-1]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    runs: Runs = {}
    rows: dict[str, int] = {}
    for row, line in enumerate(lines, start=1):
        where = f"{path} row {row}"
        read = parse_json(line, where, unique=True)
        run = fitted(dict[str, Any], read, f"{where}: is damaged")
        for name in ("config", "result"):
            fitted(dict[str, Any], run.get(name), f"{where}: is damaged: its {name}")
        if run.get("key") != run_key(run["config"]):
            raise InputError(f"{where}: is damaged: its key does not match its configuration")
        result = checked_result(run["config"], run["result"], f"{where}: is damaged: its result")
        run["result"] = result
        _check_seed(run["config"], f"{where}: is damaged: its configuration")
        earlier = runs.setdefault(run["key"], run)
        if _found(earlier["result"]) != _found(result):
            raise InputError(
                f"{where}: is the run of row {rows[run['key']]} with another result; remove one"
            )
        rows.setdefault(run["key"], row)
    return runs


def _complete(data: bytes) -> bytes:
    """The file's lines without what a killed process left of the last one. A line that lacks only
    its end, as editors may save it, is complete: no beginning of a JSON object is JSON."""
    start = data.rfind(b"\n") + 1
    try:
        json.loads(data[start:])
    except (ValueError, RecursionError):
        return data[:start]
    return data + b"\n"


def _found(result: dict[str, Any]) -> dict[str, Any]:
    """A result without how long it took, and where."""
    return {name: part for name, part in result.items() if name not in ("seconds", "machine")}


def _check_seed(config: Config, where: str) -> None:
    """Raises InputError for a seed beyond those that can be asked for: a report has a run for each
    seed up to the highest that it finds (`table2.with_seeds_of`)."""
    seed = config.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < MOST_SEEDS:
        raise InputError(f"{where}: seed is {shown(seed)}; 0 to {MOST_SEEDS - 1} is expected")


def checked_result(config: Config, result: dict[str, Any], where: str) -> dict[str, Any]:
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


def _check_spans(config: Config, result: dict[str, Any], where: str) -> None:
    """Raises InputError unless a result of adapters removed has scores before, without each span,
    and of the constant guess."""
    task = fitted(Config, config.get("of"), where).get("task")
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


def _check_tasks(config: Config, result: dict[str, Any], where: str) -> None:
    """Raises InputError unless a result of many tasks has every task: after each that was learned,
    those so far; of tasks learned together, one row of all."""
    tasks = [step.get("task") for step in fitted(list[Config], config.get("steps"), where)]
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


def _check_metrics(task: object, several: Iterable[Scores], where: str) -> None:
    """Raises InputError for scores without all the metrics of their GLUE task."""
    wanted = set(GLUE[task].metrics) if isinstance(task, str) and task in GLUE else set()
    for scores in several:
        if lacking := wanted - scores.keys():
            raise InputError(f"{where} lacks a score: {min(lacking)}")


def append_run(folder: Path, config: Config, result: dict[str, Any]) -> bool:
    """Add a finished run, completely or not at all. Returns False when it was already there.

    Raises InputError when the file cannot be written.
    """
    path, key = folder / FILE, run_key(config)
    line = json.dumps({"key": key, "config": config, "result": result}) + "\n"
    with lock(folder / ".runs.lock"):  # held only briefly
        if key in read_runs(folder):
            return False
        try:
            with path.open("ab") as file:
                data = path.read_bytes()
                kept = _complete(data)
                file.truncate(min(len(kept), len(data)))
                file.write(kept[len(data) :] + line.encode())  # an end of line, if it lacks one
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    return True
