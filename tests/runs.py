"""What the tests of training runs share: runs compared bit by bit, and ways to stop one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint import Base
from minibert.training.loop import Report
from minibert.tree import Tree, leaves


def bits(tree: Tree) -> dict[str, bytes]:
    """The bytes of every leaf by its path: equal only if the numbers are equal to the bit."""
    return {path: np.ascontiguousarray(leaf).tobytes() for path, leaf in leaves(tree)}


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
