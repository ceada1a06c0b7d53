"""Forks while other threads predict: each child predicts, too, and the numbers are the same."""

import os
import signal
import threading
import time
from collections.abc import Callable

from faults.child import TINY, fault_of, run_child
from faults.kills import new_folder, undisturbed

FORKED_SECONDS = 30  # after which a forked child hangs
TEXTS = ["ba bi bo", "tikora", "", "a text that is longer " * 8] * 4


def fork(number: int) -> str:
    """Fork a process whose threads predict, as it is at the moment of this number; with an odd one
    they are the first to use the base."""
    with new_folder() as folder:
        task = folder / "task.safetensors"
        task.write_bytes(undisturbed()[0]["task.safetensors"])
        return fault_of(
            run_child(predicting(str(task), 0.003 * (number % 20), bool(number % 2))), (0,)
        )


def predicting(path: str, wait: float, cold: bool) -> Callable[[], int]:
    """To be called in a child: threads predict, and after some time the process forks."""

    def call() -> int:
        from adapters.predict import predict_texts
        from adapters.task_file import load_task
        from minibert.checkpoint import load_base

        task, base = load_task(path), load_base(TINY)
        right = predict_texts(task, load_base(TINY) if cold else base, TEXTS)
        over = threading.Event()

        def predict() -> None:
            while not over.is_set():
                predict_texts(task, base, TEXTS)

        threads = [threading.Thread(target=predict, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(wait + 0.02 * (not cold))
        child = os.fork()
        if child == 0:
            signal.alarm(FORKED_SECONDS)
            same = (predict_texts(task, base, TEXTS) == right).all()
            os._exit(0 if same else 3)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        over.set()
        assert code != -signal.SIGALRM, "the forked process hangs"
        assert code == 0, f"the forked process has exit code {code}"
        return 0

    return call
