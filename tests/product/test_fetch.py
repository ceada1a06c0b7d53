"""Downloads: fetched once, verified always, gone on with after a break, refused in one line.

No test leaves this machine: a server on the loopback plays the hub and the GLUE host, and pip
finds its wheel in a folder.
"""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.fetch import datasets as glue_data
from minibert.fetch import download as downloads
from minibert.fetch import hub as hub_module
from minibert.fetch import models as weights

COMMIT = "c0ffee" * 6 + "cafe"
REPOSITORY = "some/bert"
BASE = f"/{REPOSITORY}/resolve/"
PATH = f"{BASE}{COMMIT}/"
SOME = 6 * downloads.CHUNK  # bytes that come through before a break
WEIGHTS = hashlib.shake_256(b"weights").digest(300_000)
VOCABULARY = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
CONFIG = json.dumps(BertConfig().to_dict()).encode()
MODEL = {"config.json": CONFIG, "vocab.txt": VOCABULARY, "model.safetensors": WEIGHTS}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Server:
    """What a server has and how it misbehaves; `asked` lists the requests: (method, path, Range).

    breaks: {path: after how many bytes the connection breaks, once}; ranges=False: it always
    sends the whole file; silent: it accepts and never answers; stalls: {path: bytes after which
    nothing follows}.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    stalls: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    silent: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: dict[str, str | None] = field(default_factory=dict)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def count(self, method: str) -> int:
        return sum(asked[0] == method for asked in self.asked)


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path, wanted = self.path, self.headers.get("Range", "")
            server.asked.append((self.command, path, wanted))
            server.tokens[path] = self.headers.get("Authorization")
            if server.silent:
                server.over.wait(5)
                return
            if path.startswith(BASE):  # the hub resolves a branch to a commit
                path = path.replace("/resolve/main/", f"/resolve/{COMMIT}/")
            data = server.files.get(path.removeprefix("/cdn"))
            if data is None:
                self.send_response(404)
                known = any(name.startswith(path.split("/resolve/")[0]) for name in server.files)
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            large = path.endswith(".safetensors")
            start = int(wanted[6:-1]) if wanted and server.ranges else 0
            if large and path.startswith(BASE):  # large files are elsewhere: another origin
                self.send_response(302)
                host = server.url.replace("127.0.0.1", "localhost")
                self.send_header("Location", f"{host}/cdn{path}")
                self.send_header("X-Linked-Etag", f'"{sha256(MODEL["model.safetensors"])}"')
                self.send_header("X-Linked-Size", str(len(data)))
                body, data = False, b""
            elif start >= len(data) > 0:
                self.send_response(416)
                body, data = False, b""
            else:
                self.send_response(206 if wanted and server.ranges else 200)
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            self.send_header("ETag", f'"{git}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if body:
                stop = server.breaks.pop(self.path, server.stalls.get(self.path, len(data)))
                self.wfile.write(data[start:stop])
                self.wfile.flush()
                if self.path in server.stalls:
                    server.over.wait(5)

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


def manifest() -> dict[str, Any]:
    """One model, `small`, with a hash for each file; its wheel is added where a test needs it."""
    facts = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in MODEL.items()}
    facts["config.json"] = {}
    return {"small": {"repository": REPOSITORY, "revision": COMMIT, "files": facts}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, the manifest of `small`, and no way to any network."""
    table = manifest()
    monkeypatch.setattr(weights, "read_manifest", lambda name: table)
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("MINIBERT_GLUE", "MINIBERT_GLUE_URL", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "wheels").mkdir()
    return tmp_path / "home"


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A hub with the repository some/bert."""
    for server in serve(Server({PATH + name: data for name, data in MODEL.items()})):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def add_wheel(home: Path, **changed: bytes) -> None:
    """A wheel of `small`'s files, which pip finds, and its entry in the manifest."""
    contents = MODEL | {name.replace("_", "."): data for name, data in changed.items()}
    path = home.parent / "wheels" / "small_bert_files-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in contents.items():
            wheel.writestr(f"small_bert_files/model/{name}", data)
        wheel.writestr("small_bert_files/__init__.py", "raise SystemExit('never run')")
        info = "small_bert_files-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-bert-files\n"
                       "Version: 1.0\nRequires-Dist: torch\n")  # fmt: skip
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
                       "Tag: py3-none-any\n")  # fmt: skip
        wheel.writestr(f"{info}/RECORD", "")
    weights.read_manifest("")["small"]["wheel"] = {
        "requirement": "small-bert-files==1.0",
        "folder": "small_bert_files/model",
        "bytes": path.stat().st_size,
        "files": {"config.json": {"sha256": sha256(CONFIG)}},
    }


