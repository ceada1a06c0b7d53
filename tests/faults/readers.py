"""Files that somebody else can have written, changed at random, each read as the project reads it.

A change keeps the file's form: JSON stays JSON, safetensors stay safetensors, and digests and keys
are computed anew, so that it reaches what comes after them. `survives` is "" for a case that was
refused in one line, or was read and then used without a fault; otherwise it says what escaped. A
case is its reader's name and a seed, which repeat it.
"""

import copy
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import toy
from safetensors import safe_open
from safetensors.numpy import load_file, save

from adapters.embed import longest_text
from adapters.predict import evaluate_task, predict_texts
from adapters.reproduce.sweep.runs_file import FILE, read_runs, run_key
from adapters.show import describe_task
from adapters.task_file import FORMAT, load_task, save_task
from minibert.checkpoint import Base, load_base
from minibert.data.records import open_table
from minibert.data.squad import read_questions
from minibert.errors import InputError, Interrupted
from minibert.tensors import content_sha256
from minibert.tokenizer import encode_texts

TESTS = Path(__file__).parents[1]
LONGEST_MESSAGE = 1000  # characters, without the path
TEXTS = ["ba bi", "", "tikora " * 40, "[CLS] [SEP] [MASK] é 北 \ud800"]


class Case(NamedTuple):
    """A reader by name, and the seed of what is changed in its file."""

    reader: str
    seed: int


def survives(case: Case) -> str:
    """ "" if a case was refused in one line or did no harm; else what happened."""
    try:
        READERS[case.reader](random.Random(f"{case.reader} {case.seed}"))
    except InputError as error:
        message = str(error).replace(str(place()), "")
        if "\n" in message or not 10 < len(message) < LONGEST_MESSAGE:
            return f"a message of {len(message)} characters: {message[:200]!r}"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers library is no Exception
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


# ------------------------------------------------------------------------------------- changes

DEEP, LONG = "@deep@", "@long@"  # what json.dumps cannot write, put in afterwards
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 7, 0.5, 99_999, 2_000_000_000, 10**30, 2**31, 2**63, 2**64,
    1e308, -1e308, float("nan"), float("inf"), "", "x", "\ud800", "²", "\x1b[2J\n", "a" * 300,
    "." * 5000, "(", "(a+)+$", "[CLS]", "[UNK]", "base.layers.0.attention.query.weight",
    [], [[]], [1], ["a", "a"], ["a", "b", "c"], {}, {"a": 1}, {"type": "x"}, DEEP, LONG,
]  # fmt: skip


def changed(value: Any, rng: random.Random) -> Any:
    """The value with one to three parts of it replaced, removed, renamed or doubled."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = [*_places(value)]
        if not places:
            break
        holder, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(("x", "trained", "sha256", "²"))] = holder.pop(key)
            case 2 if isinstance(holder, list):
                holder.insert(0, copy.deepcopy(holder[key]))
            case 3:
                other, name = rng.choice(places)
                holder[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else other)
            case _:
                holder[key] = copy.deepcopy(rng.choice(ODD))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a value by its holder and key; of large holders the first ones."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys[:30]:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def written(value: Any) -> str:
    """A value as JSON, with what json.dumps cannot write."""
    text = json.dumps(value)
    nested = "[" * 100_000 + "]" * 100_000
    return text.replace(f'"{DEEP}"', nested).replace(f'"{LONG}"', "9" * 5000)


def changed_tensors(tensors: dict[str, np.ndarray], rng: random.Random) -> dict[str, np.ndarray]:
    """The tensors with one of them gone, renamed, of another shape or type, or with odd values."""
    tensors = dict(tensors)
    name = rng.choice(sorted(tensors))
    values = tensors[name]
    match rng.randrange(9):
        case 0:
            del tensors[name]
        case 1:
            tensors[rng.choice(sorted(tensors)) + rng.choice((".x", ".²", ".a" * 3000))] = values
        case 2:
            tensors[name.replace("0", rng.choice(("1", "7", "00", "99999999999")))] = values
        case 3:
            tensors[name] = values.T.copy() if values.ndim == 2 else values[:-1].copy()
        case 4:
            kind = rng.choice(("float16", "float64", "int32", "uint8", "bool"))
            with np.errstate(invalid="ignore"):
                tensors[name] = values.astype(kind)
        case 5:
            tensors[name] = values[None] if rng.random() < 0.5 else np.zeros((0, 3), np.float32)
        case 6:
            tensors[name] = np.full_like(values, rng.choice((np.nan, np.inf, -1.0, 3e38, 1e-42)))
        case 7:
            tensors[name] = values * np.float32(1e30)
        case 8:
            tensors[name] = np.repeat(values, 2, axis=0)
    return tensors


def changed_header(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file with its JSON header changed, whose length is right."""
    size = int.from_bytes(data[:8], "little")
    header = written(changed(json.loads(data[8 : 8 + size]), rng)).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


