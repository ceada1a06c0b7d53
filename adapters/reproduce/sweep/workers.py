"""Where runs are computed: in processes on this machine (joblib's loky), or on a Dask cluster."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from adapters.cluster.connection import KILLED, PATIENCE, connected
from minibert.errors import InputError


@dataclass(frozen=True)
class Pool:
    """Workers ready to compute: `executor` takes work, `size()` is how many runs fit at once."""

    executor: Executor
    size: Callable[[], int]


@dataclass(frozen=True)
class Workers:
    """Which workers to use: `processes` on this machine, each with `threads` threads, or the
    workers of the Dask cluster at the address `cluster` (tcp://HOST:PORT)."""

    processes: int = 1
    threads: int = 1
    cluster: str | None = None

    def open(self) -> AbstractContextManager[Pool]:
        """Start or connect to the workers. An error inside the block also stops those on this
        machine. Raises InputError when no cluster answers at the address."""
        return _local_pool(self.processes) if self.cluster is None else _cluster_pool(self.cluster)


@contextmanager
def _local_pool(processes: int) -> Iterator[Pool]:
    from joblib.externals.loky import get_reusable_executor

    executor = get_reusable_executor(
        max_workers=processes, timeout=60, initializer=_exit_with, initargs=(os.getpid(),)
    )
    try:
        yield Pool(executor, lambda: processes)
    except BaseException:
        executor.shutdown(wait=True, kill_workers=True)
        raise


def _exit_with(parent: int) -> None:
    """In a worker: exit as soon as the sweep's process is gone, even by kill -9. An orphaned worker
    would get in the way of the next sweep, which starts the same run again."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _cluster_pool(address: str) -> Iterator[Pool]:
    with connected(address, PATIENCE) as client:
        from distributed import KilledWorker

        # when a worker is killed, Dask starts its run again, as often as the cluster's settings say
        executor = client.get_executor(pure=False)
        try:
            yield Pool(executor, lambda: sum(client.nthreads().values()))
        except KilledWorker as error:
            raise InputError(f"--cluster {address}: its workers were {KILLED}") from error
        finally:
            executor.shutdown(wait=False)
