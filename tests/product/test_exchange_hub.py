"""Tasks from and to the hub: `minibert import ORG/NAME`, `minibert push`.

The hub is a server on the loopback. What asks it runs in a process of its own: `huggingface_hub`
reads its settings when it is imported.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import COMMIT, NOWHERE, Server, serve

from adapters.exchange import import_adapter
from adapters.exchange.card import model_card
from adapters.task_file import save_task
from minibert.checkpoint import Base

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "goldens" / "tiny"
EXCHANGE = ROOT / "tests" / "goldens" / "exchange"
REPOSITORY = "some/task"


def minibert(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "minibert", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(*words: object, **environment: str) -> str:
    """The one line of a command that ends with exit code 2."""
    done = minibert(*words, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


def repository(folder: str, name: str = REPOSITORY) -> dict[str, bytes]:
    """The files of one of the goldens, as a repository of the hub has them."""
    paths = (EXCHANGE / folder).iterdir()
    return {f"/{name}/{path.name}": path.read_bytes() for path in paths}


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An empty hub, and somebody who is known to it."""
    for server in serve(Server()):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_mine")
        yield server


@pytest.fixture
def task_file(tiny: Base, tmp_path: Path) -> Path:
    """A task with a result, in a file."""
    task = import_adapter(EXCHANGE / "houlsby", tiny)
    save_task(tmp_path / "mine.safetensors", replace(task, results={"accuracy": 0.875}))
    return tmp_path / "mine.safetensors"


def push(path: Path, *more: object, **environment: str) -> subprocess.CompletedProcess[str]:
    words = (path, REPOSITORY, "--licence", "mit", "--base", TINY)
    return minibert("push", *words, *more, **environment)


class TestImport:
    @pytest.mark.parametrize("name", ["houlsby", "lora", "whole-head"])
    def test_each_format_is_imported_from_a_repository(self, hub, tiny, tmp_path, name):
        hub.files |= repository(name)
        out = tmp_path / "task.safetensors"
        done = minibert("import", REPOSITORY, "--out", out, "--base", TINY)
        assert done.returncode == 0, done.stderr
        import_adapter(EXCHANGE / name, tiny, out=tmp_path / "local.safetensors")
        local = (tmp_path / "local.safetensors").read_bytes()
        if name != "whole-head":  # which is named after its folder, there a commit
            assert out.read_bytes() == local

    def test_only_what_is_needed_is_fetched_and_never_a_pickle(self, hub, tmp_path):
        others = ("pytorch_adapter.bin", "README.md", "optimizer.pt", "big.safetensors")
        hub.files |= repository("houlsby") | {f"/{REPOSITORY}/{n}": b"x" for n in others}
        out = tmp_path / "task.safetensors"
        assert minibert("import", REPOSITORY, "--out", out, "--base", TINY).returncode == 0
        assert not {*others} & {*hub.got()}

    def test_what_is_in_the_cache_is_used_offline(self, hub, tmp_path):
        hub.files |= repository("lora")
        out = tmp_path / "task.safetensors"
        words = ("import", REPOSITORY, "--out", out, "--base", TINY)
        line = refused(*words, HF_HUB_OFFLINE="1")
        assert REPOSITORY in line
        assert "HF_HUB_OFFLINE" in line
        assert minibert(*words).returncode == 0
        first, asked = out.read_bytes(), len(hub.asked)
        out.unlink()
        assert minibert(*words, HF_HUB_OFFLINE="1").returncode == 0
        assert out.read_bytes() == first
        assert len(hub.asked) == asked

    def test_a_repository_with_a_pickle_alone_is_refused_with_its_name(self, hub, tmp_path):
        hub.files |= {
            path: data
            for path, data in repository("houlsby").items()
            if not path.endswith(".safetensors")
        }
        hub.files[f"/{REPOSITORY}/pytorch_adapter.bin"] = b"pickle"
        line = refused("import", REPOSITORY, "--out", tmp_path / "t.safetensors", "--base", TINY)
        assert "no adapter in safetensors" in line
        assert "pytorch_adapter.bin is a pickle" in line

    @pytest.mark.parametrize(
        ("status", "code", "says"),
        [
            (401, "RepoNotFound", "is private, or does not exist"),
            (403, "GatedRepo", "is gated"),
            (404, "RevisionNotFound", "has no revision"),
            (500, "", "cannot be reached"),
        ],
    )
    def test_what_the_hub_refuses_is_one_line(self, hub, tmp_path, status, code, says):
        for path in (f"/api/models/{REPOSITORY}", f"/api/models/{REPOSITORY}/revision/main"):
            hub.refusals[path] = (status, code)
        out = tmp_path / "task.safetensors"
        assert says in refused("import", REPOSITORY, "--out", out, "--base", TINY)
        assert not out.exists()

    def test_a_hub_that_is_not_there_is_one_line(self, hub, tmp_path):
        out = tmp_path / "task.safetensors"
        line = refused("import", REPOSITORY, "--out", out, "--base", TINY, HF_ENDPOINT=NOWHERE)
        assert "cannot be reached" in line

    @pytest.mark.parametrize("name", ["../up/away", "a/b/c", "nothing here", "a/..", "/nowhere"])
    def test_a_source_that_is_neither_folder_nor_repository_is_refused(self, hub, tmp_path, name):
        line = refused("import", name, "--out", tmp_path / "t.safetensors", "--base", TINY)
        assert "neither a folder nor ORG/NAME" in line
        assert hub.asked == []