# ------------------------------------------------------------------------------------- the files


@cache
def place() -> Path:
    """A folder for the changed files, gone when Python ends."""
    folder = tempfile.TemporaryDirectory(prefix="minibert-faults-", ignore_cleanup_errors=True)
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[Any] = []


@cache
def tiny() -> Base:
    return load_base(TESTS / "goldens" / "tiny")


@cache
def made() -> dict[str, Path]:
    """Whole files: a base with every file that one can have, tasks, and a run's checkpoint."""
    folder = place() / "whole"
    base = Path(shutil.copytree(TESTS / "goldens" / "tiny", folder / "base"))
    (base / "tokenizer.json").write_text(tiny().tokenizer.to_str(), "utf-8")
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 64,
        "cls_token": "[CLS]",
        "unk_token": {"__type": "AddedToken", "content": "[UNK]", "lstrip": False},
        "added_tokens_decoder": {"0": {"content": "[PAD]", "special": True}},
        "never_split": ["[CLS]"],
        "model_input_names": ["input_ids", "token_type_ids"],
    }
    roles = {"mask_token": "[MASK]", "additional_special_tokens": [{"content": "[SEP]"}]}
    for name, content in {
        "tokenizer_config.json": config,
        "special_tokens_map.json": roles,
        "added_tokens.json": {"[PAD]": 0},
        "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
    }.items():
        (base / name).write_text(json.dumps(content))
    (base / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(_weights(), "model-1.safetensors")})
    )
    whole = {"base": base, "run": folder / "run"}
    try:
        toy.train(tiny(), whole["run"], on_report=_stop)
    except Interrupted:
        whole["checkpoint"] = whole["run"] / "checkpoint.safetensors"
    for task in (TESTS / "format_1").glob("*.safetensors"):
        if task.stem != "checkpoint":
            whole[f"task {task.stem}"] = folder / task.name
            save_task(folder / task.name, load_task(task))
    return whole


def _stop(report: Any) -> None:
    if report.step == 4:
        raise KeyboardInterrupt


@cache
def _weights() -> dict[str, np.ndarray]:
    return load_file(TESTS / "goldens" / "tiny" / "model.safetensors")


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        return file.metadata()


def _base_with(name: str, data: bytes | str) -> Path:
    """A base's folder with one file of this content, and all others."""
    folder = place() / "base"
    if not folder.exists():
        folder.mkdir()
    for path in folder.iterdir():
        path.unlink()
    for path in made()["base"].iterdir():
        if path.name != "model.safetensors.index.json":
            (folder / path.name).symlink_to(path)
    (folder / name).unlink(missing_ok=True)
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    (folder / name).write_bytes(data)
    return folder


def _use(base: Base) -> None:
    """Texts through a base: ids and segments that it has, finite numbers or a refusal."""
    for texts in (TEXTS, [("ba", "bo bi"), ("", "")]):
        for text in encode_texts(base.tokenizer, texts, 16):
            assert 2 <= len(text.ids) <= 16
            assert ((text.ids >= 0) & (text.ids < base.config.vocab_size)).all()
            assert set(text.segments) <= {0, 1}
    assert longest_text(base) <= base.config.max_position_embeddings


def _json_of_base(name: str) -> Callable[[random.Random], None]:
    def read(rng: random.Random) -> None:
        whole = json.loads((made()["base"] / name).read_text("utf-8"))
        folder = _base_with(name, written(changed(whole, rng)))
        if name in ("tokenizer_config.json", "added_tokens.json") and rng.random() < 0.5:
            (folder / "tokenizer.json").unlink()
        if name in ("special_tokens_map.json", "added_tokens.json"):
            (folder / "tokenizer_config.json").unlink()
        _use(load_base(folder) if name == "config.json" else replace(tiny(), folder=folder))

    return read


def _vocabulary(rng: random.Random) -> None:
    lines = (made()["base"] / "vocab.txt").read_text("utf-8").split("\n")
    for _ in range(rng.randint(1, 3)):
        row = rng.randrange(len(lines))
        odd = ("", "[CLS]", "[SEP]", "\ud800", "a" * 10_000, "\0", "## ", "\x85")
        match rng.randrange(3):
            case 0:
                del lines[row]
            case 1:
                lines.insert(row, rng.choice(odd))
            case 2:
                lines[rng.randrange(8)] = rng.choice(odd)
    folder = _base_with("vocab.txt", "\n".join(lines))
    (folder / "tokenizer.json").unlink()
    _use(replace(tiny(), folder=folder))


def _weight_file(rng: random.Random) -> None:
    whole = (made()["base"] / "model.safetensors").read_bytes()
    if rng.random() < 0.5:
        data = changed_header(whole, rng)
    else:
        data = save(changed_tensors(_weights(), rng))
    base = load_base(_base_with("model.safetensors", data))
    assert base.params["embeddings"]["word"].dtype == np.float32
    predict_texts(replace(_toy_task(), **_same(base)), base, TEXTS)


