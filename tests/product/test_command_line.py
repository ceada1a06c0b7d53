"""The command line: what a newcomer types, reads and gets.

All of it on the tiny random BERT of tests/goldens/tiny, so the numbers that come out mean little;
that they are the right ones is what is tested.
"""

import ast
import contextlib
import io
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from command_line import (
    ON_TINY,
    ROOT,
    SAMPLE,
    TINY,
    environment,
    files,
    minibert,
    works,
    write_tsv,
)

from adapters.cli.demo import CONTESTANTS
from adapters.cli.help_text import python_lines
from adapters.cli.programs import minibert_program, python_program
from adapters.predict import predict_texts
from adapters.progress import Progress
from adapters.task_file import load_task
from minibert.checkpoint import load_base
from minibert.data.glue import glue_data
from minibert.errors import InputError
from minibert.tensors import read_safetensors, write_safetensors
from minibert.training.loop import Report

OPTIONS = {
    "fetch": {"MODEL|TASK"},
    "train": {
        "--task",
        "--sample",
        "--train",
        "--dev",
        "--text",
        "--label",
        "TABLE",
        "--dev-share",
        "--classes",
        "--positive",
        "--drop-unlabelled",
        "--class-weights",
        "--stop-after",
        "--fast",
        "--regression",
        "--train-examples",
        "--base",
        "--method",
        "--size",
        "--activation",
        "--recipe",
        "--lr",
        "--epochs",
        "--batch-size",
        "--max-length",
        "--seed",
        "--out",
        "--resume",
        "--threads",
        "--top-layers",
        "--layers",
        "--pooling",
        "--variant",
        "--std",
        "--freeze-layernorm",
        "--lora-targets",
        "--lora-alpha",
        "--cache",
    },
    "search": {
        "--task",
        "--sample",
        "TABLE",
        "--train",
        "--dev",
        "--dev-share",
        "--text",
        "--label",
        "--regression",
        "--classes",
        "--positive",
        "--drop-unlabelled",
        "--train-examples",
        "--rates",
        "--sizes",
        "--top-layers",
        "--base",
        "--method",
        "--pooling",
        "--recipe",
        "--epochs",
        "--class-weights",
        "--batch-size",
        "--max-length",
        "--seed",
        "--threads",
        "--out",
        "--resume",
        "--cache",
    },
    "import": {
        "DIR|ORG/NAME",
        "--out",
        "--base",
        "--ignore-base-name",
        "--task",
        "--labels",
        "--pairs",
        "--force",
        "--max-length",
        "--head",
    },
    "export": {"FILE", "DIR", "--format", "--merge-base", "--base"},
    "push": {"FILE", "ORG/NAME", "--licence", "--private", "--force", "--base"},
    "reproduce": {
        "STUDY",
        "--budget",
        "--data",
        "--base",
        "--seeds",
        "--sample",
        "--workers",
        "--cluster",
        "--threads",
        "--out",
        "--report-only",
    },
    "evaluate": {
        "FILE",
        "--base",
        "--data",
        "--text",
        "--label",
        "--drop-unlabelled",
        "--split",
        "--sample",
        "--json",
        "--report",
        "--threads",
    },
    "predict": {
        "FILE",
        "TEXT",
        "--pair",
        "--input",
        "--text",
        "--submission",
        "--output",
        "--resume",
        "--cluster",
        "--base",
        "--json",
        "--threads",
    },
    "embed": {
        "TEXT",
        "--input",
        "--output",
        "--base",
        "--pooling",
        "--normalize",
        "--max-length",
        "--threads",
    },
    "info": {"MODEL|FILE", "--method", "--size"},
    "exercises": {
        "WORD",
        "--in",
        "--once",
        "--seconds",
        "--json",
        "--table",
        "--workers",
        "--no-solutions",
    },
    "tutorials": {"WORD"},
    "doctor": {"--json"},
    "demo": {"--out"},
}


@pytest.fixture(scope="module")
def rte(tmp_path_factory) -> Path:
    """A run on the sample's RTE, a task on pairs."""
    out = tmp_path_factory.mktemp("runs") / "rte"
    works("train", "--task", "rte", "--sample", *ON_TINY, "--epochs", 3, "--out", out)
    return out


@pytest.fixture(scope="module")
def sst(tmp_path_factory) -> Path:
    """A run on the sample's SST-2, a task on single sentences."""
    out = tmp_path_factory.mktemp("runs") / "sst"
    works("train", "--task", "sst-2", "--sample", *ON_TINY, "--epochs", 1, "--out", out)
    return out


