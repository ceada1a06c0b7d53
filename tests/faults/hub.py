"""A hub and a host of archives that mean harm: each misbehaves in one way, and then is good.

The fetch that meets it is refused in one line, or has the right files; nothing outside the cache is
written; and the next fetch, from a good server, has the right files: no cache is poisoned.
"""

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import loopback
from faults.child import fault_of, files, minibert, run_child
from faults.kills import new_folder
from loopback import COMMIT, Server, serve

from adapters.output import LINE_UP
from minibert.config import BertConfig

MODEL = {
    "config.json": json.dumps(BertConfig().to_dict()).encode(),
    "vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n",
    "model.safetensors": b"weights " * 40_000,
}
TABLE = {"SST-2/train.tsv": b"sentence\tlabel\na\t1\n" * 99, "SST-2/dev.tsv": b"sentence\tlabel\n"}
API, FILE = "/api/models/", "/resolve/"  # what is asked for

Misbehave = Callable[[Any, str], bool]  # is given the request; whether it has answered


class Mode(NamedTuple):
    """How a server misbehaves, when asked for a path with this in it."""

    asked: str
    answer: Callable[[Any], None]


def status(code: int, reason: str = "", **headers: str) -> Callable[[Any], None]:
    """An answer with this status and no content."""

    def answer(request: Any) -> None:
        request.send_response(code, reason or None)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def content(data: bytes, code: int = 200, **headers: str) -> Callable[[Any], None]:
    """An answer with this content."""

    def answer(request: Any) -> None:
        request.send_response(code)
        usual = {"X_Repo_Commit": COMMIT, "ETag": '"abc"', "Content_Length": str(len(data))}
        for name, value in {**usual, **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data)

    return answer


def raw(data: bytes) -> Callable[[Any], None]:
    """These bytes, which need not be HTTP."""

    def answer(request: Any) -> None:
        with suppress(OSError):
            request.wfile.write(data)
        request.close_connection = True

    return answer


def of_api(**changes: Any) -> Callable[[Any], None]:
    """What the hub says of a repository, changed."""
    usual = {"id": "some/bert", "sha": COMMIT, "siblings": [{"rfilename": n} for n in MODEL]}
    return content(json.dumps({**usual, **changes}).encode(), Content_Type="application/json")


MODES: dict[str, Mode] = {
    **{
        f"status {code}, {what}": Mode(asked, status(code))
        for code in (400, 401, 403, 404, 416, 429, 500, 503)
        for what, asked in (("of the repository", API), ("of a file", FILE))
    },
    "a reason that a terminal obeys": Mode(API, status(500, "\x1b[2Jgone\x07")),
    "an error code of thousands of characters": Mode(API, status(404, X_Error_Code="x" * 9000)),
    "an error message with a terminal's codes": Mode(
        API, status(403, X_Error_Message="\x1b]0;title\x07 pay here")
    ),
    "a redirect to itself": Mode(API, status(302, Location="/api/models/some/bert/revision/main")),
    "a redirect to a file": Mode(FILE, status(302, Location="file:///etc/hostname")),
    "a redirect to nowhere": Mode(FILE, status(307, Location="http://127.0.0.1:9/x")),
    "a redirect to no address": Mode(FILE, status(302, Location="http://[::")),
    "no HTTP": Mode(API, raw(b"\x16\x03\x01\x02\0" * 99)),
    "no byte": Mode(API, raw(b"")),
    "a status of another kind": Mode(API, raw(b"HTTP/1.1 999999999999 OK\r\n\r\n")),
    "headers without end": Mode(API, raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99_999)),
    "a header of a megabyte": Mode(API, raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2**20)),
    "chunks of another length": Mode(
        API, raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n")
    ),
    "a page instead of JSON": Mode(API, content(b"<html>Log in</html>")),
    "JSON of another form": Mode(API, content(b"[1, 2]")),
    "JSON of 100,000 brackets": Mode(API, content(b"[" * 100_000)),
    "JSON with a number of 9,999 digits": Mode(API, content(b'{"id": ' + b"9" * 9999 + b"}")),
    "files that are no list": Mode(API, of_api(siblings=7)),
    "files without names": Mode(API, of_api(siblings=[{}])),
    "a file outside the folder": Mode(
        API, of_api(siblings=[{"rfilename": f"../../{n}"} for n in MODEL])
    ),
    "a commit outside the cache": Mode(API, of_api(sha="../../../../victim")),
    "a file of a commit outside the cache": Mode(
        FILE, content(b"victim", X_Repo_Commit="../../../../victim")
    ),
    "a digest outside the cache": Mode(FILE, content(b"victim", ETag='"../../../victim"')),
    "a file without digest": Mode(FILE, content(b"{}", ETag="")),
    "a file without a commit": Mode(FILE, content(b"{}", X_Repo_Commit="")),
    "a length below 0": Mode(FILE, content(b"{}", Content_Length="-5")),
    "a length that is no number": Mode(FILE, content(b"{}", Content_Length="many")),
    "a length of 10^30": Mode(FILE, content(b"{}", Content_Length=str(10**30))),
    "fewer bytes than announced": Mode(FILE, content(b"{}", Content_Length="900")),
    "a packed file that is not packed": Mode(API, content(b"{}", Content_Encoding="gzip")),
    "another file in its place": Mode("config.json", content(b'{"model_type": "gpt2"}')),
    "a config of 100,000 brackets": Mode("config.json", content(b"[" * 100_000)),
}


