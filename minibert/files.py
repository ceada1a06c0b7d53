"""Files written whole or not at all, their hashes, and downloads, which go on until whole."""

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from minibert.errors import InputError

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
CONNECT, READ = 4, 15  # seconds for one connection attempt, and between two pieces of data
FIRST_ANSWER = 12  # seconds until a server must have begun to answer, whatever the cause
ATTEMPTS = 5
CHUNK = 1 << 14  # what a break loses at most


class Unreachable(InputError):
    """A source does not give a file: no connection, no answer, an error status. Another may."""


def require(module: str) -> None:
    """Raises InputError, saying what to install, when a package of the `cli` extra is missing."""
    if importlib.util.find_spec(module) is None:
        raise InputError(f"this needs the package {module}; run `pip install 'minibert[cli]'`")


def atomic_write(path: Path | str, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    The data goes to a temporary neighbour, to the disk, and only then gets the name. Raises
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


def verify(path: Path, name: str, digest: str) -> None:
    """Refuse a file that is not the promised one, and delete it.

    digest: a sha256 (64 hexadecimal digits), or the 40 of the name that git gives to the
    content, which is what the hub states of small files. Raises InputError, naming the file by
    `name` and both hashes.
    """
    if len(digest) == 40:
        data = path.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    else:
        found = sha256_file(path)
    if found != digest:
        path.unlink()
        kind = "git hash" if len(digest) == 40 else "sha256"
        raise InputError(f"{name}: expected {kind} {digest}, found {found}; deleted the file")


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file; wait while another process holds it. A killed process holds none.

    Raises InputError when the file cannot be made (a folder without write permission).
    """
    from filelock import FileLock, Timeout

    guard = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            guard.acquire(timeout=0)
        except Timeout:
            print(f"{what}: another process is fetching it; waiting", file=sys.stderr)
            guard.acquire()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        guard.release()


def bar(label: str, total: int | None, progress: bool, start: int = 0) -> "tqdm[Any]":
    """A progress bar in bytes on stderr; in a log, where it cannot redraw, a line now and then."""
    from tqdm import tqdm

    pace = 0.1 if sys.stderr.isatty() else 5
    return tqdm(desc=label, total=total, initial=start, disable=not progress, mininterval=pace,
                delay=0.2, unit="B", unit_scale=True)  # fmt: skip


def reason(error: BaseException) -> str:
    """The innermost cause of a network error, in one line."""
    while (cause := error.__cause__ or error.__context__) and str(cause):
        error = cause
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().splitlines()[0]


def within(seconds: float, call: Callable[[], T]) -> T:
    """call()'s value, or TimeoutError after `seconds`.

    Timeouts of sockets are not enough: a name look-up has none, and a host with eight addresses
    takes eight of them. The thread left behind ends with its own timeouts or with the process.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return answer.result(timeout=seconds)
    except TimeoutError:
        if answer.done():
            raise  # the call's own
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None


def download(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    headers: dict[str, str] | None = None,
    progress: bool = True,
    label: str = "",
) -> None:
    """GET a URL into `path`. What is there already counts as the file's beginning: a download
    that broke off goes on (HTTP Range), now or in a later call. Verifying is the caller's part.

    Raises Unreachable when the server gives nothing (any more), InputError when the disk is full.
    """
    import requests

    for _ in range(ATTEMPTS):
        start = path.stat().st_size if path.exists() else 0
        if start and start == size:
            return
        try:
            free = shutil.disk_usage(path.parent).free
            if size and size - start > free:
                raise InputError(f"{path.parent}: needs {size - start:,} bytes, has {free:,} free")
            _get(url, path, start, size, headers or {}, progress, label or path.name)
            return
        except (requests.RequestException, TimeoutError) as error:
            failure = f"{url.split('?')[0]}: {reason(error)}"
            if not path.exists() or path.stat().st_size <= start:
                break  # not one byte came: waiting longer is the user's choice, not ours
            time.sleep(0.2)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    raise Unreachable(failure)


def _get(
    url: str, path: Path, start: int, size: int | None, headers: dict[str, str], progress: bool,
    label: str,
) -> None:  # fmt: skip
    import requests

    # identity: a compressed answer has no byte positions to go on from
    asked = {**headers, "Accept-Encoding": "identity"}
    if start:
        asked["Range"] = f"bytes={start}-"
    get = partial(requests.get, url, headers=asked, stream=True, timeout=(CONNECT, READ))
    with within(FIRST_ANSWER, get) as response:
        if response.status_code == 416:  # nothing can follow: it began another file than this one
            path.unlink()
            return _get(url, path, 0, size, headers, progress, label)
        if response.status_code not in (200, 206):
            raise Unreachable(f"{url.split('?')[0]}: {response.status_code} {response.reason}")
        start = start if response.status_code == 206 else 0  # 200: the whole file from its start
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else size
        mode = "ab" if start else "wb"
        with path.open(mode) as file, bar(label, total, progress, start) as meter:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                meter.update(len(chunk))
    if length and path.stat().st_size < start + int(length):
        raise requests.ConnectionError("the connection broke off")


def zip_names(archive: Path) -> list[str]:
    """The members of a zip file. Raises InputError when it is damaged, or when a member's name
    would lead out of the folder that it is unpacked in."""
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{archive.name}: is no readable zip file: {error}") from None
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            raise InputError(f"{archive.name}: refused; its member {name!r} leads out of a folder")
    return names


def unzip(archive: Path, members: dict[str, Path], progress: bool = True) -> None:
    """Unpack {member: file to write}, and nothing else. Raises InputError when it cannot be."""
    missing = members.keys() - set(zip_names(archive))
    if missing:
        raise InputError(f"{archive.name}: lacks {min(missing)}")
    try:
        with zipfile.ZipFile(archive) as file:
            for member, target in members.items():
                size = file.getinfo(member).file_size
                with (
                    file.open(member) as source,
                    target.open("wb") as out,
                    bar(f"unpacking {Path(member).name}", size, progress) as meter,
                ):
                    while chunk := source.read(CHUNK):
                        out.write(chunk)
                        meter.update(len(chunk))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(f"{archive.name}: is damaged: {error}") from None
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written: {error.strerror}") from None
