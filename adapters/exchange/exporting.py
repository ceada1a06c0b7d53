"""A task -> a folder that AdapterHub, PEFT or transformers loads."""

import re
from pathlib import Path

from adapters.exchange import adapterhub, peft, whole_model
from adapters.exchange.bases import public_name
from adapters.exchange.importing import FORMATS
from adapters.exchange.note import write_note
from adapters.task_file import TaskFile, on_base
from minibert.checkpoint import Base
from minibert.errors import InputError

MERGED = "base"  # the folder within the exported one, for --merge-base


def export_adapter(
    task: TaskFile, base: Base, folder: Path | str, format: str, merge_base: bool = False
) -> Path:
    """Write a task into a new folder, as one of the FORMATS. Returns the folder.

    merge_base: for AdapterHub, write the base with the task's own LayerNorms, too, in `base` within
    the folder, as AdapterHub has no place for them.
    Raises InputError, before anything is written, for a task that the format has no place for, or a
    folder with files in it.
    """
    folder = Path(folder)
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists, and is not an empty folder; nothing is overwritten")
    model = on_base(task, base)
    if why := FORMATS[format].refuse(model):
        raise InputError(f"{task.task.name}: cannot be exported as {format}: {why}")
    norms = format == "adapterhub" and adapterhub.trains_norms(task.method)
    if norms and not merge_base:
        raise InputError(
            f"{task.task.name}: cannot be exported as adapterhub: it has trained LayerNorms, which "
            "have no place there; write the base with them too (--merge-base), or train with "
            "--freeze-layernorm"
        )
    if merge_base and not norms:
        raise InputError("--merge-base is for AdapterHub and a task with LayerNorms of its own")
    folder.mkdir(parents=True, exist_ok=True)
    labels, of_base = task.task.names, public_name(base)
    if norms:
        (folder / MERGED).mkdir()
        whole_model.write_base(folder / MERGED, model)
        of_base = str((folder / MERGED).resolve())
    if format == "transformers":
        whole_model.write_whole_model(folder, model, labels)
    elif format == "peft":
        peft.write_peft(folder, model, of_base)
    else:
        adapterhub.write_adapterhub(folder, plain_name(task), model, labels, of_base)
    if not norms:  # with a base of its own, what is imported is another task
        write_note(folder, task)
    return folder


def plain_name(task: TaskFile) -> str:
    """The task's name as a part of tensors' names, which dots divide."""
    return re.sub(r"\W+", "-", task.task.name).strip("-") or "task"
