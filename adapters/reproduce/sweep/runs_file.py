"""Finished runs: one line of JSON each, in a file that is only ever added to.

A run is known by the hash of its configuration. So a run that several studies want is made once,
and a sweep that was killed at any moment goes on with the runs that are not there yet.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.files import lock

Config = dict[str, Any]
Runs = dict[str, dict[str, Any]]  # by key: {"key", "config", "result"}

FILE = "runs.jsonl"


def run_key(config: Config) -> str:
    """A run's name: 16 hexadecimal digits of its configuration's sha256, whatever the order of the
    fields."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_runs(folder: Path) -> Runs:
    """All finished runs of a folder. Raises InputError, naming file and row, for a damaged line; a
    last line without its end, which a killed process left, is none."""
    path = folder / FILE
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    runs: Runs = {}
    for row, line in enumerate(lines, start=1):
        try:
            run = json.loads(line)
            if run["key"] != run_key(run["config"]):
                raise ValueError("its key is not its configuration's")
            runs[run["key"]] = {"result": run["result"], **run}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} row {row}: is damaged: {error}") from None
    return runs


def append_run(folder: Path, config: Config, result: dict[str, Any]) -> bool:
    """Add a finished run, whole or not at all; False when it was there already.

    Raises InputError when the file cannot be written.
    """
    path, key = folder / FILE, run_key(config)
    line = json.dumps({"key": key, "config": config, "result": result}) + "\n"
    with lock(folder / ".runs.lock"):  # held for a moment only
        if key in read_runs(folder):
            return False
        try:
            with path.open("ab") as file:
                file.truncate(_whole_lines(path))
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    return True


def _whole_lines(path: Path) -> int:
    """The bytes up to the last line end: what lies behind it is of a process that was killed."""
    return path.read_bytes().rfind(b"\n") + 1
