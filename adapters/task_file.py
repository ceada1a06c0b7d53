"""One task = one small safetensors file.

It holds everything that was trained (adapters, LayerNorms, head) and says what it needs to be
used again: the label names, the metric, the recipe, and two sha256 of the base it was trained on.
One is its weight file's, the other its tensors', which stays the same when another tool saves the
same weights again. Linear maps lie in it as [out, in], as in every public checkpoint.
"""

import json
import math
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from adapters.methods.batch_norm import STATISTICS
from adapters.methods.method import ADAPTERS, Method
from adapters.methods.table import adapter_parameters, check_method, trained_shapes
from adapters.recipes import recipe_named
from adapters.task_model import (
    COSINE,
    POOLER,
    POOLINGS,
    TaskModel,
    base_tree,
    check_length,
    check_pairs,
)
from minibert.checkpoint import Base
from minibert.data.tasks import Task, check_task
from minibert.errors import InputError, brief, shown
from minibert.json_files import fitted, parse_json
from minibert.tensors import (
    LARGEST_HEADER,
    as_stored,
    read_safetensors,
    type_name,
    write_safetensors,
)
from minibert.tensors import content_sha256 as _digest
from minibert.tree import Tree, from_leaves, leaves, merge

FORMAT = "minibert-task-1"
LABEL_KINDS = ("", "bool", "int", "float", "str")
# What earlier versions neither knew nor wrote of a method, and what that means.
LATER: dict[str, Any] = {"targets": (), "alpha": None, "sizes": ()}
SETTLED = tuple(f".norm.{name}" for name in STATISTICS)


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


def description(task: TaskFile) -> dict[str, Any]:
    """What the file says of a task, besides its tensors."""
    about = asdict(replace(task, trained={})) | {"method": described(task.method)}
    del about["trained"]
    return about


def described(method: Method) -> dict[str, Any]:
    """A method's fields as files have them: what earlier versions did not know is left out where it
    says nothing, so that they read all that they know."""
    fields = asdict(method).items()
    return {name: value for name, value in fields if name not in LATER or value != LATER[name]}


