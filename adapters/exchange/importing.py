"""An adapter of AdapterHub or PEFT, or a classifier of transformers -> a task of a base here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from adapters.exchange import adapterhub, peft, whole_model
from adapters.exchange.bases import check_base, on_the_hub
from adapters.exchange.download import TASK_FILE, download_adapter
from adapters.exchange.foreign import Foreign, settings_of
from adapters.exchange.note import noted_task
from adapters.task_file import TaskFile, check_description, load_task, on_base, save_task
from adapters.task_model import check_length
from minibert.checkpoint import Base, load_base
from minibert.data.tasks import Task, glue_task
from minibert.errors import InputError, shown
from minibert.fetch.models import locate_model
from minibert.tree import from_leaves

USUAL_LENGTH = 128  # tokens
FORMATS = {"adapterhub": adapterhub, "peft": peft, "transformers": whole_model}


@dataclass(frozen=True)
class Wanted:
    """What the files cannot say of a task, where the user does.

    task: one of GLUE, whose metric and label names it then has; labels: the names of the outputs,
    in order; pairs: it reads two texts; max_length: in tokens, None for 128 or what the base can;
    head: another folder that has the head, for AdapterHub.
    """

    task: str | None = None
    labels: Sequence[str] = ()
    pairs: bool = False
    max_length: int | None = None
    head: Path | None = None


def import_adapter(
    source: Path | str,
    base: Base | None = None,
    wanted: Wanted | None = None,
    out: Path | str | None = None,
) -> TaskFile:
    """Read another library's adapter from a folder, or from the hub as ORG/NAME.

    `base`: None for the one that the files name, if it has been fetched. With `out` the task file
    is written there. What `export_adapter` wrote becomes the same task again. Raises InputError,
    naming file and setting, for what cannot be computed here, a pickle, or another base.
    """
    wanted = wanted or Wanted()
    folder = adapter_folder(source)
    kind = format_of(folder)
    if kind == "minibert":
        if wanted != Wanted():
            raise InputError(f"{folder}: has a task file, which says all of the task itself")
        task = load_task(folder / TASK_FILE)
        base = base or load_base(locate_model(task.base_model))
    else:
        said = _said_base(folder, kind)
        base = base or _named_base(said, folder / FORMATS[kind].CONFIG)
        found = _read(folder, kind, base, wanted)
        check_base(said, base, folder)
        if found.outputs < 1:
            raise InputError(f"{folder}: its head has no outputs")
        for path, values in found.trained.items():  # a large scaling or float64 may go beyond
            if not np.isfinite(values).all():
                raise InputError(f"{folder}: {path} has values beyond float32")
        silent = replace(wanted, head=None) == Wanted()  # what the user says counts more
        noted = noted_task(folder, found) if silent else None
        task = noted or _new_task(found, base, wanted, folder)
        try:
            check_description(task)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from None
    on_base(task, base, folder)
    if out:
        save_task(out, task)
    return task


def adapter_folder(source: Path | str) -> Path:
    """The folder of a source: itself, the only one in it that has an adapter, or, for ORG/NAME, one
    that is downloaded into the hub's cache. Raises InputError for none, or several."""
    folder = Path(source)
    if not folder.is_dir():
        folder = download_adapter(str(source))
    if _configs(folder):
        return folder
    inner = sorted(path for path in folder.glob("*/") if _configs(path))
    if len(inner) != 1:
        names = ", ".join(path.name for path in inner)
        several = f"has several adapters: {names}; name one of the folders"
        raise InputError(f"{folder}: {several if inner else 'has no adapter_config.json'}")
    return inner[0]


def _configs(folder: Path) -> list[str]:
    known = (TASK_FILE, adapterhub.CONFIG, whole_model.CONFIG)
    return [name for name in known if (folder / name).is_file()]


def format_of(folder: Path) -> str:
    """Which library wrote a folder, by its files. Raises InputError for none of the known."""
    if (folder / TASK_FILE).exists():
        return "minibert"
    if not (folder / adapterhub.CONFIG).exists():
        return "transformers"
    settings = settings_of(folder / adapterhub.CONFIG)
    if "peft_type" in settings:
        return "peft"
    if "config" in settings:
        return "adapterhub"
    raise InputError(f"{folder / adapterhub.CONFIG}: is neither AdapterHub's nor PEFT's")


def _read(folder: Path, kind: str, base: Base, wanted: Wanted) -> Foreign:
    if kind == "adapterhub":
        return adapterhub.read_adapterhub(folder, wanted.head or folder, base)
    if wanted.head:
        raise InputError(f"{folder}: a head of its own folder is AdapterHub's alone")
    return (
        peft.read_peft(folder, base)
        if kind == "peft"
        else whole_model.read_whole_model(folder, base)
    )


def _said_base(folder: Path, kind: str) -> str:
    """What the files say of their base, "" for nothing."""
    file = FORMATS[kind]
    said = settings_of(folder / file.CONFIG).get(file.SAYS_BASE)
    return said if isinstance(said, str) else ""


def _named_base(said: str, file: Path) -> Base:
    """The base of that name. Raises InputError where it is none, or the base is not here."""
    if not on_the_hub(said):
        raise InputError(f"{file}: does not say which base it is for; name it with --base")
    return load_base(locate_model(said))


def _new_task(found: Foreign, base: Base, wanted: Wanted, folder: Path) -> TaskFile:
    """The task that a file without our own note describes, with what the user says."""
    length = wanted.max_length
    usual = min(USUAL_LENGTH, base.config.max_position_embeddings)
    return TaskFile(
        _task(found, wanted, folder),
        found.method,
        "paper",
        usual if length is None else check_length(base, length),
        base.name,
        base.sha256,
        trained=from_leaves(found.trained),
        pooling=found.pooling,
        base_tensors_sha256=base.tensors_sha256,
        base_reading=base.reading,
    )


def _task(found: Foreign, wanted: Wanted, folder: Path) -> Task:
    """Name, labels and metric: GLUE's if it is one of GLUE, else its own."""
    outputs = found.outputs
    labels = tuple(wanted.labels) or found.labels
    if wanted.labels and len(labels) != (0 if outputs == 1 else outputs):
        raise InputError(
            f"{folder}: its head has {outputs} outputs, but {len(labels)} labels are given"
        )
    if wanted.task is None:
        text = ("sentence1", "sentence2") if wanted.pairs else ("sentence",)
        if outputs == 1:
            return Task(found.name, "", text, "score", metrics=("pearson", "spearman"))
        named = labels or tuple(str(n) for n in range(outputs))
        return Task(found.name, "", text, "label", named, named)
    task = glue_task(wanted.task)
    if outputs != task.outputs:
        raise InputError(
            f"{folder}: its head has {outputs} outputs, {task.name} has {task.outputs}"
        )
    if task.regression or not labels or labels in (task.names, task.values):
        return task
    for known in (task.names, task.values):
        if {*labels} == {*known}:  # in another order
            order = [known.index(label) for label in labels]
            values, names = (tuple(part[i] for i in order) for part in (task.values, task.names))
            return replace(task, values=values, names=names)
    raise InputError(
        f"{folder}: its labels {shown(labels)} are not those of {task.name}, {shown(task.names)}; "
        "give these in the order of its outputs"
    )
