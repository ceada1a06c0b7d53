"""What leaves the frozen layers, kept in a file: the same bits as in memory, computed by the first
run that needs them and read by all others; and whatever is wrong with the file, never used.

On the tiny BERT of two layers: the head alone freezes both, the top layer's adapters one.
"""

import errno
import os
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import ON_TINY, environment, files, minibert, works
from runs import contents
from safetensors.numpy import load_file
from toy import ADAPTERS, MAX_LENGTH, examples, train

import adapters.cached_layers as cached_layers
import adapters.finetune as finetune
import adapters.kept_states as kept
import minibert.batch as batching
from adapters.cached_layers import cache_states, states_bytes
from adapters.cli.train import tell_states
from adapters.kept_states import kept_states, states_key
from adapters.methods.table import METHODS, top_layers
from adapters.predict import encode_examples
from adapters.recipes import RECIPES
from adapters.task_model import COSINE, new_task_model
from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.parameters import cast
from minibert.tokenizer import Encoded

HEAD, TOP = METHODS["head"], replace(ADAPTERS, first_layer=1)
BOTH = pytest.mark.parametrize("method", [HEAD, TOP], ids=["all frozen", "one layer frozen"])


@pytest.fixture(autouse=True)
def several_groups(monkeypatch):
    monkeypatch.setattr(batching, "GROUP_TOKENS", 40)


@pytest.fixture(scope="module")
def encoded(tiny) -> list[Encoded]:
    """Texts of 4 to 10 tokens, not sorted."""
    return encode_examples(tiny, examples(30, seed=5), MAX_LENGTH)


def model_of(base: Base, method: Any = TOP, pooling: str | None = None) -> Any:
    outputs = 1 if pooling == COSINE else 2
    return new_task_model(base, method, RECIPES["paper"], outputs, 0, pooling)


@pytest.fixture
def states(tiny, encoded, tmp_path) -> Any:
    """states(): the bytes of each text's states by a file in `folder`, with the texts told of."""

    def run(folder: Path = tmp_path / "kept", threads: int = 1) -> SimpleNamespace:
        told: list[int] = []
        done = lambda texts, total: told.append(texts)  # noqa: E731
        bottom = kept_states(folder, model_of(tiny), encoded, 1, threads, done)
        return SimpleNamespace(bits=[s.tobytes() for s in bottom.states], told=told)

    return run


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("states-*.safetensors")
    return path


# ----------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("frozen", [1, 2])
def test_states_of_a_file_are_to_the_bit_those_in_memory(tiny, encoded, tmp_path, frozen, threads):
    model = model_of(tiny, HEAD)
    memory = cache_states(model, encoded, frozen, 1)
    for _ in range(2):  # computed, then read
        found = kept_states(tmp_path, model, encoded, frozen, threads)
        assert found.layers == frozen
        assert [s.dtype for s in found.states] == [s.dtype for s in memory.states]
        assert [s.shape for s in found.states] == [s.shape for s in memory.states]
        assert [s.tobytes() for s in found.states] == [s.tobytes() for s in memory.states]
        assert not any(s.flags.writeable for s in found.states)


@BOTH
def test_a_run_with_states_in_a_file_is_the_run_with_them_in_memory(tiny, tmp_path, method):
    """Every file of it; the first such run, and the second."""
    train(tiny, tmp_path / "memory", method=method)
    told: list[int] = []
    for name in ("first", "second"):
        out, on_cache = tmp_path / name, lambda done, total: told.append(done)
        train(tiny, out, method=method, cache=tmp_path / "kept", on_cache=on_cache)
        assert contents(out) == contents(tmp_path / "memory")
    assert told.count(44 + 24) == 1  # the first alone has computed any
    only_file(tmp_path / "kept")


