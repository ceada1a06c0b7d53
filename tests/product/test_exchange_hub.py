"""Tasks from and to the hub: `minibert import ORG/NAME`, `minibert push`.

The hub is a server on the loopback. What asks it runs in a process of its own: `huggingface_hub`
reads its settings when it is imported.
"""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from command_line import Result
from command_line import minibert as here
from loopback import COMMIT, NOWHERE, Server, serve

from adapters.exchange import import_adapter
from adapters.exchange.card import model_card
from adapters.task_file import load_task, save_task, task_digest
from minibert.checkpoint import Base, load_base
from minibert.errors import visible
from minibert.fetch.manifest import known_models
from minibert.json_files import LARGEST
from minibert.weight_files import SINGLE

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "goldens" / "tiny"
EXCHANGE = ROOT / "tests" / "goldens" / "exchange"
REPOSITORY = "some/task"
LATER = "decade" * 6 + "cafe"  # a commit after COMMIT

# Each argument is a command's words, in JSON; prints its exit code, output, and standard error.
SCRIPT = """
import contextlib, io, json, sys
from adapters.cli import run
for words in sys.argv[1:]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(json.loads(words))
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def in_turn(*commands: Sequence[object], **environment: str) -> list[Result]:
    """Commands of `minibert`, one after another in a process of their own."""
    words = [json.dumps([str(word) for word in command]) for command in commands]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return [Result(*json.loads(line)) for line in done.stdout.splitlines()]


def minibert(*words: object, **environment: str) -> Result:
    """One command that must go well."""
    (result,) = in_turn(words, **environment)
    assert result.code == 0, result.err
    return result


def line_of(result: Result) -> str:
    """The one line of a command that was refused, with exit code 2."""
    assert result.code == 2, result
    (line,) = result.err.splitlines()
    return line


def refused(*words: object, **environment: str) -> str:
    return line_of(in_turn(words, **environment)[0])


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
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # large files by LFS, which is plain HTTP
        yield server


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where an import is written to."""
    return tmp_path / "task.safetensors"


def wanted(out: Path, name: str = REPOSITORY) -> tuple[object, ...]:
    """The words of an import."""
    return ("import", name, "--out", out, "--base", TINY)


@pytest.fixture
def task_file(tiny: Base, tmp_path: Path) -> Path:
    """A task with a result, in a file."""
    task = import_adapter(EXCHANGE / "houlsby", tiny)
    save_task(tmp_path / "mine.safetensors", replace(task, results={"accuracy": 0.875}))
    return tmp_path / "mine.safetensors"


@pytest.fixture
def another_base(tmp_path: Path) -> Path:
    """A base with other weights than the tiny one."""
    folder = tmp_path / "another"
    folder.mkdir()
    for path in TINY.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    changed = bytearray((TINY / SINGLE).read_bytes())
    changed[-1] ^= 1
    (folder / SINGLE).write_bytes(changed)
    return folder


def pushed(path: Path, *more: object, base: Path = TINY) -> tuple[object, ...]:
    """The words of a push."""
    return ("push", path, REPOSITORY, "--licence", "mit", "--base", base, *more)


