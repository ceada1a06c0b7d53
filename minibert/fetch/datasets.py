"""GLUE and SQuAD: downloaded by `pooch` from where their authors publish them, each under its own
licence, and found on disk. Sources and hashes are in weights/glue.toml and weights/squad.toml.

Wang et al. 2018, arXiv 1804.07461; Rajpurkar et al. 2016, arXiv 1606.05250.
"""

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from minibert.errors import InputError
from minibert.fetch.home import (
    cause,
    check_unpacked,
    expanded,
    fill,
    home,
    read_manifest,
    require_network,
)


def glue_root() -> Path:
    """The folder with a folder for each task: $MINIBERT_GLUE, else glue/ among the downloads."""
    root = os.environ.get("MINIBERT_GLUE")
    return expanded(root).absolute() if root else home() / "glue"


def squad_folder() -> Path:
    """Where the two files are, or will be: $MINIBERT_SQUAD, else SQuAD/ among the downloads."""
    folder = os.environ.get("MINIBERT_SQUAD")
    return expanded(folder).absolute() if folder else home() / "SQuAD"


def find_task(name: str) -> Path | None:
    """The folder of a task whose training and development files are all there, else None.

    Raises InputError for an unknown task.
    """
    task = _task(name)
    folder = glue_root() / task["folder"]
    return folder if _is_complete(folder, task) else None


def find_split(split: str) -> Path | None:
    """SQuAD's file of "train" or "dev", under its official name or as SPLIT.json; else None."""
    return _find(squad_folder(), f"{split}-v1.1.json")


def fetch_task(name: str, progress: bool = True) -> Path:
    """The folder of a task's data, downloaded if missing.

    `name` in any case, with or without hyphen. $MINIBERT_GLUE_URL names a mirror. Raises InputError
    for an unknown task, no connection, HF_HUB_OFFLINE, or an archive with a wrong hash or without
    the task's files.
    """
    task = _task(name)
    return _fetch(glue_root() / task["folder"], task, "MINIBERT_GLUE_URL", progress)


def fetch_squad(progress: bool = True) -> Path:
    """The folder of SQuAD's two files, downloaded if missing.

    $MINIBERT_SQUAD_URL names a mirror. Raises InputError as `fetch_task` does.
    """
    table = read_manifest("squad.toml")["squad"]
    return _fetch(squad_folder(), table, "MINIBERT_SQUAD_URL", progress)


def _task(name: str) -> dict[str, Any]:
    tasks = read_manifest("glue.toml")
    for key, task in tasks.items():
        if name.lower().replace("-", "") == key.replace("-", ""):
            return task
    raise InputError(f"unknown task {name!r}; known: {', '.join(tasks)}")


def _find(folder: Path, name: str) -> Path | None:
    """A file by its name, or by the name without the version, as SQuAD's often are."""
    paths = (folder / name, folder / name.replace("-v1.1", ""))
    return next((path for path in paths if path.is_file()), None)


def _is_complete(folder: Path, table: dict[str, Any]) -> bool:
    """Whether all files are there, or for MRPC those that others make of them."""
    ways = [table["files"], *([table["made"]] if "made" in table else [])]
    return any(all(_find(folder, name) for name in files) for files in ways)


def _fetch(folder: Path, table: dict[str, Any], mirror: str, progress: bool) -> Path:
    """The folder, with everything that its table in the manifest lists downloaded."""
    if _is_complete(folder, table):
        return folder
    require_network(f"{folder.name}: is not in {folder}")
    if os.environ.get(mirror):
        for name, source in table["downloads"].items():
            source["url"] = f"{os.environ[mirror].rstrip('/')}/{name}"
    return fill(
        folder, lambda: _is_complete(folder, table), lambda part: _download(table, part, progress)
    )


def _download(table: dict[str, Any], part: Path, progress: bool) -> Path:
    """Download, verify and unpack all files into a folder in `part`, which is returned."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it announces each download, as we do
    files = [*table["files"], *table.get("unlabelled", ())]
    (new := part / "new").mkdir()
    for name, source in table["downloads"].items():
        url, sha256, unzip = source["url"], f"sha256:{source['sha256']}", None
        http = Bounded(source["bytes"], progress)
        if name.endswith(".zip"):
            unzip = Unzip([f"{table['folder']}/{file}" for file in files])
        if progress:
            print(f"{name}: {source['bytes'] / 1e6:.1f} MB from {url}", file=sys.stderr)
        try:
            got: Any = pooch.retrieve(url, sha256, name, part, unzip, http)
        except InputError as error:
            raise InputError(f"{url}: {error}") from None
        except Exception as error:  # those of requests, pooch and zipfile have no common base class
            of_disk = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
            if of_disk:  # not of the network, nor of places that a damaged archive names
                raise
            raise InputError(f"{url}: {cause(error)}") from None
        for path in map(Path, got if unzip else [got]):
            path.replace(new / path.name)
    for file in files:
        if not (new / file).exists():
            raise InputError(f"{', '.join(table['downloads'])}: has no {file}")
    return new


@dataclass(frozen=True)
class Bounded:
    """A downloader for `pooch`, like its own, of a file of at most so many bytes."""

    most: int
    progress: bool

    def __call__(self, url: str, path: str, pooch: Any) -> None:
        """Download `url` to `path`. Raises InputError when more bytes come."""
        from pooch import HTTPDownloader

        http = HTTPDownloader(progressbar=self.progress, chunk_size=1 << 16)
        with Path(path).open("wb") as file:
            http(url, AtMost(file, self.most), pooch)


class AtMost:
    """A file to write, of at most so many bytes. A further one raises InputError."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file, self.most = file, most

    def write(self, data: bytes) -> None:
        """Write, or refuse."""
        if self.file.tell() + len(data) > self.most:
            raise InputError(f"sends more than its {self.most:,} bytes; not kept")
        self.file.write(data)

    def flush(self) -> None:
        """Hand on what is written."""
        self.file.flush()


@dataclass(frozen=True)
class Unzip:
    """A processor for `pooch`, like its own, that first looks at what would be unpacked."""

    members: Sequence[str]

    def __call__(self, path: str, action: str, pooch: Any) -> list[str]:
        """The members' paths, unpacked. Raises InputError for a decompression bomb."""
        from pooch import Unzip as Members

        check_unpacked(Path(path))
        return Members(list(self.members))(path, action, pooch)