def assert_complete(folder: Path) -> None:
    for name, data in MODEL.items():
        assert (folder / name).read_bytes() == data
    lines = [f"{sha256(MODEL[name])}  {name}\n" for name in MODEL]
    assert (folder / "SHA256SUMS").read_text() == "".join(lines)
    assert sorted(p.name for p in folder.iterdir()) == sorted([*MODEL, "SHA256SUMS"])
    assert weights.locate_model(folder.name) == folder


def refusal(call: Any, *args: Any) -> str:
    """The one line of the InputError that call(*args) raises."""
    with pytest.raises(InputError) as caught:
        call(*args, False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the hub ----------------------------------------------------------------------------------


def test_a_model_is_fetched_once_and_verified_from_then_on(home: Path, hub: Server) -> None:
    folder = weights.fetch_model("small", progress=False)
    assert folder == home / "small"
    assert_complete(folder)
    requests = len(hub.asked)
    assert weights.fetch_model("small", progress=False) == folder
    assert len(hub.asked) == requests


def test_a_manifest_model_may_be_named_by_its_repository(home: Path, hub: Server) -> None:
    assert weights.fetch_model(REPOSITORY, progress=False) == home / "small"
    assert weights.fetch_model(f"{REPOSITORY}@{COMMIT}", progress=False) == home / "small"


def test_the_users_token_goes_to_the_hub_and_not_to_its_storage_host(
    hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    weights.fetch_model("small", progress=False)
    assert hub.tokens[f"{PATH}config.json"] == "Bearer hf_secret"
    assert hub.tokens[f"/cdn{PATH}model.safetensors"] is None


def test_weights_with_another_hash_are_refused_and_removed(home: Path, hub: Server) -> None:
    wrong = WEIGHTS[:-1] + b"x"
    hub.files[f"{PATH}model.safetensors"] = wrong
    line = refusal(weights.fetch_model, "small")
    assert "some/bert/model.safetensors" in line
    assert sha256(WEIGHTS) in line
    assert sha256(wrong) in line
    assert not (home / "small").exists()


def test_a_small_file_damaged_on_the_way_is_refused_by_the_hubs_own_hash(
    home: Path, hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = downloads.download

    def damaging(url: str, path: Path, **options: Any) -> None:
        real(url, path, **options)
        path.write_bytes(path.read_bytes()[:-1] + b" ")

    monkeypatch.setattr(hub_module, "download", damaging)
    line = refusal(weights.fetch_model, "small")
    assert "some/bert/config.json" in line
    assert "expected git hash" in line
    assert not (home / "small").exists()


def test_a_connection_that_breaks_off_is_gone_on_with(home: Path, hub: Server) -> None:
    hub.breaks[f"/cdn{PATH}model.safetensors"] = SOME
    assert_complete(weights.fetch_model("small", progress=False))
    ranges = [r for _, path, r in hub.asked if path.startswith("/cdn")]
    assert ranges == ["", f"bytes={SOME}-"]


def test_a_server_that_ignores_ranges_sends_the_file_again(home: Path, hub: Server) -> None:
    hub.ranges = False
    hub.breaks[f"/cdn{PATH}model.safetensors"] = SOME
    assert_complete(weights.fetch_model("small", progress=False))


def test_an_unfinished_file_longer_than_the_real_one_is_begun_anew(home: Path, hub: Server) -> None:
    (home / "small").mkdir(parents=True)
    (home / "small" / f".model.safetensors.{sha256(WEIGHTS)[:16]}.part").write_bytes(bytes(300_001))
    assert_complete(weights.fetch_model("small", progress=False))


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
import test_fetch as t
table = t.manifest()
t.weights.read_manifest = lambda name: table
t.weights.fetch_model("small", progress=False)
"""


def other_process() -> subprocess.Popen[bytes]:
    here = Path(__file__).parents[1]
    script = SCRIPT.format(paths=[str(here), str(here.parent)])
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)


def wait_for(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_fetch_counts_as_nothing_and_the_next_one_goes_on(home: Path, hub: Server) -> None:
    hub.stalls[f"/cdn{PATH}model.safetensors"] = SOME
    process = other_process()
    part = home / "small" / f".model.safetensors.{sha256(WEIGHTS)[:16]}.part"
    wait_for(lambda: part.exists() and part.stat().st_size == SOME)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with pytest.raises(InputError, match="not fetched yet; run `minibert fetch small`"):
        weights.locate_model("small")
    hub.stalls.clear()
    assert_complete(weights.fetch_model("small", progress=False))
    assert hub.asked[-1] == ("GET", f"/cdn{PATH}model.safetensors", f"bytes={SOME}-")


def test_two_processes_that_fetch_at_once_fetch_once(home: Path, hub: Server) -> None:
    both = [other_process(), other_process()]
    assert [process.communicate(timeout=15)[1].count(b"Error") for process in both] == [0, 0]
    assert [process.returncode for process in both] == [0, 0]
    assert_complete(home / "small")
    assert sum(path.startswith("/cdn") for _, path, _ in hub.asked) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_file_of_a_fetched_model_is_fetched_again(
    home: Path, hub: Server, name: str
) -> None:
    folder = weights.fetch_model("small", progress=False)
    (folder / name).write_bytes(MODEL[name][:-1] + b" ")
    hub.asked.clear()
    assert_complete(weights.fetch_model("small", progress=False))
    assert {path.rpartition("/")[2] for method, path, _ in hub.asked if method == "GET"} == {name}


def test_files_put_there_by_hand_are_verified_and_taken(home: Path) -> None:
    (home / "small").mkdir(parents=True)
    for name, data in MODEL.items():
        (home / "small" / name).write_bytes(data)
    assert_complete(weights.fetch_model("small", progress=False))


def test_any_bert_of_the_hub_can_be_fetched_at_a_revision(home: Path, hub: Server) -> None:
    weights.read_manifest("").clear()
    folder = weights.fetch_model(f"{REPOSITORY}@main", progress=False)
    assert folder == home / "some--bert@main"
    assert (folder / "SHA256SUMS").exists()
    assert not (folder / "tokenizer.json").exists()
    assert weights.locate_model(f"{REPOSITORY}@main") == folder
    later = [path for _, path, _ in hub.asked if path.endswith("vocab.txt")]
    assert later == [f"{PATH}vocab.txt"] * 2, "one snapshot: the commit that main was"


@pytest.mark.parametrize(
    ("lacks", "has", "words"),
    [
        ("model.safetensors", "pytorch_model.bin", ["only safetensors", "never opened"]),
        ("vocab.txt", "spiece.model", ["neither tokenizer.json nor vocab.txt"]),
        ("config.json", "model.onnx", ["has no config.json"]),
    ],
)
def test_a_repository_that_lacks_a_file_is_refused_and_nothing_stays(
    home: Path, hub: Server, lacks: str, has: str, words: list[str]
) -> None:
    weights.read_manifest("").clear()
    hub.files[PATH + has] = hub.files.pop(PATH + lacks)
    line = refusal(weights.fetch_model, REPOSITORY)
    assert line.startswith(f"{REPOSITORY}: ")
    assert all(word in line for word in words)
    assert not (home / "some--bert").exists()
    assert not any(path.startswith("/cdn") for _, path, _ in hub.asked)


def test_another_kind_of_model_is_refused_by_name_before_its_weights_come(
    home: Path, hub: Server
) -> None:
    weights.read_manifest("").clear()
    hub.files[f"{PATH}config.json"] = b'{"model_type": "roberta"}'
    line = refusal(weights.fetch_model, REPOSITORY)
    assert line == "some/bert: config.json: model_type is 'roberta'; only 'bert' is supported"
    assert not (home / "some--bert").exists()
    assert hub.count("GET") == 1


def test_a_repository_that_is_not_there_is_named(home: Path, hub: Server) -> None:
    assert "no/such" in refusal(weights.fetch_model, "no/such")
    assert "unknown model; known: small" in refusal(weights.fetch_model, "nonsense")


# --- without the hub --------------------------------------------------------------------------


def test_without_the_hub_the_files_come_out_of_the_wheel(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_wheel(home)
    assert_complete(weights.fetch_model("small"))
    said = capsys.readouterr().err
    assert "cannot be reached (Connection refused)" in said
    assert "trying the wheel small-bert-files==1.0" in said


def test_offline_mode_asks_no_hub(home: Path, hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    add_wheel(home)
    assert_complete(weights.fetch_model("small", progress=False))
    assert not hub.asked


def test_a_silent_hub_is_given_up_soon(
    home: Path, hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.silent = True
    monkeypatch.setattr(hub_module, "FIRST_ANSWER", 0.3)
    weights.read_manifest("")["small"]["files"]["config.json"] = {"sha256": sha256(CONFIG)}
    begin = time.monotonic()
    line = refusal(weights.fetch_model, "small")
    assert "no answer within 0.3 seconds" in line
    assert str(home / "small") in line
    assert time.monotonic() - begin < 3
    assert downloads.FIRST_ANSWER <= 12
    assert not (home / "small").exists()


def test_without_hub_and_wheel_one_line_says_both_and_what_to_do(home: Path) -> None:
    add_wheel(home)
    next((home.parent / "wheels").iterdir()).unlink()
    line = refusal(weights.fetch_model, "small")
    assert "127.0.0.1:9 cannot be reached (Connection refused)" in line
    assert "pip download small-bert-files==1.0: Could not find a version" in line
    assert f"put config.json, vocab.txt, model.safetensors into {home / 'small'} by hand" in line


def test_a_python_without_pip_is_told_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_wheel(home)
    venv.create(home.parent / "venv", with_pip=False, symlinks=os.name != "nt")
    binaries = "Scripts" if os.name == "nt" else "bin"
    monkeypatch.setattr(sys, "executable", str(home.parent / "venv" / binaries / "python"))
    assert "has no pip" in refusal(weights.fetch_model, "small")


def test_a_wheel_with_other_weights_is_refused(home: Path) -> None:
    add_wheel(home, model_safetensors=b"other")
    line = refusal(weights.fetch_model, "small")
    assert "small_bert_files-1.0-py3-none-any.whl/model.safetensors" in line
    assert sha256(WEIGHTS) in line
    assert sha256(b"other") in line
    assert not (home / "small").exists()


# --- finding ----------------------------------------------------------------------------------


def test_a_model_is_a_folder_or_a_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_bytes(CONFIG)
    assert weights.locate_model(tmp_path / "mine") == tmp_path / "mine"
    for name in ("small", "other/bert"):
        with pytest.raises(InputError, match=f"{name}: is not fetched yet; run `minibert fetch"):
            weights.locate_model(name)
    with pytest.raises(InputError, match=r"nonsense: .* `minibert fetch NAME` .* small"):
        weights.locate_model("nonsense")


def test_home_is_what_the_environment_says_else_the_checkouts_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path))
    assert weights.home() == tmp_path
    monkeypatch.delenv("MINIBERT_HOME")
    checkout = Path(weights.__file__).parents[2] / "weights"
    if checkout.exists():
        assert weights.home() == checkout
    monkeypatch.setattr(
        weights, "__file__", str(tmp_path / "site" / "minibert" / "fetch" / "models.py")
    )
    assert weights.home().name == "minibert"


def test_an_installed_package_carries_the_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "minibert" / "manifests").mkdir(parents=True)
    (tmp_path / "minibert" / "manifests" / "manifest.toml").write_text("[a]\nrepository = 'b'\n")
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "minibert" / "fetch" / "models.py"))
    assert weights.read_manifest("manifest.toml") == {"a": {"repository": "b"}}
    with pytest.raises(InputError, match=r"glue.toml: is missing"):
        weights.read_manifest("glue.toml")


def test_the_tables_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIBERT_GLUE_URL", raising=False)
    for model in weights.known_models().values():
        assert re.fullmatch("[0-9a-f]{40}", model.revision)
        assert model.files["model.safetensors"]["sha256"]
        assert model.files["vocab.txt"]["sha256"]
        if model.wheel:  # from an index there is no revision: every file needs a hash
            for name, facts in model.files.items():
                both = facts | model.wheel["files"].get(name, {})
                assert re.fullmatch("[0-9a-f]{64}", both["sha256"])
    assert len(glue_data.known_tasks()) == 9
    for task in glue_data.known_tasks().values():
        for source in task["downloads"].values():
            assert re.fullmatch("[0-9a-f]{64}", source["sha256"])
            assert source["bytes"] > 0
            assert source["url"].startswith("https://dl.fbaipublicfiles.com/")


def test_nothing_that_downloads_is_imported_before_it_is_needed() -> None:
    heavy = ("huggingface_hub", "pooch", "requests", "tqdm", "platformdirs", "filelock")
    script = "import sys, minibert.fetch.models, minibert.fetch.datasets; print(*sys.modules)"
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True
    )
    assert not set(heavy) & set(run.stdout.split())


def test_a_missing_package_is_named_with_its_cure() -> None:
    with pytest.raises(InputError, match=r"no_such_package; run `pip install 'minibert\[cli\]'`"):
        downloads.require("no_such_package")


# --- GLUE -------------------------------------------------------------------------------------

TABLES = {
    "train.tsv": b"sentence\tlabel\nyes .\t1\n" * 3000, "dev.tsv": b"sentence\tlabel\nno .\t0\n",
    "test.tsv": b"index\tsentence\n0\thm .\n",
}  # fmt: skip


def archive(members: dict[str, bytes]) -> bytes:
    """A zip file, uncompressed, so that it is large enough to break off."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


@pytest.fixture
def glue(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mirror with SST-2 and the three files of MRPC, and the tables that describe them."""
    extra = {"SST-2/original/train.tsv": b"not this one", "__MACOSX/SST-2/._train.tsv": b"nor this"}
    sst = archive(extra | {f"SST-2/{name}": data for name, data in TABLES.items()})
    raw = ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "mrpc_dev_ids.tsv")
    served = {"/SST-2.zip": sst} | {f"/{name}": name.encode() * 9 for name in raw}
    for server in serve(Server(served)):
        monkeypatch.setenv("MINIBERT_GLUE_URL", server.url)
        set_glue_table(monkeypatch, server)
        yield server


def set_glue_table(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """Tables with the hashes of what the server has now."""

    def table(_: str) -> dict[str, Any]:
        facts = {
            path[1:]: {"from": "glue", "bytes": len(data), "sha256": sha256(data)}
            for path, data in known.items()
        }
        return {
            "urls": {"glue": "http://127.0.0.1:9/"},
            "sst-2": {"folder": "SST-2", "files": ["train.tsv", "dev.tsv"],
                      "unlabelled": ["test.tsv"], "downloads": {"SST-2.zip": facts["SST-2.zip"]}},
            "mrpc": {"folder": "MRPC", "files": [n for n in facts if n[0] == "m"],
                     "downloads": {n: f for n, f in facts.items() if n[0] == "m"}},
        }  # fmt: skip

    known = dict(server.files)
    monkeypatch.setattr(glue_data, "read_manifest", table)


@pytest.mark.parametrize("name", ["sst-2", "SST-2", "sst2"])
def test_a_task_is_fetched_once(home: Path, glue: Server, name: str) -> None:
    assert glue_data.find_task(name) is None
    folder = glue_data.fetch_task(name, progress=False)
    assert folder == home / "glue" / "SST-2" == glue_data.find_task(name)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == TABLES
    assert glue_data.fetch_task(name, progress=False) == folder
    assert len(glue.asked) == 1
    assert {p.name for p in folder.parent.iterdir()} <= {"SST-2", ".SST-2.lock"}


def test_mrpc_comes_as_its_three_raw_files(home: Path, glue: Server) -> None:
    folder = glue_data.fetch_task("mrpc", progress=False)
    assert len(list(folder.iterdir())) == 3
    (folder / "mrpc_dev_ids.tsv").unlink()
    assert glue_data.find_task("mrpc") is None
    assert glue_data.fetch_task("mrpc", progress=False) == glue_data.find_task("mrpc") == folder


def test_the_data_may_be_anywhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, glue: Server
) -> None:
    monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path / "mine"))
    assert glue_data.fetch_task("sst-2", progress=False) == tmp_path / "mine" / "SST-2"


def test_an_archive_with_another_hash_is_refused_and_removed(home: Path, glue: Server) -> None:
    right = glue.files["/SST-2.zip"]
    glue.files["/SST-2.zip"] = wrong = right[:-1] + b"x"
    line = refusal(glue_data.fetch_task, "sst-2")
    assert "SST-2.zip" in line
    assert sha256(right) in line
    assert sha256(wrong) in line
    assert not list(home.rglob("*.zip*"))
    assert glue_data.find_task("sst-2") is None
    glue.files["/SST-2.zip"] = right
    assert glue_data.fetch_task("sst-2", progress=False)


def test_an_archive_that_broke_off_is_gone_on_with_in_a_later_call(
    home: Path, glue: Server
) -> None:
    data = glue.files.pop("/SST-2.zip")
    part = home / "glue" / ".SST-2.part" / "SST-2.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:40_000])
    assert "404" in refusal(glue_data.fetch_task, "sst-2")
    glue.files["/SST-2.zip"] = data
    glue.breaks["/SST-2.zip"] = 40_000 + downloads.CHUNK
    assert glue_data.fetch_task("sst-2", progress=False)
    ranges = [asked for _, _, asked in glue.asked[1:]]
    assert ranges == ["bytes=40000-", f"bytes={40_000 + downloads.CHUNK}-"]


def test_without_a_connection_one_line_says_so(
    home: Path, glue: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINIBERT_GLUE_URL")
    line = refusal(glue_data.fetch_task, "sst-2")
    assert line == "http://127.0.0.1:9/SST-2.zip: Connection refused"
    line = refusal(glue_data.fetch_task, "nonsense")
    assert line == "unknown task 'nonsense'; known: sst-2, mrpc"


@pytest.mark.parametrize("member", ["../train.tsv", "/train.tsv", "SST-2/../../x", "C:\\x.tsv"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(
    home: Path, glue: Server, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    glue.files["/SST-2.zip"] = archive({f"SST-2/{n}": d for n, d in TABLES.items()} | {member: b""})
    set_glue_table(monkeypatch, glue)
    assert "refused; its member" in refusal(glue_data.fetch_task, "sst-2")
    assert glue_data.find_task("sst-2") is None
    assert not list(home.parent.rglob("train.tsv"))


def test_an_archive_without_the_tasks_files_is_named(
    home: Path, glue: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for members, words in ({"a.txt": b""}, "no train.tsv"), ({"S/train.tsv": b""}, "S/dev.tsv"):
        glue.files["/SST-2.zip"] = archive(members)
        set_glue_table(monkeypatch, glue)
        line = refusal(glue_data.fetch_task, "sst-2")
        assert line.startswith("SST-2.zip: ")
        assert words in line
