"""The kernels of NumPy's BLAS: which are in use, which could be, and how fast each is here.

OpenBLAS picks its kernels once, while NumPy loads, so each set is measured in a process of its own:
this one's `measure` asks, the other's `serve` answers. All processes live through all rounds and
take turns, so that other load slows them alike.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from minibert.errors import InputError
from minibert.machine.processor import KEEP, NEEDS, VARIABLE

# A feed-forward layer of BERT-base, D = 768 and F = 3072, on 4,096 tokens.
ROWS, INNER, COLUMNS = 4096, 768, 3072
PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Library:
    """The BLAS that NumPy uses: its name and version, its kernels as it names them itself (None
    when it does not), and whether its threads can be set, which measuring needs."""

    name: str
    version: str
    kernels: str | None
    adjustable: bool


@dataclass(frozen=True)
class Speed:
    """What one set of kernels measured: by number of threads, the GFLOP/s of every round; nothing
    when its process died. `setting` is the OPENBLAS_CORETYPE that gives these kernels, None where
    OpenBLAS picks them by itself."""

    kernels: str
    setting: str | None
    gflops: dict[int, list[float]]


def library() -> Library:
    """The BLAS of this process's NumPy."""
    import numpy as np
    from threadpoolctl import threadpool_info

    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    found.sort(key=lambda pool: "numpy" not in pool["filepath"])  # others' (SciPy's) come after
    if found:
        pool = found[0]
        name = {"openblas": "OpenBLAS", "mkl": "MKL"}.get(pool["internal_api"], "")
        version, kernels = str(pool["version"]), pool.get("architecture")
        return Library(name or pool["internal_api"], version, kernels, adjustable=True)
    config: Any = np.show_config(mode="dicts")
    built = config.get("Build Dependencies", {}).get("blas", {})
    return Library(
        built.get("name", "unknown"), built.get("version", "unknown"), None, adjustable=False
    )


def objection(kernels: str, flags: frozenset[str], version: str) -> str | None:
    """Why these OpenBLAS kernels must not be set on a processor with these instructions, in
    words; None when they may be. version is OpenBLAS's."""
    if kernels not in NEEDS:
        return f"minibert does not know which instructions {kernels} kernels need"
    if not flags:
        return "the processor's instructions are not known here"
    if lacking := sorted(NEEDS[kernels] - flags):
        return f"this processor lacks {', '.join(lacking)}, which {kernels} kernels need"
    numbers = [int(part) for part in version.split(".")[:3] if part.isdecimal()]
    # github.com/OpenMathLib/OpenBLAS/issues/6021 and 6026; an unknown version may be a new one
    if kernels == "Haswell" and (len(numbers) < 3 or numbers >= [0, 3, 34]):
        return "OpenBLAS 0.3.34 and later can crash with Haswell kernels that it did not choose"
    return None


def candidates(blas: Library, flags: frozenset[str]) -> list[str | None]:
    """The values of OPENBLAS_CORETYPE to measure, None for not set: the AVX2 and the AVX-512
    kernels and those in use, unless there is an objection to them."""
    if blas.name != "OpenBLAS":
        return [None]
    sets = dict.fromkeys(["Haswell", "SkylakeX", str(blas.kernels)])
    return [None, *(kernels for kernels in sets if not objection(kernels, flags, blas.version))]


def measure(
    settings: Iterable[str | None],
    threads: Sequence[int],
    rounds: int = 9,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Speed]:
    """The speed of one float32 product per round, under each setting of OPENBLAS_CORETYPE and for
    each number of BLAS threads. Settings that turn out to be the same kernels are measured once.

    on_progress(done, total) is called after every product. No further round begins after PATIENCE
    seconds, once 3 are done.

    Raises InputError when no process can be started.
    """
    begin = perf_counter()
    with ExitStack() as stack:
        processes: dict[str, _Process] = {}
        for setting in settings:
            process = stack.enter_context(_Process(setting))
            processes.setdefault(process.answer() or setting or "default", process)
        steps = [(process, number) for number in threads for process in processes.values()]
        for done in range(rounds):
            if done >= 3 and perf_counter() - begin > PATIENCE:
                break
            for step, (process, number) in enumerate(steps, start=1):
                process.gflops[number].append(process.answer(str(number)))
                on_progress(done * len(steps) + step, rounds * len(steps))
        return [
            # a process that died even late is not to be relied on
            Speed(kernels, process.setting, {} if process.died else dict(process.gflops))
            for kernels, process in processes.items()
        ]


class _Process:
    """A Python process that runs `serve` under a setting of OPENBLAS_CORETYPE."""

    def __init__(self, setting: str | None) -> None:
        self.setting, self.died = setting, False
        self.gflops: defaultdict[int, list[float]] = defaultdict(list)
        more = {KEEP: "1"} if setting is None else {VARIABLE: setting}
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        # the same minibert and NumPy as here, wherever they were found
        code = f"import sys; sys.path[:] = {sys.path!r}; from minibert.machine import kernels"
        code += "; kernels.serve()"
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                env={**environment, **more},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise InputError(f"cannot start {sys.executable} to measure: {error}") from None

    def answer(self, question: str = "") -> Any:
        """Send the question, if any; return the process's answer, None if it has died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            if question:
                self.process.stdin.write(question + "\n")
                self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        self.died = self.died or not line
        return json.loads(line) if line else None

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()  # waits and closes the pipes


def serve() -> None:
    """Print the name of the kernels in use, then for each number of threads on standard input the
    GFLOP/s of one product, as JSON."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, INNER), np.float32)
    weight = rng.standard_normal((INNER, COLUMNS), np.float32)
    out = np.empty((ROWS, COLUMNS), np.float32)
    blas = library()
    print(json.dumps(blas.kernels or blas.name), flush=True)
    for line in sys.stdin:
        with threadpool_limits(int(line), user_api="blas"):
            np.matmul(x[: ROWS // 8], weight, out=out[: ROWS // 8])  # wakes the threads
            start = perf_counter()
            np.matmul(x, weight, out=out)
            seconds = perf_counter() - start
        print(json.dumps(round(2 * ROWS * INNER * COLUMNS / seconds / 1e9, 1)), flush=True)