def _same(base: Base) -> dict[str, str]:
    return {"base_sha256": base.sha256, "base_reading": ""}


@cache
def _toy_task() -> Any:
    return load_task(made()["task adapters"])


def _index(rng: random.Random) -> None:
    whole = json.loads((made()["base"] / "model.safetensors.index.json").read_text())
    folder = _base_with("model.safetensors.index.json", written(changed(whole, rng)))
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    _use(load_base(folder))


def _task(rng: random.Random) -> None:
    source = made()[rng.choice([name for name in sorted(made()) if name.startswith("task ")])]
    about, tensors = json.loads(_metadata(source)[FORMAT]), load_file(source)
    if rng.random() < 0.5:
        about = changed(about, rng)
    else:
        tensors = changed_tensors(tensors, rng)
    path = place() / "task.safetensors"
    _write_signed(path, FORMAT, about, tensors)
    task = load_task(path)
    describe_task(task, path)
    pairs = [("ba", "bo bi")] * 4
    assert np.isfinite(predict_texts(task, tiny(), pairs if task.task.pairs else TEXTS)).all()
    examples = toy.examples(4, 1, task.task.regression)
    if task.task.pairs:
        examples = [example._replace(text=(example.text, "ba")) for example in examples]
    scores = evaluate_task(task, tiny(), examples)
    assert np.isfinite([*scores.values()]).all()


def _write_signed(path: Path, key: str, about: Any, tensors: dict[str, np.ndarray]) -> None:
    """A file of tensors with a description, whose sha256 is made right where one can be."""
    text = written(about)
    if isinstance(about, dict):
        try:
            said = json.loads(text)
            said.pop("sha256", None)
            text = json.dumps({**said, "sha256": content_sha256(said, tensors)})
        except (RecursionError, ValueError):  # of the odd parts
            pass
    path.write_bytes(save(tensors, {key: text}))


def _checkpoint(rng: random.Random) -> None:
    source = made()["checkpoint"]
    about, tensors = json.loads(_metadata(source)["run"]), load_file(source)
    if rng.random() < 0.5:
        about = changed(about, rng)
    else:
        tensors = changed_tensors(tensors, rng)
    folder = place() / "resumed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _write_signed(folder / "checkpoint.safetensors", "run", about, tensors)
    done = toy.train(tiny(), folder, resume=True, threads=1)
    assert len(done.losses) == 9
    assert np.isfinite(done.losses).all()
    assert done.task.results.keys() == {"accuracy", "epoch"}


def _runs(rng: random.Random) -> None:
    runs = TESTS.parent / "results" / "minilm-full" / FILE
    run = json.loads(rng.choice(_lines(runs)))
    run = {**run, **changed({"config": run["config"], "result": run["result"]}, rng)}
    if isinstance(run.get("config"), dict):
        run["key"] = run_key(run["config"])
    folder = place() / "runs"
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(written(run) + "\n")
    for read in read_runs(folder).values():
        result = read["result"]
        if read["config"].get("kind") == "classify" and "diverged" not in result:
            assert all(abs(v) >= 0 for scores in result["validation"] for v in scores.values())


@cache
def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "ba bi bo",
                    "qas": [
                        {
                            "id": "1",
                            "question": "ba?",
                            "answers": [{"text": "bi", "answer_start": 3}],
                        }
                    ],
                }
            ],
        }
    ],
}


def _questions(rng: random.Random) -> None:
    path = place() / "train.json"
    path.write_text(written(changed(SQUAD, rng)))
    for question in read_questions(path):
        for answer in question.answers:
            assert question.context[answer.start :].startswith(answer.text)


def _table(rng: random.Random) -> None:
    rows = [{"text": f"ba {i}", "label": "good", "n": i} for i in range(4)]
    path = place() / "table.jsonl"
    path.write_text("".join(written(changed(row, rng)) + "\n" for row in rows))
    for row in open_table(path).rows():
        assert isinstance(row.cells, dict)


READERS: dict[str, Callable[[random.Random], None]] = {
    "config.json": _json_of_base("config.json"),
    "tokenizer.json": _json_of_base("tokenizer.json"),
    "tokenizer_config.json": _json_of_base("tokenizer_config.json"),
    "special_tokens_map.json": _json_of_base("special_tokens_map.json"),
    "added_tokens.json": _json_of_base("added_tokens.json"),
    "sentence_bert_config.json": _json_of_base("sentence_bert_config.json"),
    "vocab.txt": _vocabulary,
    "model.safetensors": _weight_file,
    "model.safetensors.index.json": _index,
    "task.safetensors": _task,
    "checkpoint.safetensors": _checkpoint,
    FILE: _runs,
    "train.json": _questions,
    "table.jsonl": _table,
}
