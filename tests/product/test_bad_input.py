"""What a user can get wrong: each time one line that names the file, row or option, exit code 2,
nothing half-written and nothing lost."""

import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import (
    ON_TINY,
    SAMPLE,
    TINY,
    environment,
    files,
    minibert,
    works,
    write_tsv,
)

from minibert.checkpoint import load_base
from minibert.tensors import read_safetensors, write_safetensors

OWN = "text\tlabel\n" + "".join(f"text {i}\t{'good' if i % 2 else 'bad'}\n" for i in range(20))
QUICK = (*ON_TINY, "--epochs", 1, "--method", "head")


def refused(*words: object, inside: Path, stdin: bytes = b"") -> str:
    """The error's text; checks that it is one line and the folder `inside` stays as it was."""
    before = files(inside)
    result = minibert(*words, stdin=stdin)
    assert result.code == 2, f"exit code {result.code}: {result.out}{result.err}"
    (line,) = result.err.splitlines()
    assert line.startswith("minibert: error: "), line
    after = files(inside)
    assert after.keys() == before.keys()
    assert after == before, "a file changed"
    return line.removeprefix("minibert: error: ")


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with train.tsv and dev.tsv of one's own."""
    (tmp_path / "train.tsv").write_text(OWN, "utf-8")
    (tmp_path / "dev.tsv").write_text(OWN, "utf-8")
    return tmp_path


def own_words(folder: Path) -> tuple:
    files_of = ("--train", folder / "train.tsv", "--dev", folder / "dev.tsv")
    return ("train", *files_of, *QUICK, "--out", folder / "run")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Path]:
    """Task files: "single" texts (SST-2) and a "pair" (RTE), of the tiny base."""
    folder = tmp_path_factory.mktemp("trained")
    for kind, task in {"single": "sst-2", "pair": "rte"}.items():
        words = ("--task", task, "--sample", *QUICK, "--out", folder / kind)
        works("train", *words)
    return {kind: folder / kind / "task.safetensors" for kind in ("single", "pair")}


@pytest.mark.parametrize("which", ["train.tsv", "dev.tsv"])
class TestFilesOfOnesOwn:
    """The training and the development file are read alike."""

    @pytest.mark.parametrize(
        "content, complaint",
        [
            (None, "cannot be read: No such file or directory"),
            (b"", "is empty"),
            (b"\n\n", "is empty"),
            (b"text\tlabel\n", "has a header but no rows"),
            (OWN.encode("utf-16"), "is UTF-16; save it as UTF-8"),
            (OWN.encode("utf-16-le"), "is a binary file, not text"),
            (bytes(range(256)) * 9, "is a binary file, not text"),
            (OWN.replace("text 3", "café").encode("latin-1"), "line 5: is not UTF-8"),
            (b"a\tlabel\n1\tgood\n2\tbad\n", "has no column 'text' in its header (a, label)"),
            (OWN.replace("text 3", "text\t3").encode(), "row 5: has 3 columns, expected 2"),
            (OWN.replace("text 3\t", "text 3").encode(), "row 5: has 1 column, expected 2"),
            (OWN.replace("\n", "\tx\n").replace("\tx", "", 1).encode(), "row 2: has 3 columns"),
            (OWN.replace("text 3\n", "\n\n").encode()[:-7] + b"\n", "row 21: has 1 column"),
        ],
        ids=[
            "missing",
            "empty",
            "only line ends",
            "header only",
            "utf-16",
            "utf-16 without mark",
            "binary",
            "latin-1",
            "no such column",
            "a column too many",
            "a column too few",
            "all rows too wide",
            "a last row cut short",
        ],
    )
    def test_an_unreadable_file_is_named_with_the_row(self, own, which, content, complaint):
        path = own / which
        path.unlink() if content is None else path.write_bytes(content)
        error = refused(*own_words(own), inside=own)
        assert error.startswith(f"{path}")
        assert complaint in error

    def test_a_folder_is_no_file(self, own, which):
        (own / which).unlink()
        (own / which).mkdir()
        error = refused(*own_words(own), inside=own)
        assert error == f"{own / which}: cannot be read: Is a directory"