def test_runs_of_other_sizes_rates_and_seeds_share_a_file(tiny, tmp_path):
    told: list[int] = []
    other = replace(TOP, size=2)
    for method in (TOP, other):
        train(tiny, method=method, cache=str(tmp_path), on_cache=lambda d, _: told.append(d))
    assert told.count(44 + 24) == 1
    only_file(tmp_path)


def test_the_limit_of_memory_is_none_of_the_disk(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "LIMIT", 0)
    train(tiny, method=TOP, cache=tmp_path)
    only_file(tmp_path)


def test_nothing_is_kept_where_no_layer_is_frozen(tiny, tmp_path):
    train(tiny, method=ADAPTERS, cache=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_the_file_is_one_that_other_tools_read(states, tiny, encoded, tmp_path):
    states()
    array = load_file(only_file(tmp_path / "kept"))["states"]
    assert array.shape == (sum(len(text.ids) for text in encoded), 32)
    assert array.dtype == np.float32


# ----------------------------------------------------------------------------- which file


def test_whatever_changes_the_states_is_in_the_name_of_the_file(tiny, encoded):
    """And nothing else: the seed, the size and the head's own pooling are not."""
    usual = (model_of(tiny), encoded, 1)
    key = states_key(*usual)
    assert len(key) == 32
    params = dict(tiny.params)
    params["layers"] = {**params["layers"], 0: dict(params["layers"][0])}
    feed_forward = dict(params["layers"][0]["feed_forward"])
    inner = feed_forward["inner"]
    feed_forward["inner"] = {**inner, "bias": inner["bias"] + np.float32(1e-3)}
    params["layers"][0]["feed_forward"] = feed_forward
    text = encoded[3]
    other_id, other_segment = text.ids.copy(), text.segments.copy()
    other_id[1] += 1
    other_segment[1] += 1
    apart = text._replace(lengths=(2, len(text.ids) - 2))

    def with_text(changed: Encoded) -> list[Encoded]:
        return [*encoded[:3], changed, *encoded[4:]]

    others = [
        (model_of(replace(tiny, params=params)), encoded, 1),  # its sha256 is still the old one's
        (model_of(replace(tiny, config=replace(tiny.config, layer_norm_eps=1e-6))), encoded, 1),
        (model_of(tiny, HEAD), encoded, 2),
        (model_of(tiny, HEAD, "mean"), encoded, 2),
        (model_of(tiny), encoded[::-1], 1),
        (model_of(tiny), encoded[:-1], 1),
        (model_of(tiny), with_text(text._replace(ids=other_id)), 1),
        (model_of(tiny), with_text(text._replace(segments=other_segment)), 1),
        (model_of(tiny), with_text(apart), 1),
    ]
    keys = [states_key(*one) for one in others]
    assert len({key, *keys}) == 1 + len(others)
    same = [
        (model_of(tiny, replace(TOP, size=2)), encoded, 1),
        (model_of(tiny, TOP, "mean"), encoded, 1),  # read above the frozen layer
        (model_of(replace(tiny, name="renamed", folder=Path("elsewhere"))), encoded, 1),
        (model_of(tiny), [t._replace(lost=7) for t in encoded], 1),
    ]
    assert {states_key(*one) for one in same} == {key}


def test_other_numbers_or_other_code_have_other_files(tiny, encoded, monkeypatch):
    """float64, another NumPy, other kernels, another minibert, other groups."""
    keys = [states_key(model_of(tiny), encoded, 1)]
    doubled = replace(tiny, params=cast(tiny.params, np.float64))
    keys.append(states_key(model_of(doubled), encoded, 1))
    blas = kept.library()
    for target, name, value in (
        (np, "__version__", "9.9"),
        (kept, "library", lambda: replace(blas, kernels="Haswell2")),
        (kept, "__version__", "9.9"),
        (kept, "GROUP_TOKENS", 99),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(target, name, value)
            keys.append(states_key(model_of(tiny), encoded, 1))
    assert len(set(keys)) == len(keys)


# ----------------------------------------------------------------------------- damage


def cut(data: bytes) -> bytes:
    return data[:-10]


def flipped(data: bytes) -> bytes:
    return data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:]


DAMAGES = {
    "cut short": cut,
    "a flipped bit": flipped,
    "empty": lambda data: b"",
    "text": lambda data: b"hello\n",
    "a longer one": lambda data: data + b"\0",
    "of another key": lambda data: data.replace(b'"key": "', b'"key": "0', 1).replace(
        b'", "sha', b'","sha', 1
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_computed_again(states, tmp_path, damage):
    first = states()
    path = only_file(tmp_path / "kept")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = states()
    assert again.bits == first.bits
    assert again.told  # computed
    assert path.read_bytes() == whole


def test_another_file_of_ours_under_this_name_is_not_used(states, tiny, encoded, tmp_path):
    """As after a wrong copy: of the same shape, with its own right hash."""
    first = states()
    path = only_file(tmp_path / "kept")
    kept_states(tmp_path / "other", model_of(tiny), encoded[::-1], 1, 1)
    path.write_bytes(only_file(tmp_path / "other").read_bytes())
    assert states().bits == first.bits


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_of_ours_is_refused_in_one_line(states, tmp_path, kind):
    states()
    path = only_file(tmp_path / "kept")
    path.unlink()
    theirs = tmp_path / "theirs.txt"
    theirs.write_text("not ours")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(theirs)
    with pytest.raises(InputError) as refused:
        states()
    assert str(refused.value) == f"{path}: is in the way, and no file of ours; remove it"
    assert theirs.read_text() == "not ours"


def test_a_folder_that_is_a_file_is_refused_in_one_line(tiny, tmp_path):
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(InputError, match=r"kept: cannot be used: File exists$"):
        train(tiny, method=TOP, cache=tmp_path / "kept")


# ----------------------------------------------------------------------------- the disk


def test_a_disk_without_room_is_told_before_anything_is_computed(states, tmp_path, monkeypatch):
    monkeypatch.setattr(kept.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(kept, "computed_states", lambda *_: pytest.fail("computed"))
    with pytest.raises(InputError, match=r"kept: the states .* take \d+ MB, and"):
        states()
    assert not list((tmp_path / "kept").glob("states-*"))


@pytest.mark.parametrize("written", [0, 3])
def test_a_disk_that_fills_up_leaves_no_half_file(states, tmp_path, monkeypatch, written):
    real = kept.computed_states

    def until_full(*arguments: Any) -> Any:
        for number, group in enumerate(real(*arguments)):
            if number == written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield group

    monkeypatch.setattr(kept, "computed_states", until_full)
    with pytest.raises(InputError, match=r"cannot be written: No space left on device$"):
        states()
    assert not [p for p in (tmp_path / "kept").iterdir() if not p.name.endswith(".lock")]
    monkeypatch.undo()
    assert states().told


def test_a_run_that_is_stopped_while_it_computes_leaves_no_half_file(states, tmp_path, monkeypatch):
    def stopped(*_: Any) -> Any:
        yield [0], np.zeros((4, 32), np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr(kept, "computed_states", stopped)
    with pytest.raises(KeyboardInterrupt):
        states()
    assert not [p for p in (tmp_path / "kept").iterdir() if not p.name.endswith(".lock")]


# ----------------------------------------------------------------------------- several at once


def test_of_several_at_once_one_computes_and_the_others_read_it(states, monkeypatch):
    began, calls, real = threading.Event(), Counter[str](), kept.computed_states

    def slow(*arguments: Any) -> Any:
        calls["computed"] += 1
        began.wait(5)
        yield from real(*arguments)

    monkeypatch.setattr(kept, "computed_states", slow)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(states())) for _ in range(3)]
    for thread in threads:
        thread.start()
    began.set()
    for thread in threads:
        thread.join(30)
    assert calls["computed"] == 1
    assert len(found) == 3
    assert found[0].bits == found[1].bits == found[2].bits


def test_two_processes_give_the_same_bits(tmp_path):
    words = ("train", "--task", "rte", "--sample", "--train-examples", "40", *map(str, ON_TINY))
    more = ("--method", "head", "--epochs", "1", "--cache", str(tmp_path / "kept"))
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "minibert", *words, *more, "--out", str(tmp_path / name)],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    only_file(tmp_path / "kept")
    a, b = (files(tmp_path / name)["task.safetensors"] for name in "ab")
    assert a == b


# ----------------------------------------------------------------------------- the command line


def test_train_keeps_states_in_the_folder_that_it_is_given(tmp_path):
    words = ("train", "--task", "rte", "--sample", "--train-examples", 40, *ON_TINY)
    words = (*words, "--epochs", 1, "--size", 4, "--top-layers", 1)
    works(*words, "--out", tmp_path / "memory")
    works(*words, "--out", tmp_path / "kept", "--cache", tmp_path / "states")
    only_file(tmp_path / "states")
    for name in ("task", "checkpoint"):
        one, two = (tmp_path / f / f"{name}.safetensors" for f in ("memory", "kept"))
        assert one.read_bytes() == two.read_bytes()
    (tmp_path / "file").touch()
    failed = minibert(*words, "--out", tmp_path / "x", "--cache", tmp_path / "file")
    assert failed.code == 2
    assert failed.err == f"minibert: error: {tmp_path / 'file'}: cannot be used: File exists\n"


@pytest.mark.parametrize(
    "how, fewer",
    [
        (("train",), "--fast"),
        (("train", "--method", "lora"), "--fast"),
        (("train", "--method", "full"), "--fast"),
        (("search", "--top-layers", 2), "--top-layers"),
    ],
)
def test_a_folder_for_states_of_no_frozen_layers_is_refused_before_anything_is_made(
    tmp_path, how, fewer
):
    words = (*how, "--task", "rte", "--sample", *ON_TINY, "--out", tmp_path / "x")
    failed = minibert(*words, "--cache", tmp_path / "states")
    assert failed.code == 2
    message = "--cache: no layer below what is trained stays as it is, so there is nothing to keep"
    assert failed.err.startswith(f"minibert: error: {message}; train fewer layers ({fewer}")
    assert failed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("limit, fits", [(1 << 24, True), (1 << 10, False)])
def test_states_that_memory_is_not_meant_for_are_told(tmp_path, monkeypatch, cache, limit, fits):
    """Some hundreds of texts of some 20 tokens, 32 numbers of 4 bytes each: about a megabyte."""
    for module in (finetune, cached_layers):
        monkeypatch.setattr(module, "LIMIT", limit)
    words = ("train", "--task", "sst-2", "--sample", "--train-examples", 40, *ON_TINY)
    words = (*words, "--epochs", 1, "--size", 4, "--top-layers", 1, "--out", tmp_path / "x")
    told = works(*words, *(("--cache", tmp_path / "states") if cache else ())).out
    assert ("states would take" in told) == (not fits and not cache)


def test_the_states_are_told_by_their_size(tiny, encoded, monkeypatch, capsys):
    size = states_bytes(model_of(tiny), encoded, 1)
    assert size == 4 * 32 * sum(len(text.ids) for text in encoded)
    monkeypatch.setattr(cached_layers, "states_bytes", lambda *_: 7 << 29)
    tell_states(model_of(tiny), encoded)
    told = capsys.readouterr().out
    assert told.startswith("The frozen layers' states would take 3.50 GB; more than 2 GB are not ")


def test_top_layers_share_what_they_both_freeze_only(tiny, tmp_path):
    """The head freezes two layers, the top layer's adapters one: two files."""
    for method in (HEAD, top_layers(ADAPTERS, 1, tiny.config)):
        train(tiny, method=method, cache=tmp_path)
    assert len(list(tmp_path.glob("states-*.safetensors"))) == 2
