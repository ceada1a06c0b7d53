"""What is tried runs in a process of its own, forked from one that has imported everything.

So a trial costs no start of Python, and may kill itself, close its streams, or never end.
"""

import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import adapters.cli  # noqa: F401  so that children have it
from minibert import __main__ as command
from minibert.process import ctrl_c

TESTS = Path(__file__).parents[1]
TINY = TESTS / "goldens" / "tiny"
SECONDS = 120  # after which a child hangs
MEMORY = 8 << 30  # bytes of address space
REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Stop = Callable[[int, float], None]  # is told a child's process id and the seconds since its start


class Ended(NamedTuple):
    """How a process ended: its exit code, negative for a signal; what it wrote."""

    code: int
    out: str
    err: str


def run_child(call: Callable[[], Any], stop: Stop | None = None, seconds: float = SECONDS) -> Ended:
    """Fork, `call()` in the child, and wait for it. Its exit code is what `call` returns; an
    exception is a traceback and exit code 1. A child that does not end is killed, and said to
    hang."""
    (out, out_end), (err, err_end) = pipes = os.pipe(), os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)  # they wait until the child can take them
    child = os.fork()
    if child == 0:
        _be_the_child(call, (out_end, err_end))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
    for _, end in pipes:
        os.close(end)
    written = {out: bytearray(), err: bytearray()}
    begun, hangs, ended = time.monotonic(), False, (0, 0)
    while ended[0] == 0:
        ended = os.waitpid(child, os.WNOHANG)
        since = time.monotonic() - begun
        if since > seconds and not hangs:
            hangs = True
            os.kill(child, signal.SIGKILL)
        elif stop and ended[0] == 0:
            stop(child, since)
        for pipe, text in written.items():
            while select.select([pipe], [], [], 0.001)[0] and (part := os.read(pipe, 1 << 16)):
                text += part
    for pipe in written:
        os.close(pipe)
    said, wrong = (bytes(text).decode("utf-8", "replace") for text in written.values())
    code = os.waitstatus_to_exitcode(ended[1])
    return Ended(code, said, f"{wrong}\nTraceback: it hangs" if hangs else wrong)


def _be_the_child(call: Callable[[], Any], ends: tuple[int, int]) -> None:
    """Call it with streams and signals as a new process has them; never returns."""
    code = 1
    try:
        for number in REQUESTS:  # which `nohup` and running in the background ignore
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, end in enumerate(ends, start=1):
            os.dup2(end, number)
        os.closerange(3, 100)  # what the campaign has open
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, closefd=False)  # noqa: SIM115
        ctrl_c.watch()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
        code = call() or 0
    except BaseException:
        with suppress(Exception):
            traceback.print_exc()
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()  # as Python does at its exit
        except (OSError, ValueError):
            code = 120
        finally:
            os._exit(code)


def minibert(*words: object) -> Callable[[], int]:
    """To be called in a child: the `minibert` command with these words, from its first line on."""

    def call() -> int:
        sys.argv = ["minibert", *map(str, words)]
        return command.main()

    return call


def fault_of(ended: Ended, codes: tuple[int, ...] = (0, 2)) -> str:
    """ "" if a command ended as it may: with success, or with one line that says why not."""
    if "Traceback" in ended.err:
        return f"a traceback: {ended.err[-300:]!r}"
    if ended.code not in codes:
        return f"exit code {ended.code}: {ended.err[-300:]!r}"
    errors = re.findall(r"^minibert(?: \w+)?: error: .*$", ended.err, re.MULTILINE)
    if len(errors) != (ended.code == 2):
        return f"exit code {ended.code} and {len(errors)} lines of errors: {ended.err[-300:]!r}"
    if errors and not 30 < len(errors[0]) < 1500:
        return f"an error of {len(errors[0])} characters: {errors[0][:200]!r}"
    return ""


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path there; locks, which stay, aside. What a killed process
    has not finished is among them."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if path.is_file() and not path.name.endswith("lock")
    }


def differ(one: dict[str, bytes], two: dict[str, bytes]) -> str:
    """ "" for the same files with the same bytes, else which are not."""
    names = sorted(n for n in one.keys() | two.keys() if one.get(n) != two.get(n))
    return f"other bytes: {', '.join(names)}" if names else ""
