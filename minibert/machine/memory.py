"""Memory of freed arrays, kept for the next ones.

The arrays of a layer are a few megabytes each, made and freed again and again. The C library glibc
gives freed memory back to the system as soon as there is more of it than a threshold, and then
every page of the next array is fetched, and zeroed, anew. That is 4 % of BERT-base's forward pass,
and a third of MiniLM's in a Dask worker: Dask sets the threshold to 64 kB
(MALLOC_TRIM_THRESHOLD_).
"""

import ctypes
import sys

# mallopt(3)'s options, by the numbers of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 32 << 20  # bytes: larger blocks always go back; glibc allows no more
KEPT = 2 * LARGEST


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory for the next arrays; other C libraries are left
    as they are."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl, for one, has none
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, KEPT)