class TestHelp:
    def test_without_a_command_the_commands_are_named(self):
        result = works("--help")
        for command in OPTIONS:
            assert re.search(rf"^    {command}\s+\w+ \w+ \w+", result.out, re.M), command

    @pytest.mark.parametrize("command", OPTIONS)
    def test_every_option_is_explained_in_words(self, command):
        entries = help_entries(works(command, "--help").out)
        assert entries.keys() - {"-h, --help"} == OPTIONS[command]
        for option, text in entries.items():
            assert len(re.findall(r"[\w-]{2,}", text)) >= 4, f"{option}: {text!r} is no sentence"

    @pytest.mark.parametrize("command", OPTIONS)
    def test_every_command_shows_examples_that_the_parser_understands(self, command):
        """And the same in Python, which `TestPython` runs."""
        text = works(command, "--help").out
        lines = re.findall(r"^  minibert (.*)", text.partition("examples:")[2], re.M)
        assert lines
        for line in lines:
            words = re.findall(r'"[^"]*"|[^\s<]+', line.partition("<")[0])
            assert words[0] == command
            options = {word for word in words if word.startswith("--")}
            assert options <= OPTIONS[command]
        assert "the same in Python:" in text

    def test_the_version_is_the_packages(self):
        import minibert as package

        assert works("--version").out == f"minibert {package.__version__}\n"


def help_entries(text: str) -> dict[str, str]:
    """{option or argument: its explanation} of a help page."""
    listing = text.partition("\n\n")[2].partition("\nexamples:")[0]
    entries = {}
    for block in re.split(r"\n  (?=\S)", listing)[1:]:
        name, _, explanation = re.sub(r"\s*\n\s+", "  ", block.split("\n\n")[0]).partition("  ")
        key = name if name.startswith("-h") else re.split(r"[ ,]", name)[0]
        entries[key] = explanation
    return entries


