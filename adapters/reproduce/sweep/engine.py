"""A sweep: configurations in, one finished run each in the folder's file.

Local processes (joblib's loky) or a Dask cluster compute the runs; this process hands them out,
one for each free worker, and keeps the results. While a run is under way, this process holds a
lock file of its name, so that two sweeps may share a folder: what one is computing the other leaves
alone. The lock of a killed process is free again, and its local workers end with it.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.reproduce.sweep.runs_file import Config, Runs, append_run, read_runs, run_key
from minibert.errors import InputError

if TYPE_CHECKING:
    from filelock import FileLock

Execute = Callable[[Config, Path, int], dict[str, Any]]

ATTEMPTS = 3  # times that a sweep starts new processes after one of them was killed
PATIENCE = 20  # seconds in which a cluster's scheduler must answer and have a worker
KILLED = "killed again and again by the system; perhaps too little memory: try fewer workers"


@dataclass(frozen=True)
class Pool:
    """Workers to compute with: `executor` takes work, `size()` is how much of it at once."""

    executor: Executor
    size: Callable[[], int]


@dataclass(frozen=True)
class Engine:
    """Where runs are computed: `workers` processes here, each with `threads` threads, or the
    workers of the Dask cluster at `cluster` (tcp://HOST:PORT)."""

    workers: int = 1
    threads: int = 1
    cluster: str | None = None

    def open(self) -> AbstractContextManager[Pool]:
        """The workers; after an error inside, none of this machine's is still computing. Raises
        InputError when there is no cluster at the address."""
        return _processes(self.workers) if self.cluster is None else _cluster(self.cluster)


@contextmanager
def _processes(workers: int) -> Iterator[Pool]:
    from joblib.externals.loky import get_reusable_executor

    executor = get_reusable_executor(
        max_workers=workers, timeout=60, initializer=_end_with, initargs=(os.getpid(),)
    )
    try:
        yield Pool(executor, lambda: workers)
    except BaseException:
        executor.shutdown(wait=True, kill_workers=True)
        raise


def _end_with(parent: int) -> None:
    """In a worker: end when the sweep has, even by kill -9. What nobody waits for any more would
    be in the way of the next sweep, which begins the same run again."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _cluster(address: str) -> Iterator[Pool]:
    try:
        from distributed import Client, KilledWorker
    except ModuleNotFoundError:
        raise InputError("--cluster needs: pip install 'minibert[cluster]'") from None
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--cluster {address}: no scheduler there: {reason}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InputError(f"--cluster {address}: the scheduler has no workers") from None
        # a killed worker's run is begun again by another, as often as the cluster's settings say
        executor = client.get_executor(pure=False)
        try:
            yield Pool(executor, lambda: sum(client.nthreads().values()))
        except KilledWorker as error:
            raise InputError(f"--cluster {address}: its workers were {KILLED}") from error
        finally:
            executor.shutdown(wait=False)


def _results(
    pool: Pool, execute: Execute, configs: Iterator[Config], folder: Path, threads: int
) -> Iterator[tuple[Config, dict[str, Any]]]:
    """(configuration, result), in the order in which runs finish. `configs` is asked for the next
    one only when a worker is free for it."""
    under_way: set[Future[tuple[Config, dict[str, Any]]]] = set()
    while True:
        while len(under_way) < pool.size() and (config := next(configs, None)) is not None:
            under_way.add(pool.executor.submit(_run_one, execute, config, folder, threads))
        if not under_way:
            return
        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        # what failed comes last: it ends the sweep, and what finished with it is to be kept
        for future in sorted(done, key=lambda future: future.exception() is not None):
            yield future.result()


def _run_one(
    execute: Execute, config: Config, folder: Path, threads: int
) -> tuple[Config, dict[str, Any]]:
    started = time.monotonic()
    result = execute(config, folder, threads)
    return config, {**result, "seconds": round(time.monotonic() - started, 1)}


@dataclass
class Claims:
    """The runs that this process has taken on: it holds their lock files."""

    folder: Path
    held: dict[str, "FileLock"] = field(default_factory=dict)

    def take(self, key: str) -> bool:
        """Claim a run. False when another process has it. Raises InputError when the folder cannot
        be written."""
        from filelock import FileLock, Timeout

        path = self.folder / "under-way" / f"{key}.lock"
        guard = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            guard.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise InputError(f"{path}: cannot be made: {error.strerror or error}") from None
        self.held[key] = guard
        return True

    def release(self, key: str) -> None:
        """Let go of a run, finished or not."""
        self.held.pop(key).release()

    def release_all(self) -> None:
        """Let go of all that is left."""
        for key in list(self.held):
            self.release(key)


def run_sweep(
    configs: Sequence[Config],
    execute: Execute,
    folder: Path,
    engine: Engine,
    on_progress: Callable[[Config | None, int, int], None] = lambda config, running, left: None,
) -> Runs:
    """See to it that every configuration has its finished run; returns those runs.

    execute(config, folder, threads) computes one and returns what JSON can hold; it is imported by
    the workers. on_progress(finished configuration or None, running here, left) is called at every
    start and end of a run. What another sweep is computing is waited for. Raises InputError as
    `execute` does, and when workers are killed again and again; Ctrl-C ends everything and loses
    what is under way only as far as `execute` keeps no checkpoints of its own.
    """
    wanted = {run_key(config): config for config in configs}
    claims = Claims(folder)
    attempts = ATTEMPTS

    def waiting() -> list[str]:
        done = read_runs(folder)
        return [key for key in wanted if key not in done]

    def offered(keys: Sequence[str]) -> Iterator[Config]:
        for key in keys:
            if not claims.take(key):
                continue
            if key in read_runs(folder):  # finished by another sweep since we looked
                claims.release(key)
                continue
            on_progress(None, len(claims.held), len(waiting()) - len(claims.held))
            yield wanted[key]

    while left := waiting():
        finished = 0
        try:
            with engine.open() as pool:
                for config, result in _results(
                    pool, execute, offered(left), folder, engine.threads
                ):
                    append_run(folder, config, result)
                    claims.release(run_key(config))
                    finished += 1
                    on_progress(config, len(claims.held), len(waiting()) - len(claims.held))
        except BrokenExecutor:  # a process was killed, and joblib has ended the others
            attempts -= 1
            if attempts < 0:
                raise InputError(f"{folder}: the sweep's processes were {KILLED}") from None
        finally:
            claims.release_all()
        if not finished and waiting():
            time.sleep(1)  # the rest is with another sweep
    runs = read_runs(folder)
    return {key: runs[key] for key in wanted}
