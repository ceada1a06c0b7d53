"""What stands in the place of our own files, or of those that are read: links that lead to somebody
else's, pipes that would be waited for, the command's own inputs as its output."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
import toy
from command_line import TINY, minibert, works
from conftest import GOLDENS

from adapters.exercises.catalogue import exercises
from adapters.exercises.workbook import reset, start
from minibert.checkpoint import Base, load_base
from minibert.errors import InputError
from minibert.files import TEMPORARY, atomic_write
from minibert.lazy import kept
from minibert.tensors import read_safetensors
from minibert.tokenizer import load_tokenizer

PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
PRECIOUS = "not yours"


@pytest.fixture(scope="module")
def task(tiny, tmp_path_factory) -> Path:
    toy.train(tiny, folder := tmp_path_factory.mktemp("task"))
    return folder / "task.safetensors"


@pytest.fixture
def table(tmp_path) -> Path:
    (path := tmp_path / "in.csv").write_text("text\nba bi\nmorulan\n")
    return path


def refused(*words: object) -> str:
    """What the command says against these words, without `minibert: error:`."""
    done = minibert(*words)
    assert (done.code, done.out) == (2, "")
    return done.err.strip().removeprefix("minibert: error: ")


def victim(folder: Path) -> Path:
    (path := folder / "victim").write_text(PRECIOUS)
    return path


class TestLinks:
    @pytest.mark.parametrize("end", ["", ".json"])
    @pytest.mark.parametrize("link", [os.symlink, os.link])
    def test_in_the_place_of_a_partial_result_are_not_followed(
        self, task, table, tmp_path, end, link
    ):
        precious, out = victim(tmp_path), tmp_path / "out.csv"
        link(precious, planted := tmp_path / f".out.csv.part{end}")
        line = refused(
            "predict", task, "--input", table, "--text", "text", "--output", out, "--base", TINY
        )
        assert line == f"{planted}: is in the way, and no file of ours; remove it"
        assert precious.read_text() == PRECIOUS
        assert not out.exists()

    def test_in_the_place_of_a_new_stub_are_not_followed(self, tmp_path):
        start(folder := tmp_path / "mine")
        first = exercises()[0]
        (folder / first.file).write_text("mine = 1\n")
        precious = victim(tmp_path)
        (folder / f".{first.file}.stub").symlink_to(precious)
        reset(folder, first)
        assert precious.read_text() == PRECIOUS
        assert not (folder / first.file).is_symlink()
        assert (folder / first.file).read_bytes() == (first.folder / "stub.py").read_bytes()


@PIPES
class TestPipes:
    """A test that waits for one ends by the time limit of its thread."""

    def in_time(self, function, *arguments):
        """What it returns, or the InputError that it raises."""
        found = []

        def call() -> None:
            try:
                found.append(function(*arguments))
            except InputError as error:
                found.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(20)
        assert found, "it waits for the pipe"
        return found[0]

    def test_that_look_like_a_left_over_are_left_alone(self, tmp_path):
        os.mkfifo(pipe := tmp_path / f".x{TEMPORARY}")
        self.in_time(atomic_write, tmp_path / "new", "text")
        assert (tmp_path / "new").read_text() == "text"
        assert pipe.is_fifo()

    @pytest.mark.parametrize(
        "name", ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"]
    )
    def test_in_the_place_of_a_bases_file_are_refused(self, tmp_path, name):
        shutil.copytree(GOLDENS / "tiny", folder := tmp_path / "base")
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        error = self.in_time(lambda: load_base(folder).tokenizer)
        assert str(error) == f"{folder / name}: cannot be read: not a file"

    def test_in_the_place_of_a_task_are_refused(self, tmp_path):
        os.mkfifo(path := tmp_path / "task.safetensors")
        error = self.in_time(read_safetensors, path)
        assert str(error) == f"{path}: cannot be read: not a file"


class TestInputs:
    def test_are_not_written_over(self, task, table, tmp_path):
        shutil.copytree(GOLDENS / "tiny", base := tmp_path / "base")
        own = shutil.copy(task, tmp_path / "own.safetensors")
        for out, what in (
            (table, "the table itself"),
            (own, "the task file"),
            (base / "model.safetensors", "a file of the base"),
            (base / "config.json", "a file of the base"),
        ):
            before = Path(out).read_bytes()
            words = ("predict", own, "--input", table, "--text", "text", "--base", base)
            assert refused(*words, "--output", out) == f"{out}: is {what}; write to another file"
            assert Path(out).read_bytes() == before


class TestNormalizers:
    """Of a tokenizer.json that somebody else has made."""

    def with_normalizer(self, folder: Path, normalizer: dict) -> Path:
        shutil.copytree(GOLDENS / "tiny", folder)
        tokenizer = load_base(folder).tokenizer
        content = json.loads(tokenizer.to_str()) | {"normalizer": normalizer}
        (folder / "tokenizer.json").write_text(json.dumps(content))
        return folder

    def test_that_make_a_text_very_long_are_refused(self, tmp_path):
        doubling = {"type": "Replace", "pattern": {"String": "e"}, "content": "ee"}
        bomb = {"type": "Sequence", "normalizers": [doubling] * 27}
        folder = self.with_normalizer(tmp_path / "base", bomb)
        with pytest.raises(
            InputError, match=r"tokenizer\.json: its normalizers can make a text 12"
        ):
            load_tokenizer(folder)

    def test_that_the_library_refuses_with_a_page_are_refused_before(self, tmp_path, capfd):
        charsmap = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
        folder = self.with_normalizer(tmp_path / "base", charsmap)
        with pytest.raises(InputError, match=r"tokenizer\.json: normalizer 'Precompiled' is not s"):
            load_tokenizer(folder)
        assert capfd.readouterr().err == ""

    def test_that_replace_a_little_are_as_good_as_any(self, tmp_path):
        one = {"type": "Replace", "pattern": {"String": "&"}, "content": " and "}
        lower = {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        }
        both = {"type": "Sequence", "normalizers": [one, lower]}
        folder = self.with_normalizer(tmp_path / "base", both)
        load_tokenizer(folder)


class TestKept:
    def test_a_value_is_computed_once(self):
        class Thing:
            made = 0

            @kept
            def value(self) -> int:
                """What it is."""
                self.made += 1
                return self.made

        thing = Thing()
        assert (thing.value, thing.value, Thing().value) == (1, 1, 1)
        assert Thing.value.__doc__ == "What it is."

    @pytest.mark.parametrize("name", ["tokenizer", "reading", "tensors_sha256"])
    def test_no_lock_is_held_while_a_bases_values_are_computed(self, name):
        """Else a fork in that moment would wait for a thread that it does not have."""
        assert isinstance(vars(Base)[name], kept)


def test_the_ordinary_way_still_works(task, table, tmp_path):
    out = tmp_path / "out.csv"
    works("predict", task, "--input", table, "--text", "text", "--output", out, "--base", TINY)
    assert len(out.read_text().splitlines()) == 3
