"""The runs file: one line of JSON for each finished run, in a file that only ever grows.

A run is identified by the hash of its configuration. So a run that several studies need is computed
once, and a sweep that was killed at any moment resumes with the runs that are still missing.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from adapters.reproduce.sweep.result_forms import checked_result
from minibert.errors import InputError, shown
from minibert.files import lock
from minibert.json_files import fitted, parse_json

Config = dict[str, Any]
Runs = dict[str, dict[str, Any]]  # by key: {"key", "config", "result"}
Results = dict[str, dict[str, Any]]  # by key: the result, or a part of it, with its "dev" scores

FILE = "runs.jsonl"
MOST_SEEDS = 1000


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
    """What runs of one training that differ in nothing but their seed have in common. (The seeds in
    `steps` and `of` stay.)"""
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