class TestLabelsOfOnesOwn:
    def test_a_label_that_is_no_named_class_is_unknown(self, own):
        (own / "dev.tsv").write_text(OWN.replace("text 4\tbad", "text 4\tugly"), "utf-8")
        error = refused(*own_words(own), "--classes", "bad", "good", inside=own)
        assert error == f"{own / 'dev.tsv'} row 6: unknown label 'ugly'; known: bad, good"

    def test_a_single_class_is_no_task(self, own):
        (own / "train.tsv").write_text(OWN.replace("good", "bad"), "utf-8")
        error = refused(*own_words(own), inside=own)
        assert (
            error
            == f"{own / 'train.tsv'}: column 'label' has only one label; at least two are needed"
        )

    def test_numbers_without_regression_are_asked_about(self, own):
        write_tsv(own / "train.tsv", "text label", [(f"text {i}", i / 7) for i in range(120)])
        error = refused(*own_words(own), inside=own)
        assert "has 122 different labels in 140 rows; is it a regression?" in error

    @pytest.mark.parametrize("label", ["good", "", "nan", "inf"])
    def test_regression_needs_numbers(self, own, label):
        for name in ("train.tsv", "dev.tsv"):
            write_tsv(own / name, "text label", [("a", 1), ("b", 2.5), ("c", label)])
        error = refused(*own_words(own), "--regression", inside=own)
        what = "looks missing" if label in ("", "nan") else "is not a number"
        assert error.startswith(f"{own / 'train.tsv'} row 4: the label {label!r} {what}")


QNLI = "index\tquestion\tsentence\tlabel\n0\tWho?\tMe.\tentailment\n"
STRANGERS = [
    ("cola", "RTE", "row 1: unknown label 'sentence1'; known: 0, 1"),
    ("cola", "SST-2", "row 1: has 2 columns, expected 4"),
    ("cola", "STS-B", "row 1: has 10 columns, expected 4"),
    ("rte", "CoLA", "has no column 'sentence1' in its header"),
    ("rte", "QNLI", "has no column 'sentence1' in its header (index, question, sentence, label)"),
    ("rte", "STS-B", "has no column 'label' in its header"),
    ("wnli", "RTE", "unknown label"),
    ("sts-b", "RTE", "has no column 'score' in its header"),
    ("sst-2", "CoLA", "has no column 'sentence' in its header"),
    ("sst-2", "QNLI", "row 2: unknown label 'entailment'; known: 0, 1"),
    ("mnli", "RTE", "has no column 'gold_label' in its header"),
    ("qnli", "RTE", "has no column 'question' in its header"),
    ("qqp", "RTE", "has no column 'question1' in its header"),
]


class TestATasksFileUnderAnothersName:
    @pytest.mark.parametrize("task, source, complaint", STRANGERS)
    def test_a_file_of_another_task_is_noticed(
        self, tmp_path, monkeypatch, task, source, complaint
    ):
        """The files are looked for under MINIBERT_GLUE, where a user may put them by hand."""
        folder = {"cola": "CoLA", "sst-2": "SST-2"}.get(task, task.upper())
        (tmp_path / folder).mkdir()
        content = QNLI if source == "QNLI" else (SAMPLE / source / "dev.tsv").read_text("utf-8")
        for name in ("train.tsv", "dev.tsv", "dev_matched.tsv", "dev_mismatched.tsv"):
            (tmp_path / folder / name).write_text(content, "utf-8")
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path))
        words = ("train", "--task", task, *QUICK, "--out", tmp_path / "run")
        error = refused(*words, inside=tmp_path)
        assert error.startswith(f"{tmp_path / folder / 'train.tsv'}")
        assert complaint in error

    def test_a_dev_file_of_another_task_is_noticed(self, tmp_path, monkeypatch):
        (tmp_path / "RTE").mkdir()
        shutil.copy(SAMPLE / "RTE" / "train.tsv", tmp_path / "RTE" / "train.tsv")
        shutil.copy(SAMPLE / "STS-B" / "dev.tsv", tmp_path / "RTE" / "dev.tsv")
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path))
        error = refused("train", "--task", "rte", *QUICK, inside=tmp_path)
        assert error.startswith(f"{tmp_path / 'RTE' / 'dev.tsv'}: has no column 'label'")

    def test_data_that_are_not_there_are_fetched_or_the_sample_is_used(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path))
        error = refused("train", "--task", "rte", *QUICK, inside=tmp_path)
        assert error == ("the data of rte are not here; run `minibert fetch rte` or use --sample")
        error = refused("train", "--task", "mnli", "--sample", *QUICK, inside=tmp_path)
        assert error == "the sample has no mnli; it has sst-2, cola, rte, sts-b"


class TestOddButAllowed:
    def test_an_empty_sentence_is_a_sentence(self, own):
        for name in ("train.tsv", "dev.tsv"):
            (own / name).write_text(OWN.replace("text 3", "").replace("text 4", " "), "utf-8")
        works(*own_words(own))

    def test_a_sentence_of_100_000_characters_is_cut(self, own, trained):
        """To the same tokens as its beginning, so to the same probabilities."""
        long = "word " * 20_000
        (own / "train.tsv").write_text(OWN.replace("text 3", long), "utf-8")
        works(*own_words(own))
        words = ("predict", trained["single"], "--base", TINY, "--json")
        lines = f"{long}\n{long[:1000]}\n".encode()
        whole, start = map(json.loads, works(*words, stdin=lines).out.splitlines())
        assert whole["probabilities"] == start["probabilities"]
        assert whole["text"] == long

    def test_windows_line_ends_and_a_byte_order_mark_change_nothing(self, own):
        works(*own_words(own))
        plain = (own / "run" / "task.safetensors").read_bytes()
        for name in ("train.tsv", "dev.tsv"):
            (own / name).write_bytes(OWN.replace("\n", "\r\n").encode("utf-8-sig"))
        shutil.rmtree(own / "run")
        works(*own_words(own))
        assert (own / "run" / "task.safetensors").read_bytes() == plain


