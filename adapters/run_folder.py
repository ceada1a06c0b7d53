"""A training run's own folder: held by one run at a time, and what is written there about it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adapters.methods.table import Method
from minibert.errors import InputError
from minibert.files import atomic_write, lock
from minibert.training.loop import Settings, State


@contextmanager
def own_folder(folder: Path | None, resume: bool) -> Iterator[None]:
    """Hold an output folder for one run. Refuses one that is in use, and without `resume` one
    that already holds a run."""
    if folder is None:
        yield
        return
    with lock(folder / ".lock", f"{folder}: another run is using this folder"):
        kept = [n for n in ("checkpoint", "task") if (folder / f"{n}.safetensors").exists()]
        if kept and not resume:
            raise InputError(
                f"{folder}: already holds a run; continue it with --resume, or choose another --out"
            )
        yield


def described(method: Method) -> dict[str, Any]:
    """What a run's files say of its method."""
    fields = asdict(method)
    del fields["trained"]
    return {"method": fields.pop("name"), **fields}


def data_hash(train: Sequence[Any], dev: Sequence[Any]) -> str:
    """12 hex digits that tell other examples, or others' order, apart: a run is never resumed on
    other data."""
    text = repr((list(train), list(dev)))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def write_report(
    folder: Path, identity: dict[str, Any], settings: Settings, state: State, **more: Any
) -> None:
    """report.json: what was trained, the settings, the metrics of every epoch, the losses."""
    report = {
        **identity,
        "rate": settings.rate,
        "epochs": state.epochs,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        **more,
        "losses": state.losses,
    }
    atomic_write(folder / "report.json", json.dumps(report, indent=1) + "\n")