def zip_of(members: dict[str, bytes], mode: int = 0) -> bytes:
    """An archive with these members."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            file.writestr(info, text)
    return data.getvalue()


def marked_encrypted(data: bytes) -> bytes:
    """An archive whose members are said to be encrypted."""
    return data.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0")


GOOD = zip_of(TABLE)
ARCHIVES: dict[str, bytes] = {
    "no archive": b"<html>Log in</html>",
    "nothing": b"",
    "an archive cut in the middle": GOOD[: len(GOOD) // 2],
    "an archive without its beginning": GOOD[40:],
    "a flipped byte in a member": GOOD[:60] + bytes([GOOD[60] ^ 255]) + GOOD[61:],
    "members outside the folder": zip_of({f"../../{name}": b"victim" for name in TABLE}),
    "members with absolute names": zip_of({f"/tmp/victim/{name}": b"victim" for name in TABLE}),
    "members that are links": zip_of(dict.fromkeys(TABLE, b"/etc/hostname"), stat.S_IFLNK | 0o777),
    "members that are folders": zip_of({f"{name}/": b"" for name in TABLE}),
    "other members": zip_of({"x": b"y"}),
    "members of 100 MB of zeros": zip_of({**TABLE, "SST-2/x": bytes(100_000_000)}),
    "members that are encrypted": marked_encrypted(GOOD),
    "a name of 9,999 characters": zip_of({**TABLE, "SST-2/" + "x" * 9999: b""}),
    "an archive in an archive": zip_of({"SST-2.zip": GOOD}),
}


def modes() -> int:
    """How many ways there are."""
    return len(MODES) + len(ARCHIVES)


def hostile(number: int) -> str:
    """Meet the server that misbehaves in the way of this number."""
    name = [*MODES, *ARCHIVES][number]
    with new_folder() as folder:
        if name in MODES:
            call = lambda mode: fetching_a_model(folder / "home", mode)  # noqa: E731
            fault = meet(call, MODES[name])
        else:
            call = lambda data: fetching_a_table(folder / "home", data)  # noqa: E731
            fault = meet(call, ARCHIVES[name])
        outside = {path for path in files(folder) if not path.startswith("home/")}
        fault = fault or (f"written outside: {outside}" if outside else "")
    return f"{name}: {fault}" if fault else ""


def meet(call: Callable[[Any], Callable[[], int]], way: Any) -> str:
    """Fetch from the server in its way, then from a good one."""
    first = run_child(call(way))
    if fault := fault_of(first):
        return fault
    if "\x1b" in first.err.replace(LINE_UP, ""):  # which draws progress bars
        return f"a terminal obeys: {first.err!r}"
    second = run_child(call(None))
    return "" if second.code == 0 else f"afterwards: {second.err[-300:]!r}"


@contextmanager
def served(server: Server, mode: Mode | None) -> Iterator[Server]:
    """The loopback's server, which misbehaves in this way."""
    usual = loopback.handler

    def handler(server: Server) -> Any:
        class Handler(usual(server)):  # type: ignore[misc]
            def respond(self) -> None:
                if mode is not None and mode.asked in self.path:
                    server.asked.append((self.command, self.path))
                    mode.answer(self)
                else:
                    super().respond()

        return Handler

    with patch.object(loopback, "handler", handler):
        yield from serve(server)


def settings(home: Path) -> dict[str, str]:
    """A home and a hub's cache of one's own; no other way to any network."""
    return {
        "MINIBERT_HOME": str(home / "minibert"),
        "HF_HOME": str(home / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_ETAG_TIMEOUT": "2",
        "PIP_NO_INDEX": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "TMPDIR": str(home),
    }


def fetching_a_model(home: Path, mode: Mode | None) -> Callable[[], int]:
    """To be called in a child: `minibert fetch some/bert`; 0 if the files are the right ones."""

    def call() -> int:
        (home / "minibert").mkdir(parents=True, exist_ok=True)
        os.environ.update(settings(home))
        hub = Server({f"/some/bert/{name}": data for name, data in MODEL.items()})
        with served(hub, mode) as server:
            os.environ["HF_ENDPOINT"] = server.url
            patient()
            code = minibert("fetch", "some/bert")()
            if code == 0:
                (place,) = (home / "hf").rglob(f"snapshots/*/{'config.json'}")
                whole = {path.name: path.read_bytes() for path in place.parent.iterdir()}
                assert mode is not None or whole == MODEL, f"other files: {sorted(whole)}"
        return code

    return call


def patient() -> None:
    """Nobody waits here between two attempts."""
    import time

    time.sleep = lambda seconds: None  # type: ignore[assignment]


def fetching_a_table(home: Path, data: bytes | None) -> Callable[[], int]:
    """To be called in a child: `minibert fetch sst-2`, whose archive, known, is this one."""

    def call() -> int:
        (home / "minibert").mkdir(parents=True, exist_ok=True)
        for name in ("MINIBERT_GLUE", "MINIBERT_SQUAD"):
            os.environ.pop(name, None)
        os.environ.update(settings(home))
        from minibert.fetch import datasets

        archive = GOOD if data is None else data
        known = {"bytes": len(archive), "sha256": hashlib.sha256(archive).hexdigest(), "url": ""}
        about = {"folder": "SST-2", "files": ["train.tsv", "dev.tsv"]}
        table = {"sst-2": {**about, "downloads": {"SST-2.zip": known}}}
        with (
            served(Server({"/SST-2.zip": archive}), None) as server,
            patch.object(datasets, "read_manifest", lambda name: table),
        ):
            os.environ["MINIBERT_GLUE_URL"] = server.url
            code = minibert("fetch", "sst-2")()
        if code == 0:
            place = home / "minibert" / "glue" / "SST-2"
            assert all((place / n).is_file() for n in ("train.tsv", "dev.tsv"))
        return code

    return call
