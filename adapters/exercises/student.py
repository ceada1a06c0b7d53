"""The student's module as the checks see it: `student.f(...)` runs f in another process.

This is the judge's side of the pipe; `child` is the other. The student's code can only end, hang or
crash its own process, or use up its memory; here each of these is a `Wrong` with a reason. Only
data ever comes back. What goes wrong before any of the student's code has run is a `JudgeError`.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from adapters.exercises.assertions import Ended, JudgeError, StudentError, Wrong
from adapters.exercises.messages import Garbled, Name, pack, read_message, unpack
from minibert.errors import InputError

SECONDS = 20.0  # for the student's code in all the checks of one exercise
FEWEST_SECONDS, MOST_SECONDS = 0.1, 86_400.0
START_SECONDS = 120.0  # for Python to start and import NumPy, even on a busy machine
MEGABYTES = 2048  # of memory
KEPT = 4000  # bytes of the student's output
LONGEST_TEXT = 4000  # characters of what is said about an exception; `child` sends fewer

PACKAGES = Path(__file__).resolve().parents[2]  # where `adapters` and `minibert` are

# Only these variables are passed on: a class's machine may have secrets in its environment.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "MINIBERT_KEEP_KERNELS")


def check_seconds(seconds: float) -> None:
    """Raises InputError for a time limit that no clock can keep; nan and infinity are none."""
    if not FEWEST_SECONDS <= seconds <= MOST_SECONDS:
        allowed = f"more than 0 (at least {FEWEST_SECONDS:g}, at most {MOST_SECONDS:,.0f})"
        raise InputError(f"--seconds must be {allowed}, not {seconds:g}")


class Process:
    """The process that runs one file of a student's, while the context manager is open.

    `seconds`: how long the student's code may take in all; the judge's own work does not count.
    `answers`: how many answers have come. One message is read for each that is waited for, so that
    a process which sends without end fills no memory of the judge's.
    """

    def __init__(self, source: bytes, path: str, seconds: float = SECONDS) -> None:
        self.source, self.path, self.seconds, self.seconds_left = source, path, seconds, seconds
        self.functions: list[Callable[..., Any]] = []  # the judge's, for the student's code
        self.answers = 0
        self.wanted = threading.Semaphore(0)  # messages to be read
        self.closed = False
        self.inbox: queue.Queue[bytes | Exception | None] = queue.Queue()
        self.outbox: queue.Queue[bytes | None] = queue.Queue()
        self.output = bytearray()

    def __enter__(self) -> "Process":
        try:
            self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        except OSError as error:
            raise JudgeError(f"{self.path}: not judged: no temporary folder: {error}") from None
        try:
            self.process = self._started()
        except OSError as error:
            self.folder.cleanup()
            raise JudgeError(f"{self.path}: not judged: no process for it: {error}") from None
        works = (self._write, self._read, self._keep_output)
        self.threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self.threads:
            thread.start()
        try:
            self._await_start()
            first = {
                "source": self.source.decode("latin-1"),  # the bytes as text; Python decodes them
                "path": self.path,
                "seconds": self.seconds,
                "megabytes": MEGABYTES,
            }
            self.ask(first)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "adapters.exercises.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder.name,
            env=_environment(self.folder.name),
            start_new_session=True,
        )

    def _await_start(self) -> None:
        """Wait until Python and NumPy are loaded; none of the student's code has run by then."""
        try:
            message = self._receive(time.monotonic() + START_SECONDS)
        except Ended:
            message = {}
        if message != {"started": True}:
            self.threads[-1].join(timeout=1)  # for its last words
            said = self.printed.strip().splitlines()[-1:]
            why = f": {said[0]}" if said else f" in {START_SECONDS:g} s"
            raise JudgeError(f"{self.path}: not judged: Python did not start for it{why}")

    def __exit__(self, *error: object) -> None:
        self.outbox.put(None)
        self.closed = True
        self.wanted.release()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # and any process it has started
        else:
            self.process.kill()
        self.process.wait()
        # Each thread closes its pipe: now or, if a process that escaped still holds the other end,
        # when that process ends.
        for thread in self.threads:
            thread.join(timeout=1)
        self.folder.cleanup()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer. Raises StudentError for an exception in the
        student's code, and Wrong when there is no sensible answer."""
        message, start = pack(request, self._name_of), time.monotonic()
        try:
            self.outbox.put(message)
            return self._answer(deadline=start + self.seconds_left)
        finally:
            self.seconds_left -= time.monotonic() - start

    def _answer(self, deadline: float) -> dict[str, Any]:
        """The answer to what was asked; before it, the student's code may call the judge's."""
        while True:
            answer = self._receive(deadline)
            if "callback" not in answer:
                break
            self.outbox.put(self._called_back(answer))
        self.answers += 1
        if "error" not in answer:
            return answer
        message, text, function = (_text(answer.get(key)) for key in ("error", "text", "function"))
        raise StudentError(
            message or "your code's process sent an error without words",
            _words(answer.get("kinds")),
            text,
            function,
        )

    def _receive(self, deadline: float) -> dict[str, Any]:
        """The next message. Raises Ended when none comes in time, or none that makes sense."""
        self.wanted.release()
        wait = deadline - time.monotonic()  # past it not even a message that is there counts
        try:
            if wait <= 0:
                raise queue.Empty
            body = self.inbox.get(timeout=wait)
        except queue.Empty:
            late = f"no result within {self.seconds:g} s: an endless loop?"
            raise Ended(late, timed_out=True) from None
        if body is None:
            raise Ended(f"your code ended the process{_reason(self.process)} before it returned")
        try:
            answer = unpack(body, self._named) if isinstance(body, bytes) else body
        except Garbled as error:
            answer = error
        if not isinstance(answer, dict):
            raise Ended("your code's process sent something that is not what a function returns")
        return answer

    def _called_back(self, request: dict[str, Any]) -> bytes:
        """Run one of the judge's functions for the student's code. -> the reply to the child"""
        try:
            function = self.functions[request["callback"]]
            result = function(*request["args"], **request["kwargs"])
            return pack({"result": result}, self._name_of)
        except Exception as error:  # Garbled, too: a result that is too large to be sent
            return pack({"error": f"{type(error).__name__}: {error!s:.2000}"}, self._name_of)

    def _name_of(self, function: Callable[..., Any]) -> Name:
        if function.__class__.__name__ == "primitive" or function.__module__ == "minibert.ops":
            return {"op": function.__name__}
        if isinstance(function, Function):
            return {"own": function.number}
        self.functions.append(function)
        return {"function": len(self.functions) - 1}

    def _named(self, name: Name) -> Callable[..., Any]:
        return Function(self, int(name["function"]), "the function that yours returned")

    def _write(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError), self.process.stdin as pipe:
            while (body := self.outbox.get()) is not None:  # OSError: it has ended; _read notices
                pipe.write(body)
                pipe.flush()

    def _read(self) -> None:
        assert self.process.stdout
        body: bytes | Exception | None = b""
        with self.process.stdout as pipe:
            while isinstance(body, bytes):
                self.wanted.acquire()
                if self.closed:
                    break
                try:
                    body = read_message(pipe)
                except (Garbled, OSError) as error:
                    body = error
                self.inbox.put(body)

    def _keep_output(self) -> None:
        assert self.process.stderr
        with self.process.stderr as pipe:
            while data := os.read(pipe.fileno(), 65536):  # keep reading, or print would block
                self.output += data[: max(0, KEPT - len(self.output))]

    @property
    def printed(self) -> str:
        """The beginning of the student's output."""
        return bytes(self.output).decode("utf-8", "replace")