OPTIONS = [
    (["--max-length", 65], "max length must be from 4 to 64 (tiny), not 65"),
    (["--max-length", 3], "max length must be from 4 to 64 (tiny), not 3"),
    (["--size", 0], "adapter size must be at least 1, not 0"),
    (["--size", -3], "adapter size must be at least 1, not -3"),
    (["--size", 8, "--method", "full"], "method 'full' has no adapters, so it takes no size"),
    (["--activation", "relu", "--method", "head"], "method 'head' has no adapters, so it takes no"),
    (["--epochs", 0], "epochs must be at least 1, not 0"),
    (["--batch-size", 0], "must be at least 1, not 0"),
    (["--lr", 0], "learning rate must be positive, not 0"),
    (["--lr", -1], "learning rate must be positive, not -1"),
    (["--lr", "nan"], "learning rate must be positive, not nan"),
    (["--lr", "inf"], "learning rate must be positive, not inf"),
    (["--seed", -1], "seed must not be negative, not -1"),
    (["--train-examples", 0], "train examples must be from 1 to 240, not 0"),
    (["--train-examples", 241], "train examples must be from 1 to 240, not 241"),
    (["--method", "magic"], "unknown method 'magic'; known: adapters, full, norms, head"),
    (["--recipe", "magic"], "unknown recipe 'magic'; known: paper, released-code"),
    (["--activation", "magic"], "unknown activation 'magic'; known: gelu_tanh, gelu, relu, tanh"),
    (["--task", "magic"], "unknown task 'magic'; known: cola, sst-2, mrpc, sts-b, qqp, mnli"),
    (["--base", "magic"], "magic: is neither a folder with a config.json nor a known model"),
    (["--base", "no/such/folder"], "no/such/folder: is neither a folder with a config.json"),
    (["--train", "a.tsv"], "give either --task NAME, or a TABLE of your own"),
    (["--dev", "a.tsv"], "--dev goes with a TABLE of your own, not with --task"),
    (["--text", "a"], "--text goes with a TABLE of your own, not with --task"),
    (["--label", "a"], "--label goes with a TABLE of your own, not with --task"),
    (["--regression"], "--regression goes with a TABLE of your own, not with --task"),
]


class TestOptions:
    @pytest.mark.parametrize("options, complaint", OPTIONS)
    def test_a_wrong_value_is_named(self, tmp_path, options, complaint):
        words = ["train", "--task", "rte", "--sample", *ON_TINY, "--epochs", 1]
        words += ["--out", tmp_path / "run", *options]
        assert complaint in refused(*words, inside=tmp_path)
        assert not (tmp_path / "run").exists()
        assert minibert(*words).out == ""  # before anything is told or begun

    @pytest.mark.parametrize(
        "options, complaint",
        [
            (["--text", "a", "b", "c"], "--text takes one or two columns, not 3"),
            (["--text", "nope"], "has no column 'nope' in its header (text, label)"),
            (["--text", "text", "other"], "has no column 'other' in its header (text, label)"),
            (["--label", "stars"], "has no column 'stars' in its header (text, label)"),
            (["--sample"], "--sample goes with --task, not with a TABLE of your own"),
            (["--task", "rte"], "give either --task NAME, or a TABLE of your own"),
        ],
    )
    def test_columns_are_those_of_the_file(self, own, options, complaint):
        assert complaint in refused(*own_words(own), *options, inside=own)

    def test_data_must_be_named(self, tmp_path):
        either = "give either --task NAME, or a TABLE of your own"
        assert refused("train", *QUICK, inside=tmp_path) == either
        (tmp_path / "a.tsv").write_text(OWN, "utf-8")
        twice = ("train", tmp_path / "a.tsv", "--train", tmp_path / "a.tsv")
        error = refused(*twice, *QUICK, inside=tmp_path)
        assert error == "give the table once: as TABLE or with --train"

    @pytest.mark.parametrize(
        "words, line",
        [
            (
                [],
                "minibert: error: the following arguments are required: COMMAND; "
                "see minibert --help",
            ),
            (["tain"], "minibert: error: argument COMMAND: invalid choice: 'tain' (choose from "),
            (
                ["train", "--size", "big"],
                "minibert train: error: argument --size: invalid int "
                "value: 'big'; see minibert train --help",
            ),
            (["train", "--lr", "1e-3x"], "minibert train: error: argument --lr: invalid float "),
            (["train", "--text"], "minibert train: error: argument --text: expected at least one "),
            (
                ["train", "--lerning-rate", "1"],
                "minibert train: error: unrecognized arguments: "
                "--lerning-rate; see minibert train --help",
            ),
            (["train", "--siz", "8"], "minibert train: error: unrecognized arguments: --siz; "),
            (["predict"], "minibert predict: error: the following arguments are required: FILE; "),
            (
                ["predict", "f", "--pair", "a"],
                "minibert predict: error: argument --pair: expected "
                "2 arguments; see minibert predict --help",
            ),
            (["info", "a", "b"], "minibert info: error: unrecognized arguments: b; "),
            (["fetch"], "minibert fetch: error: the following arguments are required: MODEL|TASK"),
        ],
    )
    def test_what_the_parser_refuses_is_one_line(self, words, line):
        result = minibert(*words)
        assert (result.code, result.out) == (2, "")
        (shown,) = result.err.splitlines()
        assert shown.startswith(line)
        assert re.search(r"; see minibert( \w+)? --help$", shown)


