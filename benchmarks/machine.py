"""A description of the machine and all libraries, to accompany the figures."""

import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from processes import Side, environment, take_turns

import minibert
from minibert.errors import InputError
from minibert.machine.doctor import chosen_by, processor_name
from minibert.machine.kernels import COLUMNS, INNER, ROWS, library
from minibert.machine.processor import read_cpuinfo

OURS = ("numpy", "autograd", "tokenizers", "safetensors", "threadpoolctl")
PEERS = (
    "torch",
    "transformers",
    "adapters",
    "onnxruntime",
    "openvino",
    "sentence-transformers",
    "onnx",
    "numpy",
)
ASK = f"""
import importlib.metadata, json, torch
found = {{name: importlib.metadata.version(name) for name in {PEERS}}}
print(json.dumps([found, torch.backends.cpu.get_cpu_capability()]))
"""


def describe(threads: int, peer: str | None = None) -> dict[str, Any]:
    """The machine, this project's libraries and, if their Python is given, those of the peers.

    Raises InputError when a peer is not installed there.
    """
    busy = os.getloadavg()[0]
    if busy > 1:
        print(
            f"warning: the machine is busy (load {busy:.1f}), so the figures may be off",
            file=sys.stderr,
        )
    blas, cpuinfo = library(), read_cpuinfo()
    machine = {
        "processor": processor_name(cpuinfo),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "threads": threads,
        "ours": {name: version(name) for name in OURS},
        "blas": f"{blas.name} {blas.version}, {blas.kernels} kernels, chosen by "
        + chosen_by(blas.name, os.environ, minibert.KERNELS),
        "minibert": minibert.__version__,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }
    if peer is not None:
        machine["peers"], machine["torch_kernels"] = peers(peer)
    return machine


def peers(python: str) -> tuple[dict[str, str], str]:
    """The peers' versions, and the instruction set that torch uses."""
    try:
        done = subprocess.run(
            [python, "-c", ASK], env=environment(1, {}), capture_output=True, text=True
        )
    except OSError as error:
        raise InputError(f"cannot start the peers' {python}: {error.strerror}") from None
    if done.returncode:
        last = done.stderr.strip().split("\n")[-1] or "is not a Python"
        raise InputError(f"{python}: {last}; see benchmarks/requirements.txt")
    found, kernels = json.loads(done.stdout.strip().split("\n")[-1])
    return found, kernels


def commit() -> str:
    """The commit that is measured, with a + if the code that computes differs from it."""
    git = ["git", "-C", str(Path(__file__).parent.parent)]
    try:
        name = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        )
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "minibert", "adapters"])
    except OSError:
        return "unknown"
    if name.returncode:
        return "unknown"
    return name.stdout.strip() + ("+" if changed.returncode else "")


def sgemm_speeds(sides: dict[str, Side], products: int, threads: int) -> dict[str, float]:
    """GFLOP/s of one large matrix product on each side: the median of 9 turns."""
    answers = take_turns(sides, 9, threads, lambda: None)
    work = 2 * products * ROWS * INNER * COLUMNS / 1e9
    return {
        name: round(work / median(answer["seconds"] for answer in given), 1)
        for name, given in answers.items()
    }
