"""A sweep: every configuration is computed once, and its result is kept in the folder's runs file.

This process gives each free worker one run and records the results. It holds a lock file for each
run in progress, so that two sweeps may share a folder: what one is computing the other skips. If
this process is killed, its locks are released and its local workers exit.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.reproduce.sweep.learning import under_way
from adapters.reproduce.sweep.runs_file import Config, Runs, append_run, read_runs, run_key
from adapters.reproduce.sweep.workers import KILLED, Pool, Workers
from minibert.errors import InputError
from minibert.machine.doctor import processor_name
from minibert.machine.processor import read_cpuinfo

if TYPE_CHECKING:
    from filelock import FileLock

Execute = Callable[[Config, Path, int], dict[str, Any]]
OnProgress = Callable[[Config | None, int, int], None]

TICK = 1.0  # seconds between two looks while no run ends
MOST_KILLS = 3  # of the processes while one run is in progress


@dataclass
class Reservations:
    """The runs that this process is computing or about to: it holds their lock files."""

    folder: Path
    held: dict[str, "FileLock"] = field(default_factory=dict)

    def reserve(self, key: str) -> bool:
        """Reserve a run. Returns False when another process has it. Raises InputError when the
        folder cannot be written."""
        from filelock import FileLock, Timeout

        path = self._path(key)
        guard = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            guard.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise InputError(f"{path}: cannot be created: {error.strerror or error}") from None
        self.held[key] = guard
        return True

    def release(self, key: str) -> None:
        """Release a run that may not be finished; its lock file stays."""
        self.held.pop(key).release()

    def finish(self, key: str) -> None:
        """Release a run whose result has been recorded, and remove its lock file.

        Another process may hold that very file by now, and a third create and lock a new one: no
        harm, for both look for the result once they have a lock, and find it.
        """
        self.release(key)
        self.remove(key)

    def remove(self, key: str) -> None:
        """Remove the lock file of a run whose result has been recorded."""
        with suppress(OSError):  # Windows removes no file that is open elsewhere
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / "under-way" / f"{key}.lock"

    def release_all(self) -> None:
        """Release every run that is still held."""
        for key in list(self.held):
            self.release(key)


@dataclass
class Sweep:
    """The state of one sweep: the runs `wanted`, by key, and those reserved by this process."""

    folder: Path
    wanted: dict[str, Config]
    reserved: Reservations
    on_progress: OnProgress

    def missing(self) -> list[str]:
        """The keys of the runs that nobody has finished yet."""
        done = read_runs(self.folder)
        return [key for key in self.wanted if key not in done]

    def reservable(self, keys: Sequence[str]) -> Iterator[Config]:
        """Reserve and yield one run after another, skipping those that another sweep is computing
        or has finished."""
        for key in keys:
            if not self.reserved.reserve(key):
                continue
            if key in read_runs(self.folder):  # another sweep has finished it in the meantime
                self.reserved.finish(key)
                continue
            self.notify(None)
            yield self.wanted[key]

    def keep(self, config: Config, result: dict[str, Any]) -> None:
        """Record a finished run; only then are its checkpoints removed."""
        append_run(self.folder, config, result)
        shutil.rmtree(under_way(config, self.folder), ignore_errors=True)
        self.reserved.finish(run_key(config))
        self.notify(config)

    def notify(self, finished: Config | None) -> None:
        """Tell `on_progress` what has changed."""
        running = len(self.reserved.held)
        self.on_progress(finished, running, len(self.missing()) - running)


def run_sweep(
    configs: Sequence[Config],
    execute: Execute,
    folder: Path,
    workers: Workers,
    on_progress: OnProgress = lambda finished, running, left: None,
    on_tick: Callable[[], None] = lambda: None,
) -> Runs:
    """Compute every configuration that has no finished run yet; returns the runs of all of them.

    execute(config, folder, threads) computes one run and returns a JSON-serialisable result; the
    workers import it. on_progress(finished configuration or None, running here, left) is called
    whenever a run starts or ends, on_tick() every second in between. Runs that another sweep is
    computing are waited for.

    Raises InputError where `execute` does, and when workers are killed repeatedly. Ctrl-C stops
    everything; of the runs in progress only what `execute` has not checkpointed is lost.
    """
    wanted, reserved = {run_key(config): config for config in configs}, Reservations(folder)
    for key in wanted.keys() & read_runs(folder).keys():  # of a sweep killed after recording it
        shutil.rmtree(under_way(wanted[key], folder), ignore_errors=True)
        reserved.remove(key)
    sweep = Sweep(folder, wanted, reserved, on_progress)
    kills: Counter[str] = Counter()  # by the key of a run that was in progress
    while left := sweep.missing():
        finished = 0
        try:
            with workers.open() as pool:
                new = sweep.reservable(left)
                ended = _results(pool, execute, new, folder, workers.threads, on_tick)
                for config, result in ended:
                    sweep.keep(config, result)
                    finished += 1
        except BrokenExecutor:  # a process was killed, so joblib has stopped the others
            kills.update(sweep.reserved.held.keys())
            if max(kills.values(), default=0) > MOST_KILLS:
                raise InputError(f"{folder}: the sweep's processes were {KILLED}") from None
        finally:
            sweep.reserved.release_all()
        if not finished and sweep.missing():
            time.sleep(TICK)  # another sweep is computing the rest
            on_tick()
    runs = read_runs(folder)
    return {key: runs[key] for key in wanted}


def _results(
    pool: Pool,
    execute: Execute,
    configs: Iterator[Config],
    folder: Path,
    threads: int,
    on_tick: Callable[[], None],
) -> Iterator[tuple[Config, dict[str, Any]]]:
    """(configuration, result), in the order in which the runs finish. The next configuration is
    taken from `configs` only when a worker is free for it."""
    in_progress: set[Future[tuple[Config, dict[str, Any]]]] = set()
    while True:
        while len(in_progress) < pool.size() and (config := next(configs, None)) is not None:
            in_progress.add(pool.executor.submit(_run_one, execute, config, folder, threads))
        if not in_progress:
            return
        while not (done := wait(in_progress, TICK, return_when=FIRST_COMPLETED).done):
            on_tick()
        in_progress -= done
        # a failure ends the sweep, so it comes last: what finished along with it is kept
        for future in sorted(done, key=lambda future: future.exception() is not None):
            yield future.result()


def _run_one(
    execute: Execute, config: Config, folder: Path, threads: int
) -> tuple[Config, dict[str, Any]]:
    started = time.monotonic()
    result = execute(config, folder, threads)
    seconds = round(time.monotonic() - started, 1)
    machine = f"{processor_name(read_cpuinfo())}, {os.cpu_count()} processors"
    return config, {**result, "seconds": seconds, "machine": machine}
