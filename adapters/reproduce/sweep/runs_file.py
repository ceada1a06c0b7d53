"""The runs file: one line of JSON for each finished run, in a file that only ever grows.

A run is identified by the hash of its configuration. So a run that several studies need is computed
once, and a sweep that was killed at any moment resumes with the runs that are still missing.
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
    """The key of a configuration's run: the first 16 hexadecimal digits of the configuration's
    sha256, which does not depend on the order of the fields."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_runs(folder: Path) -> Runs:
    """All finished runs of a folder. An incomplete last line, left by a killed process, is ignored.

    Raises InputError, naming file and row, for any other damaged line.
    """
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
                raise ValueError("its key does not match its configuration")
            runs[run["key"]] = {"result": run["result"], **run}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} row {row}: is damaged: {error}") from None
    return runs


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
                file.truncate(_end_of_complete_lines(path))
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    return True


def _end_of_complete_lines(path: Path) -> int:
    """The number of bytes up to the last newline; what follows it was left by a killed process."""
    return path.read_bytes().rfind(b"\n") + 1
