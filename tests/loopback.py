"""A server on the loopback that plays the Hugging Face hub and the hosts of GLUE and SQuAD, so that
the real downloads run and nothing leaves this machine."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "c0ffee" * 6 + "cafe"
NOWHERE = "http://127.0.0.1:9"  # nobody listens there


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Server:
    """What a server has and how it misbehaves; `asked` lists the requests: (method, path).

    files: {path: content}; /ORG/NAME/FILE is also in that repository of the hub. refusals: {path:
    (status, the hub's error code)}. breaks: {path: the bytes after which the connection breaks,
    once}. stalls: {path: the bytes after which nothing follows}. silent: it never answers. endless:
    paths whose content never ends, though its length is announced as usual; `sent`, how much was.

    What pushes leave: `made` and `private`, names of repositories; `stored`, large files by sha256,
    which come before the commit of them. card_errors: what is wrong with every card. head: the
    commit of all repositories; another value is a branch that has moved.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    stalls: dict[str, int] = field(default_factory=dict)
    silent: bool = False
    endless: set[str] = field(default_factory=set)
    sent: int = 0
    made: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    stored: dict[str, bytes] = field(default_factory=dict)
    card_errors: list[str] = field(default_factory=list)
    head: str = COMMIT
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: dict[str, str | None] = field(default_factory=dict)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def got(self) -> list[str]:
        """The names of the files of which the content was asked for."""
        paths = (path for method, path in self.asked if method == "GET")
        return [path.rpartition("/")[2] for path in paths if not path.startswith("/api/")]

    def repository(self, name: str) -> dict[str, bytes]:
        """{file: content} of a repository of the hub."""
        parts = (path[1:].split("/") for path in self.files)
        known = ["/".join(part) for part in parts if len(part) == 3]
        return {n[len(name) + 1 :]: self.files[f"/{n}"] for n in known if n.startswith(f"{name}/")}


def upload_mode(path: str) -> dict[str, Any]:
    """As the hub has it: files of tensors are large, whatever their size."""
    mode = "lfs" if path.endswith(".safetensors") else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False}


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.respond()

        def do_GET(self) -> None:
            self.respond()

        def do_POST(self) -> None:
            """What a push asks for: a repository, how to upload its files, a commit of them."""
            path = self.path.partition("?")[0]
            server.asked.append((self.command, path))
            server.tokens[path] = self.headers.get("Authorization")
            body = self.read_body()
            if path in server.refusals:
                status, code = server.refusals[path]
                self.send({"X-Error-Code": code}, status=status)
            elif not server.tokens[path]:
                self.send({}, status=401)
            elif path == "/api/repos/create":
                about = json.loads(body)
                name = "/".join(filter(None, (about.get("organization"), about["name"])))
                exists = name in server.made or bool(server.repository(name))
                if not exists:
                    server.made.add(name)
                    if about.get("private") or about.get("visibility") == "private":
                        server.private.add(name)
                self.answer({"url": f"{server.url}/{name}"}, 409 if exists else 200)
            elif path == "/api/validate-yaml":  # a card's head
                errors = [{"message": message} for message in server.card_errors]
                self.answer({"errors": errors, "warnings": []}, 400 if errors else 200)
            elif "/preupload/" in path:
                asked = json.loads(body)["files"]
                self.answer({"files": [upload_mode(file["path"]) for file in asked]})
            elif path.endswith("/objects/batch"):  # where to put large files
                self.answer({"transfer": "basic", "objects": self.places(json.loads(body))})
            elif "/commit/" in path:
                name = path.removeprefix("/api/models/").partition("/commit/")[0]
                self.commit(name, [json.loads(line) for line in body.splitlines()])
            else:
                self.send({}, status=404)

        def do_PUT(self) -> None:
            """A large file, to where the hub has said."""
            server.asked.append((self.command, self.path))
            data = self.read_body()
            server.stored[sha256(data)] = data
            self.send({})

        def read_body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def places(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
            """Each large file that is not stored yet has an address to be put to."""
            return [
                {**file}
                if file["oid"] in server.stored
                else {**file, "actions": {"upload": {"href": f"{server.url}/put/{file['oid']}"}}}
                for file in asked["objects"]
            ]

        def commit(self, name: str, lines: list[dict[str, Any]]) -> None:
            """Small files come in the commit itself, large ones have been stored before it."""
            (header,) = (line["value"] for line in lines if line["key"] == "header")
            if header.get("parentCommit", server.head) != server.head:
                return self.answer({"error": "A commit has happened since"}, 412)
            for kind, file in ((line["key"], line["value"]) for line in lines):
                if kind == "file":
                    server.files[f"/{name}/{file['path']}"] = base64.b64decode(file["content"])
                elif kind == "lfsFile":
                    server.files[f"/{name}/{file['path']}"] = server.stored[file["oid"]]
            url = f"{server.url}/{name}/commit/{server.head}"
            self.answer({"success": True, "commitOid": server.head, "commitUrl": url})

        def answer(self, value: Any, status: int = 200) -> None:
            self.send({"Content-Type": "application/json"}, json.dumps(value).encode(), status)

        def respond(self) -> None:
            path = self.path.partition("?")[0]
            if (
                path == "/api/agent-harnesses"
            ):  # asked by huggingface_hub where it suspects an agent
                return self.send({}, status=404)
            server.asked.append((self.command, path))
            server.tokens[path] = self.headers.get("Authorization")
            if server.silent:
                server.over.wait(5)
            elif path in server.refusals:
                status, code = server.refusals[path]
                self.send({"X-Error-Code": code}, status=status)
            elif path.startswith("/api/models/"):
                self.describe(*path.removeprefix("/api/models/").split("/revision/"))
            elif "/resolve/" in path:
                self.resolve(*path[1:].split("/resolve/"))
            elif (found := server.files.get(path.removeprefix("/cdn"))) is not None:
                self.send({}, found)
            else:
                self.send({}, status=404)

        def describe(self, name: str, revision: str = "main") -> None:
            """What the hub says of a repository: its commit and its files."""
            files = server.repository(name)
            if not files and name not in server.made:
                self.send({"X-Error-Code": "RepoNotFound"}, status=401)
            elif revision not in ("main", server.head):
                self.send({"X-Error-Code": "RevisionNotFound"}, status=404)
            else:
                siblings = [{"rfilename": file} for file in files]
                private = name in server.private
                self.answer(
                    {"id": name, "sha": server.head, "siblings": siblings, "private": private}
                )

        def resolve(self, name: str, file: str) -> None:
            """One file of a repository. Large ones are elsewhere: a redirect to another origin."""
            data = server.repository(name).get(file.partition("/")[2])
            if data is None:
                self.send(
                    {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": server.head}, status=404
                )
            elif file.endswith(".safetensors"):
                elsewhere = server.url.replace("127.0.0.1", "localhost")
                facts = {
                    "Location": f"{elsewhere}/cdn/{name}/{file.partition('/')[2]}",
                    "X-Linked-Etag": f'"{sha256(data)}"',
                    "X-Linked-Size": str(len(data)),
                    "X-Repo-Commit": server.head,
                }
                self.send(facts, status=302)
            else:
                git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                self.send({"ETag": f'"{git}"', "X-Repo-Commit": server.head}, data)

        def send(self, headers: dict[str, str], data: bytes = b"", status: int = 200) -> None:
            if self.command == "GET" and self.path.partition("?")[0] in server.endless:
                return self.send_without_end(headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                stop = server.breaks.pop(self.path, server.stalls.get(self.path, len(data)))
                self.wfile.write(data[:stop])
                self.wfile.flush()
                if self.path in server.stalls:
                    server.over.wait(20)

        def send_without_end(self, headers: dict[str, str]) -> None:
            """Zeros in chunks, up to 200 MB."""
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(OSError):  # the client has had enough
                while server.sent < 200_000_000:
                    self.wfile.write(b"100000\r\n" + bytes(0x100000) + b"\r\n")
                    server.sent += 0x100000
                self.wfile.write(b"0\r\n\r\n")

    return Handler


def serve(server: Server) -> Iterator[Server]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.over.set()
    http.shutdown()
    http.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a hub's cache of one's own, and no way to any network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    settings = {
        "MINIBERT_HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": NOWHERE,
        "HF_HUB_OFFLINE": "0",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    datasets = ("MINIBERT_GLUE", "MINIBERT_GLUE_URL", "MINIBERT_SQUAD", "MINIBERT_SQUAD_URL")
    hub = ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_ETAG_TIMEOUT", "TRANSFORMERS_OFFLINE")
    for name in (*datasets, *hub):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "wheels").mkdir()
    return tmp_path / "home"