class TestPush:
    def test_what_is_pushed_is_imported_bit_for_bit(self, hub, task_file, tmp_path):
        done = push(task_file)
        assert done.returncode == 0, done.stderr
        assert REPOSITORY in done.stdout
        assert {*hub.repository(REPOSITORY)} == {"task.safetensors", "README.md"}
        assert hub.tokens["/api/repos/create"] == "Bearer hf_mine"
        back = tmp_path / "back.safetensors"
        assert minibert("import", REPOSITORY, "--out", back, "--base", TINY).returncode == 0
        assert back.read_bytes() == task_file.read_bytes()

    def test_nothing_is_overwritten_without_force(self, hub, task_file):
        hub.files[f"/{REPOSITORY}/README.md"] = b"theirs"
        done = push(task_file)
        assert done.returncode == 2
        assert "already has files (README.md); --force overwrites" in done.stderr
        assert hub.repository(REPOSITORY) == {"README.md": b"theirs"}
        assert push(task_file, "--force").returncode == 0
        assert b"license" in hub.repository(REPOSITORY)["README.md"]

    def test_somebody_unknown_is_told_what_to_do(self, hub, task_file):
        done = push(task_file, HF_TOKEN="", HF_TOKEN_PATH="/nowhere")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "hf auth login" in done.stderr

    @pytest.mark.parametrize("status", [401, 403, 500])
    def test_a_refusal_of_the_hub_is_one_line(self, hub, task_file, status):
        hub.refusals["/api/repos/create"] = (status, "")
        done = push(task_file)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize("licence", ["", "my own terms", "mit\nx: y", "a" * 60])
    def test_a_licence_is_a_short_name(self, hub, task_file, licence):
        words = ("push", task_file, REPOSITORY, "--licence", licence, "--base", TINY)
        assert "licence" in refused(*words)
        assert hub.asked == []

    @pytest.mark.parametrize("name", ["task", "a/b/c", "a b/c"])
    def test_a_name_that_is_none_is_refused(self, hub, task_file, name):
        refused("push", task_file, name, "--licence", "mit", "--base", TINY)
        assert hub.files == {}


class TestTheCard:
    def test_it_says_what_is_known_of_the_task(self, tiny, task_file, tmp_path):
        task = replace(import_adapter(EXCHANGE / "houlsby", tiny), results={"accuracy": 0.875})
        card = model_card(task, tiny, REPOSITORY, "cc-by-4.0", "task.safetensors")
        for part in (
            'license: "cc-by-4.0"',
            "accuracy 87.5",
            "adapters, m = 2",
            "negative, positive",
            tiny.sha256,
            f"minibert import {REPOSITORY} --out task.safetensors",
            "minibert predict task.safetensors",
        ):
            assert part in card
        assert str(ROOT) not in card  # nothing of this machine

    def test_its_head_is_read_as_it_was_meant_whatever_the_names_are(self, tiny):
        from huggingface_hub import ModelCard

        task = import_adapter(EXCHANGE / "houlsby", tiny)
        for odd in ("a: b", "---\nlicense: mine", "x | y", "\x1b[31mred", '"', "#", "- a"):
            own = replace(task.task, name=odd, names=(odd, "other"))
            card = model_card(replace(task, task=own), tiny, REPOSITORY, "mit", "task.safetensors")
            data = ModelCard(card).data
            assert data.license == "mit"
            assert odd in data.tags
            assert "\x1b" not in card.partition("\n---\n")[2]

    def test_a_public_base_is_linked_and_has_its_revision(self, tiny):
        public = replace(
            tiny, sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        )
        task = import_adapter(EXCHANGE / "houlsby", tiny)
        card = model_card(task, public, REPOSITORY, "mit", "task.safetensors")
        assert 'base_model: "sentence-transformers/all-MiniLM-L6-v2"' in card
        assert "1110a243fdf4706b3f48f1d95db1a4f5529b4d41" in card


def test_the_commit_of_the_test_hub_is_one(hub):
    """So that a cached commit is recognised as such."""
    assert len(COMMIT) == 40
    assert shutil.which("git") is None or int(COMMIT, 16)
