"""The runs of the sweeps in `tests/reproduction/test_sweep.py`, importable by worker processes.

Every run notes "begin" and "end" in a side file, so that executions are counted independently of
the runs file. Runs wait for such notes, never for a time.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minibert.errors import InputError

DEADLINE = 100.0  # seconds; only reached if something never happens


def note(folder: Path, word: str, name: str) -> None:
    """Append a line to the side file atomically, whoever else writes to it."""
    with (folder / "side.txt").open("ab", buffering=0) as file:
        file.write(f"{word} {name} {os.getpid()}\n".encode())


def noted(folder: Path, word: str) -> list[tuple[str, int]]:
    """(name, process) for every line with this word."""
    path = folder / "side.txt"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(name, int(process)) for first, name, process in lines if first == word]


def names(folder: Path, word: str) -> list[str]:
    """The names in the lines with this word, in alphabetical order."""
    return sorted(name for name, _ in noted(folder, word))


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition was never met")
        time.sleep(0.01)


def work(name: str, *after: tuple[str, str], dies: int = 0, fails: bool = False) -> dict[str, Any]:
    """A configuration of a run that waits for each (word, name) in the side file, is killed the
    first `dies` times, and may fail."""
    return {"name": name, "after": [list(pair) for pair in after], "dies": dies, "fails": fails}


def execute(config: dict[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    """One run of a sweep."""
    name = config["name"]
    note(folder, "begin", name)
    until(lambda: all(other in names(folder, word) for word, other in config["after"]))
    if names(folder, "begin").count(name) <= config["dies"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if config["fails"]:
        raise InputError(f"{name} was asked to fail")
    note(folder, "end", name)
    return {"twice": 2 * name, "threads": threads}


def main() -> None:
    """Run a sweep: FOLDER PROCESSES CONFIGURATIONS."""
    import sweep_work  # workers cannot import __main__

    from adapters.reproduce.sweep.run_sweep import run_sweep
    from adapters.reproduce.sweep.workers import Workers

    folder, processes, configs = sys.argv[1:]
    run_sweep(json.loads(configs), sweep_work.execute, Path(folder), Workers(int(processes)))


if __name__ == "__main__":
    main()
