"""Safetensors files: named arrays and a little text.

A file is 8 bytes of header length (little-endian), a JSON header
{name: {dtype, shape, data_offsets}}, and the tensors' bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minibert.errors import InputError, brief
from minibert.files import atomic_write, check_is_file
from minibert.json_files import parse_json

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
          "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
          "BOOL": "?"}  # fmt: skip
LARGEST_HEADER = 100_000_000  # bytes, the library's own bound


def read_safetensors(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """A file's tensors and metadata. The arrays are read-only views of the mapped file: data are
    read when first used and cannot be changed through them.

    BF16, which NumPy lacks, comes as float32 (its upper 16 bits). Raises InputError, naming the
    file, when it is missing, truncated or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    check_is_file(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, not a safetensors file")
        with safe_open(path, framework="np"):  # the library checks header, offsets and length
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = parse_json(file.read(size), path, LARGEST_HEADER)
    except SafetensorError as error:
        if what := other_content(path):
            raise InputError(f"{path}: is {what}") from None
        raise InputError(
            f"{path}: is damaged or not a safetensors file: {brief(str(error))}"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    metadata = header.pop("__metadata__", None) or {}
    data = np.memmap(path, np.uint8, "r", offset=8 + size) if _any_bytes(header) else b""
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in DTYPES:
            raise InputError(f"{path}: {brief(name)} has the unsupported type {entry['dtype']}")
        start, stop = entry["data_offsets"]
        flat = np.asarray(data[start:stop]) if stop > start else np.empty(0, np.uint8)
        # offsets need not be aligned to the element size; a view then needs one copy
        dtype = np.dtype(DTYPES[entry["dtype"]])
        aligned = (8 + size + start) % dtype.itemsize == 0
        try:
            values = (flat if aligned else flat.copy()).view(dtype).reshape(entry["shape"])
        except ValueError:  # of more dimensions, or larger ones beside a 0, than NumPy has
            raise InputError(f"{path}: {brief(name)} has a shape that no array can have") from None
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = values
    return tensors, metadata


def other_content(path: Path) -> str:
    """What a download has left in a weight file's place, if it is one of the usual things."""
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the weights; run `git lfs pull` there, or fetch them again"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML), not the weights; fetch them again"
    return ""


def type_name(values: np.ndarray) -> str:
    """The format's name of an array's type; F32 for what was BF16."""
    return next(name for name, kind in DTYPES.items() if values.dtype == kind and name != "BF16")


def _any_bytes(header: dict[str, Any]) -> bool:
    """Whether the header's tensors have any bytes at all (an empty file cannot be mapped)."""
    return any(entry["data_offsets"][1] > entry["data_offsets"][0] for entry in header.values())


def write_safetensors(
    path: Path | str, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file, atomically. Raises InputError when the file cannot be
    written."""
    from safetensors.numpy import save

    atomic_write(path, save({n: np.asarray(t, order="C") for n, t in tensors.items()}, metadata))


def content_sha256(about: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 over a description and the tensors' names, shapes and bytes: a flipped bit anywhere
    shows."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {values.shape} {values.dtype.str}\n".encode())
        digest.update(values.data if values.size else b"")
    return digest.hexdigest()


def as_stored(path: str, values: np.ndarray) -> np.ndarray:
    """A parameter as its file stores it, and back: a linear weight is [out, in] in the file, and so
    in memory, but [in, out] in the code. A view, and its own inverse."""
    return values.T if path.endswith("weight") else values
