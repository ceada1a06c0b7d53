"""Where downloads live, the manifests, and what all downloads share."""

import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.files import lock, sha256_file


class Unreachable(InputError):
    """A source cannot be reached, or fails; another one may have the files."""


def home() -> Path:
    """Where downloads live: $MINIBERT_HOME, else a checkout's weights/, else the user's cache.
    Raises InputError where no home folder is known, as in a container with a user of its own."""
    if os.environ.get("MINIBERT_HOME"):
        return expanded(os.environ["MINIBERT_HOME"]).absolute()
    weights = Path(__file__).parents[2] / "weights"
    if (weights / "manifest.toml").exists():
        return weights
    from platformdirs import user_cache_dir

    try:
        cache = Path(user_cache_dir("minibert"))
    except (KeyError, RuntimeError):  # as its versions have it; some return "~" as it is
        cache = Path()
    if not cache.is_absolute():
        raise InputError(
            "no home folder is known to keep downloads in; set HOME, or MINIBERT_HOME to a folder"
        )
    return cache


def expanded(path: Path | str) -> Path:
    """A path with its `~` or `~USER` filled in. Raises InputError where that is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: the home folder in it is not known") from None


def read_manifest(name: str) -> dict[str, Any]:
    """The table weights/NAME of a checkout; an installed package has it as manifests/NAME."""
    package = Path(__file__).parents[1]
    for path in (package.parent / "weights" / name, package / "manifests" / name):
        if path.exists():
            return tomllib.loads(path.read_text("utf-8"))
    raise InputError(f"{name}: is missing from the installation of minibert; install it again")


def require_network(missing: str) -> None:
    """Raises InputError when HF_HUB_OFFLINE is set or the packages for downloads are missing."""
    try:
        import pooch  # noqa: F401
        from huggingface_hub.constants import HF_HUB_OFFLINE
    except ImportError as error:
        raise InputError(
            f"{missing}; {error}: run `pip install 'minibert-adapters[cli]'`"
        ) from None
    if HF_HUB_OFFLINE:
        raise InputError(f"{missing}; nothing is downloaded, as HF_HUB_OFFLINE is set")


def verify(path: Path, name: str, sha256: str) -> None:
    """If the sha256 is another, delete the file and raise InputError with both."""
    if (found := sha256_file(path)) != sha256:
        try:
            forget(path)
            done = "deleted the file"
        except OSError as error:
            done = f"the file cannot be deleted: {error.strerror}"
        raise InputError(f"{name}: expected sha256 {sha256}, found {found}; {done}")


def forget(path: Path) -> None:
    """Delete a file, and in the hub's cache what it is a link to. Raises OSError."""
    if (blob := _blob(path)) is not None:
        blob.unlink()
    path.unlink()


def _blob(path: Path) -> Path | None:
    """In the hub's cache, what the link snapshots/REVISION/FILE points to, a file of blobs/. Any
    other link is the user's own, and so is what it points to."""
    if not path.is_symlink() or path.parent.parent.name != "snapshots":
        return None
    blob = Path(os.path.normpath(path.parent / path.readlink()))
    return blob if blob.parent == path.parents[2] / "blobs" else None


BOMB = 100  # times: text and weights are packed less than 10 times smaller, a bomb 1000 times


def check_unpacked(archive: Path) -> None:
    """Raises InputError for a zip file that would be very much larger when unpacked. By the sizes
    that it declares: `zipfile` writes no more of a member, and then finds its checksum wrong."""
    from zipfile import ZipFile

    packed = archive.stat().st_size
    with ZipFile(archive) as file:
        unpacked = sum(member.file_size for member in file.infolist())
    if unpacked > BOMB * packed:
        raise InputError(f"its {packed:,} bytes would be {unpacked:,} unpacked; not unpacked")


def fill(folder: Path, complete: Callable[[], bool], make: Callable[[Path], Path]) -> Path:
    """Move what make(temporary folder) returns, a folder, to its final place, unless that is
    complete already. One process at a time. Raises InputError when it cannot be written."""
    part = folder.with_name(f".{folder.name}.part")
    waiting = f"{folder.name}: another process is fetching it; waiting"
    with lock(folder.with_name(f".{folder.name}.lock"), waiting=waiting):
        try:
            if complete():  # by the process that we waited for
                return folder
            shutil.rmtree(part, ignore_errors=True)  # left by a killed process
            part.mkdir()
            new = make(part)
            if not folder.exists():
                return new.rename(folder)
            for path in new.iterdir():
                path.replace(folder / path.name)
            return folder
        except OSError as error:
            where = error.filename or folder
            raise InputError(f"{where}: cannot be written: {error.strerror or error}") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)


def cause(error: BaseException) -> str:
    """The innermost cause of another library's error, in one line."""
    while (inner := error.__cause__ or error.__context__) and str(inner):
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