class TestImport:
    def test_each_format_is_imported_from_a_repository(self, hub, tiny, tmp_path):
        names = ("houlsby", "pfeiffer", "lora", "whole-head")
        for name in names:
            hub.files |= repository(name, f"some/{name}")
        results = in_turn(*(wanted(tmp_path / f"{n}.safetensors", f"some/{n}") for n in names))
        for name, result in zip(names, results, strict=True):
            assert result.code == 0, result.err
            theirs = load_task(tmp_path / f"{name}.safetensors")
            ours = import_adapter(EXCHANGE / name, tiny)
            called = replace(ours, task=replace(ours.task, name=theirs.task.name))
            assert task_digest(theirs) == task_digest(called)

    def test_what_the_files_do_not_name_is_called_as_the_repository(self, hub, tmp_path):
        """And not as the folder of the hub's cache, which is a commit."""
        names = {"whole-head": "their-model", "lora": "their-lora"}
        for folder, name in names.items():
            hub.files |= repository(folder, f"some/{name}")
        files = {name: tmp_path / f"{name}.safetensors" for name in names.values()}
        for result in in_turn(*(wanted(to, f"some/{name}") for name, to in files.items())):
            assert result.code == 0, result.err
        assert [load_task(to).task.name for to in files.values()] == [*files]
        again = minibert(*wanted(tmp_path / "again.safetensors", f"some/their-model@{COMMIT}"))
        assert "their-model\n" in again.out

    def test_only_what_is_needed_is_fetched_and_never_a_pickle(self, hub, out):
        """What a repository of an adapter has besides can be a whole model."""
        others = ("pytorch_adapter.bin", "README.md", "optimizer.pt", "config.json", SINGLE)
        hub.files |= repository("houlsby") | {f"/{REPOSITORY}/{n}": b"x" for n in others}
        minibert(*wanted(out))
        assert sorted(hub.got()) == sorted(path.name for path in (EXCHANGE / "houlsby").iterdir())

    def test_what_is_in_the_cache_is_used_offline(self, hub, out):
        hub.files |= repository("lora")
        line = refused(*wanted(out), HF_HUB_OFFLINE="1")
        assert line.endswith(
            f"{REPOSITORY}: is not in the hub's cache; nothing is downloaded, as HF_HUB_OFFLINE is "
            "set"
        )
        minibert(*wanted(out))
        first, asked = out.read_bytes(), len(hub.asked)
        out.unlink()
        minibert(*wanted(out), HF_HUB_OFFLINE="1")
        assert out.read_bytes() == first
        assert len(hub.asked) == asked

    def test_a_branch_that_moves_is_followed_and_a_commit_is_not_asked_for_again(self, hub, out):
        hub.files |= repository("lora")
        minibert(*wanted(out))
        first = out.read_bytes()
        hub.files, hub.head = repository("houlsby"), LATER
        minibert(*wanted(out), "--force")
        second = out.read_bytes()
        assert second != first
        asked = len(hub.asked)
        minibert(*wanted(out, f"{REPOSITORY}@{COMMIT}"), "--force")
        assert out.read_bytes() == first
        minibert(*wanted(out), "--force", HF_HUB_OFFLINE="1")
        assert out.read_bytes() == second
        assert len(hub.asked) == asked

    def test_a_download_that_breaks_leaves_nothing_and_the_next_one_completes_it(self, hub, out):
        hub.files |= repository("houlsby")
        hub.refusals[f"/cdn/{REPOSITORY}/adapter.safetensors"] = (500, "")
        name = f"{REPOSITORY}@{COMMIT}"
        assert "cannot be reached" in refused(*wanted(out, name))
        assert not out.exists()
        assert "is not in the hub's cache" in refused(*wanted(out, name), HF_HUB_OFFLINE="1")
        hub.refusals.clear()
        minibert(*wanted(out, name))

    @pytest.mark.skipif(
        "tqdm_class" not in inspect.signature(huggingface_hub.hf_hub_download).parameters,
        reason="huggingface_hub before 1.2 compares the size after the download only",
    )
    def test_more_than_was_announced_is_not_kept(self, hub, home, out):
        hub.files |= repository("houlsby")
        hub.endless |= {f"/cdn/{REPOSITORY}/adapter.safetensors"}
        line = refused(*wanted(out))
        assert "adapter.safetensors: more than the announced" in line
        assert not list(home.parent.rglob("snapshots/*/adapter.safetensors"))
        assert hub.sent < 100_000_000
        assert not out.exists()

    def test_what_is_refused_is_one_line_and_leaves_no_file(self, hub, out):
        """Refused before anything large is fetched."""

        def refuse(name: str, status: int, code: str) -> None:
            for path in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
                hub.refusals[path] = (status, code)

        refuse("some/private", 401, "RepoNotFound")
        refuse("some/gated", 403, "GatedRepo")
        refuse("some/broken", 500, "")
        for name in ("terms", "moved", "large", "other", "pickle"):
            hub.files |= repository("houlsby", f"some/{name}")
        hub.refusals["/some/terms/resolve/main/adapter_config.json"] = (403, "GatedRepo")
        hub.files["/some/large/adapter_config.json"] = b" " * (LARGEST + 1)
        for file in repository("houlsby", "some/pickle"):
            if file.endswith(".safetensors"):
                del hub.files[file]
        hub.files["/some/pickle/pytorch_adapter.bin"] = b"pickle"
        hub.files["/some/gpt/config.json"] = b'{"model_type": "gpt2"}'
        hub.files[f"/some/gpt/{SINGLE}"] = b"weights"
        hub.files["/some/text/README.md"] = b"no adapter"
        says = {
            "some/nothing": f"some/nothing: is private, or does not exist at {hub.url}",
            "some/private": f"some/private: is private, or does not exist at {hub.url}",
            "some/gated": "some/gated: is gated; accept its terms, run `hf auth login`",
            "some/terms": "some/terms: is gated; accept its terms, run `hf auth login`",
            "some/moved@v7": "some/moved: has no revision v7",
            "some/broken": f"{hub.url} cannot be reached",
            "some/large": f"adapter_config.json has {LARGEST + 1:,} bytes, more than {LARGEST:,}",
            "some/pickle": "has no adapter in safetensors; its pytorch_adapter.bin is a pickle, ",
            "some/gpt": "model_type is 'gpt2'; only 'bert' is supported",
            "some/text": "some/text: has no adapter in safetensors",
            "so--me/task": "so--me/task",
        }
        results = in_turn(*(wanted(out, name) for name in says))
        for said, result in zip(says.values(), results, strict=True):
            assert said in line_of(result)
        assert hub.got() == ["config.json"]
        assert not out.exists()

    def test_a_hub_that_is_not_there_is_one_line(self, home, out):
        assert f"{NOWHERE} cannot be reached" in refused(*wanted(out), HF_ENDPOINT=NOWHERE)

    @pytest.mark.parametrize(
        "name",
        ["../up/away", "a/b/c", "nothing here", "a/..", "/nowhere", "a/b@", "a/b@../c", "a/b@-x"],
    )
    def test_a_source_that_is_neither_folder_nor_repository_is_refused(self, home, out, name):
        assert "neither a folder nor ORG/NAME" in line_of(here(*wanted(out, name)))


