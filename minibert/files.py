"""Atomic writes, file hashes, locks."""

import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from minibert.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".minibert-part"  # how our temporary files' names end: no others are removed


def atomic_write(path: Path | str, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    The data is written to a temporary file beside it, synced to disk, and put in its place; what
    killed processes have left in that folder is removed. A pipe or a device is written into.
    Raises InputError, naming the file, when it cannot be written (a full disk, no permission); the
    old content is then still there. Raises BrokenPipeError for a pipe that nobody reads any more.
    """
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    with writing(path):
        if is_stream(path):
            with open_stream(path) as stream:
                stream.write(data)
            return
        with atomic_file(path) as file:
            file.write(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that is written bit by bit within the block and put in its place at the end, as in
    `atomic_write`; after an error it is gone, and the old content still there."""
    with writing(path):
        path = Path(os.path.realpath(path))  # a link stays a link
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path.parent)
        handle, new = _locked_file(path)  # so that no other process removes it as a left-over
        with os.fdopen(handle, "wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(handle)
                if fcntl is None:
                    file.close()  # Windows renames no open file
                put_in_place(new, path)
            finally:
                new.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within the block an OSError is an InputError that names the file; but not BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def is_stream(path: Path) -> bool:
    """Whether a path is written into as it is: a pipe, a device, or the file that standard output
    goes to. Raises OSError for a folder, or for a path that leads nowhere, as links in a circle."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    return not stat.S_ISREG(found.st_mode) or _is_standard_output(found)


def open_stream(path: Path) -> IO[bytes]:
    """Open what `is_stream` found. Standard output, by whatever name, is continued where it is."""
    if not _is_standard_output(path.stat()):
        return path.open("wb")
    sys.stdout.flush()
    return os.fdopen(os.dup(1), "wb")


def put_in_place(new: Path, path: Path) -> None:
    """Rename a finished file to `path`, which keeps its mode and owner. Raises OSError.

    A file with other names, too (hard links), is written into: a new one would part from them. Only
    of such a file a reader may see a part, and only such a file is lost on a disk that is full.
    """
    try:
        old = path.stat()
    except FileNotFoundError:
        new.chmod(0o666 & ~_umask())  # temporary files are private
        new.replace(path)
        return
    if old.st_nlink > 1:
        shutil.copyfile(new, path)
        new.unlink()
        return
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only root may give a file away
            os.chown(new, old.st_uid, old.st_gid)
    new.chmod(stat.S_IMODE(old.st_mode))
    new.replace(path)


def check_unshared(path: Path) -> None:
    """Raises InputError for what stands where a file of ours is to be written over, and is none of
    ours: a link, by which another file would be written, a pipe, a folder."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise InputError(f"{path}: is in the way, and no file of ours; remove it")


def check_other(out: Path, read: Iterable[Path | str], what: str) -> None:
    """Raises InputError where `out`, to be written, is one of the files that are read: `what`."""
    if out.is_file() and any(Path(path).exists() and out.samefile(path) for path in read):
        raise InputError(f"{out}: is {what}; write to another file")


def check_is_file(path: Path) -> None:
    """Raises InputError for a pipe or a device in the place of a file: reading might never end. A
    folder, or nothing, is for the reader to refuse."""
    with suppress(OSError):  # so is what lies in a folder that may not be entered
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path}: cannot be read: not a file")


def read_bounded(path: Path, largest: int) -> bytes:
    """A file's content. Raises InputError, naming the file, where it is a pipe or a device, cannot
    be read, or has more than `largest` bytes."""
    check_is_file(path)
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > largest:
        raise InputError(f"{path}: is not read: it has more than {largest:,} bytes")
    return data


def _remove_left_over(folder: Path) -> None:
    """Remove the temporary files that no living process has locked."""
    for path in folder.glob(f".*{TEMPORARY}"):
        if path.is_symlink() or not path.is_file():  # not ours; a pipe would be waited for
            continue
        with suppress(OSError), path.open("rb") as file:
            if _lock(file.fileno(), wait=False):
                path.unlink()


def _locked_file(path: Path) -> tuple[int, Path]:
    """A new, empty file beside `path`, open and locked until it is closed."""
    while True:
        handle, name = tempfile.mkstemp(TEMPORARY, f".{path.name[:50]}.", path.parent)
        _lock(handle)
        if Path(name).exists():
            return handle, Path(name)
        os.close(handle)  # another process has removed it, before it was locked


def _lock(handle: int, wait: bool = True) -> bool:
    """Lock an open file until it is closed. False if that cannot be: another process has it and we
    do not wait, or the system knows no such locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_standard_output(found: os.stat_result) -> bool:
    try:
        return os.path.samestat(found, os.fstat(1))
    except OSError:  # it is closed
        return False


@cache  # to be read it must be set, for a moment, for all threads
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256_file(path: Path | str) -> str:
    """The hexadecimal sha256 of a file's bytes. Raises InputError when it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


LARGEST_SUMS = 1 << 20  # bytes: of ten thousand files


def read_sums(folder: Path) -> dict[str, str]:
    """{file: sha256} of a folder's SHA256SUMS, {} without one. A line is the digest, a space, a
    space or (for binary mode) an asterisk, and the name. Raises InputError when it cannot be
    read, or is no list of sums by its size or kind."""
    path = folder / "SHA256SUMS"
    try:
        check_is_file(path)
        if (size := path.stat().st_size) > LARGEST_SUMS:
            raise InputError(f"{path}: is not read: it has {size:,} bytes")
        lines = path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return {name[1:]: digest.lower() for digest, _, name in (line.partition(" ") for line in lines)}


@contextmanager
def lock(path: Path, busy: str | None = None, waiting: str = "") -> Iterator[None]:
    """Hold a lock file; if the process is killed, the lock is released.

    While another process holds it, raises InputError(busy); without `busy`, prints `waiting`, if
    any, and waits. Raises InputError when the file cannot be created.
    """
    from filelock import FileLock, Timeout

    guard = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            guard.acquire(timeout=0)
        except Timeout:
            if busy:
                raise InputError(busy) from None
            if waiting:
                print(waiting, file=sys.stderr)
            guard.acquire()
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be used: {error.strerror or error}") from None
    try:
        yield
    finally:
        guard.release()
