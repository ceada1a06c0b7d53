"""Task files and a checkpoint as commit 1161de0 wrote them: the fixtures of format 1.

They were made once, by the code at commit 1161de0, and must never be made again: later versions
have to read them as they are. Kept for the record of how:

    git worktree add /tmp/format-1 1161de0 && cd /tmp/format-1
    PYTHONPATH=.:tests python THIS_FILE FOLDER

A file for each kind of method, trained on the toy task with the tiny BERT for one epoch; a run's
checkpoint, stopped after 4 of its 9 steps; and, in expected.npz, the logits of every task file, and
the parameters with which the stopped run ended when it was resumed.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import toy
from adapters.store import load_task
from adapters.tuning import METHODS, method_named
from minibert.train import Settings

from adapters.predict import predict_texts
from minibert.checkpoint import load_base
from minibert.tree import leaves

METHODS_KEPT = {
    "adapters": method_named("adapters", 4),
    "batch-norm": method_named("adapters", 4, variant="batch-norm"),
    "lora": method_named("lora", 2),
    "pfeiffer": method_named("pfeiffer", 4),
    "head": METHODS["head"],
}


def main(folder: Path) -> None:
    base = load_base("tests/goldens/tiny")
    texts = [example.text for example in toy.examples(12, 9)]
    expected = {}
    folder.mkdir(parents=True, exist_ok=True)
    one = Settings(rate=1e-2, epochs=1, batch_size=16)
    for name, method in METHODS_KEPT.items():
        out = folder / "run"
        toy.train(base, out, method=method, settings=one)
        shutil.copy(out / "task.safetensors", folder / f"{name}.safetensors")
        task = load_task(folder / f"{name}.safetensors")
        expected[f"logits/{name}"] = predict_texts(task, base, texts, 1)
        shutil.rmtree(out)

    out = folder / "run"

    def stop(report):
        if report.step == 4:
            raise KeyboardInterrupt

    try:
        toy.train(base, out, on_report=stop)
    except Exception as error:
        print("stopped:", error)
    shutil.copy(out / "checkpoint.safetensors", folder / "checkpoint.safetensors")
    done = toy.train(base, out, resume=True)
    expected |= {f"resumed/{path}": leaf for path, leaf in leaves(done.task.trained)}
    expected["losses"] = np.array(done.losses)
    shutil.rmtree(out)
    np.savez(folder / "expected.npz", **expected)


main(Path(sys.argv[1]))
