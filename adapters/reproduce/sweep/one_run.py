"""One run: from a configuration to its result, both JSON-serialisable.

A run does not depend on earlier runs. The one thing it can reuse from them, a trained task file, it
recreates bit for bit when the file is missing. So any worker can compute any run.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.reproduce.sweep.configured import Parts, own_parts
from adapters.reproduce.sweep.many_tasks import joint, sequence
from adapters.reproduce.sweep.one_task import ablation, classify, own_task, squad, without_bert
from adapters.reproduce.sweep.runs_file import Config
from minibert.errors import Diverged

KINDS: dict[str, Callable[[Config, Path, int], dict[str, Any]]] = {
    "classify": classify,
    "ablation": ablation,
    "sequence": sequence,
    "joint": joint,
    "squad": squad,
}

KINDS_OF_TABLE2: dict[str, Callable[[Config, Parts, Path, int], dict[str, Any]]] = {
    "own": own_task,
    "tfidf": without_bert,
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
        if config["kind"] in KINDS_OF_TABLE2:
            parts = own_parts(config, tasks)
            return KINDS_OF_TABLE2[config["kind"]](config, parts, folder, threads)
        return KINDS[config["kind"]](config, folder, threads)
    except Diverged as error:
        return {"diverged": str(error)}
