"""What both sides of a comparison are: a process that prepares one work and runs it when told.

The driver writes one JSON line with the work, then one line for each run; the worker answers each
with one JSON line. Between runs it waits without using the processor, so that several workers can
take turns. Standard library only: the peers' processes must not import this project.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

Work = dict[str, Any]


def serve(prepare: Callable[[Work], Callable[[], None]]) -> None:
    """Answer the driver until it closes our standard input.

    prepare(work) gives the function that does the work once; only that function is timed. What
    libraries print to the standard output goes to the standard error, so that it cannot be taken
    for an answer.
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
        answer(seconds=seconds, peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
