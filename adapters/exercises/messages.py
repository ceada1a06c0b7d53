"""The messages between the judge and the student's process: values as bytes, over a pipe.

A message is a JSON header and the raw bytes of the arrays in it. Nothing is ever pickled, so
reading a message cannot run code. Values are arrays of numbers, numbers, strings, bytes, None, and
lists, tuples and dicts of them. A function is sent as a name, which the receiver either knows or
uses to call back. Anything else arrives as `Other`, with the name of its type.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

LARGEST = 1 << 24  # bytes of a message
LARGEST_HEADER = 1 << 20  # bytes of its JSON, which takes about ten times as much memory
DEEPEST = 50  # levels of nesting

# How a function is sent: {"op": its name in minibert.ops}, {"function": its number at the sender}
# or {"own": its number at the receiver}. NameOf makes such names, Named turns them into functions.
Name = dict[str, Any]
NameOf = Callable[[Callable[..., Any]], Name]
Named = Callable[[Name], Callable[..., Any]]


class Garbled(Exception):
    """A message that cannot be read: truncated, too large, or not a message at all."""


@dataclass(frozen=True)
class Other:
    """Stands for a value that cannot be sent: a set, an object, an array of objects, ..."""

    type_name: str


def pack(value: Any, name_of: NameOf) -> bytes:
    """A value as the bytes of one message, starting with its length. Raises Garbled when it is too
    large."""
    arrays: list[np.ndarray] = []
    tree = json.dumps(_describe(value, arrays, name_of, 0)).encode()
    parts = [len(tree).to_bytes(8, "big"), tree, *(array.tobytes() for array in arrays)]
    body = b"".join(parts)
    if len(body) > LARGEST or len(tree) > LARGEST_HEADER:
        raise Garbled(f"{len(body):,} bytes are too many")
    return len(body).to_bytes(8, "big") + body


def unpack(body: bytes, named: Named) -> Any:
    """The value of a message's body, which is the message without its length. Raises Garbled."""
    try:
        size = int.from_bytes(body[:8], "big")
        if size > min(len(body) - 8, LARGEST_HEADER):
            raise Garbled("no header")
        tree = json.loads(body[8 : 8 + size])
        return _Rebuilt(memoryview(body)[8 + size :], named).value(tree)
    except Exception as error:  # whatever a library makes of words that somebody has made up
        raise Garbled(f"not a message of the exercises: {error}") from None


def read_message(stream: IO[bytes]) -> bytes | None:
    """The body of the stream's next message; None at the end. Raises Garbled."""
    head = stream.read(8)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if len(head) < 8 or size > LARGEST:
        raise Garbled("it does not start with a valid length")
    body = stream.read(size)
    if len(body) < size:
        raise Garbled("the message is truncated")
    return body


def _describe(value: Any, arrays: list[np.ndarray], name_of: NameOf, depth: int) -> Any:
    """A value as JSON: None, bool, str and finite floats as themselves, anything else as a dict
    with one entry that says what it is. Arrays are added to `arrays`."""
    if depth > DEEPEST:
        return {"other": "value nested too deeply"}
    if value is None or type(value) in (bool, str):
        return value
    if type(value) is int:
        return {"int": hex(value)}  # of any size
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is bytes:
        return {"bytes": value.hex()}
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            return {"other": f"array of dtype {array.dtype}"}
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        arrays.append(array)
        return {"array": [array.dtype.name, list(array.shape)]}
    if isinstance(value, dict):
        pairs = [[_describe(x, arrays, name_of, depth + 1) for x in pair] for pair in value.items()]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_describe(item, arrays, name_of, depth + 1) for item in value]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if callable(value) and not isinstance(value, type):
        return name_of(value)
    return {"other": type(value).__name__}


class _Rebuilt:
    """Turns descriptions back into values, taking the arrays from the data in order."""

    def __init__(self, data: memoryview, named: Named) -> None:
        self.data, self.named = data, named

    def value(self, tree: Any) -> Any:
        """The value that a description stands for. Raises the errors that `unpack` expects."""
        if not isinstance(tree, dict):
            if isinstance(tree, list):
                raise ValueError("a bare list")
            return tree
        [(kind, content)] = tree.items()
        if kind == "array":
            return self.array(*content)
        if kind in ("list", "tuple"):
            items = [self.value(item) for item in content]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {self.value(key): self.value(item) for key, item in content}
        if kind == "int":
            return int(content, 16)
        if kind == "bytes":
            return bytes.fromhex(content)
        if kind == "float":
            return float(content)
        return Other(str(content)[:100]) if kind == "other" else self.named(tree)

    def array(self, name: str, shape: list[int]) -> np.ndarray:
        """The next array in the data, writable. [*shape]"""
        if not re.fullmatch("[a-z]+[0-9]*", name):
            raise ValueError("no name of a dtype")
        dtype = np.dtype(name)
        if dtype.kind not in "biufc" or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("not an array of numbers")
        size = math.prod(shape) * dtype.itemsize
        if size > len(self.data):
            raise ValueError("an array without enough data")
        array = np.frombuffer(self.data[:size], dtype).reshape(shape).copy()
        self.data = self.data[size:]
        return array
