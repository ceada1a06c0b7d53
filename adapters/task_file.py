"""One task = one small safetensors file.

It holds everything that was trained (adapters, LayerNorms, head) and says what it needs to be
used again: the label names, the metric, the recipe, and two sha256 of the base it was trained on.
One is its weight file's, the other its tensors', which stays the same when another tool saves the
same weights again. Linear maps lie in it as [out, in], as in every public checkpoint.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.methods.method import ADAPTERS, Method
from adapters.task_model import POOLER, POOLINGS, TaskModel, base_tree, check_pairs
from minibert.checkpoint import Base
from minibert.data.tasks import Task
from minibert.errors import InputError
from minibert.files import parse_json
from minibert.tensors import as_stored, read_safetensors, write_safetensors
from minibert.tree import Tree, from_leaves, leaves, merge

FORMAT = "minibert-task-1"


@dataclass(frozen=True)
class TaskFile:
    """A trained task: what it is, and its trained parameters (a sparse tree). scale: the mean and
    standard deviation of a regression's training scores, in whose units the head answers.
    label_kind: the type of the labels that an estimator was fitted on."""

    task: Task
    method: Method
    recipe: str
    max_length: int
    base_name: str
    base_sha256: str
    results: dict[str, Any] = field(default_factory=dict)
    trained: Tree = field(default_factory=dict, repr=False)
    scale: tuple[float, float] = (0.0, 1.0)
    pooling: str = POOLER
    base_tensors_sha256: str = ""  # earlier versions wrote neither this nor the next
    base_reading: str = ""
    label_kind: str = ""

    @property
    def base_model(self) -> str:
        """The name by which `locate_model` may find the base: the folder ORG--NAME is the hub's
        ORG/NAME."""
        return self.base_name.replace("--", "/")


def _digest(about: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 over the description, names, shapes and bytes: a flipped bit anywhere shows."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {values.shape} {values.dtype.str}\n".encode())
        digest.update(values.data if values.size else b"")
    return digest.hexdigest()


def _described(task: TaskFile) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the file says of a task, and its tensors."""
    tensors = {p: as_stored(p, leaf) for p, leaf in leaves(task.trained)}
    about = asdict(replace(task, trained={}))
    del about["trained"]
    return about, tensors


def task_digest(task: TaskFile) -> str:
    """The sha256 of everything that a task's file holds."""
    return _digest(*_described(task))


def save_task(path: Path | str, task: TaskFile) -> None:
    """Write a task file, atomically. Raises InputError when it cannot be written."""
    about, tensors = _described(task)
    described = json.dumps({"sha256": _digest(about, tensors), **about})
    # one entry only: the library writes several in an order of chance, and the bits would differ
    write_safetensors(path, tensors, {FORMAT: described})


def load_task(path: Path | str) -> TaskFile:
    """Read a task file. Raises InputError, naming it, when it is missing, damaged or not one."""
    tensors, metadata = read_safetensors(path)
    if FORMAT not in metadata:
        raise InputError(f"{path}: is not a minibert task file")
    about = parse_json(metadata[FORMAT], f"{path}: its description is damaged: it")
    try:
        if about.pop("sha256") != _digest(about, tensors):
            raise InputError(f"{path}: is damaged: its sha256 is not the one that it promises")
        task = _tuples(Task, about.pop("task"))
        method = _tuples(Method, about.pop("method"))
        # the adapters' statistics, which are not trained, once matched the pattern of the adapters
        trains = (ADAPTERS if pattern == r"adapters\." else pattern for pattern in method.trained)
        method = replace(method, trained=tuple(trains))
        trained = from_leaves({p: as_stored(p, values) for p, values in tensors.items()})
        about["scale"] = tuple(about.get("scale", (0.0, 1.0)))  # of files from before it was kept
        if (pooling := about.get("pooling", POOLER)) not in POOLINGS:
            raise InputError(f"{path}: has the unknown pooling {pooling!r}")
        return TaskFile(task=task, method=method, trained=trained, **about)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its description is damaged: {error}") from None


def _tuples(kind: Any, values: dict[str, Any]) -> Any:
    """A dataclass back from JSON, whose lists were tuples."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def on_base(task: TaskFile, base: Base, path: Path | str = "task") -> TaskModel:
    """The task's whole model: its trained leaves over the base's own arrays (none is copied).

    Raises InputError, saying which base is wanted, when it was trained on another one. The same
    file is the same base, and so are the same weights in another one.
    """
    same = task.base_sha256 == base.sha256 or task.base_tensors_sha256 == base.tensors_sha256
    if same and task.base_reading and task.base_reading != base.reading:
        raise InputError(
            f"{path}: was trained on these weights with another config.json or other tokenizer "
            f"files than those in {base.folder}"
        )
    if not same:
        raise InputError(
            f"{path}: was trained on {task.base_name} (weights sha256 "
            f"{task.base_sha256[:12]}...), not on {base.name} ({base.sha256[:12]}...)"
        )
    if task.task.pairs:
        check_pairs(base)
    tree = merge({"base": base_tree(base, task.pooling)}, task.trained)
    return TaskModel(base, task.method, tree, task.pooling)
