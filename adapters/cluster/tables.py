"""A table's blocks answered by a cluster: a few blocks ahead, taken back in their order.

The client reads the table and writes the result; workers need nothing of its disk. Each block is
taken once, however often it was computed because a worker was killed.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from adapters.blocks import Answers, Block, Unfinished
from adapters.cluster.connection import KILLED, PATIENCE
from adapters.cluster.worker import Answered, Asked, answer
from adapters.cut_texts import CutTexts
from adapters.predict import NotFinite
from adapters.task_file import TaskFile
from minibert.errors import brief

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2  # blocks sent for each thread of the cluster: one to compute, one to wait for it
POLL = 1.0  # seconds between looks at whether there are workers at all


def answers_on_cluster(
    client: "Client",
    task: TaskFile,
    base: str = "",
    threads: int | None = 1,
    on_cut: Callable[[CutTexts], None] = lambda cut: None,
) -> Answers:
    """The cluster's workers answer, each with the `base` of this name or folder on its own disk
    ("": the task's, by its name), each block on so many threads. on_cut(count of its cut texts) is
    called with every block.

    The answers raise Unfinished where a worker has no such base or cannot run this minibert, where
    blocks kill their workers, and when for some seconds there are no workers or no scheduler.
    """

    def answers(blocks: Iterator[Block]) -> Iterator[tuple[Block, np.ndarray]]:
        ahead = _Ahead(client, task, Asked(base, threads))
        try:
            for block in blocks:
                ahead.send(block)
                while ahead.full():
                    yield ahead.take(on_cut)
            while ahead.blocks:
                yield ahead.take(on_cut)
        finally:
            ahead.cancel()

    return answers


class _Ahead:
    """The blocks that are at the cluster, the oldest first."""

    def __init__(self, client: "Client", task: TaskFile, asked: Asked) -> None:
        from distributed import wait

        self.client, self.asked = client, asked
        self.name = f"--cluster {getattr(client.scheduler, 'address', '')}"
        self.blocks: deque[tuple[Block, Future[Answered]]] = deque()
        with _its_faults(self.name):
            _check_imports(client)
            # once, as a result: workers take it from each other, and it can be computed again
            self.task = client.submit(_same, task, pure=False)
        # for speed alone: Dask would send most blocks to the one worker that has the task
        with suppress(Exception):
            wait(self.task, timeout=PATIENCE)
            client.replicate(self.task)

    def send(self, block: Block) -> None:
        """Send one more block."""
        with _its_faults(self.name):
            future = self.client.submit(answer, self.task, block.texts, self.asked, pure=False)
        self.blocks.append((block, future))

    def full(self) -> bool:
        """Whether each worker has enough to do, so that no more of the table is read."""
        return len(self.blocks) >= AHEAD * max(1, self._threads())

    def take(self, on_cut: Callable[[CutTexts], None]) -> tuple[Block, np.ndarray]:
        """The oldest block and its logits, waited for. Raises Unfinished as `answers_on_cluster`
        says, and InputError, naming the row, for a text that cannot be answered."""
        block, future = self.blocks.popleft()
        try:
            with _its_faults(self.name):
                answered = self._waited_for(future)
        except NotFinite as error:
            raise block.refused(error) from None
        on_cut(answered.cut)
        return block, answered.logits

    def cancel(self) -> None:
        """Tell the cluster to leave what it has."""
        with suppress(Exception):  # it may be gone
            self.client.cancel([self.task, *(future for _, future in self.blocks)])

    def _threads(self) -> int:
        with _its_faults(self.name):
            return sum(self.client.nthreads().values())

    def _waited_for(self, future: "Future[Answered]") -> Answered:
        seen = time.monotonic()  # when there last were workers
        while True:
            try:
                return future.result(timeout=POLL)
            except TimeoutError:
                if future.done():  # by now, or it was the worker's own
                    return future.result()
            if self._threads():
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE:
                raise Unfinished(f"{self.name}: has lost all its workers")


def _check_imports(client: "Client") -> None:
    """Raises Unfinished, naming the worker, for one that cannot import what it is to run. (Such a
    worker breaks off its connection when it is sent that, and never says why.)"""
    futures = {
        address: client.submit(import_module, answer.__module__, workers=[address], pure=False)
        for address in client.nthreads()
    }
    end = time.monotonic() + PATIENCE
    for address, future in futures.items():
        with suppress(TimeoutError):  # it has gone, or is busy
            error = future.exception(timeout=max(0.01, end - time.monotonic()))
            if isinstance(error, ImportError):
                raise Unfinished(f"worker {address}: cannot import this minibert: {error}")


@contextmanager
def _its_faults(name: str) -> Iterator[None]:
    """Within, what goes wrong with the cluster is Unfinished, in one line that names it."""
    from distributed import KilledWorker

    try:
        yield
    except KilledWorker:
        raise Unfinished(f"{name}: its workers were {KILLED}") from None
    except CancelledError:  # Dask's own words name its keys, and say to run the work again
        raise Unfinished(f"{name}: its scheduler is gone") from None
    except OSError as error:
        raise Unfinished(f"{name}: its scheduler is gone: {brief(str(error))}") from None
    except RuntimeError as error:
        if "deserialization" not in str(error):
            raise
        raise Unfinished(f"{name}: its scheduler has no minibert, or another one") from None


def _same(task: TaskFile) -> TaskFile:
    return task