class TestPush:
    def test_what_is_pushed_is_imported_bit_for_bit(self, hub, task_file, out, another_base):
        other = ("import", REPOSITORY, "--out", out, "--base", another_base)
        push, refusal, back = in_turn(pushed(task_file), other, wanted(out))
        assert push.code == 0, push.err
        assert push.out == f"{hub.url}/{REPOSITORY}\n"
        assert {*hub.repository(REPOSITORY)} == {"task.safetensors", "README.md"}
        assert hub.tokens["/api/repos/create"] == "Bearer hf_mine"
        assert "was trained on tiny" in line_of(refusal)
        assert back.code == 0, back.err
        assert out.read_bytes() == task_file.read_bytes()

    def test_nothing_is_overwritten_without_force(self, hub, task_file):
        hub.files[f"/{REPOSITORY}/README.md"] = b"theirs"
        line = refused(*pushed(task_file))
        assert "already has files (README.md); --force overwrites" in line
        assert hub.repository(REPOSITORY) == {"README.md": b"theirs"}
        minibert(*pushed(task_file, "--force"))
        assert b"license" in hub.repository(REPOSITORY)["README.md"]

    def test_what_is_to_be_private_is_never_put_where_everybody_can_read_it(self, hub, task_file):
        hub.made.add(REPOSITORY)
        line = refused(*pushed(task_file, "--private"))
        assert "exists and is public; nothing was put there" in line
        assert hub.files == {}
        hub.made.clear()
        minibert(*pushed(task_file, "--private"))
        assert hub.private == {REPOSITORY}

    def test_somebody_unknown_is_told_what_to_do(self, hub, task_file):
        line = refused(*pushed(task_file), HF_TOKEN="", HF_TOKEN_PATH="/nowhere")
        assert line.endswith(
            "some/task: needs to know who you are: run `hf auth login`, or set HF_TOKEN"
        )

    @pytest.mark.parametrize(
        ("path", "status", "says"),
        [
            ("/api/repos/create", 403, "is not yours to change"),
            ("/api/repos/create", 500, "cannot be reached"),
            (f"/api/models/{REPOSITORY}/commit/main", 412, "has changed in the meantime"),
            (f"/api/models/{REPOSITORY}/commit/main", 400, "the hub refuses the request: "),
        ],
    )
    def test_a_refusal_of_the_hub_is_one_line(self, hub, task_file, path, status, says):
        hub.refusals[path] = (status, "")
        assert says in refused(*pushed(task_file))
        assert hub.files == {}

    def test_what_the_hub_finds_wrong_with_a_card_is_passed_on(self, hub, task_file):
        """It knows the licences; here only their form is checked."""
        hub.card_errors.append('"license" must be one of [apache-2.0, mit, ...]')
        line = refused(*pushed(task_file))
        assert 'the hub refuses it: Invalid metadata in README.md. - "license" must be one' in line
        assert hub.files == {}

    @pytest.mark.parametrize("licence", ["", "my own terms", "mit\nx: y", "a" * 60])
    def test_a_licence_is_a_short_name(self, home, task_file, licence):
        words = ("push", task_file, REPOSITORY, "--licence", licence, "--base", TINY)
        assert "licence" in line_of(here(*words))

    @pytest.mark.parametrize("name", ["task", "a/b/c", "a b/c", "../c", "a/b@main"])
    def test_a_name_that_is_none_is_refused(self, home, task_file, name):
        words = ("push", task_file, name, "--licence", "mit", "--base", TINY)
        assert "is not ORG/NAME" in line_of(here(*words))

    def test_a_task_of_another_base_is_refused_before_the_hub_is_asked(
        self, home, task_file, another_base
    ):
        assert "was trained on tiny" in line_of(here(*pushed(task_file, base=another_base)))


