"""Every command, fed with damaged files: it works, or says in one line what is wrong.

Bytes are flipped, cut, doubled and replaced; in JSON a value becomes another, or its key is gone.
Each damage is drawn with its own seed, so a failure is repeated by its number.
"""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from command_line import TINY, Result, environment, minibert

from minibert.checkpoint import load_base

DAMAGES = 8  # of each file, each way; test_faults.py has many more, without the command
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    7,
    1e308,
    float("nan"),
    "",
    "x",
    "[CLS]",
    [],
    [1],
    ["a", "a"],
    {},
    {"a": 1},
    10**30,
    "\ud800",
    [[]],
    {"type": "x"},
]
TABLE = "text,label\n" + "".join(f'"text, {i}",{"good" if i % 2 else "bad"}\n' for i in range(20))


def damaged_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """The data with one damage that disks, transfers and editors do."""
    a, b = sorted(int(n) for n in rng.integers(0, len(data) + 1, 2))
    return [
        lambda: data[:a],
        lambda: data[:a] + data[b:],
        lambda: data[:b] + data[a:],
        lambda: data[:a] + rng.bytes(int(rng.integers(1, 9))) + data[a:],
        lambda: data[:a] + rng.bytes(b - a) + data[b:],
        lambda: data[:a] + bytes(b - a) + data[b:],
        lambda: data[:a] + b"\n" + data[a:],
        lambda: b"",
    ][rng.integers(8)]()


def damaged_json(value: Any, rng: np.random.Generator) -> Any:
    """The value with one part of it, at any depth, replaced by something odd or gone."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        part = todo.pop()
        keys = part.keys() if isinstance(part, dict) else range(min(len(part), 40))
        for key in list(keys):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                todo.append(part[key])
    part, key = places[rng.integers(len(places))]
    if rng.random() < 0.25:
        del part[key]
    else:
        part[key] = ODD[rng.integers(len(ODD))]
    return value


def damaged_text(data: bytes, rng: np.random.Generator) -> bytes:
    return json.dumps(damaged_json(json.loads(data), rng)).encode()


def damaged_header(data: bytes, rng: np.random.Generator) -> bytes:
    """A safetensors file with its JSON header damaged, whose length is right."""
    size = int.from_bytes(data[:8], "little")
    header = damaged_text(data[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def check(result: Result) -> None:
    """It worked, or there is one line that says why not."""
    assert result.code in (0, 2), result
    assert "Traceback" not in result.err
    errors = [line for line in result.err.splitlines() if line.startswith("minibert: error: ")]
    assert len(errors) == (result.code == 2), result.err
    if errors:
        message = errors[0].removeprefix("minibert: error: ")
        assert len(message) > 20, message
        assert "Error(" not in message, message


@pytest.fixture(scope="module")
def task_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    return toy.train(load_base(TINY), folder, method=toy.METHOD_LIST[3]).path


@pytest.fixture
def base(tmp_path) -> Path:
    """A copy of the tiny BERT with every file that a checkpoint folder may have."""
    folder = tmp_path / "base"
    shutil.copytree(TINY, folder)
    tokenizer = load_base(TINY).tokenizer
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


WAYS: dict[str, list[Callable[[bytes, np.random.Generator], bytes]]] = {
    "config.json": [damaged_bytes, damaged_text],
    "tokenizer_config.json": [damaged_bytes, damaged_text],
    "tokenizer.json": [damaged_bytes, damaged_text],
    "vocab.txt": [damaged_bytes],
    "model.safetensors": [damaged_bytes, damaged_header],
}


@pytest.mark.parametrize("way", range(2))
@pytest.mark.parametrize("name", WAYS)
def test_a_damaged_checkpoint_works_or_is_refused_in_one_line(base, tmp_path, task_file, name, way):
    if way >= len(WAYS[name]):
        pytest.skip("one way")
    if name == "vocab.txt":
        (base / "tokenizer.json").unlink()
    table = tmp_path / "mine.csv"
    table.write_text(TABLE)
    whole = (base / name).read_bytes()
    for number in range(DAMAGES):
        (base / name).write_bytes(WAYS[name][way](whole, np.random.default_rng(number)))
        out = tmp_path / f"run{number}"
        quick = ("--method", "head", "--epochs", 1, "--max-length", 16, "--out", out)
        result = minibert("train", table, "--base", base, *quick)
        check(result)
        assert result.code == 0 or not (out / "task.safetensors").exists()
        check(minibert("info", base))
        check(minibert("predict", task_file, "--base", base, "ba bi", "", "tikora " * 40))


@pytest.mark.parametrize("way", [damaged_bytes, damaged_header])
def test_a_damaged_task_file_is_refused_in_one_line(tmp_path, task_file, way):
    whole, path = task_file.read_bytes(), tmp_path / "task.safetensors"
    for number in range(2 * DAMAGES):
        path.write_bytes(way(whole, np.random.default_rng(number)))
        for words in (
            ("info", path),
            ("predict", path, "--base", TINY, "ba"),
            ("evaluate", path, "--base", TINY, "--sample"),
        ):
            check(minibert(*words))


def damaged_log(data: bytes, rng: np.random.Generator) -> bytes:
    """A run's checkpoint with what it says of the run damaged."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    log = damaged_json(json.loads(header["__metadata__"]["run"]), rng)
    header["__metadata__"]["run"] = json.dumps(log)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


