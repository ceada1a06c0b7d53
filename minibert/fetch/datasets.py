"""GLUE's data: fetched from the benchmark's own archives, verified, unpacked, and found again.

They come as their authors made them, each task under its own licence. The sources, sizes and
hashes are in weights/glue.toml. Wang et al. 2018, arXiv 1804.07461.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from minibert.errors import InputError
from minibert.fetch.download import download, require
from minibert.fetch.models import home, read_manifest
from minibert.fetch.unpack import unzip, zip_names
from minibert.files import lock


def glue_root() -> Path:
    """The folder with a folder for each task: $MINIBERT_GLUE, else glue/ among the downloads."""
    root = os.environ.get("MINIBERT_GLUE")
    return Path(root).expanduser().absolute() if root else home() / "glue"


def known_tasks() -> dict[str, dict[str, Any]]:
    """The tasks of weights/glue.toml: {name: {folder, files, unlabelled, downloads}}."""
    tables = read_manifest("glue.toml")
    urls = tables.pop("urls")
    mirror = os.environ.get("MINIBERT_GLUE_URL")
    for task in tables.values():
        for name, source in task["downloads"].items():
            prefix = mirror or urls[source["from"]]
            source["url"] = f"{prefix.rstrip('/')}/{name}"
    return tables


def find_task(name: str) -> Path | None:
    """The folder of a task whose training and development files are all there, else None.

    Raises InputError for a name that is no task's.
    """
    task = _task(name)
    folder = glue_root() / task["folder"]
    return folder if all((folder / file).is_file() for file in task["files"]) else None


def fetch_task(name: str, progress: bool = True) -> Path:
    """Fetch a task's data; return its folder. What is there is not fetched again, what broke off
    is gone on with, and the folder appears only when all is unpacked.

    `name` in any case, with or without hyphen. Raises InputError, in one line, for an unknown
    task, no connection, a file with another hash than promised, an archive that lacks a file.
    """
    task = _task(name)
    folder = glue_root() / task["folder"]
    return fetch_files(folder, task, lambda: find_task(name) is not None, progress)


def fetch_files(
    folder: Path, table: dict[str, Any], complete: Callable[[], bool], progress: bool
) -> Path:
    """Fetch the `downloads` of a manifest's table into a folder, unless it is already complete;
    return the folder. Raises InputError as `fetch_task` does."""
    if complete():
        return folder
    require("pooch")
    temporary = folder.with_name(f".{folder.name}.part")
    waiting = f"{folder.name}: another process is fetching it; waiting"
    with lock(folder.with_name(f".{folder.name}.lock"), waiting=waiting):
        if complete():  # by the process that we waited for
            return folder
        fetched = [
            _retrieve(file, source, temporary, progress)
            for file, source in table["downloads"].items()
        ]
        new = temporary / "new"
        shutil.rmtree(new, ignore_errors=True)  # of a killed process
        new.mkdir()
        for path in fetched:
            if path.suffix == ".zip":
                _unpack(path, table, new, progress)
            else:
                path.replace(new / path.name)
        if folder.exists():  # some files, but not all
            for path in new.iterdir():
                path.replace(folder / path.name)
        else:
            new.rename(folder)
        shutil.rmtree(temporary)
        if progress:
            print(f"{folder.name}: complete in {folder}", file=sys.stderr)
    return folder


def _task(name: str) -> dict[str, Any]:
    tasks = known_tasks()
    for key, task in tasks.items():
        if name.lower().replace("-", "") == key.replace("-", ""):
            return task
    raise InputError(f"unknown task {name!r}; known: {', '.join(tasks)}")


def _retrieve(name: str, source: dict[str, Any], folder: Path, progress: bool) -> Path:
    """One file by pooch, which keeps it only if its hash is right; the downloader is ours, as
    pooch's own cannot go on where it broke off."""
    import pooch

    def resume(url: str, output_file: str, _: Any) -> None:
        part = folder / f"{name}.part"
        download(url, part, size=source["bytes"], progress=progress, label=name)
        part.replace(output_file)

    pooch.get_logger().setLevel("WARNING")  # it announces each download; we show a bar
    try:
        path = pooch.retrieve(
            source["url"], f"sha256:{source['sha256']}", name, folder, downloader=resume
        )
    except ValueError as error:  # "... (NAME) does not match ...: expected X but got Y. Deleted"
        text = " ".join(str(error).split()).partition(". Deleted")[0]
        raise InputError(f"{source['url']}: {text}; deleted the file") from None
    except OSError as error:
        raise InputError(f"{folder / name}: cannot be written: {error.strerror or error}") from None
    return Path(path)


def _unpack(archive: Path, task: dict[str, Any], target: Path, progress: bool) -> None:
    """The task's own files, which are in one folder, however that is called, next to much else."""
    members = zip_names(archive)
    trains = [PurePosixPath(m) for m in members if PurePosixPath(m).name == "train.tsv"]
    if not trains:
        raise InputError(f"{archive.name}: has no train.tsv")
    inside = min(trains, key=lambda member: len(member.parts)).parent
    files = [*task["files"], *task.get("unlabelled", ())]
    unzip(archive, {str(inside / file): target / file for file in files}, progress)
