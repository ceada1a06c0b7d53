"""Files that somebody else can have written: changed in form (`readers`), and byte by byte.

The bytes are drawn by Hypothesis, a hundred damages of one file in each trial.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from faults.readers import (
    READERS,
    SQUAD,
    TESTS,
    TEXTS,
    Case,
    _base_with,
    made,
    place,
    survives,
    tiny,
    written,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from adapters.predict import predict_texts
from adapters.reproduce.sweep.runs_file import FILE, read_runs
from adapters.reproduce.sweep.task_toml import read_about
from adapters.task_file import load_task
from minibert.checkpoint import load_base
from minibert.data.records import open_table
from minibert.data.squad import read_questions
from minibert.errors import InputError
from minibert.tokenizer import encode_texts

INPUTS = 100  # of a trial with damaged bytes

Damage = tuple[str, float, float, bytes]  # what is done, from where, to where, with which bytes
DAMAGES = st.lists(
    st.tuples(
        st.sampled_from(["cut", "remove", "insert", "replace", "repeat", "zero"]),
        st.floats(0, 1),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=20),
    ),
    min_size=1,
    max_size=3,
)


def structured(number: int) -> str:
    """One file changed in form, its sums right; the readers in turn."""
    names = [*READERS]
    case = Case(names[number % len(names)], number // len(names))
    fault = survives(case)
    return f"{case.reader} {case.seed}: {fault}" if fault else ""


def plain(number: int) -> str:
    """A hundred damages of the bytes of one file; "" if each is refused, or does no harm."""
    names = [*PLAIN]
    name = names[number % len(names)]

    @seed(number)
    @settings(
        max_examples=INPUTS,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(DAMAGES)
    def try_all(damages: list[Damage]) -> None:
        data = whole(name)
        for damage in damages:
            data = damaged(data, *damage)
        try:
            PLAIN[name](data)
        except InputError as error:
            if "\n" in str(error):
                raise AssertionError("a message of several lines") from None

    try:
        try_all()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers library is no Exception
        notes = " ".join(getattr(error, "__notes__", ()))
        return f"{name}: {type(error).__name__}: {str(error)[:200]} {notes[:300]}"
    return ""


def damaged(data: bytes, how: str, start: float, end: float, new: bytes) -> bytes:
    """The data with one damage that disks, transfers and editors do."""
    a, b = sorted((int(start * len(data)), int(end * len(data))))
    return {
        "cut": data[:a],
        "remove": data[:a] + data[b:],
        "insert": data[:a] + new + data[a:],
        "replace": data[:a] + new + data[a + len(new) :],
        "repeat": data[:b] + data[a:],
        "zero": data[:a] + bytes(min(b - a, 64)) + data[min(b, a + 64) :],
    }[how]


@cache
def whole(name: str) -> bytes:
    """The file before it is damaged."""
    texts = {
        "table.csv": 'text,label\n"a, b",good\nc,bad\n' * 3,
        "table.tsv": "text\tlabel\na b\tgood\nc\tbad\n" * 3,
        "table.jsonl": '{"text": "a", "label": 1}\n' * 3,
        "train.json": written(SQUAD),
        "task.toml": 'text = "a"\nlabel = "b"\npaper = [83.6, 84, 84.5]\nclasses = ["x", "y"]\n',
    }
    if name in texts:
        return texts[name].encode()
    if name == FILE:
        lines = (TESTS.parent / "results" / "minilm-full" / FILE).read_bytes().splitlines(True)
        return b"".join(lines[:2])
    path = made()["task adapters"] if name == "task.safetensors" else made()["base"] / name
    return path.read_bytes()


def _base_file(name: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        folder = _base_with(name, data)
        if name == "vocab.txt":
            (folder / "tokenizer.json").unlink()
        needs_all = name in ("config.json", "model.safetensors")
        base = load_base(folder) if needs_all else replace(tiny(), folder=folder)
        for text in encode_texts(base.tokenizer, TEXTS, 16):
            assert ((text.ids >= 0) & (text.ids < base.config.vocab_size)).all()

    return read


def _at(name: str, data: bytes) -> Path:
    path = place() / "plain" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _table(name: str) -> Callable[[bytes], Any]:
    return lambda data: list(open_table(_at(name, data)).rows())


PLAIN: dict[str, Callable[[bytes], Any]] = {
    **{
        name: _base_file(name)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
    },
    "special_tokens_map.json": _base_file("special_tokens_map.json"),
    "model.safetensors": _base_file("model.safetensors"),
    "task.safetensors": lambda data: predict_texts(load_task(_at("t", data)), tiny(), TEXTS),
    FILE: lambda data: read_runs(_at(FILE, data).parent),
    "train.json": lambda data: read_questions(_at("train.json", data)),
    "task.toml": lambda data: read_about(_at("task.toml", data)),
    **{name: _table(name) for name in ("table.csv", "table.tsv", "table.jsonl")},
}
