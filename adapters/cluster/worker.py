"""What a worker does: it finds the base on its own disk, once, and answers blocks with it."""

import threading
from typing import NamedTuple

import numpy as np

from adapters.blocks import Unfinished
from adapters.cut_texts import CutTexts
from adapters.predict import predict_texts
from adapters.task_file import TaskFile, on_base
from minibert import __version__
from minibert.checkpoint import Base, load_base
from minibert.errors import InputError
from minibert.fetch.models import locate_model
from minibert.tokenizer import Text

MOST_BASES = 4  # held by a worker, which may serve many users for weeks

_lock = threading.Lock()  # a worker may have several threads, and loads a base for all of them
_held: dict[tuple[str, ...], Base] = {}


class Asked(NamedTuple):
    """How blocks are to be answered: with the base of this name or folder on the worker ("": the
    task's, by its name), on so many threads, by this version of minibert."""

    base: str = ""
    threads: int | None = 1
    version: str = __version__


class Answered(NamedTuple):
    """A block's logits [B, C], and how many of its texts were cut."""

    logits: np.ndarray
    cut: CutTexts


def held_base(task: TaskFile, name: str = "") -> Base:
    """The base of a task, by its name or folder on this machine ("": by the task's own name for
    it), loaded once for all tasks of this process that were trained on it.

    It is held by what the task says of its content. A folder that has other weights by now is
    another base, and is loaded anew for a task that was trained on those. Raises InputError where
    there is none, or another one than the task's.
    """
    name = name or task.base_model
    key = (name, task.base_sha256, task.base_tensors_sha256, task.base_reading)
    with _lock:
        if key not in _held:
            base = load_base(locate_model(name))
            on_base(task, base, task.task.name)
            while len(_held) >= MOST_BASES:
                del _held[next(iter(_held))]
            _held[key] = base
        return _held[key]


def answer(task: TaskFile, texts: list[Text], asked: Asked) -> Answered:
    """In a worker: the answers to a block. Raises Unfinished, naming the worker, where it has not
    what is needed, and InputError as `predict_texts` does."""
    from distributed import get_worker

    try:
        if asked.version != __version__:
            raise InputError(f"has minibert {__version__}, not {asked.version}")
        base = held_base(task, asked.base)
    except InputError as error:
        raise Unfinished(f"worker {get_worker().address}: {error}") from None
    cut = CutTexts(task.max_length)
    return Answered(predict_texts(task, base, texts, asked.threads, cut), cut)
