"""A run's answer to each example that it is scored on, as one short word of its line in the runs
file.

Methods are compared on the same examples (`comparison.paired`), which takes every answer and not
only their score. A class is one byte, a score or a question's F1 a float32; zlib makes 1,043
answers of two classes about 250 characters.
"""

import base64
import binascii
import zlib
from typing import Any

import numpy as np

from minibert.errors import InputError

LARGEST = 1 << 24  # bytes that a packed word may grow to: the word may be damaged
TYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}


def packed(values: np.ndarray) -> str:
    """Class numbers below 256, or scores, [B], as "TYPE:base64 of zlib". Scores are rounded to
    float32."""
    values = np.asarray(values)
    name = "uint8" if values.dtype.kind in "iub" else "float32"
    if name == "uint8" and (values.min(initial=0) < 0 or values.max(initial=0) > 255):
        raise InputError("answers are kept for at most 256 classes")
    data = zlib.compress(values.astype(TYPES[name]).tobytes(), 9)
    return f"{name}:{base64.b64encode(data).decode('ascii')}"


def unpacked(word: str, where: str) -> np.ndarray:
    """The values of a packed word, [B]: uint8 classes or float32 scores. Raises InputError, naming
    `where`, for anything else."""
    name, _, data = word.partition(":")
    try:
        expand = zlib.decompressobj()
        raw = expand.decompress(base64.b64decode(data, validate=True), LARGEST)
        if not expand.eof or expand.unused_data:
            raise ValueError("is incomplete, too long, or followed by more")
        return np.frombuffer(raw, TYPES[name])
    except (binascii.Error, zlib.error, ValueError, KeyError):
        raise InputError(f"{where}: its answers are damaged") from None
