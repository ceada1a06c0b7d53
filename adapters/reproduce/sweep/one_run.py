"""One run: from a configuration to its result, both JSON-serialisable.

A run does not depend on earlier runs. The one thing it can reuse from them, a trained task file, it
trains again where the file is missing, to the same bits on the same kind of processor. So any
worker can compute any run.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.reproduce.sweep.configured import own_parts
from adapters.reproduce.sweep.many_tasks import joint, sequence
from adapters.reproduce.sweep.one_task import ablation, classify, own_task, squad
from adapters.reproduce.sweep.runs_file import Config
from adapters.reproduce.sweep.tfidf import tfidf
from minibert.errors import Diverged

KINDS: dict[str, Callable[[Config, Path, int], dict[str, Any]]] = {
    "classify": classify,
    "ablation": ablation,
    "sequence": sequence,
    "joint": joint,
    "squad": squad,
}


def execute(
    config: Config, folder: Path, threads: int, tasks: Path | None = None
) -> dict[str, Any]:
    """Compute one run. `folder` holds the checkpoints of runs in progress and small task files.
    `tasks` is table 2's folder of tasks: where it is, is no part of a configuration.

    A learning rate at which training diverges is a result too: {"diverged": what happened}.
    Raises InputError for missing data or weights.
    """
    try:
        if config["kind"] == "own":
            return own_task(config, own_parts(config, tasks), folder, threads)
        if config["kind"] == "tfidf":
            return tfidf(*own_parts(config, tasks))
        return KINDS[config["kind"]](config, folder, threads)
    except Diverged as error:
        return {"diverged": str(error)}
