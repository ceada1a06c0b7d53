"""What a server answers is looked at before it stays in the cache. What is damaged goes, and the
next fetch asks again; what is whole, but of no use here, stays: other programs may want it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import loopback
import pytest
from loopback import Server, serve

from minibert.config import BertConfig

ROOT = Path(__file__).parents[2]
INDEX = "model.safetensors.index.json"
CONFIG = json.dumps(BertConfig().to_dict()).encode()
SHARDS = json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode()
GOOD = {
    "config.json": CONFIG,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "vocab.txt": b"[PAD]\n",
    INDEX: SHARDS,
    "model-1.safetensors": b"weights",
}
BAD = {
    "brackets": b"[" * 100_000,
    "deep": b'{"a":' * 500 + b"1" + b"}" * 500,
    "digits": b'{"vocab_size": ' + b"9" * 5000 + b"}",
    "a page": b"<!DOCTYPE html><html>Sign in</html>",
    "nothing": b"",
}
SCRIPT = """
import sys
from minibert.errors import InputError
from minibert.fetch import models
for name in sys.stdin:
    try:
        print(models.fetch_model(name.strip(), progress=False), flush=True)
    except InputError as error:
        print("InputError:", error, flush=True)
"""


@dataclass
class Hub:
    """One repository of a hub on the loopback, and a process that fetches it."""

    name: str
    server: Server
    process: subprocess.Popen[str]
    home: Path

    def puts(self, file: str, data: bytes) -> None:
        """The repository has a file."""
        self.server.files[f"/{self.name}/{file}"] = data

    def downloads(self, file: str) -> int:
        """How often the content of a file was asked for."""
        gets = (path for method, path in self.server.asked if method == "GET")
        return sum(path.startswith(f"/{self.name}/") and path.endswith(f"/{file}") for path in gets)

    def fetch(self) -> str:
        """What fetching the model says: its folder, or the error's line."""
        assert self.process.stdin
        assert self.process.stdout
        print(self.name, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def cached(self) -> tuple[set[str], list[bytes]]:
        """The names of its files in the hub's cache, and what is in those that are not empty."""
        folder = self.home / "hub" / f"models--{self.name.replace('/', '--')}"
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.name for path in files}, [p.read_bytes() for p in files if p.stat().st_size]


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub without files, and the process: one for all tests, as its imports take longest."""
    home = tmp_path_factory.mktemp("home")
    for server in serve(Server()):
        own = ("HF_TOKEN", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE", "HF_HUB_ETAG_TIMEOUT")
        settings = {
            **{name: value for name, value in os.environ.items() if name not in own},
            "PYTHONPATH": str(ROOT),
            "MINIBERT_HOME": str(home / "minibert"),
            "HF_HOME": str(home),
            "HF_ENDPOINT": server.url,
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        with subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield Hub("", server, process, home)


@pytest.fixture
def hub(fetching: Hub) -> Hub:
    """A new repository that has all files."""
    hub = replace(fetching, name=f"some/bert-{len(fetching.server.files)}")
    for file, data in GOOD.items():
        hub.puts(file, data)
    return hub


@pytest.mark.parametrize(
    "name, what",
    [
        ("config.json", "brackets"),
        ("config.json", "digits"),
        ("config.json", "nothing"),
        (INDEX, "deep"),
        ("tokenizer.json", "a page"),
        ("model-1.safetensors", "a page"),
        ("vocab.txt", "a page"),
    ],
)
def test_a_bad_answer_is_refused_and_not_kept(hub, name, what):
    hub.puts(name, BAD[what])
    line = hub.fetch()
    assert line.startswith("InputError: ")
    assert name in line
    names, contents = hub.cached()
    assert name not in names
    assert BAD[what] not in contents
    hub.puts(name, GOOD[name])  # the server is well again
    assert not hub.fetch().startswith("InputError")


def test_weights_with_another_digest_than_announced_are_refused_and_not_kept(hub, monkeypatch):
    real = loopback.sha256
    monkeypatch.setattr(loopback, "sha256", lambda data: real(data + b"as sent by the author"))
    line = hub.fetch()
    assert line.startswith("InputError: ")
    assert f"found {real(GOOD['model-1.safetensors'])}; deleted the file" in line
    names, contents = hub.cached()
    assert "model-1.safetensors" not in names
    assert GOOD["model-1.safetensors"] not in contents


@pytest.mark.parametrize(
    "name, unsupported, why",
    [
        ("config.json", {"model_type": "gpt2"}, "model_type is 'gpt2'"),
        ("config.json", {}, "model_type"),
        ("config.json", {"model_type": "bert", "hidden_act": "swish"}, "hidden_act"),
        (INDEX, {"metadata": {}}, "weight_map"),
        (INDEX, {"weight_map": {"a": "parts/model-1.safetensors"}}, "no name of a file"),
    ],
)
def test_a_whole_file_that_is_not_supported_is_refused_and_stays(hub, name, unsupported, why):
    data = json.dumps(unsupported).encode()
    hub.puts(name, data)
    lines = {hub.fetch(), hub.fetch()}
    (line,) = lines
    assert line.startswith("InputError: ")
    assert why in line
    names, contents = hub.cached()
    assert name in names
    assert data in contents
    assert hub.downloads(name) == 1
    hub.puts(name, GOOD[name])  # and the answer was wrong after all
    assert not hub.fetch().startswith("InputError")
    assert data in hub.cached()[1]


def test_a_damaged_file_that_was_in_the_cache_before_is_asked_for_again(hub):
    folder = Path(hub.fetch())
    (folder / "model-1.safetensors").unlink()  # so that the model is fetched again
    (folder / "config.json").resolve().write_bytes(CONFIG[:99])  # as after a power cut
    assert hub.fetch().startswith(f"InputError: {folder / 'config.json'}: is not JSON")
    assert hub.fetch() == str(folder)
    assert (folder / "config.json").read_bytes() == CONFIG
