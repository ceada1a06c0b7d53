"""The frozen layers' output kept in a file: computed by the first run that needs it, mapped into
memory by all later ones, in any process.

A file is named by the hash of all that its content follows from: the weights and the settings of
the base, the number of frozen layers, what is pooled, every text's token ids, NumPy's kernels. It
is a safetensors file of one array: the states of all texts, from short to long, as they were
computed.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from adapters.cached_layers import Bottom, by_text, computed_states, states_rows
from adapters.task_model import TaskModel
from minibert import __version__
from minibert.batch import GROUP_TOKENS, group_by_length
from minibert.errors import InputError
from minibert.files import atomic_file, check_unshared, lock
from minibert.machine.kernels import library
from minibert.tensors import content_sha256, read_safetensors, type_name
from minibert.tokenizer import Encoded

FORMAT = 1  # to be raised when the file changes, or within a version the frozen layers' bits
BLOCK = 1 << 24  # bytes that are hashed at once
NO_HASH = "0" * 64
PREFIX = "states-"  # of the files' names


def kept_states(
    folder: Path,
    model: TaskModel,
    encoded: Sequence[Encoded],
    frozen: int,
    threads: int,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Bottom:
    """What `cached_layers.cache_states` gives, to the bit, with the states in a file of this
    folder: read, or if it is missing or damaged, computed and written.

    Of several processes that need the same file one computes it, and the others wait. Raises
    InputError when the disk has no room for it, or it cannot be written.
    """
    rows = states_rows(model, encoded, frozen)
    dtype = model.tree["base"]["embeddings"]["word"].dtype
    shape = (sum(rows), model.base.config.hidden_size)
    like = np.broadcast_to(np.empty((), dtype), shape)  # a shape and a type, without the memory
    key = states_key(model, encoded, frozen)
    path = folder / f"{PREFIX}{key}.safetensors"
    states = _read(path, key, like)
    if states is None:
        with lock(
            folder / f".{PREFIX}{key}.lock", waiting=f"{path}: waiting for the run that computes it"
        ):
            states = _read(path, key, like)
            if states is None:
                check_unshared(path)
                _check_room(folder, like.nbytes)
                groups = computed_states(model, encoded, frozen, threads, on_done)
                _write(path, key, like, (together for _, together in groups))
                states = _read(path, key, like)
    if states is None:
        raise InputError(f"{path}: is not read as it was written: the disk is failing")
    return Bottom(frozen, by_text(_groups(states, encoded, rows), rows))


def forget_states(folder: Path) -> None:
    """Remove the files of states and their locks, and the folder if nothing else is in it."""
    for path in (*folder.glob(f"{PREFIX}*.safetensors"), *folder.glob(f".{PREFIX}*.lock")):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it has something else, or was never made
        folder.rmdir()


def states_key(model: TaskModel, encoded: Sequence[Encoded], frozen: int) -> str:
    """32 hex digits of all that the states' bits follow from."""
    base, blas = model.base, library()
    every = frozen == base.config.num_hidden_layers
    about = {
        "format": (FORMAT, __version__, GROUP_TOKENS),
        "base": base.tensors_sha256,
        "config": asdict(base.config),
        "dtype": model.tree["base"]["embeddings"]["word"].dtype.str,
        "frozen": frozen,
        "pooling": model.pooling if every else "",
        "numpy": [np.__version__, blas.name, blas.version, blas.kernels],
    }
    # a text's own lengths are those of its sequences, read apart
    lengths = [n for text in encoded for n in (len(text.ids), *text.lengths, 0)]
    texts = {
        "ids": np.concatenate([text.ids for text in encoded]),
        "segments": np.concatenate([text.segments for text in encoded]),
        "lengths": np.array(lengths),
    }
    return content_sha256(about, texts)[:32]


def _groups(
    states: np.ndarray, encoded: Sequence[Encoded], rows: list[int]
) -> Iterator[tuple[list[int], np.ndarray]]:
    """The file's states, group by group, as they were computed."""
    start = 0
    for group in group_by_length([len(text.ids) for text in encoded]):
        stop = start + sum(rows[i] for i in group)
        yield group, states[start:stop]
        start = stop


def _read(path: Path, key: str, like: np.ndarray) -> np.ndarray | None:
    """The mapped states; None where there is no such file, or it is not what it should be."""
    try:
        tensors, about = read_safetensors(path)
    except InputError:  # it is missing, cut short, or something else
        return None
    states = tensors.get("states")
    if states is None or (states.shape, states.dtype) != (like.shape, like.dtype):
        return None
    whole = about.get("key") == key and about.get("sha256") == _sha256(states)
    return states if whole else None


def _sha256(states: np.ndarray) -> str:
    """The sha256 of an array's bytes, read once from beginning to end."""
    digest, data = hashlib.sha256(), states.reshape(-1).view(np.uint8)
    for start in range(0, len(data), BLOCK):
        digest.update(data[start : start + BLOCK].data)
    return digest.hexdigest()


def _write(path: Path, key: str, like: np.ndarray, groups: Iterator[np.ndarray]) -> None:
    """Write the file, group by group: it may be larger than the memory. The hash of what was
    written is put into its header at the end."""
    digest = hashlib.sha256()
    with atomic_file(path) as file:
        file.write(_header(like, key, NO_HASH))
        for states in groups:
            data = np.ascontiguousarray(states).data
            file.write(data)
            digest.update(data)
        file.seek(0)
        file.write(_header(like, key, digest.hexdigest()))


def _header(like: np.ndarray, key: str, sha256: str) -> bytes:
    """The safetensors header of one array like this, of the same length for any hash."""
    states = {
        "dtype": type_name(like),
        "shape": like.shape,
        "data_offsets": (0, like.nbytes),
    }
    said: dict[str, Any] = {"__metadata__": {"key": key, "sha256": sha256}, "states": states}
    text = json.dumps(said).encode()
    text += b" " * (-len(text) % 8)  # so that the array is aligned, and need not be copied
    return len(text).to_bytes(8, "little") + text


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"{folder}: the states of the frozen layers take {size / 1e6:,.0f} MB, and there are "
            f"{free / 1e6:,.0f} MB left; keep them elsewhere with --cache"
        )
