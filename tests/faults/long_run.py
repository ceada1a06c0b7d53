"""Many predictions and many steps in one process: memory and speed at the end as at the beginning.

Each trial is a hundred predictions, or a hundred steps, of the process that goes on; `measured` is
the memory in use and the time of each, from which the page has its slopes.
"""

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import toy

from adapters.predict import predict_texts
from minibert.checkpoint import load_base

BATCH = 100  # predictions, or steps, of a trial
WARM = 3  # trials before memory and speed are compared
GROWTH = 20 << 20  # bytes that a process may grow by after that
TEXTS = ["ba bi bo", "tikora", "", "morulan " * 20]


class Measured(NamedTuple):
    """What a trial has taken."""

    kind: str
    bytes: int
    seconds: float


measured: list[Measured] = []


def predictions(number: int) -> str:
    """100 predictions."""
    return hundred("predictions", predict_one)


def steps(number: int) -> str:
    """100 steps of one training."""
    return hundred("steps", lambda: next(training()))


def hundred(kind: str, do: Callable[[], Any]) -> str:
    """Do it a hundred times; "" if memory is not above what it was after the first trials."""
    import psutil

    begun = time.process_time()
    for _ in range(BATCH):
        do()
    used = psutil.Process().memory_info().rss
    measured.append(Measured(kind, used, time.process_time() - begun))
    ours = [each.bytes for each in measured if each.kind == kind]
    grown = used - ours[WARM] if len(ours) > WARM else 0
    return f"{grown:,} bytes more than after {WARM * BATCH} {kind}" if grown > GROWTH else ""


@cache
def trained() -> Any:
    """A task, and its base."""
    base = load_base(toy.Path(__file__).parents[1] / "goldens" / "tiny")
    return toy.train(base).task, base


def predict_one() -> None:
    task, base = trained()
    predict_texts(task, base, TEXTS)


@cache
def training() -> Iterator[int]:
    """The steps of one training without end, in a thread of its own that is waited for."""
    import queue
    import threading
    from dataclasses import replace

    done: queue.Queue[int] = queue.Queue(1)
    _, base = trained()
    settings = replace(toy.SETTINGS, epochs=100_000)

    def train() -> None:
        toy.train(base, settings=settings, on_report=lambda report: done.put(report.step))

    threading.Thread(target=train, daemon=True).start()
    return iter(done.get, None)
