"""Work spread over processor cores, with the same bits for any number of threads.

The work is cut into pieces that depend on the data alone, each piece is computed by one Python
thread with a single BLAS thread, and results are combined in the pieces' order. How many pieces
run at once changes the time and nothing else. NumPy lets other threads run while it computes, so
this spreads matrix products and elementwise work alike.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import Any, TypeVar

import autograd.tracer

from minibert.errors import InputError, check_at_most, shown

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 4096  # more than any machine has cores

# The variables that limit the threads of the usual BLAS libraries limit ours too.
VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class _TraceStack(threading.local):
    """autograd's counter of nested differentiations, one for each thread; its own is one for the
    process."""

    def __init__(self) -> None:
        self.top = -1

    @contextlib.contextmanager
    def new_trace(self) -> Iterator[int]:
        self.top += 1
        try:
            yield self.top
        finally:
            self.top -= 1


autograd.tracer.trace_stack = _TraceStack()


def thread_count(asked: int | None = None, pieces: int | None = None) -> int:
    """How many threads to use: as many as asked for, else one per core that this process may use,
    at most what OPENBLAS_NUM_THREADS, OMP_NUM_THREADS or MKL_NUM_THREADS say, and at most one for
    each of the `pieces` of work.

    The number of cores is joblib's, which knows the process's affinity and a container's CPU quota.
    Raises InputError for fewer than 1, or far more than any machine has.
    """
    if asked is not None:
        if asked < 1:
            raise InputError(f"threads must be at least 1, not {shown(asked)}")
        check_at_most("threads", asked, MOST_THREADS)
        return asked
    bounds = [*thread_bounds(os.environ).values(), *([pieces] if pieces else [])]
    if 1 in bounds:  # importing joblib takes longer than classifying a sentence
        return 1
    from joblib import cpu_count

    return min([cpu_count(), *bounds])


def thread_bounds(environ: Mapping[str, str]) -> dict[str, int]:
    """{variable: number of threads} of those VARIABLES that have one. Of a list like "4,2", which
    OpenMP has for nested levels, the first number counts."""
    said = {name: environ.get(name, "").partition(",")[0].strip() for name in VARIABLES}
    numbers = {name: int(number) for name, number in said.items() if number.isdecimal()}
    return {name: number for name, number in numbers.items() if number > 0}


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "minibert")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a fork inherits no thread


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _anyone_may_limit() -> None:
    """From version 3.8 on, threadpoolctl lets only one thread control OpenBLAS until that thread
    releases it, and silently ignores all others. Our last user may be in another thread."""
    from threadpoolctl import OpenBLASController

    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread(force=True)


class _OneBlasThread:
    """While at least one `with` block of this is open, BLAS computes with one thread only."""

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), 0
        self._limit: Any = None  # while there is one: what the limits were before

    def __enter__(self) -> None:
        with self._lock:
            if self._limit is None:
                _anyone_may_limit()
                self._limit = _libraries().limit(limits=1, user_api="blas")
            self._open += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._open = max(0, self._open - 1)
            if self._open == 0 and self._limit is not None:
                _anyone_may_limit()
                self._limit.restore_original_limits()
                _anyone_may_limit()
                self._limit = None

    def after_fork(self) -> None:
        """In the child of a fork: the threads that held the lock and the blocks are not here. What
        they have limited, the child's own first block restores."""
        self._lock, self._open = threading.Lock(), 0


one_blas_thread = _OneBlasThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_blas_thread.after_fork)


def each(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """function(item) of every item, in their order, at most `threads` at once.

    Results are yielded one by one and computed only a few ahead, so that large results need not all
    be in memory. When one raises, so does this, once the pieces already begun have ended. A piece
    must not call this itself: it would wait for its own thread.
    """
    with one_blas_thread:
        if threads == 1:
            yield from map(function, items)
            return
        rest = iter(items)
        ahead = threads + 1  # no thread waits while the oldest piece is still being computed
        running = deque(_pool(threads).submit(function, item) for item in islice(rest, ahead))
        try:
            while running:
                result = running[0].result()  # still among those to wait for if Ctrl-C comes now
                running.popleft()
                running.extend(_pool(threads).submit(function, item) for item in islice(rest, 1))
                yield result
                del result
        finally:
            for future in running:
                future.cancel()
            for future in running:
                if not future.cancelled():
                    with contextlib.suppress(BaseException):
                        future.result()
