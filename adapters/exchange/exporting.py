"""A task -> a folder that AdapterHub, PEFT or transformers loads."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.exchange import adapterhub_writing, peft, whole_model
from adapters.exchange.bases import public_name
from adapters.exchange.note import write_note
from adapters.task_file import TaskFile, on_base
from minibert.checkpoint import Base
from minibert.data.labels import check_names
from minibert.errors import InputError
from minibert.files import writing

REFUSALS = {
    "adapterhub": adapterhub_writing.refuse,
    "peft": peft.refuse,
    "transformers": whole_model.refuse,
}
MERGED = "base"  # the folder within the exported one, for --merge-base


def export_adapter(
    task: TaskFile, base: Base, folder: Path | str, format: str, merge_base: bool = False
) -> Path:
    """Write a task into a new folder, as adapterhub, peft or transformers. Returns the folder.

    merge_base: for AdapterHub, write the base with the task's own LayerNorms, too, in `base` within
    the folder, as AdapterHub has no place for them.
    Raises InputError, before anything is written, for a task that the format has no place for, or a
    folder with files in it; where the disk is full, too, nothing is left.
    """
    folder = Path(folder)
    if format not in REFUSALS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(REFUSALS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists, and is not an empty folder; nothing is overwritten")
    check_names(task.task.names, f"{task.task.name}: its list of labels")
    model = on_base(task, base)
    if why := REFUSALS[format](model):
        raise InputError(f"{task.task.name}: cannot be exported as {format}: {why}")
    norms = format == "adapterhub" and adapterhub_writing.trains_norms(task.method)
    if norms and not merge_base:
        raise InputError(
            f"{task.task.name}: cannot be exported as adapterhub: it has trained LayerNorms, which "
            "have no place there; write the base with them too (--merge-base), or train with "
            "--freeze-layernorm"
        )
    if merge_base and not norms:
        raise InputError("--merge-base is for AdapterHub and a task with LayerNorms of its own")
    with _all_or_nothing(folder) as new:
        of_base = public_name(base)
        if norms:
            (new / MERGED).mkdir()
            whole_model.write_base(new / MERGED, model)
            of_base = str(folder.resolve() / MERGED)
        labels = task.task.names
        if format == "transformers":
            whole_model.write_whole_model(new, model, labels)
        elif format == "peft":
            peft.write_peft(new, model, of_base)
        else:
            adapterhub_writing.write_adapterhub(new, plain_name(task), model, labels, of_base)
        if not norms:  # with a base of its own, what is imported is another task
            write_note(new, task)
    return folder


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[Path]:
    """A temporary folder, whose files are `folder`'s once the block has ended well; otherwise none
    of them is left. Raises InputError, naming `folder`, where they cannot be written."""
    target = Path(os.path.realpath(folder))
    there = target.exists()  # and empty; it stays, as it may be a mounted disk
    with writing(folder):
        parent = target if there else target.parent
        parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(".part", f".{target.name[:50]}.", parent))
        new = part / "new"
        try:
            new.mkdir()  # with the usual mode, unlike temporary folders
            yield new
            if not there:
                new.rename(target)
            elif others := {*target.iterdir()} - {part}:
                raise FileExistsError(errno.EEXIST, f"{min(others).name} has come in the meantime")
            else:
                for path in new.iterdir():
                    path.rename(target / path.name)
        except InputError as error:
            raise InputError(str(error).replace(str(new), str(folder))) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)


def plain_name(task: TaskFile) -> str:
    """The task's name as a part of tensors' names, which dots divide."""
    return re.sub(r"\W+", "-", task.task.name).strip("-") or "task"
