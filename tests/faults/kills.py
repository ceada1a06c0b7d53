"""kill -9, of a training and of a sweep: what goes on afterwards ends at the bits of what was never
stopped, and nothing else is left in its folder."""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from faults.child import TINY, Stop, differ, fault_of, files, minibert, run_child

TRAIN = (
    *("train", "--task", "sst-2", "--sample", "--base", TINY, "--max-length", 16, "--size", 4),
    *("--train-examples", 40, "--epochs", 3, "--threads", 1, "--out"),
)


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="minibert-faults-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@cache
def undisturbed() -> tuple[dict[str, bytes], float, int]:
    """A training that nobody stops: its files, its seconds, and its file events."""
    with new_folder() as folder:
        events = folder / "events"
        begun = time.monotonic()
        ended = run_child(counted(minibert(*TRAIN, folder / "run"), folder / "run", events))
        seconds = time.monotonic() - begun
        assert ended.code == 0, ended
        return files(folder / "run"), seconds, len(events.read_text())


def at_random_moment(number: int) -> str:
    """Kill a training at the moment that this seed draws."""
    moment = random.Random(f"kill {number}").uniform(0, undisturbed()[1])
    return resumes(lambda folder: minibert(*TRAIN, folder), kill_after(moment))


def at_file_event(number: int) -> str:
    """Kill a training just before its file event of this number: an open, a rename."""

    order = random.Random(0).sample(
        range(file_events()), file_events()
    )  # the first few: of all times

    def call(folder: Path) -> Callable[[], int]:
        die = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        return at_event(minibert(*TRAIN, folder), folder, order[number] + 1, die)

    return resumes(call)


def file_events() -> int:
    """How many file events the training has."""
    return undisturbed()[2]


def kill_after(seconds: float) -> Stop:
    """Kills a child that has run for so long."""

    def stop(child: int, since: float) -> None:
        if since >= seconds:
            os.kill(child, signal.SIGKILL)

    return stop


def resumes(call: Callable[[Path], Callable[[], int]], stop: Stop | None = None) -> str:
    """Start the training, which is killed; resume it, and compare its files with the undisturbed
    one's."""
    with new_folder() as folder:
        run = folder / "run"
        killed = run_child(call(run), stop)
        if killed.code not in (0, -signal.SIGKILL):
            return f"exit code {killed.code}: {killed.err[-300:]!r}"
        ended = run_child(minibert(*TRAIN, run, "--resume"))
        return fault_of(ended, (0,)) or differ(without_place(run), expected())


def without_place(run: Path) -> dict[str, bytes]:
    """The files that must be the same to the bit. (The report page has the minutes in it.)"""
    return {name: data for name, data in files(run).items() if name != "report.html"}


def expected() -> dict[str, bytes]:
    """The same of the undisturbed run."""
    return {name: data for name, data in undisturbed()[0].items() if name != "report.html"}


# ---------------------------------------------------------------------------------- file events


def is_event(name: str, arguments: tuple[Any, ...], folder: Path) -> bool:
    """Whether an audit event of Python's is about a file in this folder."""
    if name not in ("open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.truncate"):
        return False
    return any(str(a).startswith(str(folder)) for a in arguments if isinstance(a, str | Path))


def at_event(
    call: Callable[[], int], folder: Path, number: int, act: Callable[[], Any]
) -> Callable[[], int]:
    """`call`, with `act()` just before the folder's file event of this number."""

    def watched() -> int:
        left = [number]

        def hook(name: str, arguments: tuple[Any, ...]) -> None:
            if is_event(name, arguments, folder):
                left[0] -= 1
                if left[0] == 0:
                    act()

        sys.addaudithook(hook)
        return call()

    return watched


def counted(call: Callable[[], int], folder: Path, counts: Path) -> Callable[[], int]:
    """`call`, with one byte in the file `counts` for each file event of the folder."""

    def watched() -> int:
        handle = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def hook(name: str, arguments: tuple[Any, ...]) -> None:
            if is_event(name, arguments, folder):
                os.write(handle, b".")

        sys.addaudithook(hook)
        return call()

    return watched


# ------------------------------------------------------------------------------------ sweeps


def sweep_configs() -> list[dict[str, Any]]:
    """Four runs of a study, small ones."""
    from minibert.checkpoint import load_base

    usual = {
        "kind": "classify",
        "base": str(TINY),
        "base_sha256": load_base(TINY).sha256,
        "task": "sst-2",
        "sample": True,
        "examples": 60,
        "dev_examples": 20,
        "validation": 0.2,
        "recipe": "paper",
        "rate": 1e-2,
        "epochs": 2,
        "batch_size": 16,
        "max_length": 16,
    }
    methods = [{"name": "adapters", "size": 4}, {"name": "head"}]
    return [{**usual, "method": method, "seed": seed} for method in methods for seed in (0, 1)]


def sweep(folder: Path) -> Callable[[], int]:
    """To be called in a child: the sweep, in this folder."""

    def call() -> int:
        os.setsid()  # its workers are found by their session
        from adapters.reproduce.sweep.one_run import execute
        from adapters.reproduce.sweep.run_sweep import run_sweep
        from adapters.reproduce.sweep.workers import Workers

        run_sweep(sweep_configs(), execute, folder, Workers(1))
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)
        return 0

    return call


def results(folder: Path) -> dict[str, Any]:
    """{key: result} of a sweep's folder, without the time that each took."""
    lines = (folder / "runs.jsonl").read_text().splitlines()
    found: dict[str, Any] = {}
    for run in map(json.loads, lines):
        assert run["key"] not in found, "a run is kept twice"
        run["result"].pop("seconds", None)
        found[run["key"]] = run["result"]
    return found


@cache
def undisturbed_sweep() -> tuple[dict[str, Any], float]:
    """The results of a sweep that nobody stops, and its seconds."""
    with new_folder() as folder:
        begun = time.monotonic()
        ended = run_child(sweep(folder / "sweep"))
        assert ended.code == 0, ended
        return results(folder / "sweep"), time.monotonic() - begun


def of_a_sweep(number: int) -> str:
    """Kill a sweep at the moment that this seed draws, and start it again."""
    whole, seconds = undisturbed_sweep()
    moment = random.Random(f"sweep {number}").uniform(0, seconds)
    with new_folder() as folder:
        run_child(sweep(folder / "sweep"), kill_after(moment))
        ended = run_child(sweep(folder / "sweep"))
        if fault := fault_of(ended, (0,)):
            return fault
        shutil.rmtree(folder / "sweep" / "under-way", ignore_errors=True)
        return "" if results(folder / "sweep") == whole else "other results"