class TestADivergingLearningRate:
    """It stops at the step where the loss is no longer a number."""

    def test_a_run_that_diverges_in_its_first_epoch_keeps_nothing(self, tmp_path):
        words = ("train", "--task", "rte", "--sample", *ON_TINY, "--epochs", 2, "--lr", "1e30")
        error = refused(*words, "--out", tmp_path / "run", inside=tmp_path)
        # no warm-up step but the first, whose rate is 0; the second leaves weights of 1e29
        assert error == (
            "the loss is no longer finite at step 3 (epoch 1): learning rate 1e+30 diverges"
        )

    def test_a_run_that_diverges_after_an_epoch_keeps_that_one(self, tmp_path):
        """One step an epoch, and the warm-up begins with rate 0: only the first one ends well."""
        words = (
            "train",
            "--task",
            "rte",
            "--sample",
            *ON_TINY,
            "--epochs",
            20,
            "--lr",
            "1e30",
            "--train-examples",
            32,
            "--out",
            tmp_path / "run",
        )
        result = minibert(*words)
        assert result.code == 2
        first, last = result.err.splitlines()
        assert first.startswith("rte: epoch 1, ")
        assert last == (
            "minibert: error: the logits are no longer finite: learning rate 1e+30 diverges; "
            "the best epoch so far is kept"
        )
        assert files(tmp_path / "run").keys() == {"task.safetensors", "checkpoint.safetensors"}
        kept = tmp_path / "run" / "task.safetensors"
        assert "(epoch 1)" in works("info", kept).out
        tensors, _ = read_safetensors(kept)
        assert all(np.isfinite(values).all() for values in tensors.values())
        works("predict", kept, "--base", TINY, "--pair", "a", "b")


@pytest.fixture
def base(tmp_path) -> Path:
    """A copy of the tiny base, to be damaged."""
    return Path(shutil.copytree(TINY, tmp_path / "base"))


def change_config(folder: Path, **settings: object) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **settings}), "utf-8")


