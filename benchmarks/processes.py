"""Processes that take turns, so that whatever else the machine does slows all of them alike."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any

from worker import Work

from minibert.errors import InputError
from minibert.machine.processor import VARIABLE
from minibert.machine.threads import VARIABLES

Answer = dict[str, Any]  # seconds and, from a worker, peak_mb

# Before each turn, in seconds: long enough for the threads of the last worker to stop spinning.
PAUSE = 0.3


@dataclass(frozen=True)
class Side:
    """A command to start. With `work` it is a worker (see `worker`); without, the command itself is
    timed. `env` is added to its environment."""

    command: tuple[str, ...]
    work: Work | None = None
    env: dict[str, str] = field(default_factory=dict)


def environment(threads: int, more: dict[str, str]) -> dict[str, str]:
    """This process's environment without variables that would affect only one side. Each side
    finds its own packages, downloads nothing, and uses this number of threads."""
    one_sided = {"PYTHONPATH", VARIABLE, *VARIABLES}
    kept = {name: value for name, value in os.environ.items() if name not in one_sided}
    return {**kept, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", **more}


class Worker:
    """A started side, waiting for its turns. Raises InputError, in one line, if it dies."""

    def __init__(self, side: Side, threads: int) -> None:
        self.name = " ".join(side.command[-1:])
        self.errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open until __exit__
        try:
            self.process = subprocess.Popen(
                side.command,
                env=environment(threads, side.env),
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
            )
        except OSError as error:
            self.errors.close()
            raise InputError(f"cannot start {side.command[0]}: {error.strerror}") from None
        self._ask(json.dumps(side.work))

    def run(self) -> Answer:
        """Do the work once."""
        return self._ask("run")

    def _ask(self, line: str) -> Answer:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            said = self.process.stdout.readline()
        except BrokenPipeError:
            said = ""
        if not said:
            raise InputError(f"{self.name} failed: {self._last_words()}")
        answer: Answer = json.loads(said)
        return answer

    def _last_words(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return lines[-1] if lines else f"exit code {code}"

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()  # waits and closes the pipes
        self.errors.close()


def take_turns(
    sides: dict[str, Side], rounds: int, threads: int, on_round: Callable[[], None]
) -> dict[str, list[Answer]]:
    """Start all workers, run each once to warm up, then once in every round. on_round() is called
    after each round, including the warm-up."""
    with ExitStack() as stack:
        workers = {n: stack.enter_context(Worker(s, threads)) for n, s in sides.items()}
        answers: dict[str, list[Answer]] = {name: [] for name in sides}
        for _ in range(rounds + 1):
            for name, worker in workers.items():
                time.sleep(PAUSE)
                answers[name].append(worker.run())
            on_round()
    return {name: given[1:] for name, given in answers.items()}


def start_afresh(
    sides: dict[str, Side], rounds: int, threads: int, on_round: Callable[[], None]
) -> dict[str, list[Answer]]:
    """Start a new process for every side in every round; the second of its two runs counts."""
    answers: dict[str, list[Answer]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            with Worker(side, threads) as worker:
                worker.run()
                answers[name].append(worker.run())
        on_round()
    return answers


def time_commands(
    sides: dict[str, Side], rounds: int, threads: int, on_round: Callable[[], None]
) -> dict[str, list[Answer]]:
    """Run whole commands in turns, from start to end of the process; a first round warms up."""
    answers: dict[str, list[Answer]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            done = subprocess.run(
                side.command, env=environment(threads, side.env), capture_output=True, text=True
            )
            answers[name].append({"seconds": time.perf_counter() - start})
            if done.returncode or not done.stdout.strip():
                last = (done.stderr.strip() or "it printed nothing").split("\n")[-1]
                raise InputError(f"{' '.join(side.command[:4])}: {last}")
        on_round()
    return {name: given[1:] for name, given in answers.items()}
