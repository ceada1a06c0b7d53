"""What other formats have no place for, in a small file beside theirs: our task's description, so
that what was exported can be imported as it was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.exchange.foreign import Foreign, settings_of, write_settings
from adapters.methods.lora import ALPHA
from adapters.methods.method import Method
from adapters.task_file import TaskFile, description, task_digest
from minibert.errors import InputError
from minibert.json_files import fitted
from minibert.tree import from_leaves

NOTE = "minibert_task.json"


def write_note(folder: Path, task: TaskFile) -> None:
    """Write a task's description, and its digest."""
    write_settings(folder / NOTE, {"sha256": task_digest(task), **description(task)})


def noted_task(folder: Path, found: Foreign) -> TaskFile | None:
    """The task that a folder's note describes, with the parameters found beside it. None without a
    note, or when the files beside it are no longer those that it was written for: they count more
    than the note, in their labels as in their settings and tensors."""
    if not (folder / NOTE).exists():
        return None
    try:
        about: dict[str, Any] = settings_of(folder / NOTE)
        sha256 = about.pop("sha256", "")
        task: TaskFile = fitted(TaskFile, about, folder / NOTE)
    except InputError:
        return None
    same = _computed(task.method) == _computed(found.method) and task.pooling == found.pooling
    if not same or (found.labels and found.labels != task.task.names):
        return None
    task = replace(task, trained=from_leaves(found.trained))
    return task if task_digest(task) == sha256 else None


def _computed(method: Method) -> tuple[Any, ...]:
    """What a method says of the mathematics, which is not in the tensors' names and shapes."""
    alpha = ALPHA if method.alpha is None else method.alpha
    return method.name, method.activation, method.variant == "parallel", alpha