class Function:
    """A function of the student's, called like any other."""

    def __init__(self, process: Process, number: int, name: str) -> None:
        self.process, self.number, self.name = process, number, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result. Arguments that the student's code changed in place are changed here, too."""
        given = [list(args), kwargs]
        answer = self.process.ask({"call": self.number, "args": given[0], "kwargs": kwargs})
        if "changed" in answer:
            _write_back(given, answer["changed"])
        return answer.get("result")


class Student:
    """The module itself: its functions and constants by name."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Any:
        answer = self._process.ask({"get": name})
        if "missing" in answer:
            raise Wrong(f"{name} is not defined in your file")
        value = answer.get("result")
        if isinstance(value, Function):
            value.name = name
        return value


def _write_back(ours: Any, theirs: Any) -> None:
    """Change a nested value in place, as the student's code has changed its copy."""
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        if ours.shape == theirs.shape and ours.dtype == theirs.dtype and ours.flags.writeable:
            ours[...] = theirs
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        for key in [key for key in ours if key not in theirs]:
            del ours[key]
        for key, value in theirs.items():
            _put(ours, key, value)
    elif isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if isinstance(ours, list):
            del ours[len(theirs) :]
            ours += theirs[len(ours) :]
        for i in range(min(len(ours), len(theirs))):
            _put(ours, i, theirs[i])


def _put(ours: Any, key: Any, value: Any) -> None:
    """Change one entry: an array, dict or list in place if it still is one; else replace it."""
    old = ours[key] if isinstance(ours, list | tuple) or key in ours else None
    if isinstance(old, np.ndarray) and isinstance(value, np.ndarray):
        inside = (old.shape, old.dtype) == (value.shape, value.dtype)
    else:
        inside = type(old) is type(value) and isinstance(old, dict | list | tuple)
    if inside:
        _write_back(old, value)
    elif not isinstance(ours, tuple) and not callable(old):
        ours[key] = value


def _text(value: Any) -> str:
    """What the other side sent, which should be a string, and not a long one."""
    return value[:LONGEST_TEXT] if isinstance(value, str) else ""


def _words(value: Any) -> list[str]:
    """What the other side sent, which should be a list of some strings."""
    return [_text(word) for word in value[:100]] if isinstance(value, list) else []


def _environment(home: str) -> dict[str, str]:
    """A minimal environment: the same packages, one thread, no other variables of the judge's."""
    path = os.pathsep.join([*map(os.path.abspath, filter(None, sys.path)), str(PACKAGES)])
    known = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    threads = {f"{blas}_NUM_THREADS": "1" for blas in ("OPENBLAS", "OMP", "MKL")}
    python = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**known, **threads, **python, "HOME": home, "TMPDIR": home, "PYTHONUTF8": "1"}


def _reason(process: subprocess.Popen[bytes]) -> str:
    """In words, how a process ended."""
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return ""
    if code >= 0:
        return f" (exit code {code}: sys.exit or os._exit?)"
    names = {s.value: s.name for s in signal.Signals}
    return f" (killed by {names.get(-code, -code)}: a crash, or too much memory or time?)"
