"""What all formats share: an adapter as a file of another library has it, and how it is read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.methods.method import ADAPTERS, Method
from adapters.methods.table import METHODS
from minibert.data.labels import check_names
from minibert.errors import InputError, brief
from minibert.files import atomic_write
from minibert.json_files import fitted, read_json, spelled
from minibert.ops import Array
from minibert.tensors import as_stored, read_safetensors, write_safetensors


@dataclass(frozen=True)
class Foreign:
    """An adapter that another library's files hold, in our terms.

    name: "" where the files have none. trained: its leaves by path; labels: the names of the head's
    outputs, in order, () where the files do not say.
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


def classifier(tensors: dict[str, Array], d: int, file: Path) -> dict[str, Array]:
    """The head of a classifier that reads d numbers, as a task has it, removed from the tensors.
    Raises InputError where there is none, or half of one."""
    names = ("classifier.weight", "classifier.bias")
    found = [name for name in names if name in tensors]
    if not found:
        raise InputError(f"{file}: has no classifier, so it answers nothing")
    outputs = len(np.atleast_1d(tensors[found[-1]]))  # of the bias, or else the weight [outputs, d]
    return {
        "head.weight": taken(tensors, names[0], (outputs, d), file),
        "head.bias": taken(tensors, names[1], (outputs,), file),
    }


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
                words = ", ".join(map(spelled, only[name]))
                raise InputError(f"{file}: {name} is {spelled(value)}; supported: {words}")
        elif name not in free and value not in (None, False, [], {}, ""):
            raise InputError(f"{file}: {brief(name)} is {spelled(value)}, which is not supported")


def number(value: Any, name: str, most: float, file: Path) -> float:
    """A setting that must be a positive number up to `most`. Raises InputError, naming it."""
    if type(value) not in (int, float) or not 0 < value <= most:  # NaN is not, either
        raise InputError(
            f"{file}: {name} is {spelled(value)}; a positive number up to {most:,} is expected"
        )
    return float(value)


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


def label_names(settings: Mapping[str, Any], outputs: int, file: Path) -> tuple[str, ...]:
    """The names of a head's outputs, in order, as `id2label` or `label2id` has them; () for none,
    for one output, and for LABEL_0, LABEL_1, ..., which stand for none. Raises InputError where
    they are no names (`check_names`), or do not number the outputs."""
    of_number, of_label = settings.get("id2label"), settings.get("label2id")
    if outputs == 1 or not (of_number or of_label):
        return ()
    key, named = ("id2label", of_number) if of_number else ("label2id", of_label)
    if not isinstance(named, dict):
        raise InputError(f"{file}: {key} is {spelled(named)}, not an object")
    pairs = [*named.items()] if of_number else [(number, name) for name, number in named.items()]
    names = {str(number): name for number, name in pairs if type(number) in (int, str)}
    if sorted(names) != sorted(map(str, range(outputs))):
        raise InputError(
            f"{file}: {key} {spelled(named)} does not number the {outputs} outputs, from 0 on"
        )
    labels = tuple(names[str(number)] for number in range(outputs))
    check_names(labels, f"{file}: {key}")
    return () if labels == tuple(f"LABEL_{n}" for n in range(outputs)) else labels
