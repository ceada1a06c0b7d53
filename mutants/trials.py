"""One trial: a module's tests against a mutant, in a process of its own that costs next to nothing.

The process is a fork of this one, which has loaded every library and nothing of the project. It
imports the project's copy with the mutant in the module's place, given by the import system: no
file is ever changed, and trials do not get in each other's way. The tests run in steps, a file
each, until one fails. Limits are of processor time, so a
busy machine changes no verdict.
"""

import gc
import importlib
import importlib.util
import multiprocessing
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# Fewer examples than in `make test`, and a failing one is not made smaller: see tests/conftest.py.
QUICK = ("cacheprovider", "xdist", "unraisableexception", "threadexception")  # do without
PYTEST = ("-x", "-qq", "--tb=no", "--no-summary", *(f"-pno:{name}" for name in QUICK))
PROFILE = "--hypothesis-profile=mutants"
MEMORY = 8 << 30  # bytes of address space: a mutant may ask for an array of any size

LIBRARIES = ("autograd.numpy", "hypothesis.extra.numpy", "safetensors.numpy", "threadpoolctl")
LIBRARIES += ("tokenizers", "filelock")
OK = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Outcome(NamedTuple):
    """`verdict` is "killed", "timed out" or "survived"; `by` the test that failed or, when out of
    time, the step; `seconds` of processor time for each step that came to its end."""

    verdict: str
    by: str
    seconds: tuple[float, ...]


class _Mutated(SourceFileLoader):
    """Loads one module from a text, and never from bytecode of its file."""

    text = ""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """As a finder: this module and no other."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_data(self, path: str) -> bytes:
        return self.text.encode() if path == self.path else super().get_data(path)

    def path_stats(self, path: str) -> Any:
        raise OSError("no bytecode")


class _Watch:
    """A pytest plugin that ends the process at the first failure, and says which it was."""

    def __init__(self, report: Connection) -> None:
        self.report = report

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Of a test."""
        if report.failed:
            self.report.send(("killed", report.nodeid, 0.0))
            os._exit(0)

    # or of a file that cannot be imported
    pytest_collectreport = pytest_runtest_logreport


def load_libraries(empty: Path) -> None:
    """Import what every trial needs, before any is forked. `empty`: a folder without tests."""
    for name in LIBRARIES:
        importlib.import_module(name)
    pytest.main([*PYTEST, str(empty)])  # pytest loads its own parts when it first runs
    gc.collect()
    gc.freeze()  # what is here stays, so no trial looks through it again


def _trial(
    copy: Path, module: str, text: str | None, hint: str, steps: dict[str, int], report: Connection
) -> None:
    os.setsid()  # so that what a test starts can be ended with it
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.chdir(copy)
    os.environ.update(PYTHONPATH=str(copy), MINIBERT_HOME=str(copy / "no-weights"))
    for name in ("MINIBERT_GLUE", "MINIBERT_SQUAD", "MINIBERT_REQUIRE_DATA"):
        os.environ.pop(name, None)
    sys.path.insert(0, str(copy))
    if text is not None:
        sys.dont_write_bytecode = True
        name = module.removesuffix(".py").replace("/", ".")
        loader = _Mutated(name, str(copy / module))
        loader.text = text
        sys.meta_path.insert(0, loader)  # type: ignore[arg-type]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    for step, limit in [*([(hint, max(steps.values()))] if hint else []), *steps.items()]:
        start = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(start) + limit + 1, hard))
        report.send(("begins", step, 0.0))
        code = pytest.main([*PYTEST, PROFILE, step], plugins=[_Watch(report)])
        report.send(("ends", step, time.process_time() - start))
        gone = code == pytest.ExitCode.USAGE_ERROR and step == hint
        if code not in OK and not gone:
            report.send(("killed", step, 0.0))
            break
    os._exit(0)


class Trial:
    """A trial under way: `process` runs, `outcome()` waits for its end.

    `text`: the mutant, or None for the module as it is. `steps`: what pytest is told, one after the
    other, each with its seconds. `hint`: a test that is run before all others, if there is one.
    """

    def __init__(
        self, copy: Path, module: str, text: str | None, steps: dict[str, int], hint: str = ""
    ) -> None:
        fork = multiprocessing.get_context("fork")
        self._reports, report = fork.Pipe(duplex=False)
        arguments = (copy, module, text, hint, steps, report)
        self.process: BaseProcess = fork.Process(target=_trial, args=arguments)
        self.process.start()
        report.close()
        self.deadline = (
            time.monotonic() + 60 + 30 * sum(steps.values())
        )  # for what waits and never works

    def end(self) -> None:
        """Stop it, with all that it started."""
        if self.process.pid is not None and self.process.is_alive():
            with suppress(ProcessLookupError):  # not a group of its own yet
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.join()

    def seconds_left(self) -> float:
        """Until it has to end."""
        return max(0.0, self.deadline - time.monotonic())

    def outcome(self) -> Outcome:
        """Wait for the end, or make it once the deadline is over."""
        self.process.join(self.seconds_left())
        self.end()
        seconds, last, by = [], "", ""
        try:
            while True:
                kind, step, spent = self._reports.recv()
                last = step if kind == "begins" else last
                seconds += [spent] if kind == "ends" else []
                by = step if kind == "killed" else by
        except EOFError:
            self._reports.close()
        if by:
            return Outcome("killed", by, tuple(seconds))
        if self.process.exitcode == 0:
            return Outcome("survived", "", tuple(seconds))
        late = self.process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL)
        return Outcome("timed out" if late else "killed", last, tuple(seconds))