def _described(task: TaskFile) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the file says of a task, and its tensors."""
    return description(task), {p: as_stored(p, leaf) for p, leaf in leaves(task.trained)}


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
    """Read a task file. Raises InputError, naming it, when it is missing, damaged, not one, or says
    or holds what no task can, whoever wrote it. Whether it fits its base, `on_base` sees."""
    with suppress(OSError):  # where it may not be looked into, reading tells so
        if Path(path).is_dir() and (inside := Path(path) / "task.safetensors").is_file():
            raise InputError(f"{path}: is a folder; the task in it is {inside}")
    tensors, metadata = read_safetensors(path)
    if FORMAT not in metadata:
        raise InputError(f"{path}: is not a minibert task file")
    where = f"{path}: its description is damaged"
    about = fitted(dict[str, Any], parse_json(metadata[FORMAT], where, LARGEST_HEADER), where)
    if about.pop("sha256", None) != _digest(about, tensors):
        raise InputError(f"{path}: is damaged: its sha256 is not the one that it promises")
    if "trained" in about:  # which is what the tensors are
        raise InputError(f"{where}: trained is not known")
    task: TaskFile = fitted(TaskFile, about, where)
    # the adapters' statistics, which are not trained, once matched the pattern of the adapters
    trains = (ADAPTERS if p == r"adapters\." else p for p in task.method.trained)
    task = replace(task, method=replace(task.method, trained=tuple(trains)))
    try:
        check_description(task)
        for name, values in tensors.items():
            _check_tensor(task.method, name, values)
            _, *within = reversed([*accumulate(name.split("."), "{}.{}".format)])
            if taken := tensors.keys() & set(within):
                raise InputError(f"{name} lies within {min(taken)}, which is a tensor itself")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    stored = {name: as_stored(name, values) for name, values in tensors.items()}
    return replace(task, trained=from_leaves(stored))


def check_description(task: TaskFile) -> None:
    """Raises InputError for what no training can have said of its task."""
    check_task(task.task)
    check_method(task.method)
    recipe_named(task.recipe)
    if task.pooling not in POOLINGS:
        raise InputError(f"has the unknown pooling {shown(task.pooling)}")
    if task.pooling == COSINE and not (task.task.regression and task.task.pairs):
        raise InputError(f"pooling {COSINE} is for a score of two texts")
    if task.label_kind not in LABEL_KINDS:
        raise InputError(f"has the unknown kind of labels {shown(task.label_kind)}")
    if task.max_length < 4:
        raise InputError(f"its max_length is {shown(task.max_length)}, not 4 or more")
    if task.scale[1] <= 0:
        raise InputError(f"its scale {task.scale} has no positive deviation")
    if len(task.base_name) > 255:
        raise InputError(f"its base_name {shown(task.base_name)} is too long for a folder's name")
    for name, value in task.results.items():
        if type(value) not in (int, float) or value != value:
            raise InputError(f"its result {shown(name)} is {shown(value)}, not a number")


def _check_tensor(method: Method, name: str, values: np.ndarray) -> None:
    """Raises InputError for a tensor that a task of this method does not hold, or not so."""
    path = re.fullmatch(
        r"(base|adapters|head)(\.([a-z_]{1,20}|0|[1-9]\d{0,3})){1,6}", name, re.ASCII
    )
    own = path and (method.trains(name) or (path[1] == "adapters" and method.size is not None))
    if not own:
        raise InputError(
            f"{shown(name)} is none of the parameters that {shown(method.name)} trains"
        )
    if values.dtype != np.float32:
        raise InputError(f"{name} is of type {type_name(values)}; a task's parameters are F32")
    if not np.isfinite(values).all():
        raise InputError(f"{name} has values that are NaN or infinite")
    if name.endswith("norm.variance") and (values < 0).any():
        raise InputError(f"{name} has negative values")


def _check_fit(task: TaskFile, base: Base) -> None:
    """Raises InputError unless the task's parameters are those that its method has on this base, by
    name and shape."""
    config, method, name = base.config, task.method, brief(str(task.method))
    check_length(base, task.max_length)
    if max(method.first_layer, method.last_layer or 0) >= config.num_hidden_layers:
        raise InputError(f"{name} is not for {config.num_hidden_layers} layers ({base.name})")
    found = {path: leaf.shape for path, leaf in leaves(task.trained)}
    for where, size in method.sizes:  # before anything as large as that is made
        if (has := found.get(f"adapters.{where}.down.weight", (0, 0))[1:]) != (size,):
            raise InputError(f"its adapter at {shown(where)} has size {shown(has)}, not {size}")
    trains = {p: shape for p, shape in found.items() if not p.endswith(SETTLED)}
    of_adapters = sum(math.prod(s) for p, s in trains.items() if p.startswith("adapters."))
    if of_adapters != (wanted := adapter_parameters(config, method)):
        raise InputError(
            f"has {of_adapters:,} parameters in its adapters; {name} has {shown(wanted)} on "
            f"{base.name}"
        )
    shapes = trained_shapes(config, method, task.task.outputs, task.pooling == POOLER)
    for path in shapes.keys() - found.keys():
        raise InputError(f"lacks {path}, which {name} trains on {base.name}")
    for path, shape in found.items():
        if path not in shapes:
            raise InputError(f"has {shown(path)}, which {name} does not train on {base.name}")
        if shape != shapes[path]:
            raise InputError(f"{path} has shape {shape}, but {base.name} asks for {shapes[path]}")


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
    try:
        _check_fit(task, base)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    tree = merge({"base": base_tree(base, task.pooling)}, task.trained)
    return TaskModel(base, task.method, tree, task.pooling)
