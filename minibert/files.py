"""Atomic writes, file hashes, locks."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minibert.errors import InputError


def atomic_write(path: Path | str, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    The data is written to a temporary file beside it, synced to disk, and renamed. Raises
    InputError, naming the file, when it cannot be written (a full disk, no permission); the old
    content is then still there.
    """
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp's files are private
        Path(temporary).replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


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


def parse_json(text: str | bytes, where: object) -> Any:
    """JSON that came from outside. Raises InputError, naming `where`, for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter for brackets without end
        raise InputError(f"{where}: is not JSON: {error}") from None


def read_json(path: Path) -> Any:
    """A JSON file's content. Raises InputError, naming the file, when it cannot be read."""
    try:
        return parse_json(path.read_text("utf-8"), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not JSON: {error}") from None


def read_sums(folder: Path) -> dict[str, str]:
    """{file: sha256} of a folder's SHA256SUMS, {} without one. A line is the digest, a space, a
    space or (for binary mode) an asterisk, and the name."""
    try:
        lines = (folder / "SHA256SUMS").read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    return {name[1:]: digest for digest, _, name in (line.partition(" ") for line in lines)}


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
