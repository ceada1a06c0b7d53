"""A disk that is full at every moment: a limit on the size of files, and each file event refused.

A command then says so in one line. Each of its files is as it was before, or complete, and what is
written for a moment is gone; a training goes on to the bits of an undisturbed one.
"""

import errno
import os
import random
import resource
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from faults.child import TINY, differ, fault_of, files, minibert, run_child
from faults.kills import TRAIN, at_event, counted, new_folder, undisturbed
from faults.signals import goes_on

LIMITS = (0, 1, 100, 1000, 5000, 9000, 20_000, 36_000, 60_000, 80_000)  # bytes
OLD = b"what was there before"
TEXTS = ("ba bi bo", "tikora")


class Command(NamedTuple):
    """A command by its words, in a folder with the files of `prepare`; `old` is there before."""

    words: Callable[[Path], tuple[object, ...]]
    old: str = ""


COMMANDS = {
    "train": Command(lambda folder: (*TRAIN, folder / "run")),
    "predict --output": Command(
        lambda folder: ("predict", task(), *TEXTS, "--base", TINY, "--output", folder / "out.csv"),
        "out.csv",
    ),
    "predict --input": Command(
        lambda folder: (
            *("predict", task(), "--base", TINY, "--input", place() / "in.tsv"),
            *("--text", "sentence", "--output", folder / "out.tsv"),
        )
    ),
    "embed": Command(
        lambda folder: ("embed", *TEXTS, "--base", TINY, "--output", folder / "out.npy"), "out.npy"
    ),
    "evaluate --report": Command(
        lambda folder: (
            *("evaluate", task(), "--base", TINY, "--data", place() / "in.tsv"),
            *("--report", folder / "page.html"),
        )
    ),
    "exercises start": Command(lambda folder: ("exercises", "start", folder / "class")),
    "tutorials start": Command(lambda folder: ("tutorials", "start", folder / "tutorials")),
}

RESUMES = "predict --input"  # goes on where it was stopped


@cache
def place() -> Path:
    """A folder with a task and a table, gone when the piece has ended."""
    import tempfile

    folder = tempfile.TemporaryDirectory(prefix="minibert-faults-")
    _KEPT.append(folder)
    path = Path(folder.name)
    (path / "task.safetensors").write_bytes(undisturbed()[0]["task.safetensors"])
    rows = "".join(f"ba bi {n}\t{n % 2}\n" for n in range(400))
    (path / "in.tsv").write_text("sentence\tlabel\n" + rows)
    return path


_KEPT: list[object] = []


def task() -> Path:
    """A task file."""
    return place() / "task.safetensors"


@cache
def whole(name: str) -> tuple[dict[str, bytes], int]:
    """The files of a command on a disk that is not full, and how many file events it has."""
    with new_folder() as folder:
        words = COMMANDS[name].words(folder / "all")
        (folder / "all").mkdir()
        call = counted(minibert(*words), folder / "all", folder / "events")
        ended = run_child(call)
        assert ended.code == 0, (name, ended)
        return files(folder / "all"), len((folder / "events").read_text())


@cache
def trials() -> list[tuple[str, str, int]]:
    """(command, "limit", bytes) and (command, "event", number), all there are."""
    found = []
    for name in COMMANDS:
        found += [(name, "limit", limit) for limit in LIMITS]
        found += [(name, "event", number + 1) for number in range(whole(name)[1])]
    random.Random(0).shuffle(found)  # so that the first few are of all kinds
    return found


def writes() -> int:
    """How many trials there are."""
    return len(trials())


def full(number: int) -> str:
    """The trial of this number."""
    name, way, size = trials()[number]
    with new_folder() as folder:
        (folder / "all").mkdir()
        if old := COMMANDS[name].old:
            (folder / "all" / old).write_bytes(OLD)
        call = minibert(*COMMANDS[name].words(folder / "all"))
        call = limited(call, size) if way == "limit" else refusing(call, folder / "all", size)
        ended = run_child(call)
        fault = fault_of(ended) or not_whole(name, folder / "all")
        if not fault and ended.code and name == "train":
            if (folder / "all" / "run").exists():
                shutil.move(folder / "all" / "run", folder / "run")
            fault = goes_on(folder)
        elif not fault and ended.code and name == RESUMES:
            ended = run_child(minibert(*COMMANDS[name].words(folder / "all")))
            fault = fault_of(ended, (0,)) or differ(files(folder / "all"), whole(name)[0])
        return f"{name}, {way} {size}: {fault}" if fault else ""


def limited(call: Callable[[], int], limit: int) -> Callable[[], int]:
    """`call`, with no file longer than this many bytes."""

    def bounded() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return call()

    return bounded


def refusing(call: Callable[[], int], folder: Path, number: int) -> Callable[[], int]:
    """`call`, whose file event of this number finds no space."""

    def refuse() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return at_event(call, folder, number, refuse)


def not_whole(name: str, folder: Path) -> str:
    """ "" if each file is whole, or as it was, and none was for a moment.

    What a training has written at another time has other bytes: it is whole if its end is there,
    and it resumes. A table that is being filled in is kept, to be gone on with.
    """
    for path, data in files(folder).items():
        known = whole(name)[0].get(path)
        if name == RESUMES and path.startswith(".out.tsv.part"):
            continue
        if known is None:
            return f"left behind: {path}"
        earlier = path.endswith((".html", ".safetensors")) and len(data) > 0.9 * len(known)
        if data not in (known, OLD) and not (earlier and data[-8:].strip()):
            return f"{path} has {len(data)} of {len(known)} bytes"
    return ""
