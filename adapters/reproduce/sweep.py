"""A sweep: configurations in, one finished run each in the folder's file.

Local processes (joblib) or a Dask cluster compute the runs; this process hands them out and keeps
the results. While a run is under way, this process holds a lock file of its name, so that two
sweeps may share a folder: what one is computing the other leaves alone. The lock of a killed
process is free again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.reproduce.store import Config, Runs, append_run, read_runs, run_key
from minibert.errors import InputError

if TYPE_CHECKING:
    from filelock import FileLock

Execute = Callable[[Config, Path, int], dict[str, Any]]

ATTEMPTS = 3  # times that a sweep starts new processes after one of them was killed


@dataclass(frozen=True)
class Engine:
    """Where runs are computed: `workers` processes here, each with `threads` threads, or the
    workers of the Dask cluster at `cluster` (tcp://HOST:PORT)."""

    workers: int = 1
    threads: int = 1
    cluster: str | None = None

    def open(self) -> AbstractContextManager[Any]:
        """The setting in which `joblib.Parallel` uses this engine. Raises InputError when there is
        no cluster at the address."""
        from joblib import parallel_config

        if self.cluster is None:
            return nullcontext()
        try:
            from distributed import Client

            client = Client(self.cluster, timeout=20)
        except ModuleNotFoundError:
            raise InputError("--cluster needs: pip install 'minibert[cluster]'") from None
        except (OSError, ValueError) as error:
            raise InputError(f"--cluster {self.cluster}: no scheduler there: {error}") from None
        # a killed worker's run is begun again by another; a run may be unlucky a few times
        return parallel_config(backend="dask", client=client, retries=ATTEMPTS)

    def run(
        self, execute: Execute, configs: Iterator[Config], folder: Path
    ) -> Iterator[tuple[Config, dict[str, Any]]]:
        """(configuration, result), in the order in which runs finish. `configs` is asked for the
        next one only when a worker is free for it."""
        from joblib import Parallel, delayed

        parallel = Parallel(
            n_jobs=self.workers if self.cluster is None else -1,
            return_as="generator_unordered",
            pre_dispatch="n_jobs",
            batch_size=1,
        )
        yield from parallel(
            delayed(_run_one)(execute, config, folder, self.threads) for config in configs
        )


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
        """Claim a run. False when another process has it."""
        from filelock import FileLock, Timeout

        path = self.folder / "under-way" / f"{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        guard = FileLock(path, thread_local=False)  # joblib asks for work in threads of its own
        try:
            guard.acquire(timeout=0)
        except Timeout:
            return False
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
    `execute` does; Ctrl-C ends everything and loses what is under way only as far as `execute`
    keeps no checkpoints of its own.
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

    with engine.open():
        while left := waiting():
            try:
                finished = 0
                for config, result in engine.run(execute, offered(left), folder):
                    append_run(folder, config, result)
                    claims.release(run_key(config))
                    finished += 1
                    on_progress(config, len(claims.held), len(waiting()) - len(claims.held))
            except BaseException as error:
                if not _worker_died(error) or attempts == 0:
                    raise
                attempts -= 1
            finally:
                claims.release_all()
            if not finished and waiting():
                time.sleep(1)  # the rest is with another sweep
    runs = read_runs(folder)
    return {key: runs[key] for key in wanted}


def _worker_died(error: BaseException) -> bool:
    """Whether a process of ours was killed (by the system, for lack of memory, or by somebody)."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    return isinstance(error, TerminatedWorkerError)
