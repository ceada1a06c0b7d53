"""Which kernels NumPy's matrix products run on: decided before NumPy loads.

OpenBLAS, the library behind NumPy's matrix products, has one set of kernels for each kind of
processor, and picks one, for good, while NumPy loads. It goes by the processor's family, and
OpenBLAS 0.3.31 (NumPy 2.4) does not know AMD's family 26, Zen 5: it picks the AVX2 kernels
("Haswell") there, at 230 GFLOP/s, where the AVX-512 kernels ("SkylakeX") reach 440. This module
tells OpenBLAS which to use, in the only way there is: the variable OPENBLAS_CORETYPE. `minibert
doctor` measures the effect.

OpenBLAS trusts that variable: kernels whose instructions the processor lacks would end the
process. So if anything is unexpected, this module does nothing.
"""

import os
import sys
from collections.abc import Container, Mapping
from pathlib import Path

VARIABLE = "OPENBLAS_CORETYPE"  # OpenBLAS's own
KEEP = "MINIBERT_KEEP_KERNELS"  # set to anything: minibert leaves the choice to OpenBLAS

# The instructions, by Linux's names, that each set of kernels in NumPy's wheels is compiled for.
NEEDS = {
    "Katmai": frozenset({"pni"}),  # SSE3; OpenBLAS's name for what it calls Prescott elsewhere
    "Nehalem": frozenset({"sse4_2"}),
    "Sandybridge": frozenset({"avx"}),
    "Haswell": frozenset({"avx2", "fma"}),
    "SkylakeX": frozenset(
        {"avx2", "fma", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
    ),
}


def choice(cpuinfo: str, environ: Mapping[str, str], loaded: Container[str]) -> str | None:
    """The kernels to ask OpenBLAS for, or None to leave the choice to it.

    cpuinfo is the text of Linux's /proc/cpuinfo, environ the environment, loaded the names of the
    modules already imported. Kernels are named only if

    - OPENBLAS_CORETYPE and MINIBERT_KEEP_KERNELS are not set, not even to an empty string;
    - NumPy is not loaded yet, as OpenBLAS chooses while it loads;
    - every processor is AMD's, of family 26 (Zen 5) or later, and shows all the instructions
      (a hypervisor may hide some).

    Others are left alone. OpenBLAS recognises Intel's by their instructions; it also knows Zen 4
    (family 25), which computes 512 bits in two halves, so that neither set is much faster there.
    AVX2 kernels are never asked for: from OpenBLAS 0.3.34 on they can crash where they are not its
    own choice (github.com/OpenMathLib/OpenBLAS/issues/6021).
    """
    if VARIABLE in environ or KEEP in environ or "numpy" in loaded:
        return None
    count = len(values(cpuinfo, "processor"))
    vendors, families = values(cpuinfo, "vendor_id"), values(cpuinfo, "cpu family")
    new = set(vendors) == {"AuthenticAMD"} and all(_number(family) >= 26 for family in families)
    whole = count == len(vendors) == len(families) == len(values(cpuinfo, "flags"))
    return "SkylakeX" if whole and new and NEEDS["SkylakeX"] <= flags(cpuinfo) else None


def values(cpuinfo: str, name: str) -> list[str]:
    """The values of all lines `name : value` of /proc/cpuinfo, one for each processor."""
    lines = (line.partition(":") for line in cpuinfo.split("\n"))
    return [value.strip() for key, _, value in lines if key.strip() == name]


def flags(cpuinfo: str) -> frozenset[str]:
    """The instructions that every processor has; empty when cpuinfo lists none."""
    each = [frozenset(value.split()) for value in values(cpuinfo, "flags")]
    return frozenset.intersection(*each) if each else frozenset()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else -1


def read_cpuinfo() -> str:
    """/proc/cpuinfo, or "" where there is none or Python is not 64-bit Linux's."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return ""
    try:
        return Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return ""


def choose_kernels() -> str | None:
    """Load NumPy with the kernels that `choice` names, and return their name; otherwise do nothing.

    OPENBLAS_CORETYPE is in the environment only while NumPy loads, for OpenBLAS reads it then and
    never again. Processes started later do not inherit it: they may run on another machine, as a
    cluster's jobs do, where these kernels would crash. Each minibert decides for its own.
    """
    kernels = choice(read_cpuinfo(), os.environ, sys.modules)
    if kernels is not None:
        os.environ[VARIABLE] = kernels
        try:
            import numpy  # noqa: F401
        finally:
            os.environ.pop(VARIABLE, None)
    return kernels


KERNELS = choose_kernels()  # while `minibert` is imported, before anything imports NumPy
