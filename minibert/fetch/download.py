"""Downloads that go on where they broke off, with a progress bar.

The hub's and pooch's own downloaders begin again after an interruption; with this one a slow line
gets hundreds of megabytes through in the end. Whether the bytes are right is checked by the caller.
"""

import importlib.util
import shutil
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
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
