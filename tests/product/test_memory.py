"""Freed arrays are kept for the next ones, also where the environment has made glibc give back
more, as Dask does for its workers."""

import os
import platform
import subprocess
import sys

import pytest

ARRAYS, PAGES = 50, 1024  # arrays of 4 MB

FAULTS = f"""
import resource
import minibert.fused
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones({PAGES} * 512)
before = faults()
for _ in range({ARRAYS}):
    np.ones({PAGES} * 512)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's thresholds")
@pytest.mark.parametrize("threshold", [None, "65536"])
def test_an_array_takes_the_pages_of_the_one_freed_before(threshold: str | None) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    if threshold is not None:
        environ["MALLOC_TRIM_THRESHOLD_"] = threshold
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environ, capture_output=True, text=True, check=True
    )
    # fetched anew, every array would have all its pages fetched: 51,200 faults
    assert int(done.stdout) < ARRAYS * PAGES / 20