class TestTrain:
    def test_train_says_which_data_and_weights_are_used_and_what_is_trained(self, tmp_path):
        """Section 2.1: one adapter has 2md + d + m parameters, two of them sit in each layer."""
        result = works(
            "train",
            "--task",
            "cola",
            "--sample",
            *ON_TINY,
            "--size",
            8,
            "--epochs",
            1,
            "--out",
            tmp_path / "run",
        )
        assert "minibert's own sample in the format of CoLA (not the GLUE data)" in result.out
        assert "320 training and 160 dev examples" in result.out
        assert str(TINY) in result.out
        assert load_base(TINY).sha256[:12] in result.out
        d, m, layers = 32, 8, 2
        trained = {
            "LayerNorms": (2 * layers + 1) * 2 * d,
            "adapters": 2 * layers * (2 * m * d + d + m),
            "task head": 2 * d + 2,
        }
        for group, parameters in trained.items():
            assert re.search(rf"^{group} +{parameters:,} +- ", result.out, re.M), group
        assert re.search(rf"^all +{sum(trained.values()):,} +26,368 ", result.out, re.M)

    def test_the_folder_holds_the_task_the_report_the_checkpoint_and_the_picture(self, rte):
        assert files(rte).keys() == {
            "task.safetensors",
            "report.json",
            "report.html",
            "checkpoint.safetensors",
            "curve.png",
        }
        report = json.loads((rte / "report.json").read_text("utf-8"))
        steps = 3 * 8  # 240 examples in batches of 32
        assert (len(report["losses"]), len(report["epochs"])) == (steps, 3)

    def test_the_picture_is_a_png_that_shows_something(self, rte):
        import matplotlib.image

        data = (rte / "curve.png").read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))  # IHDR
        assert 800 <= width <= 2000
        assert 300 <= height <= 1200
        pixels = matplotlib.image.imread(rte / "curve.png")[:, :, :3].mean(axis=2)
        for half in np.split(pixels, 2, axis=1):  # both diagrams: mostly white, with dark lines
            assert 0.005 < np.mean(half < 0.5) < 0.2

    def test_without_a_terminal_there_is_one_line_an_epoch(self, tmp_path):
        result = works(
            "train",
            "--task",
            "sts-b",
            "--sample",
            *ON_TINY,
            "--epochs",
            2,
            "--out",
            tmp_path,
        )
        lines = result.err.splitlines()
        assert len(lines) == 2
        for number, line in enumerate(lines, start=1):
            assert re.fullmatch(
                rf"sts-b: epoch {number}, loss [\d.]+, [\d,]+ tokens/s, "
                r"dev pearson -?[\d.]+, spearman -?[\d.]+",
                line,
            )

    def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(self, rte, tmp_path):
        for seed in (0, 1):
            works(
                "train",
                "--task",
                "rte",
                "--sample",
                *ON_TINY,
                "--epochs",
                3,
                "--seed",
                seed,
                "--out",
                tmp_path / str(seed),
            )
        first, again, other = (
            (folder / "task.safetensors").read_bytes()
            for folder in (rte, tmp_path / "0", tmp_path / "1")
        )
        assert first == again
        assert first != other

    def test_fewer_training_examples_make_fewer_steps(self, tmp_path):
        result = works(
            "train",
            "--task",
            "rte",
            "--sample",
            *ON_TINY,
            "--epochs",
            2,
            "--batch-size",
            10,
            "--train-examples",
            45,
            "--method",
            "head",
            "--out",
            tmp_path,
        )
        report = json.loads((tmp_path / "report.json").read_text("utf-8"))
        assert len(report["losses"]) == 2 * 5  # 45 examples: four batches of 10 and one of 5
        assert "45 training and" in result.out

    def test_the_default_folder_is_named_after_task_and_method(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        works("train", "--task", "sst2", "--sample", *ON_TINY, "--epochs", 1, "--method", "norms")
        assert (tmp_path / "runs" / "sst-2-norms" / "task.safetensors").is_file()


# Words of the tiny BERT's vocabulary, so that a task can be learned by them.
WORDS = ("ba", "di", "fo", "ka", "zi")


def own_rows(classes: int, count: int, pair: bool = False, number: bool = False) -> list[tuple]:
    """Examples whose first word decides: (text[, text], label)."""
    rng = np.random.default_rng(count)
    rows: list[tuple] = []
    for i in range(count):
        which = i % classes
        filler = " ".join(rng.choice(["a", "b", "c", "e"], rng.integers(1, 6)))
        texts = [f"{WORDS[which]} {WORDS[which]} {filler}"]
        texts += [" ".join(rng.choice(["a", "b"], 3))] if pair else []
        rows.append((*texts, 1.5 * which if number else f"label {which}"))
    return rows


class TestOwnFiles:
    """Anybody's own data: a header line, named columns, classes or a number."""

    @pytest.mark.parametrize("classes, pair", [(2, False), (5, False), (3, True)])
    def test_classes_are_the_labels_of_the_file(self, tmp_path, classes, pair):
        header = "question answer mark" if pair else "question mark"
        train = write_tsv(tmp_path / "mine.tsv", header, own_rows(classes, 120, pair))
        dev = write_tsv(tmp_path / "other.tsv", header, own_rows(classes, 50, pair))
        out = tmp_path / "run"
        trained = works(
            "train",
            "--train",
            train,
            "--dev",
            dev,
            "--text",
            *header.split()[:-1],
            "--label",
            "mark",
            *ON_TINY,
            "--lr",
            "1e-2",
            "--epochs",
            6,
            "--out",
            out,
        )
        assert re.search(rf"^task head +{32 * classes + classes} ", trained.out, re.M)
        accuracy = json.loads((out / "report.json").read_text("utf-8"))["best"]["accuracy"]
        assert accuracy > 1.5 / classes  # the first word gives it away; a guess gets 1 / classes

        rows = own_rows(classes, 10, pair)
        lines = "".join("\t".join(row[:-1]) + "\n" for row in rows)
        predicted = works(
            "predict", out / "task.safetensors", "--base", TINY, "--json", stdin=lines.encode()
        )
        labels = [f"label {i}" for i in range(classes)]
        for line in predicted.out.splitlines():
            assert list(json.loads(line)["probabilities"]) == labels
        told = works("info", out / "task.safetensors").out
        assert f"a label: {', '.join(labels)}" in told
        assert ("pairs of texts" if pair else "single texts") in told

    def test_a_number_is_predicted_by_regression(self, tmp_path):
        train = write_tsv(tmp_path / "mine.tsv", "text label", own_rows(4, 120, number=True))
        dev = write_tsv(tmp_path / "other.tsv", "text label", own_rows(4, 40, number=True))
        file = tmp_path / "run" / "task.safetensors"
        trained = works(
            "train",
            "--train",
            train,
            "--dev",
            dev,
            "--regression",
            *ON_TINY,
            "--lr",
            "1e-2",
            "--epochs",
            6,
            "--out",
            file.parent,
        )
        assert re.search(r"^task head +33 ", trained.out, re.M)
        result = works("predict", file, "--base", TINY, "--json", "ba ba a", "ka ka a")
        low, high = (json.loads(line)["score"] for line in result.out.splitlines())
        assert low < high  # 0.0 and 4.5 in the file
        plain = works("predict", file, "--base", TINY, "ba ba a").out
        assert plain == f"{low:.6g}\tba ba a\n"

    def test_files_of_ones_own_are_scored_with_data(self, tmp_path):
        """Accuracy counted here, from the labels that `predict` prints."""
        train = write_tsv(tmp_path / "mine.tsv", "text label", own_rows(3, 60))
        rows = own_rows(3, 40)
        dev = write_tsv(tmp_path / "other.tsv", "text label", rows)
        file = tmp_path / "run" / "task.safetensors"
        works(
            "train", "--train", train, "--dev", dev, *ON_TINY, "--epochs", 2, "--out", file.parent
        )
        scored = works("evaluate", file, "--base", TINY, "--data", dev, "--json").out
        lines = "".join(f"{row[0]}\n" for row in rows).encode()
        predicted = works("predict", file, "--base", TINY, stdin=lines).out.splitlines()
        right = sum(
            line.split("\t")[0] == row[1] for line, row in zip(predicted, rows, strict=True)
        )
        scored = json.loads(scored)
        assert 0 < scored.pop("macro_f1") < 1
        nothing = {"texts_cut": 0, "tokens_lost": 0}
        assert scored == {"task": "mine", "examples": 40, "accuracy": right / 40, **nothing}


class TestEvaluate:
    def test_evaluate_gives_the_dev_metric_that_training_kept(self, rte):
        best = json.loads((rte / "report.json").read_text("utf-8"))["best"]
        words = ("evaluate", rte / "task.safetensors", "--base", TINY, "--sample")
        found = json.loads(works(*words, "--json").out)
        lost = {"texts_cut": 120, "tokens_lost": found["tokens_lost"]}  # at 48 tokens, of letters
        expected = {"task": "rte", "examples": 120, "accuracy": best["accuracy"]}
        assert found == {**expected, **lost}
        line = f"rte, 120 examples: accuracy {100 * best['accuracy']:.1f}"
        assert works(*words).out.splitlines()[0] == line

    def test_a_file_in_the_tasks_format_gives_the_same_as_the_split_that_it_is(self, rte):
        words = ("evaluate", rte / "task.safetensors", "--base", TINY)
        by_split = works(*words, "--sample", "--split", "train").out
        assert by_split == works(*words, "--data", SAMPLE / "RTE" / "train.tsv").out
        assert "240 examples" in by_split


TEXTS = ["What a lovely day.", "Never again!", "", "Ünïcode 🦊 ok"]


class TestPredict:
    def test_arguments_a_file_and_standard_input_give_the_same(self, sst, tmp_path):
        words = ("predict", sst / "task.safetensors", "--base", TINY)
        lines = "".join(f"{text}\n" for text in TEXTS)
        (tmp_path / "texts.txt").write_text(lines, "utf-8")
        by_arguments = works(*words, *TEXTS).out
        assert by_arguments == works(*words, "--input", tmp_path / "texts.txt").out
        assert by_arguments == works(*words, stdin=lines.encode()).out
        assert by_arguments == works(*words, stdin=lines.replace("\n", "\r\n").encode()).out
        assert len(by_arguments.splitlines()) == len(TEXTS)  # the empty text is one too

    def test_probabilities_are_the_softmax_of_the_python_calls_logits(self, sst):
        words = ("predict", sst / "task.safetensors", "--base", TINY)
        results = [json.loads(line) for line in works(*words, "--json", *TEXTS).out.splitlines()]
        task, base = load_task(sst / "task.safetensors"), load_base(TINY)
        logits = predict_texts(task, base, TEXTS).astype(np.float64)
        for text, result, row in zip(TEXTS, results, logits, strict=True):
            assert result["text"] == text
            named = result["probabilities"]
            assert list(named) == ["negative", "positive"]
            # printed with six decimals
            assert sum(named.values()) == pytest.approx(1, abs=2e-6)
            assert named["positive"] == pytest.approx(1 / (1 + np.exp(row[0] - row[1])), abs=1e-6)
            assert named[result["label"]] == max(named.values())
        lines = [line.split("\t") for line in works(*words, *TEXTS).out.splitlines()]
        for text, result, (label, chance, shown) in zip(TEXTS, results, lines, strict=True):
            assert (label, shown) == (result["label"], text)
            assert float(chance) == pytest.approx(max(result["probabilities"].values()), abs=6e-4)

    def test_pairs_come_as_options_or_with_a_tab_between(self, rte):
        words = ("predict", rte / "task.safetensors", "--base", TINY, "--json")
        pairs = [("It rains.", "It is wet."), ("Nobody came.", "")]
        options = [word for pair in pairs for word in ("--pair", *pair)]
        lines = "".join("\t".join(pair) + "\n" for pair in pairs)
        by_options = works(*words, *options).out
        assert by_options == works(*words, stdin=lines.encode()).out
        shown = [json.loads(line)["text"] for line in by_options.splitlines()]
        assert shown == [list(pair) for pair in pairs]
        turned = works(*words, "--pair", *reversed(pairs[0])).out.splitlines()[0]
        probabilities = [
            json.loads(t)["probabilities"] for t in (by_options.splitlines()[0], turned)
        ]
        assert probabilities[0] != probabilities[1]

    def test_output_goes_to_a_file_where_one_is_named(self, sst, tmp_path):
        words = ("predict", sst / "task.safetensors", "--base", TINY, *TEXTS)
        path = tmp_path / "labels.tsv"
        path.write_text("an earlier one", "utf-8")
        assert works(*words, "--output", path).out == ""
        assert path.read_text("utf-8") == works(*words).out
        assert files(tmp_path).keys() == {"labels.tsv"}

    def test_output_into_a_pipe_goes_through_it(self, sst, tmp_path):
        """What is no plain file (a pipe, a device) is written to, not replaced by a file."""
        words = ("predict", sst / "task.safetensors", "--base", TINY, *TEXTS)
        path = tmp_path / "pipe"
        os.mkfifo(path)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        works(*words, "--output", path)
        assert path.is_fifo()
        assert os.read(reading, 65536).decode() == works(*words).out
        os.close(reading)

    def test_a_text_may_begin_with_a_dash_and_hold_tabs_and_line_ends(self, sst):
        words = ("predict", sst / "task.safetensors", "--base", TINY)
        assert works(*words, "--", "-1 of 10").out.endswith("\t-1 of 10\n")
        text = "two\tcells\nand lines"
        assert works(*words, text).out.endswith("\ttwo cells and lines\n")
        assert json.loads(works(*words, "--json", text).out)["text"] == text


class TestInfo:
    def test_a_model_is_described_with_its_configuration_and_parameters(self):
        result = works("info", TINY, "--method", "adapters", "--size", 4)
        config = json.loads((TINY / "config.json").read_text("utf-8"))
        for name in ("hidden_size", "num_hidden_layers", "vocab_size", "hidden_act"):
            assert re.search(rf"^{name} +{config[name]}$", result.out, re.M)
        tensors, _ = read_safetensors(TINY / "model.safetensors")
        total = sum(values.size for values in tensors.values())
        assert re.search(rf"^parameters +{total:,}$", result.out, re.M)
        assert re.search(rf"^adapters +{4 * (2 * 4 * 32 + 32 + 4):,} ", result.out, re.M)

    def test_a_task_file_is_described_with_its_base_method_and_results(self, rte):
        result = works("info", rte / "task.safetensors")
        report = json.loads((rte / "report.json").read_text("utf-8"))
        assert f"tiny, weights sha256 {load_base(TINY).sha256}" in result.out
        assert "adapters, m = 64, activation gelu_tanh; recipe paper" in result.out
        assert "entailment, not_entailment" in result.out
        best = report["best"]
        assert f"accuracy {100 * best['accuracy']:.1f} (epoch {best['epoch']})" in result.out


class TestPython:
    """Each command is one documented Python call: the help's lines do what the command does."""

    def test_the_helps_lines_train_and_use_the_same_task(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        epochs = python_output(
            "train",
            ('glue_data("rte"', 'glue_data("rte", sample=True'),
            ("out=", "max_length=48, out="),
            ("epochs=5", "epochs=2"),
        )
        scores = python_output("evaluate", ('"dev"', '"dev", sample=True'))
        predicted, described = python_output("predict"), python_output("info")

        file = tmp_path / "runs" / "rte-adapters" / "task.safetensors"
        words = ("train", "--task", "rte", "--sample", *ON_TINY, "--epochs", 2, "--lr", "1e-3")
        works(*words)
        assert file.read_bytes() == (tmp_path / "python/rte-adapters/task.safetensors").read_bytes()
        report = json.loads((file.parent / "report.json").read_text("utf-8"))
        assert ast.literal_eval(epochs) == report["epochs"]
        scored = json.loads(works("evaluate", file, "--base", TINY, "--sample", "--json").out)
        assert ast.literal_eval(scores) == {"accuracy": scored["accuracy"]}
        pair = ("--pair", "It rains.", "It is wet.")
        told = json.loads(works("predict", file, "--base", TINY, "--json", *pair).out)
        assert [float(n) for n in re.findall(r"\d\.\d+", predicted)] == pytest.approx(
            list(told["probabilities"].values()), abs=1e-6
        )
        assert load_base(TINY).sha256 in described


def python_output(command: str, *changes: tuple[str, str]) -> str:
    """What the Python of a command's help prints: on the tiny base, in a folder of its own, and
    changed as said (each piece must be there)."""
    lines = python_lines(command)
    for old, new in ('"minilm"', repr(str(TINY))), ('"runs/', '"python/'), *changes:
        assert old in lines
        lines = lines.replace(old, new)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(lines, {})
    return out.getvalue()


# 10 epochs of 10 steps
STOPPED = ("train", "--task", "cola", "--sample", *ON_TINY, "--epochs", 10, "--size", 8)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> tuple[Path, int, str]:
    """(folder, exit code, what the terminal showed) of a run that got Ctrl-C in its 3rd epoch.

    In a process of its own with a terminal, as Ctrl-C is a signal to that.
    """
    out = tmp_path_factory.mktemp("stopped") / "run"
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "minibert", *map(str, STOPPED), "--out", out],
        stdout=subprocess.DEVNULL,
        stderr=inside,
        env=environment(COLUMNS="100"),
        # tests that run in the background ignore Ctrl-C, and so would their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(inside)
    shown, sent, end = b"", False, time.monotonic() + 120
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # Linux's way to say that the other side has closed
                break
            if b"epoch 2," in shown and not sent:
                process.send_signal(signal.SIGINT)
                sent = True
        code = process.wait(timeout=60)
    finally:
        process.kill()
        os.close(terminal)
    return out, code, shown.decode()


class TestStoppingAndResuming:
    def test_a_terminal_shows_a_bar_with_loss_speed_and_time_left(self, stopped):
        _, _, shown = stopped
        bar = r"cola +\d+%\|[^|]+\| step \d+/100, ETA \d\d:\d\d, loss [\d.]+, [\d,]+ tokens/s"
        assert re.search(bar, shown)
        assert "cola: epoch 1, loss" in shown

    def test_the_speed_is_that_of_the_last_steps_and_not_of_the_start(self, capsys):
        """100 steps at 10 tokens/s, then 100 at 1,000: over all of them it would be 20."""
        show = Progress("slow start")
        for step in range(1, 201):
            seconds = 10.0 if step <= 100 else 0.1
            scores = {"accuracy": 0.5} if step in (100, 200) else None
            show(Report(step, 200, step // 101, 0.5, 100, seconds, scores))
        speeds = re.findall(r"loss 0\.500, ([\d,]+) tokens/s", capsys.readouterr().err)
        assert speeds[0] == "10"
        assert 400 < int(speeds[-1]) < 1000

    def test_a_second_training_has_a_bar_of_its_own(self, capsys):
        show = Progress("twice")
        for loss, seconds in ((0.5, 1.0), (0.25, 0.1)):
            for step in (1, 2):
                scores = {"accuracy": 0.5} if step == 2 else None
                show(Report(step, 2, 0, loss, 10, seconds, scores))
            assert show.bar is None  # it is closed
        assert "epoch 1, loss 0.250, 100 tokens/s" in capsys.readouterr().err

    def test_ctrl_c_says_how_to_resume(self, stopped):
        out, code, shown = stopped
        assert code == 130
        last = shown.strip().splitlines()[-1]
        assert re.fullmatch(
            r"minibert: stopped after step \d+ of 100; "
            r"continue with the same command and --resume",
            last,
        )
        assert "Traceback" not in shown
        assert files(out).keys() == {"task.safetensors", "checkpoint.safetensors"}

    def test_resuming_where_nothing_was_begun_begins(self, tmp_path):
        words = ("train", "--task", "rte", "--sample", *ON_TINY, "--epochs", 1, "--method", "head")
        first, _ = works(*words, "--out", tmp_path, "--resume").err.splitlines()
        assert first == f"{tmp_path}: has no checkpoint yet; starting from the beginning"

    def test_resuming_ends_with_the_bytes_of_an_uninterrupted_run(self, stopped, tmp_path):
        out, _, shown = stopped
        done = int(re.findall(r"stopped after step (\d+)", shown)[0])
        assert 20 <= done < 100  # ten steps an epoch: stopped after the second, before the end
        resumed = works(*STOPPED, "--out", out, "--resume")
        assert "cola: epoch 1," not in resumed.err
        works(*STOPPED, "--out", tmp_path)
        for name in ("task.safetensors", "report.json"):
            assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name


class TestDemo:
    """`minibert demo`, with a small base in MiniLM's place and without network."""

    @pytest.fixture
    def small(self, tmp_path) -> Path:
        """The tiny BERT with 128 positions, which the demo asks for."""
        folder = tmp_path / "small"
        shutil.copytree(TINY, folder)
        config = json.loads((TINY / "config.json").read_text("utf-8"))
        config["max_position_embeddings"] = 128
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
        tensors, _ = read_safetensors(TINY / "model.safetensors")
        (name,) = (name for name in tensors if "position_embeddings" in name)
        tensors[name] = np.concatenate([tensors[name], tensors[name][::-1]])
        write_safetensors(folder / "model.safetensors", tensors)
        return folder

    def test_the_demo_shows_the_whole_path_on_the_sample_when_glue_cannot_be_fetched(
        self, small, tmp_path, monkeypatch
    ):
        def nowhere(name: str) -> Path:
            raise InputError("no connection")

        monkeypatch.setattr("adapters.cli.demo.fetch_model", lambda name: small)
        monkeypatch.setattr("adapters.cli.demo.find_task", lambda name: None)
        monkeypatch.setattr("adapters.cli.demo.fetch_task", nowhere)
        short = tuple(replace(one, epochs=1) for one in CONTESTANTS)
        monkeypatch.setattr("adapters.cli.demo.CONTESTANTS", short)
        out = tmp_path / "demo"
        result = works("demo", "--out", out)
        said = "GLUE's SST-2 is not available (no connection); using minibert's own sample."
        assert said in result.out
        assert "minibert's own sample in the format of SST-2 (not the GLUE data)" in result.out
        assert load_base(small).sha256[:12] in result.out
        assert re.search(r"^adapters +16,768 +- +\d+\.\d+ %$", result.out, re.M)
        logistic = "logistic regression on the frozen base's means"
        for what in (
            *(re.escape(one.what) for one in short),
            logistic,
            r"nothing \(.*majority class\)",
        ):
            assert re.search(rf"^{what} +\d+\.\d$", result.out, re.M), what
        assert "on 240 sentences the first number has a standard error of" in result.out
        assert "one of 50 has 3.2;\nseeds 0, 1 and 2 of the adapters gave" in result.out
        file = out / "adapters" / "task.safetensors"
        assert str(file) in result.out
        assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
        line = r"^  (right|WRONG)  (negative|positive) +(0\.\d+|1\.00)  (.*)"
        predicted = re.findall(line, result.out, re.M)
        assert len(predicted) == 8
        again = works("predict", file, "--base", small, *(p[3] for p in predicted)).out
        assert [line.split("\t")[0] for line in again.splitlines()] == [p[1] for p in predicted]
        data = glue_data("sst-2", sample=True)
        gold = {example.text: data.task.names[int(example.label)] for example in data.dev}
        for verdict, answer, _, text in predicted:
            assert (verdict == "right") == (gold[text] == answer), text
        shown = result.out.strip().splitlines()[-1].strip()
        assert shown.endswith(f' predict {file} "A TEXT"')
        program = shlex.split(shown)[0]
        assert program == "python" or shutil.which(program), program
        (out / "adapters" / "notes.txt").write_text("mine")  # a finished demo is replaced
        assert works("demo", "--out", out).err.count("epoch 1, ") == 3
        assert (out / "adapters" / "notes.txt").read_text() == "mine"

    def test_the_demo_removes_nothing_of_another_training(self, tmp_path, monkeypatch):
        def nowhere(name: str) -> Path:
            raise InputError("no connection")

        monkeypatch.setattr("adapters.cli.demo.fetch_model", nowhere)
        names = ["curve.png", "adapters/task.safetensors", "head-on-mean/notes.txt"]
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("mine")
        assert minibert("demo", "--out", tmp_path).code == 2
        assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_a_line_to_paste_names_programs_that_the_shell_finds(tmp_path, monkeypatch):
    """By name in an activated environment, else by their path."""
    programs = tmp_path / "my venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "python3", "minibert"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python3"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(programs))
    assert (minibert_program(), python_program()) == ("minibert", "python")
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = ("'my venv/bin/minibert'", "'my venv/bin/python3'")
    assert (minibert_program(), python_program()) == shown
    monkeypatch.chdir(programs)  # where the names alone would be looked for elsewhere
    assert (minibert_program(), python_program()) == ("./minibert", "./python3")
    monkeypatch.chdir(tmp_path)
    (programs / "minibert").unlink()
    assert minibert_program() == "'my venv/bin/python3' -m minibert"


def test_a_line_to_paste_names_no_program_of_another_installation(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for place in (ours, theirs):
        place.mkdir()
        for name in ("python", "minibert"):
            (place / name).write_text(f"#!/bin/sh\n# {place.name}\n")
            (place / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ours / "python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{theirs}:{ours}")
    assert (minibert_program(), python_program()) == ("ours/minibert", "ours/python")
    (theirs / "minibert").unlink()
    (theirs / "minibert").symlink_to(ours / "minibert")  # as pipx makes it
    assert minibert_program() == "minibert"
    (ours / "python").rename(ours / "python3")
    (theirs / "python").rename(ours / "python")  # a Python 2 beside the 3
    monkeypatch.setattr(sys, "executable", str(ours / "python3"))
    assert python_program() == "ours/python3"


class TestPackages:
    def test_importing_the_library_imports_little_else(self):
        """What an import costs is what it imports: at first nothing but itself (and NumPy, where
        its kernels are chosen); then NumPy, autograd, and none of the rest."""
        code = (
            "import sys, minibert\n"
            "print(*{name.partition('.')[0] for name in sys.modules})\n"
            "import adapters.methods.bottleneck\n"
            "print(*{name.partition('.')[0] for name in sys.modules})\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=environment(),
        )
        first, second = (set(line.split()) for line in done.stdout.splitlines())
        assert "minibert" in first
        assert not first & {"adapters", "autograd"}
        assert {"minibert", "adapters", "numpy", "autograd"} <= second
        for loaded in (first, second):
            assert not loaded & {
                "tokenizers",
                "safetensors",
                "filelock",
                "huggingface_hub",
                "pooch",
                "requests",
                "platformdirs",
                "tqdm",
                "tabulate",
                "matplotlib",
                "scipy",
                "torch",
                "transformers",
                "httpx",
                "ssl",
                "urllib3",
                "asyncio",
                "sqlite3",
            }

    def test_imports_point_one_way(self):
        """tutorials -> adapters -> minibert; only `python -m minibert` looks up."""
        for path in (ROOT / "minibert").rglob("*.py"):
            if path.name != "__main__.py":
                assert not imported(path) & {"adapters", "tutorials", "tests"}, path.name
        for path in (ROOT / "adapters").rglob("*.py"):
            assert not imported(path) & {"tutorials", "tests"}, path.name

    def test_no_modules_import_each_other_in_a_circle(self):
        """Not even late, inside a function."""
        files = {}
        for package in ("minibert", "adapters"):
            for path in (ROOT / package).rglob("*.py"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                files[".".join(part for part in parts if part != "__init__")] = path
        graph = {name: needed(path) & files.keys() - {name} for name, path in files.items()}
        assert "minibert.ops" in graph["minibert.model"]
        tuple(TopologicalSorter(graph).static_order())  # raises CycleError, naming a circle

    @pytest.mark.parametrize("package", ["minibert", "adapters"])
    def test_the_names_that_people_use_are_imported_when_they_are_first_used(self, package):
        code = (
            f"import sys, {package} as package\n"
            "before = set(sys.modules)\n"
            "for name in package.__all__:\n"
            "    assert name not in vars(package)\n"
            "    assert getattr(package, name).__name__ == name\n"
            "assert set(sys.modules) - before\n"
            f"from {package} import *\n"
            "try:\n    package.nonsense\n"
            "except AttributeError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"module '{package}' has no attribute 'nonsense'\n"

    def test_the_installed_command_is_the_module(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        assert project["scripts"] == {"minibert": "minibert.__main__:main"}

    def test_another_library_called_adapters_in_front_is_a_clear_error(self, tmp_path):
        """AdapterHub's library has that name too. It is not imported to find that out."""
        (tmp_path / "adapters").mkdir()
        (tmp_path / "adapters" / "__init__.py").write_text("raise SystemExit('imported')", "utf-8")
        shutil.copytree(ROOT / "minibert", tmp_path / "site" / "minibert")
        path = os.pathsep.join([str(tmp_path), str(tmp_path / "site")])
        done = subprocess.run(
            [sys.executable, "-P", "-m", "minibert", "--help"],
            cwd=tmp_path / "site",  # of the current folder nothing is imported
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(PYTHONPATH=path),
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("minibert: error: the package `adapters` found here")
        assert str(tmp_path / "adapters") in line
        assert "not to the distribution minibert-adapters" in line
        assert "virtual environment" in line
        assert done.stdout == ""

    @pytest.mark.parametrize("first", ["theirs", "ours"])
    @pytest.mark.parametrize(
        "words",
        [("SITE/bin/minibert", "--help"), ("-m", "minibert", "--help"), ("-c", "import minibert")],
        ids=["command", "module", "import"],
    )
    def test_two_libraries_in_one_folder_are_named_by_the_first_import_or_command(
        self, tmp_path, first, words
    ):
        """Two wheels installed into one environment, in either order: the later one's files stay,
        `adapters/__init__.py` and `methods/bottleneck.py` among them. The command says so in one
        line; an import, which has no other way, by the exception that it raises."""
        site = tmp_path / "site"
        shutil.copytree(ROOT / "minibert", site / "minibert")
        shutil.copytree(ROOT / "adapters", site / "adapters")
        (site / "adapters" / "composition.py").write_text("")
        if first == "ours":
            for name in ("__init__.py", "methods/bottleneck.py"):
                (site / "adapters" / name).write_text("raise SystemExit('imported')")
        for project, file in (
            ("adapters", "composition.py"),
            ("minibert-adapters", "task_file.py"),
        ):
            record = site / f"{project.replace('-', '_')}-1.0.dist-info"
            record.mkdir()
            about = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1\n"
            (record / "METADATA").write_text(about)
            (record / "RECORD").write_text(f"adapters/{file},,\n")
        (site / "bin").mkdir()
        script = "import sys\nfrom minibert.__main__ import main\nsys.exit(main())\n"  # pip's
        (site / "bin" / "minibert").write_text(script)
        done = subprocess.run(
            [sys.executable, "-P", *(word.replace("SITE", str(site)) for word in words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(PYTHONPATH=str(site)),
        )
        *before, line = done.stderr.splitlines()
        said = "has files of the distribution adapters and of the distribution minibert-adapters"
        assert said in line, done.stderr
        if words[0] == "-c":
            assert done.returncode != 0
            assert line.startswith("ImportError: ")
        else:
            assert (done.returncode, done.stdout, before) == (2, "", [])
            assert line.startswith("minibert: error: ")


def needed(path: Path) -> set[str]:
    """All that a file imports, wherever in it: modules by their whole names, and what is imported
    from them, which may be a module too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    return {name.partition(".")[0] for name in needed(path)}