class TestTheCard:
    def test_it_says_what_is_known_of_the_task(self, tiny, task_file):
        card = model_card(load_task(task_file), tiny, REPOSITORY, "cc-by-4.0", "task.safetensors")
        for part in (
            "license: cc-by-4.0",
            "accuracy 87.5",
            "adapters, m = 2",
            "negative, positive",
            tiny.sha256,
            f"minibert import {REPOSITORY} --out task.safetensors",
            "minibert predict task.safetensors",
        ):
            assert part in card
        assert str(ROOT) not in card  # nothing of this machine

    @pytest.mark.parametrize(
        "odd",
        [
            "a: b",
            "---\nlicense: mine",
            "a\n---\n# b",
            "a\r---\rb",
            "x | y",
            "\x1b[31mred",
            "\x7f\x85\u2028\ufeff",
            "\U0001f600",
            "\ud800",
            '"',
            "# a",
            "- a",
            "<img src=x>",
            "[a](b)",
            "```",
            "\\",
            "n" * 100_000,
        ],
    )
    def test_no_name_of_a_task_or_label_changes_its_head_or_its_table(self, tiny, odd):
        from huggingface_hub import ModelCard

        task = import_adapter(EXCHANGE / "houlsby", tiny)
        plain = model_card(task, tiny, REPOSITORY, "mit", "task.safetensors")
        own = replace(task.task, name=odd, names=(odd, "other"))
        card = model_card(replace(task, task=own), tiny, REPOSITORY, "mit", "task.safetensors")
        data = ModelCard(card).data
        assert data.license == "mit"
        assert data.tags[:2] == ["minibert", "adapters"]
        assert len(data.tags) == 3
        assert data.tags[2] == visible(data.tags[2])
        if odd.isascii() and odd.isprintable() and len(odd) < 200:
            assert data.tags[2] == odd
        assert len(card) < 5000
        assert card.encode().decode() == visible(card, "\n")
        body, expected = (text.partition("\n---\n")[2].splitlines() for text in (card, plain))
        assert len(body) == len(expected)
        for markup in (r"(?<!\\)<img", r"(?<!\\)\]\(", r"(?<!\\)\| y", r"(?<!\\)```."):
            assert not re.search(markup, "\n".join(body))

    def test_many_labels_are_counted(self, tiny):
        task = import_adapter(EXCHANGE / "houlsby", tiny)
        names = tuple(f"label {n}" for n in range(1000))
        many = replace(task, task=replace(task.task, names=names, values=names))
        card = model_card(many, tiny, REPOSITORY, "mit", "task.safetensors")
        assert "label 29 and 970 more" in card
        assert "label 30" not in card

    def test_a_public_base_is_linked_fetched_and_has_its_revision(self, tiny):
        model = known_models()["minilm"]
        public = replace(tiny, sha256=model.sha256[SINGLE])
        task = import_adapter(EXCHANGE / "houlsby", tiny)
        card = model_card(task, public, REPOSITORY, "mit", "task.safetensors")
        assert f"base_model: {model.repository}\n" in card
        assert f"{model.repository} at {model.revision}" in card
        assert f"minibert fetch {model.repository}\n" in card
        # this task file names its base otherwise
        assert f"--out task.safetensors --base {model.repository}\n" in card
        own = replace(task, base_name="minilm")
        card = model_card(own, public, REPOSITORY, "mit", "task.safetensors")
        assert "minibert fetch minilm\n" in card
        assert "--base" not in card

    def test_a_base_of_any_repository_is_fetched_at_its_commit(self, tiny):
        base = replace(tiny, name=f"some--bert@{COMMIT}")
        task = replace(import_adapter(EXCHANGE / "houlsby", tiny), base_name=base.name)
        card = model_card(task, base, REPOSITORY, "mit", "task.safetensors")
        assert "base_model: some/bert\n" in card
        assert f"minibert fetch some/bert@{COMMIT}\n" in card
        assert "--base" not in card

    @pytest.mark.parametrize("folder", ["tiny", "bert-tiny", "own/tiny"])
    def test_of_a_base_in_a_folder_it_says_that_the_hub_has_none(
        self, tmp_path, folder, monkeypatch
    ):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        (tmp_path / folder).symlink_to(TINY)
        monkeypatch.chdir(tmp_path)
        base = load_base(folder)
        task = import_adapter(EXCHANGE / "houlsby", base)
        card = model_card(task, base, REPOSITORY, "mit", "task.safetensors")
        assert "base_model" not in card
        assert "a base that is not on the hub" in card
        assert "which is not on the hub |" in card
        assert "--base FOLDER" in card
        assert "minibert fetch" not in card