class TestWeights:
    @pytest.mark.parametrize("length", [0, 7, 100, 5000, -1])
    def test_truncated_weights_are_refused(self, base, length):
        path = base / "model.safetensors"
        path.write_bytes(path.read_bytes()[:length])
        error = refused("info", base, inside=base)
        assert error.startswith(f"{path}: is damaged or not a safetensors file")

    def test_weights_that_are_not_what_was_fetched_are_refused(self, base):
        """SHA256SUMS is written when a model is fetched; one flipped bit shows."""
        path = base / "model.safetensors"
        digest = load_base(base).sha256
        (base / "SHA256SUMS").write_text(f"{digest}  model.safetensors\n", "utf-8")
        works("info", base)
        data = bytearray(path.read_bytes())
        data[-1000] ^= 0x10
        path.write_bytes(data)
        error = refused("train", "--task", "rte", "--sample", "--base", base, inside=base)
        assert error.startswith(f"{path}: sha256 is ")
        assert f"but SHA256SUMS says {digest}; fetch again" in error

    @pytest.mark.parametrize(
        "settings, complaint",
        [
            ({"hidden_size": 64}, "embeddings.word has shape (199, 32), but config.json asks for"),
            ({"vocab_size": 500}, "embeddings.word has shape (199, 32), but config.json asks for"),
            ({"intermediate_size": 32}, "feed_forward.inner.weight has shape (32, 64), but config"),
            ({"num_hidden_layers": 3}, "lacks layers.2."),
            ({"num_hidden_layers": 1}, "encoder.layer.1.attention.output.LayerNorm.bias, but"),
            ({"num_attention_heads": 5}, "hidden_size 32 cannot be cut into num_attention_heads 5"),
            ({"model_type": "roberta"}, "model_type is 'roberta'; only 'bert' is supported"),
            ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_"),
            ({"is_decoder": True}, "is_decoder is True; only False is supported"),
            ({"hidden_act": "silu"}, "hidden_act 'silu' is not supported; known: gelu, gelu_new"),
        ],
    )
    def test_a_configuration_that_contradicts_the_weights_is_named(self, base, settings, complaint):
        change_config(base, **settings)
        error = refused("info", base, inside=base)
        assert str(base) in error
        assert complaint in error

    def test_a_folder_with_a_pickle_only_is_refused_unopened(self, base):
        (base / "model.safetensors").unlink()
        (base / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
        assert refused("info", base, inside=base) == (
            f"{base}: has pytorch_model.bin but no model.safetensors; "
            "pickle files can run code and are never opened"
        )

    def test_a_vocabulary_that_the_weights_do_not_have_is_refused(self, base):
        with (base / "vocab.txt").open("a", encoding="utf-8") as file:
            file.write("newword\n")
        words = ("train", "--task", "rte", "--sample", "--base", base, *QUICK[2:])
        error = refused(*words, "--out", base / "run", inside=base)
        assert error == (
            f"{base}: its tokenizer's largest id is 199 ('newword'), but config.json says "
            "vocab_size 199"
        )

    @pytest.mark.parametrize("name", ["config.json", "vocab.txt"])
    def test_a_missing_file_is_named(self, base, name):
        (base / name).unlink()
        words = ("train", "--task", "rte", "--sample", "--base", base, *QUICK[2:])
        assert str(base) in refused(*words, "--out", base / "run", inside=base)

    def test_a_configuration_that_is_no_json_is_named(self, base):
        (base / "config.json").write_text("{", "utf-8")
        assert refused("info", base, inside=base).startswith(f"{base / 'config.json'}: is not JSON")


def no_space(*_: object) -> None:
    """A file system's answer when the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestAFullDisk:
    FULL = "cannot be written: No space left on device"

    def test_a_full_disk_while_training_leaves_what_was_saved_before(self, tmp_path, monkeypatch):
        """The disk fills up in the second epoch; with space again, --resume finishes it."""
        words = ("train", "--task", "rte", "--sample", *ON_TINY, "--epochs", 3)
        run, fsync, calls = tmp_path / "run", os.fsync, []

        def full_later(number: int) -> None:
            calls.append(number)
            if len(calls) > 2:  # the first epoch's task file and checkpoint
                no_space()
            fsync(number)

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full_later)
            result = minibert(*words, "--out", run)
        assert result.code == 2
        error = result.err.splitlines()[-1]
        assert error.startswith(f"minibert: error: {run}{os.sep}")
        assert error.endswith(self.FULL)
        assert files(run).keys() == {"task.safetensors", "checkpoint.safetensors"}
        assert "(epoch 1)" in works("info", run / "task.safetensors").out
        works(*words, "--out", run, "--resume")
        works(*words, "--out", tmp_path / "other")
        assert files(run) == files(tmp_path / "other")

    def test_a_disk_that_is_full_from_the_first_byte_leaves_no_file(self, tmp_path, monkeypatch):
        monkeypatch.setattr("os.fsync", no_space)
        words = ("train", "--task", "rte", "--sample", *QUICK, "--out", tmp_path / "run")
        result = minibert(*words)
        assert result.code == 2
        assert result.err.splitlines()[-1].endswith(self.FULL)
        assert files(tmp_path) == {}

    def test_a_full_disk_spares_the_earlier_output_of_predict(self, trained, tmp_path, monkeypatch):
        (tmp_path / "out.tsv").write_text("an earlier one", "utf-8")
        monkeypatch.setattr("os.fsync", no_space)
        words = ("predict", trained["single"], "--base", TINY, "a")
        error = refused(*words, "--output", tmp_path / "out.tsv", inside=tmp_path)
        assert error == f"{tmp_path / 'out.tsv'}: {self.FULL}"

    def test_standard_output_may_be_full_or_gone(self, trained):
        """In one process for both: /dev/full is Linux's full disk; `| true` reads nothing."""
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full here")
        command = [sys.executable, "-m", "minibert", "info", str(trained["single"])]
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                command,
                stdout=full,
                stderr=subprocess.PIPE,
                env=environment(),
                text=True,
                timeout=60,
            )
        assert done.returncode == 2
        assert done.stderr == "minibert: error: standard output: No space left on device\n"
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            command,
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            timeout=60,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, "")


