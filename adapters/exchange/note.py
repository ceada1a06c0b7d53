"""What other formats have no place for, in a small file beside theirs: our task's description, so
that what was exported can be imported as it was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.exchange.foreign import Foreign, settings_of, write_settings
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
    note, or when they are no longer those that it was written for."""
    if not (folder / NOTE).exists():
        return None
    try:
        about: dict[str, Any] = settings_of(folder / NOTE)
        sha256 = about.pop("sha256", "")
        task: TaskFile = fitted(TaskFile, about, folder / NOTE)
    except InputError:
        return None
    if (task.method.activation, task.pooling) != (found.method.activation, found.pooling):
        return None  # the settings were changed since
    task = replace(task, trained=from_leaves(found.trained))
    return task if task_digest(task) == sha256 else None
