"""A worker, as both sides of a comparison are: a process that prepares one work and runs it on
request.

The driver writes one JSON line with the work, then one line for each run; the worker answers each
with one JSON line. Between runs it waits without using the processor, so that several workers can
take turns. It uses only the standard library: the peers' processes must not import this project.
"""

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Work = dict[str, Any]


def serve(prepare: Callable[[Work], Callable[[], object]]) -> None:
    """Answer the driver until it closes this process's standard input.

    prepare(work) returns the function that does the work once; only that function is timed. What
    libraries print to standard output goes to standard error, so that it cannot be mistaken for an
    answer.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    run = prepare(json.loads(sys.stdin.readline()))
    answer(ready=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        answer(seconds=seconds, peak_mb=peak_mb())


def peak_mb() -> float:
    """The peak memory of this process, in MB (2^20 bytes).

    By Linux's VmHWM where there is one: ru_maxrss would include the driver's memory, which a
    process has for a moment between fork and exec.
    """
    try:
        status = Path("/proc/self/status").read_text("utf-8")
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
