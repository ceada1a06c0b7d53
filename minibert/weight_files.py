"""The weights of a checkpoint folder: one model.safetensors, or shards listed in an index."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minibert.errors import InputError, brief, shown
from minibert.files import read_sums, sha256_file
from minibert.json_files import fitted, read_json
from minibert.tensors import read_safetensors

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Weights:
    """A folder's tensors by their own names, views of the mapped files.

    path: the file to name where all of them are meant, the index if there are shards; sha256: the
    single file's, None for shards; shards: the file of each tensor, if there are any.
    """

    path: Path
    tensors: dict[str, np.ndarray] = field(repr=False)
    sha256: str | None = None
    shards: dict[str, Path] = field(default_factory=dict, repr=False)

    def file(self, name: str) -> Path:
        """The file that has this tensor."""
        return self.shards.get(name, self.path)


def read_weights(folder: Path) -> Weights:
    """The weights of a folder. Raises InputError, naming the file, for missing or damaged ones, for
    a sha256 other than that in SHA256SUMS, or for an index that its shards contradict."""
    single, index = folder / SINGLE, folder / INDEX
    if single.exists():
        tensors, _ = read_safetensors(single)
        return Weights(single, tensors, _checked_sha256(single))
    if index.exists():
        return _read_shards(index)
    pickles = sorted(p.name for p in folder.glob("*.bin"))
    if pickles:
        raise InputError(
            f"{folder}: has {pickles[0]} but no model.safetensors; "
            "pickle files can run code and are never opened"
        )
    raise InputError(f"{folder}: has no model.safetensors")


def _checked_sha256(path: Path) -> str:
    sha256, promised = sha256_file(path), read_sums(path.parent).get(path.name)
    if promised not in (None, sha256):
        raise InputError(f"{path}: sha256 is {sha256}, but SHA256SUMS says {promised}; fetch again")
    return sha256


def read_index(path: Path) -> dict[str, str]:
    """An index's {tensor: name of its shard}. Raises InputError, naming it, for a damaged one."""
    index = read_json(path)
    try:
        shard_of: dict[str, str] = fitted(dict[str, Any], index, path)["weight_map"]
        fitted(dict[str, str], shard_of, path)
    except (InputError, KeyError):
        raise InputError(f"{path}: is damaged or has no weight_map of tensors and files") from None
    for name in shard_of.values():  # beside the index, so that no index points anywhere else
        plain = name.isprintable() and len(name) < 250 and "\\" not in name
        if not (name and plain and Path(name).name == name):
            raise InputError(f"{path}: {shown(name)} is no name of a file beside it")
    return shard_of


def shard_names(index: Path) -> list[str]:
    """The names of an index's shards. Raises InputError for a damaged one."""
    return sorted(set(read_index(index).values()))


def _read_shards(index: Path) -> Weights:
    """All shards of an index: each tensor must be in the shard that the index says."""
    shard_of = read_index(index)
    promised = read_sums(index.parent)
    tensors, shards = {}, {}
    for name in sorted(set(shard_of.values())):
        shard = index.parent / name
        if name in promised:
            _checked_sha256(shard)
        for tensor, values in read_safetensors(shard)[0].items():
            if shard_of.get(tensor) != name:
                raise InputError(f"{shard}: has {brief(tensor)}, which {index.name} does not say")
            tensors[tensor], shards[tensor] = values, shard
    for tensor, name in shard_of.items():
        if tensor not in tensors:
            raise InputError(
                f"{index.parent / name}: lacks {brief(tensor)}, which {index.name} promises"
            )
    return Weights(index, tensors, None, shards)