class TestTheOutputFolder:
    WORDS = ("train", "--task", "rte", "--sample", *QUICK)

    def test_a_finished_run_is_not_overwritten(self, trained, tmp_path):
        run = Path(shutil.copytree(trained["pair"].parent, tmp_path / "run"))
        error = refused(*self.WORDS, "--out", run, inside=tmp_path)
        assert error == (
            f"{run}: already holds a run; continue it with --resume, or choose another --out"
        )

    @pytest.mark.parametrize(
        "options, name",
        [
            (["--seed", 1], "seed 0, not 1"),
            (["--epochs", 2], "epochs 1, not 2"),
            (["--method", "norms"], "method 'head', not 'norms'"),
            (["--batch-size", 8], "batch_size 32, not 8"),
            (["--lr", "0.5"], "rate 0.1, not 0.5"),
            (["--max-length", 40], "max_length 48, not 40"),
            (["--recipe", "released-code"], "recipe 'paper', not 'released-code'"),
        ],
    )
    def test_a_run_is_resumed_with_its_own_options_only(self, trained, tmp_path, options, name):
        run = Path(shutil.copytree(trained["pair"].parent, tmp_path / "run"))
        words = (*self.WORDS, "--out", run, "--resume")
        error = refused(*words, *options, inside=tmp_path)
        assert error.startswith(f"{run / 'checkpoint.safetensors'}: was made with ")
        assert f"was made with {name}; " in error
        assert "resume with the same " in error

    def test_two_runs_into_one_folder_are_kept_apart(self, tmp_path):
        """The other one, in a process of its own, holds the folder's lock."""
        run = tmp_path / "run"
        run.mkdir()
        code = (
            "import sys, filelock\n"
            "with filelock.FileLock(sys.argv[1]):\n"
            "    print('held', flush=True)\n"
            "    sys.stdin.read()\n"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(run / ".lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert other.stdout.readline() == "held\n"
            error = refused(*self.WORDS, "--out", run, inside=tmp_path)
            assert error == f"{run}: another run is using this folder"
        finally:
            other.communicate()
        works(*self.WORDS, "--out", run)

    def test_a_file_in_the_folders_place_is_named(self, tmp_path):
        (tmp_path / "run").write_text("mine", "utf-8")
        for out in (tmp_path / "run", tmp_path / "run" / "deeper"):
            error = refused(*self.WORDS, "--out", out, inside=tmp_path)
            assert error.startswith(f"{out}: cannot be used: ")


class TestTaskFiles:
    def test_a_task_of_another_base_says_which_base_it_wants(self, trained, base):
        """The same shapes, other weights."""
        tensors, _ = read_safetensors(TINY / "model.safetensors")
        tensors = {name: values + np.float32(0.01) for name, values in tensors.items()}
        write_safetensors(base / "model.safetensors", tensors)
        wanted, given = load_base(TINY).sha256[:12], load_base(base).sha256[:12]
        for words in (
            ("evaluate", trained["single"], "--sample", "--base", base),
            ("predict", trained["single"], "--base", base, "a"),
        ):
            assert refused(*words, inside=base) == (
                f"{trained['single']}: was trained on tiny (weights sha256 {wanted}...), "
                f"not on base ({given}...)"
            )

    def test_a_base_that_is_not_found_is_asked_for(self, trained, tmp_path):
        error = refused("predict", trained["single"], "a", inside=tmp_path)
        assert error.startswith(f"{trained['single']}: needs its base tiny (weights sha256 ")
        assert "--base" in error

    @pytest.mark.parametrize("command", ["predict", "evaluate", "info"])
    def test_a_file_that_is_no_task_file_is_named(self, tmp_path, command):
        (tmp_path / "text").write_text("hello", "utf-8")
        (tmp_path / "empty.safetensors").write_bytes(b"")
        for path, complaint in {
            tmp_path / "text": "is damaged or not a safetensors file",
            tmp_path / "empty.safetensors": "is damaged or not a safetensors file",
            TINY / "model.safetensors": "is not a minibert task file",
            tmp_path / "none.safetensors": "cannot be read: No such file or directory",
        }.items():
            error = refused(command, path, inside=tmp_path)
            assert error.startswith(f"{path}: {complaint}")

    @pytest.mark.parametrize("command", ["predict", "evaluate"])
    def test_a_folder_is_no_task_file(self, tmp_path, command):
        assert refused(command, tmp_path, inside=tmp_path).startswith(f"{tmp_path}: ")

    def test_a_truncated_task_file_is_refused(self, trained, tmp_path):
        data = trained["single"].read_bytes()
        path = tmp_path / "task.safetensors"
        for length in (1, 8, 100, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            error = refused("info", path, inside=tmp_path)
            assert error.startswith(f"{path}: is damaged or not a safetensors file")

    def test_any_flipped_bit_of_a_task_file_is_noticed(self, trained, tmp_path):
        """In the tensors, their names, or the description: labels, metric, base."""
        data = trained["single"].read_bytes()
        header = 8 + int.from_bytes(data[:8], "little")
        rng = random.Random(0)
        inside = [rng.randrange(8 * 8, 8 * header) for _ in range(150)]
        outside = [rng.randrange(8 * header, 8 * len(data)) for _ in range(20)]
        path = tmp_path / "task.safetensors"
        for bit in [*range(0, 64, 5), *inside, *outside]:
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            if flipped[8:header].split() == data[8:header].split():
                continue  # a space that became another kind of space
            path.write_bytes(flipped)
            error = refused("info", path, inside=tmp_path)
            assert error.startswith(f"{path}: "), bit


class TestPredict:
    def test_an_input_that_cannot_be_read_is_named(self, trained, tmp_path):
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "latin").write_bytes("ok\ncafé\n".encode("latin-1"))
        (tmp_path / "wide").write_text("a text\nwide\u0000\n".encode("utf-16").decode("latin-1"))
        words = ("predict", trained["single"], "--base", TINY, "--input")
        for name, complaint in {
            "none": ": cannot be read: No such file or directory",
            "": ": cannot be read: Is a directory",
            "empty": ": is empty",
            "latin": " row 2: is not UTF-8",
        }.items():
            path = tmp_path / name
            assert refused(*words, path, inside=tmp_path) == f"{path}{complaint}"

    def test_standard_input_is_checked_like_a_file(self, trained, tmp_path):
        for stdin, complaint in {
            b"": "standard input: is empty",
            b"caf\xe9\n": "standard input row 1: is not UTF-8",
            b"a\x00b\n": "standard input: is a binary file, not text",
            b"one\ntwo\tcells\n": "standard input row 2: has 2 texts, but sst-2 takes 1",
        }.items():
            words = ("predict", trained["single"], "--base", TINY)
            assert refused(*words, inside=tmp_path, stdin=stdin).startswith(complaint)

    def test_single_texts_and_pairs_are_not_mixed_up(self, trained, tmp_path):
        single = ("predict", trained["single"], "--base", TINY)
        pair = ("predict", trained["pair"], "--base", TINY)
        wants_single = "sst-2 is a task on single texts, not pairs"
        wants_pairs = "rte is a task on pairs of texts: --pair FIRST SECOND"
        assert refused(*single, "--pair", "a", "b", inside=tmp_path) == wants_single
        assert refused(*single, "a", "--pair", "a", "b", inside=tmp_path) == wants_single
        assert refused(*pair, "a", "b", inside=tmp_path) == wants_pairs
        assert refused(*pair, "a", "--pair", "a", "b", inside=tmp_path) == wants_pairs
        error = refused(*pair, inside=tmp_path, stdin=b"only one\n")
        assert error.startswith("standard input row 1: has 1 text, but rte takes 2")

    def test_texts_come_from_one_place(self, trained, tmp_path):
        words = ("predict", trained["single"], "--base", TINY, "a", "--input", tmp_path / "b")
        error = refused(*words, inside=tmp_path)
        assert error == "give the texts either as arguments or with --input"

    def test_an_argument_that_is_no_utf_8_is_refused(self, trained, tmp_path):
        """The shell's bytes that are not UTF-8 reach Python as lone surrogates."""
        words = ("predict", trained["single"], "--base", TINY, os.fsdecode(b"caf\xe9"))
        assert refused(*words, inside=tmp_path) == "a text among the arguments is not UTF-8"

    def test_an_output_that_cannot_be_written_is_named(self, trained, tmp_path):
        words = ("predict", trained["single"], "--base", TINY, "a", "--output")
        (tmp_path / "file").write_text("mine", "utf-8")
        for path in (tmp_path, tmp_path / "none" / "out", tmp_path / "file" / "out"):
            error = refused(*words, path, inside=tmp_path)
            assert error.startswith(f"{path}: cannot be written: ")

    def test_what_is_read_is_not_written_over(self, trained, tmp_path):
        task, texts, vectors = (tmp_path / name for name in ("task", "texts.txt", "texts.npy"))
        shutil.copy(trained["single"], task)
        for path in (texts, vectors):
            path.write_text("ba\n", "utf-8")
        table = tmp_path / "table.csv"
        table.write_text("sentence,label\nba,0\n", "utf-8")
        columns = ("--text", "sentence", "--label", "label")
        for words, out in (
            (("predict", task, "--input", texts, "--output"), texts),
            (("predict", task, "ba", "--output"), task),
            (("evaluate", task, "--data", table, *columns, "--report"), table),
            (("evaluate", task, "--data", table, *columns, "--report"), task),
            (("embed", "--input", vectors, "--output"), vectors),
        ):
            before = out.read_bytes()
            error = refused(*words, out, "--base", TINY, inside=tmp_path)
            assert error == f"{out}: is read, too; write to another file"
            assert out.read_bytes() == before

    def test_lines_that_end_with_cr_alone_are_refused(self, trained, tmp_path):
        """They would be one text."""
        path = tmp_path / "mac.txt"
        path.write_bytes(b"good\rbad\r")
        for words in (("predict", trained["single"]), ("embed",)):
            error = refused(*words, "--base", TINY, "--input", path, inside=tmp_path)
            assert error == f"{path}: its lines end with CR alone; save it with LF or CR LF"

    def test_only_predict_is_told_of_text(self, trained, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("text\nba\n", "utf-8")
        words, said = ("--base", TINY, "--input", path), f"{path}: looks like a table; "
        error = refused("predict", trained["single"], *words, inside=tmp_path)
        assert error.startswith(f"{said}name its text column with --text, or give plain lines")
        assert refused("embed", *words, inside=tmp_path).startswith(f"{said}give plain lines")

    def test_one_column_is_no_pair(self, trained, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("text\nba\n", "utf-8")
        words = ("predict", trained["pair"], "--base", TINY, "--input", path)
        error = refused(*words, "--text", "text", "text", inside=tmp_path)
        assert error == "a pair of texts is two columns, not 'text' twice"

    def test_an_output_folder_without_permission_is_named(self, trained, tmp_path):
        """For root, whom permissions do not stop: a folder in which nobody makes files."""
        folder = tmp_path / "locked"
        folder.mkdir()
        folder.chmod(0o500)
        if os.access(folder, os.W_OK):
            folder = Path("/proc")
        if not folder.is_dir():
            pytest.skip("no folder that refuses files")
        words = ("predict", trained["single"], "--base", TINY, "a", "--output", folder / "out")
        error = refused(*words, inside=tmp_path)
        assert error.startswith(f"{folder / 'out'}: cannot be written: ")


class TestEvaluate:
    def test_an_unknown_split_is_answered_with_the_known_ones(self, trained, tmp_path):
        words = ("evaluate", trained["single"], "--base", TINY)
        error = refused(*words, "--sample", "--split", "test", inside=tmp_path)
        assert error == "sst-2 has no split 'test'; it has train, dev"

    def test_data_and_split_exclude_each_other(self, trained, tmp_path):
        words = ("evaluate", trained["single"], "--base", TINY, "--data", tmp_path / "a.tsv")
        for option in (["--sample"], ["--split", "dev"]):
            error = refused(*words, *option, inside=tmp_path)
            assert error == "give either --data TABLE, or --split and --sample"

    def test_glues_files_have_no_rows_to_drop(self, trained, tmp_path):
        words = ("evaluate", trained["single"], "--base", TINY, "--data", "x.tsv")
        error = refused(*words, "--drop-unlabelled", inside=tmp_path)
        assert error.startswith("--drop-unlabelled: x.tsv is read as a file of GLUE's; ")

    def test_another_tasks_file_is_noticed(self, trained, tmp_path):
        path = SAMPLE / "RTE" / "dev.tsv"
        words = ("evaluate", trained["single"], "--base", TINY, "--data", path)
        error = refused(*words, inside=tmp_path)
        assert error.startswith(f"{path}: has no column 'sentence' in its header")

    def test_a_task_of_ones_own_needs_a_file_even_under_a_glue_tasks_name(self, own):
        (own / "train.tsv").rename(own / "rte.tsv")
        files_of = ("--train", own / "rte.tsv", "--dev", own / "dev.tsv")
        works("train", *files_of, *QUICK, "--out", own / "run")
        words = ("evaluate", own / "run" / "task.safetensors", "--base", TINY, "--sample")
        assert refused(*words, inside=own) == "rte is no GLUE task; name a file with --data"


class TestInfo:
    def test_an_unknown_model_is_told_what_there_is(self, tmp_path):
        error = refused("info", "magic", inside=tmp_path)
        assert error.startswith("magic: is neither a folder with a config.json nor a known model")

    def test_method_and_size_are_for_models(self, trained, tmp_path):
        error = refused("info", trained["single"], "--size", 8, inside=tmp_path)
        assert error == "--method and --size go with a model, not with a task file"
        assert "size must be at least 1" in refused("info", TINY, "--size", 0, inside=tmp_path)

    def test_a_command_that_needs_a_missing_package_says_what_to_install(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "tabulate", None)
        error = refused("info", TINY, inside=tmp_path)
        assert "tabulate" in error
        assert error.endswith("the command line needs: pip install 'minibert-adapters[cli]'")
