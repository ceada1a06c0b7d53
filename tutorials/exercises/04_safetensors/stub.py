"""Exercise 4: read a checkpoint's bytes.

Public BERT weights come as safetensors files. Such a file has three parts, one after the other:

    8 bytes     the header's length n, a whole number, little-endian (the lowest byte first)
    n bytes     the header, JSON in UTF-8:
                {"__metadata__": {"format": "pt"},
                 "pooler.bias": {"dtype": "F32", "shape": [384], "data_offsets": [0, 1536]}, ...}
    the rest    the numbers of all tensors. "data_offsets" are [start, stop] in bytes, stop not
                included, counted from the beginning of this third part

`data` is the whole content of such a file, as Python bytes. The dtypes to know are "F32" (float32),
"F16" (float16) and "I64" (int64), little-endian as well. A matrix is stored row by row, as in
NumPy. Not every file has "__metadata__".

One more thing: for a linear map, public checkpoints store the weight as [out, in]. This project
computes x W + b, so it needs [in, out].
"""

import json  # noqa: F401  json.loads reads a header

import numpy as np

DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}  # "<" means little-endian in NumPy


def header_length(data: bytes) -> int:
    """The number of bytes of the JSON header, n. bytes -> int."""
    raise NotImplementedError


def read_header(data: bytes) -> dict:
    """{name: {"dtype": ..., "shape": [...], "data_offsets": [start, stop]}}, without the entry
    "__metadata__", which is not a tensor. bytes -> dict."""
    raise NotImplementedError


def read_tensor(data: bytes, name: str) -> np.ndarray:
    """The tensor of this name, with the shape and dtype that the header gives. bytes -> array."""
    raise NotImplementedError


def read_weight(data: bytes, name: str) -> np.ndarray:
    """A linear map's weight, stored as [out, in]. bytes -> [in, out]."""
    raise NotImplementedError
