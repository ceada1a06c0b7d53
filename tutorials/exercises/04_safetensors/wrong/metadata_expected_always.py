# says: KeyError
import json

import numpy as np

DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


def header_length(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


def read_header(data: bytes) -> dict:
    header = json.loads(data[8 : 8 + header_length(data)])
    del header["__metadata__"]
    return header


def read_tensor(data: bytes, name: str) -> np.ndarray:
    entry = read_header(data)[name]
    numbers = data[8 + header_length(data) :]
    start, stop = entry["data_offsets"]
    return np.frombuffer(numbers[start:stop], DTYPES[entry["dtype"]]).reshape(entry["shape"])


def read_weight(data: bytes, name: str) -> np.ndarray:
    return read_tensor(data, name).T
