"""What all formats share: an adapter as a file of another library has it, and how it is read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.methods.method import ADAPTERS, Method
from adapters.methods.table import METHODS
from minibert.errors import InputError, brief, shown
from minibert.files import atomic_write
from minibert.json_files import fitted, read_json
from minibert.ops import Array
from minibert.tensors import as_stored, read_safetensors, write_safetensors


@dataclass(frozen=True)
class Foreign:
    """An adapter that another library's files hold, in our terms.

    trained: its leaves by path; labels: the names of the head's outputs, in order, () where the
    file does not say.
    """

    name: str
    method: Method
    trained: dict[str, Array] = field(repr=False)
    pooling: str
    labels: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """C, the size of the head's output."""
        return int(self.trained["head.bias"].size)


def settings_of(path: Path) -> dict[str, Any]:
    """A JSON file's object. Raises InputError, naming the file, for anything else."""
    settings: dict[str, Any] = fitted(dict[str, Any], read_json(path), path)
    return settings


def tensors_of(folder: Path, name: str, pickle: str) -> dict[str, Array]:
    """The tensors of a folder's safetensors file. Raises InputError where it is missing, saying
    what to do where there is the same as a pickle, which is never opened."""
    path = folder / name
    if not path.exists() and (folder / pickle).exists():
        raise InputError(
            f"{folder / pickle}: is a pickle, which can run code and is never opened; save the "
            f"adapter again as {name}"
        )
    tensors, _ = read_safetensors(path)
    for key, values in tensors.items():
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise InputError(f"{path}: {brief(key)} is not all finite floats")
    with np.errstate(over="ignore"):  # looked at once all is read
        return {key: values.astype(np.float32, copy=False) for key, values in tensors.items()}


def write_tensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write such a file, with the metadata that transformers asks for."""
    write_safetensors(path, dict(tensors), {"format": "pt"})


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write a JSON file of settings."""
    atomic_write(path, json.dumps(settings, indent=2) + "\n")


def taken(tensors: dict[str, Array], name: str, shape: tuple[int, ...], file: Path) -> Array:
    """A tensor by name, removed from those that are left, as a parameter lies here. `shape` is that
    of the file. Raises InputError for one that is missing or has another shape."""
    if name not in tensors:
        raise InputError(f"{file}: lacks {brief(name)}, which its configuration asks for")
    values = tensors.pop(name)
    if values.shape != shape:
        raise InputError(f"{file}: {brief(name)} has shape {values.shape}; {shape} is expected")
    return as_stored(name, values)


def check_none_left(tensors: Mapping[str, Array], file: Path) -> None:
    """Raises InputError, naming the first, when tensors are left that nothing here uses."""
    if tensors:
        raise InputError(f"{file}: has {brief(min(tensors))}, which has no place here")


def check_settings(
    settings: Mapping[str, Any], only: Mapping[str, tuple[Any, ...]], free: set[str], file: Path
) -> None:
    """Raises InputError, naming it, for a setting that changes the mathematics to what is not
    computed here. `only` has the values that are; `free` the names that may have any. A setting
    that is not known is refused, unless it is off."""
    for name, value in settings.items():
        if name in only:
            # True == 1 in Python, but not in a file of settings
            if not any(value == v and type(value) is type(v) for v in only[name]):
                words = " or ".join(_json(v) for v in only[name])
                raise InputError(f"{file}: {name} is {shown(value)}; only {words} is supported")
        elif name not in free and value not in (None, False, [], {}, ""):
            raise InputError(f"{file}: {shown(name)} is {shown(value)}, which is not supported")


def _json(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def method_of(
    kind: str,
    sizes: dict[str, int],
    places: Iterable[str],
    layers: int,
    trained: tuple[str, ...],
    **choices: Any,
) -> Method:
    """The method with adapters of these sizes, by "layer.place". Where all have one size and are at
    the method's `places` of all `layers`, it says only that.

    trained: patterns of what else it trains.
    """
    size = max(sizes.values())
    method = replace(METHODS[kind], trained=(ADAPTERS, *trained), size=size, **choices)
    if sizes == {f"{layer}.{place}": size for layer in range(layers) for place in places}:
        return method
    by_layer = tuple(sorted(sizes.items(), key=_by_layer))
    return replace(method, sizes=by_layer, targets=())  # which the sizes say


def _by_layer(item: tuple[str, int]) -> tuple[int, str]:
    layer, _, place = item[0].partition(".")
    return int(layer), place


def numbered_labels(label2id: Any, outputs: int, file: Path) -> tuple[str, ...]:
    """{"negative": 0, "positive": 1} -> ("negative", "positive"); () for null, for one output, and
    for the names LABEL_0, LABEL_1 that stand for none. Raises InputError where the numbers are not
    those of the outputs."""
    if not label2id or outputs == 1:
        return ()
    named: dict[str, int] = fitted(dict[str, int], label2id, f"{file}: label2id")
    labels = tuple(sorted(named, key=lambda name: named[name]))
    if sorted(named.values()) != [*range(outputs)]:
        raise InputError(f"{file}: label2id {shown(label2id)} does not number {outputs} outputs")
    return () if labels == tuple(f"LABEL_{n}" for n in range(outputs)) else labels
