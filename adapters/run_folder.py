"""The options of a run, and its folder: locked by one run at a time, with a report at the end."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.methods.method import NORMS, Method
from adapters.methods.table import METHODS
from adapters.task_model import POOLER
from minibert.errors import InputError, shown
from minibert.files import atomic_write, lock
from minibert.tokenizer import Encoded
from minibert.training.loop import Report
from minibert.training.resume import Checkpoint, State
from minibert.training.schedule import Settings

# What checkpoints of earlier versions leave unsaid: they come from before there was a choice.
UNSAID: dict[str, Any] = {"pooling": POOLER, "targets": [], "alpha": None, "sizes": []}
TRUSTED = ("freeze_layernorm", "cached")  # untold, though there was a choice: taken to be ours


@dataclass(frozen=True)
class RunOptions:
    """How a training runs. Nothing here changes a bit of its result, except `cache` by rounding:
    cached states are computed in other groups of texts.

    out: its folder, where it can be resumed from; None keeps nothing. resume: continue the run in
    `out`. threads: default one a core. cache: compute what leaves the frozen bottom layers once, if
    it fits into memory (`cached_layers.LIMIT`); or the folder where it is kept in a file, for other
    runs too. pause_after: leave the run after so many of its epochs, to be resumed.
    on_report(report) is called after every step, on_cache(texts done, all texts) while the cache is
    filled, and on_encoded(texts) once for each task, with all training and dev texts as token ids.
    """

    out: Path | str | None = None
    resume: bool = False
    threads: int | None = None
    cache: bool | Path | str = True
    pause_after: int | None = None
    on_report: Callable[[Report], None] = lambda report: None
    on_cache: Callable[[int, int], None] = lambda done, total: None
    on_encoded: Callable[[Sequence[Encoded]], None] = lambda encoded: None

    def __post_init__(self) -> None:
        if self.pause_after is not None and self.pause_after < 1:
            raise InputError(f"pause_after must be at least 1, not {shown(self.pause_after)}")

    @property
    def folder(self) -> Path | None:
        """`out` as a path."""
        return None if self.out is None else Path(self.out)

    @property
    def task_path(self) -> Path | None:
        """Where the task file is kept."""
        return self.folder / "task.safetensors" if self.folder else None

    def checkpoint(self, identity: dict[str, Any], scores: tuple[str, ...]) -> Checkpoint | None:
        """The checkpoint of the run with this identity, whose epochs have these scores."""
        if self.folder is None:
            return None
        path = self.folder / "checkpoint.safetensors"
        unsaid = UNSAID | {name: identity[name] for name in TRUSTED if name in identity}
        return Checkpoint(path, identity, self.resume, unsaid=unsaid, scores=scores)


@contextmanager
def own_folder(run: RunOptions) -> Iterator[None]:
    """Hold the run's folder. Raises InputError for one that is in use, or that already holds a run
    which is not to be resumed."""
    folder = run.folder
    if folder is None:
        yield
        return
    with lock(folder / ".lock", f"{folder}: another run is using this folder"):
        kept = [n for n in ("checkpoint", "task") if (folder / f"{n}.safetensors").exists()]
        if kept and not run.resume:
            raise InputError(
                f"{folder}: already holds a run; continue it with --resume, or choose another --out"
            )
        yield


def describe_method(method: Method) -> dict[str, Any]:
    """A method's fields as run files have them. What it trains follows from its name, but for the
    LayerNorms, which may be left frozen."""
    fields, known = asdict(method), METHODS.get(method.name, method)
    trained = fields.pop("trained")
    frozen = NORMS in known.trained and NORMS not in trained
    return {"method": fields.pop("name"), **fields, "freeze_layernorm": frozen}


def data_hash(train: Sequence[Any], dev: Sequence[Any]) -> str:
    """12 hex digits of a run's examples and their order: a run is never resumed on other data."""
    text = repr((list(train), list(dev)))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def write_report(folder: Path, identity: dict[str, Any], settings: Settings, state: State) -> None:
    """report.json: what was trained, the settings, the metrics of every epoch, the losses."""
    report = {
        **identity,
        "rate": settings.rate,
        "epochs": state.epochs,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "best": state.results,
        "losses": state.losses,
    }
    atomic_write(folder / "report.json", json.dumps(report, indent=1) + "\n")
