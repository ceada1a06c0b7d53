"""An adapter of AdapterHub or PEFT, or a classifier of transformers -> a task of a base here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from adapters.exchange import adapterhub, peft, whole_model
from adapters.exchange.bases import check_base, doubt, on_the_hub
from adapters.exchange.download import TASK_FILE, download_adapter
from adapters.exchange.foreign import Foreign, settings_of
from adapters.exchange.note import noted_task
from adapters.task_file import TaskFile, check_description, load_task, on_base, save_task
from adapters.task_model import check_length
from minibert.checkpoint import Base, load_base
from minibert.data.labels import check_names
from minibert.data.tasks import Task, glue_task
from minibert.errors import InputError, shown
from minibert.fetch.manifest import HUB_NAME
from minibert.fetch.models import locate_model
from minibert.json_files import spelled
from minibert.tree import from_leaves

USUAL_LENGTH = 128  # tokens
FORMATS = {"adapterhub": adapterhub, "peft": peft, "transformers": whole_model}


@dataclass(frozen=True)
class Wanted:
    """What the files cannot say of a task, where the user does.

    task: one of GLUE, whose metric and label names it then has; labels: the names of the outputs,
    in order; pairs: it reads two texts; max_length: in tokens, None for 128 or what the base can;
    head: another folder that has the head, for AdapterHub; ignore_base_name: the base given is the
    right one, whatever the files call it.
    """

    task: str | None = None
    labels: Sequence[str] = ()
    pairs: bool = False
    max_length: int | None = None
    head: Path | None = None
    ignore_base_name: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))  # as nothing said has them


def import_adapter(
    source: Path | str,
    base: Base | None = None,
    wanted: Wanted | None = None,
    out: Path | str | None = None,
    *,
    on_doubt: Callable[[str], None] = lambda what: None,
) -> TaskFile:
    """Read another library's adapter from a folder, or from the hub as ORG/NAME.

    `base`: None for the one that the files name, if it has been fetched. With `out` the task file
    is written there, over one of that name. on_doubt(what) is called where the files name the base
    in a way that says nothing. What `export_adapter` wrote becomes the same task again. Raises
    InputError, naming file and setting, for what cannot be computed here, a pickle, or another
    base.
    """
    wanted = wanted or Wanted()
    folder = adapter_folder(source)
    kind = format_of(folder)
    if kind == "minibert":
        file = folder / TASK_FILE
        if wanted != Wanted():
            raise InputError(f"{file}: says all of the task itself; say no more than the base")
        task = load_task(file)
        base = base or load_base(locate_model(task.base_model))
    else:
        file = folder / FORMATS[kind].CONFIG
        base = _base(file, kind, base, wanted, on_doubt)
        task = _foreign_task(file, kind, base, wanted, _called(source, folder))
    on_base(task, base, file)
    if out:
        save_task(out, task)
    return task


def _base(
    file: Path, kind: str, base: Base | None, wanted: Wanted, on_doubt: Callable[[str], None]
) -> Base:
    """The base of an adapter, which is the one given, or else the one that the files name. Raises
    InputError where they name another, or none that is here."""
    value = settings_of(file).get(FORMATS[kind].SAYS_BASE)
    said = value if isinstance(value, str) else ""
    if base is None:
        if wanted.ignore_base_name:
            raise InputError("--ignore-base-name goes with --base")
        if not on_the_hub(said):
            folder = f" ({spelled(said)} is a folder)" if said else ""
            raise InputError(
                f"{file}: does not say which base it is for{folder}; name it with --base"
            )
        return load_base(locate_model(said))
    if not wanted.ignore_base_name:
        check_base(said, base, file)
    if what := doubt(said, base):
        on_doubt(f"{file}: {what}")
    return base


def _foreign_task(file: Path, kind: str, base: Base, wanted: Wanted, called: str) -> TaskFile:
    """The task that another library's files hold; `called` so where they have no name for it."""
    found = _read(file.parent, kind, base, wanted)
    found = replace(found, name=found.name or called)
    if found.outputs < 1:
        raise InputError(f"{file}: its head has no outputs")
    for path, values in found.trained.items():  # a large scaling or float64 may go beyond
        if not np.isfinite(values).all():
            raise InputError(f"{file}: with it {path} has values beyond float32")
    silent = replace(wanted, head=None, ignore_base_name=False) == Wanted()
    noted = noted_task(file.parent, found) if silent else None  # what the user says counts more
    task = noted or _new_task(found, base, wanted, file)
    try:
        check_description(task)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return task


def _called(source: Path | str, folder: Path) -> str:
    """NAME of ORG/NAME on the hub, or the name of a folder."""
    on_hub = None if Path(source).is_dir() else HUB_NAME.fullmatch(str(source))
    return on_hub[1].partition("/")[2] if on_hub else folder.resolve().name


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
        raise InputError(f"{folder}: a head in a folder of its own is AdapterHub's alone")
    read = peft.read_peft if kind == "peft" else whole_model.read_whole_model
    return read(folder, base)


def _new_task(found: Foreign, base: Base, wanted: Wanted, file: Path) -> TaskFile:
    """The task that a file without our own note describes, with what the user says."""
    length = wanted.max_length
    usual = min(USUAL_LENGTH, base.config.max_position_embeddings)
    return TaskFile(
        _task(found, wanted, file),
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


def _task(found: Foreign, wanted: Wanted, file: Path) -> Task:
    """Name, labels and metric: GLUE's if it is one of GLUE, else its own."""
    outputs = found.outputs
    labels = tuple(wanted.labels) or found.labels
    check_names(wanted.labels, "--labels")
    if wanted.labels and len(labels) != (0 if outputs == 1 else outputs):
        raise InputError(
            f"{file}: its head has {outputs} outputs, but {len(labels)} labels are given"
        )
    if wanted.task is None:
        text = ("sentence1", "sentence2") if wanted.pairs else ("sentence",)
        if outputs == 1:
            return Task(found.name, "", text, "score", metrics=("pearson", "spearman"))
        named = labels or tuple(str(n) for n in range(outputs))
        return Task(found.name, "", text, "label", named, named)
    task = glue_task(wanted.task)
    if wanted.pairs and not task.pairs:
        raise InputError(f"--pairs: {task.name} is a task on single texts")
    if outputs != task.outputs:
        raise InputError(f"{file}: its head has {outputs} outputs, {task.name} has {task.outputs}")
    if task.regression or not labels or labels in (task.names, task.values):
        return task
    for known in (task.names, task.values):
        if {*labels} == {*known}:  # in another order
            order = [known.index(label) for label in labels]
            values, names = (tuple(part[i] for i in order) for part in (task.values, task.names))
            return replace(task, values=values, names=names)
    raise InputError(
        f"{file}: its labels {shown(labels)} are not those of {task.name}, {shown(task.names)}; "
        "give these in the order of its outputs"
    )
