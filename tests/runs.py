"""What the tests of training runs share: runs compared bit by bit, and ways to stop one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.task_file import TaskFile
from minibert.checkpoint import Base
from minibert.training.loop import Report
from minibert.tree import Tree, leaves


def bits(tree: Tree) -> dict[str, bytes]:
    """The bytes of every leaf by its path: equal only if the numbers are equal to the bit."""
    return {path: np.ascontiguousarray(leaf).tobytes() for path, leaf in leaves(tree)}


def equal(one: TaskFile, two: TaskFile) -> bool:
    """Whether two task files say and hold the same, bit for bit."""
    first, second = dict(leaves(one.trained)), dict(leaves(two.trained))
    return (
        replace(one, trained={}) == replace(two, trained={})
        and first.keys() == second.keys()
        and all(
            (first[p].dtype, first[p].shape, first[p].tobytes())
            == (second[p].dtype, second[p].shape, second[p].tobytes())
            for p in first
        )
    )


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a run's folder; the lock aside, which is empty."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def without_dropout(base: Base) -> Base:
    config = replace(base.config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return replace(base, config=config)


def stop_at(step: int, stop: Callable[[], Any]) -> Callable[[Report], None]:
    """For a run's `on_report`: calls `stop` after this step."""

    def on_report(report: Report) -> None:
        if report.step == step:
            stop()

    return on_report


def ctrl_c(*_: Any, **__: Any) -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt
