"""What this machine computes with, how fast that is, and what to set to make it faster."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from minibert.machine.kernels import Library, Speed, candidates, library, measure, objection
from minibert.machine.processor import KEEP, KERNELS, NEEDS, VARIABLE, flags, read_cpuinfo, values
from minibert.machine.threads import thread_bounds, thread_count

FASTER = 1.05  # a smaller gain is not worth a setting; repeated runs differ by as much


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found. `avx2` and `avx512` are None where the processor's instructions are
    not known; `speeds` are in GFLOP/s; the one whose kernels are `blas.kernels` is in use."""

    processor: str
    avx2: bool | None
    avx512: bool | None
    system: str
    python: str
    numpy: str
    blas: Library
    chosen_by: str
    threads: int
    threads_by: str
    speeds: list[Speed]
    advice: str


def diagnose(
    rounds: int = 9,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosis:
    """Describe the machine and measure the kernels that its BLAS has for it, with one thread and
    with as many as minibert uses. Takes a few seconds. See `minibert.machine.kernels.measure`.

    Raises InputError when the environment's numbers of threads or the measuring process fail.
    """
    import numpy as np

    cpuinfo, blas, threads = read_cpuinfo(), library(), thread_count()
    known = flags(cpuinfo)
    numbers = sorted({1, threads})
    speeds = []
    if blas.adjustable:
        speeds = measure(candidates(blas, known), numbers, rounds, on_progress)
    return Diagnosis(
        processor=processor_name(cpuinfo),
        avx2=NEEDS["Haswell"] <= known if known else None,
        avx512=NEEDS["SkylakeX"] <= known if known else None,
        system=platform.platform(),
        python=platform.python_version(),
        numpy=np.__version__,
        blas=blas,
        chosen_by=chosen_by(blas.name, os.environ, KERNELS),
        threads=threads,
        threads_by=threads_by(os.environ, threads),
        speeds=speeds,
        advice=advice(blas, speeds, known, os.environ, KERNELS),
    )


def processor_name(cpuinfo: str) -> str:
    """The processor's name, with its maker, family and model where Linux knows them."""
    if not (models := values(cpuinfo, "model name")):
        return platform.processor() or platform.machine() or "unknown"
    said = [(name, values(cpuinfo, name)) for name in ("vendor_id", "cpu family", "model")]
    details = [f"{name.removeprefix('cpu ')} {each[0]}" for name, each in said if each]
    return f"{models[0]} ({', '.join(details).removeprefix('vendor_id ')})"


def chosen_by(blas: str, environ: Mapping[str, str], chosen: str | None) -> str:
    """Who chose the kernels in use; `chosen`: minibert's choice, or None."""
    if blas != "OpenBLAS":
        return blas
    if chosen is not None:
        return "minibert"
    if VARIABLE in environ:
        return f"{VARIABLE}={environ[VARIABLE]}"
    return f"{blas}, as {KEEP} is set" if KEEP in environ else blas


def threads_by(environ: Mapping[str, str], threads: int) -> str:
    """Why minibert uses this number of threads."""
    bounds = thread_bounds(environ).items()
    said = [f"{name}={environ[name].strip()}" for name, number in bounds if number == threads]
    return ", ".join(said) or "one for each core that this process may use"


def advice(
    blas: Library,
    speeds: Sequence[Speed],
    flags: frozenset[str],
    environ: Mapping[str, str],
    chosen: str | None,
) -> str:
    """One line of advice: set other kernels if their `gain` exceeds 5 %, or unset those in use if
    there is an objection to them. `chosen`: minibert's choice, or None."""
    if blas.name != "OpenBLAS":
        return f"nothing to set: the choice of kernels is OpenBLAS's, and NumPy uses {blas.name}"
    current = next((speed for speed in speeds if speed.kernels == blas.kernels), None)
    if current is None or not current.gflops:
        why = objection(str(blas.kernels), flags, blas.version)
        if why and flags and blas.kernels in NEEDS and VARIABLE in environ:
            return f"unset {VARIABLE}: {why}"
        return f"the kernels in use were not measured: {why or 'they did not run here'}"
    running = [speed for speed in speeds if speed.gflops]
    best = max(running, key=lambda other: gain(other, current))
    own = next((speed for speed in running if speed.setting is None), best)
    if gain(best, own) <= FASTER:
        best = own  # what OpenBLAS picks by itself needs no setting and is always safe
    faster = gain(best, current)
    if faster <= FASTER:
        return "nothing to set: no other kernels are more than 5 % faster"
    if best.setting is not None:
        how = f"export {VARIABLE}={best.setting}"
    else:
        how = f"export {KEEP}=1" if chosen is not None else f"unset {VARIABLE}"
    return f"{how}: {best.kernels} kernels are {100 * faster - 100:.0f} % faster with this NumPy"


def gain(other: Speed, current: Speed) -> float:
    """How many times as fast the other kernels are: the median over the rounds, at the thread
    count where it is smallest; 1.0 unless they were faster in every single round."""
    ratios = [
        [new / old for new, old in zip(other.gflops[number], rounds, strict=True)]
        for number, rounds in current.gflops.items()
    ]
    sure = all(ratio > 1 for each in ratios for ratio in each)
    return min(median(each) for each in ratios) if sure else 1.0
