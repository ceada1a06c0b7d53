"""Workers of a Dask cluster as processes of their own, which `tests/product/test_cluster.py` kills.

They are told to load this file, too, and then note in the folder NOTES who has answered which
texts. A text with the word "deadly" kills its worker, as `kill -9` does: always, or where it says
"once", the first time.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from command_line import environment

FOLDER = "MINIBERT_TEST_NOTES"


def start_worker(
    address: str, notes: Path, preload: bool = True, **more: str
) -> "subprocess.Popen[bytes]":
    """A worker of one thread, which nobody starts again when it is killed. preload: it loads this
    file; more: changes of its environment."""
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    options += ["--preload", __file__] if preload else []
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, *options],
        env=environment(**{FOLDER: str(notes), **more}),
        stderr=(notes / "workers.log").open("ab"),
        cwd=notes,
    )


def stop(workers: "list[subprocess.Popen[bytes]]") -> None:
    """Kill these workers."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.wait()


def answered(notes: Path) -> dict[int, list[str]]:
    """{process: the texts that it has begun to answer}."""
    lines = [path.read_text().splitlines() for path in notes.glob("*.texts")]
    pids = [int(path.stem) for path in notes.glob("*.texts")]
    return {pid: [json.loads(line) for line in own] for pid, own in zip(pids, lines, strict=True)}


def dask_setup(worker: Any) -> None:
    """What Dask calls in a worker that has loaded this file."""
    from adapters.cluster import worker as module

    original = module.predict_texts

    def predict_texts(task: Any, base: Any, texts: list[str], *more: Any) -> Any:
        notes = Path(os.environ[FOLDER])
        with (notes / f"{os.getpid()}.texts").open("a") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
        deadly = [text for text in texts if "deadly" in text]
        if any("once" not in text for text in deadly) or (deadly and _first(notes / "killed")):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)  # so that no worker is done before another has begun
        return original(task, base, texts, *more)

    module.predict_texts = predict_texts


def _first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