@pytest.mark.parametrize("way", [damaged_bytes, damaged_header, damaged_log])
def test_a_damaged_checkpoint_of_a_run_is_refused_in_one_line(tmp_path, way):
    run = tmp_path / "run"
    words = (
        "train",
        "--task",
        "sst-2",
        "--sample",
        "--train-examples",
        20,
        "--base",
        TINY,
        "--max-length",
        16,
        "--method",
        "head",
        "--epochs",
        1,
        "--out",
        run,
    )
    assert minibert(*words).code == 0
    whole = (run / "checkpoint.safetensors").read_bytes()
    for number in range(DAMAGES):
        damaged = way(whole, np.random.default_rng(number))
        (run / "checkpoint.safetensors").write_bytes(damaged)
        check(minibert(*words, "--resume"))


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_a_damaged_table_is_learned_and_scored_or_refused_in_one_line(tmp_path, task_file, form):
    whole = {
        "csv": TABLE,
        "tsv": TABLE.replace('",', '"\t').replace("text,l", "text\tl"),
        "jsonl": "".join(
            json.dumps({"text": f"text, {i}", "label": ["bad", "good"][i % 2]}) + "\n"
            for i in range(20)
        ),
    }[form].encode()
    table = tmp_path / f"mine.{form}"
    for number in range(2 * DAMAGES):
        table.write_bytes(damaged_bytes(whole, np.random.default_rng(number)))
        out = tmp_path / f"run{number}"
        quick = ("--base", TINY, "--method", "head", "--epochs", 1, "--max-length", 16)
        result = minibert("train", table, *quick, "--out", out)
        check(result)
        assert result.code == 0 or not (out / "task.safetensors").exists()
        scored = tmp_path / f"scored{number}.csv"
        words = ("--base", TINY, "--input", table, "--text", "text", "--output", scored)
        result = minibert("predict", task_file, *words)
        check(result)
        left = {path.name for path in tmp_path.iterdir() if "scored" in path.name}
        assert left == ({scored.name} if result.code == 0 else set())
        scored.unlink(missing_ok=True)
        check(minibert("evaluate", task_file, "--base", TINY, "--data", table))
        check(minibert("predict", task_file, "--base", TINY, stdin=table.read_bytes()))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_brackets_without_end_are_no_json(base, name):
    """Python's reader of JSON gives up on them with an error of another kind."""
    (base / name).write_text("[" * 100_000)
    result = minibert("embed", "a text", "--base", base)
    check(result)
    assert result.code == 2
    assert str(base / name) in result.err


def test_json_is_ascii_whatever_the_terminals_encoding(task_file):
    """As where Windows redirects the output of a program: cp1252 has no fox."""
    words = [sys.executable, "-m", "minibert", "predict", task_file, "--base", TINY, "--json"]
    done = subprocess.run(
        [*map(str, words), "a 🦊 in Zürich"],
        env=environment(PYTHONIOENCODING="cp1252"),
        capture_output=True,
        check=True,
    )
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["text"] == "a 🦊 in Zürich"
