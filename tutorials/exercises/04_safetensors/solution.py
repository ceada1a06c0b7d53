"""Exercise 4: read a checkpoint's bytes."""

import json

import numpy as np

DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


def header_length(data: bytes) -> int:
    """The number of bytes of the JSON header."""
    return int.from_bytes(data[:8], "little")


def read_header(data: bytes) -> dict:
    """{name: {"dtype", "shape", "data_offsets"}} of every tensor."""
    header = json.loads(data[8 : 8 + header_length(data)])
    header.pop("__metadata__", None)
    return header


def read_tensor(data: bytes, name: str) -> np.ndarray:
    """The tensor of this name."""
    entry = read_header(data)[name]
    numbers = data[8 + header_length(data) :]
    start, stop = entry["data_offsets"]
    return np.frombuffer(numbers[start:stop], DTYPES[entry["dtype"]]).reshape(entry["shape"])


def read_weight(data: bytes, name: str) -> np.ndarray:
    """A linear map's weight, stored as [out, in]. -> [in, out]"""
    return read_tensor(data, name).T
