"""Checkpoints that people have, and weights that are not what they seem.

The tiny BERT's weights saved by other tools in other ways: under other prefixes, in shards, with
other names for the same activation. They load to the same numbers, and a task trained on one of
them fits all. What cannot be the same numbers is refused in one line with the file and the tensor.
"""

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TINY, minibert, works
from conftest import GOLDENS
from runs import bits, without_dropout
from safetensors.numpy import load_file, save_file
from toy import ADAPTERS, METHOD_LIST, TASK, train

from adapters.answering import answer_questions, train_squad
from adapters.methods.table import METHODS, without_layernorm
from adapters.predict import predict_texts
from adapters.recipes import RECIPES
from adapters.run_folder import TRUSTED, RunOptions, describe_method
from adapters.task_file import TaskFile, load_task, on_base, save_task
from adapters.task_model import new_task_model
from minibert import ops
from minibert.checkpoint import Base, hub_name, load_base, our_path
from minibert.config import ACTIVATIONS, BertConfig, read_config
from minibert.data.squad import Answer, Question, Questions
from minibert.errors import InputError, Interrupted
from minibert.fetch import home as home_module
from minibert.fetch import manifest
from minibert.fetch.datasets import glue_root, squad_folder
from minibert.fetch.home import home
from minibert.fetch.models import fetch_model, locate_model
from minibert.parameters import masked_token_shapes, parameter_shapes
from minibert.tensors import read_safetensors, write_safetensors
from minibert.training.resume import Checkpoint
from minibert.training.schedule import Settings
from minibert.tree import leaves

Tensors = dict[str, np.ndarray]
INDEX = "model.safetensors.index.json"
KEY = "encoder.layer.1.attention.self.key.weight"


def tensors() -> Tensors:
    return load_file(TINY / "model.safetensors")


def folder_of(folder: Path, weights: Tensors, **config: Any) -> Path:
    """A checkpoint folder of the tiny BERT with these tensors, and settings changed."""
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "vocab.txt"):
        shutil.copy(TINY / name, folder)
    if config:
        changed = json.loads((folder / "config.json").read_text()) | config
        (folder / "config.json").write_text(json.dumps(changed))
    save_file(weights, folder / "model.safetensors")
    return folder


def refusal(folder: Path, **options: Any) -> str:
    """The one line with which loading ends, from Python and from the command line alike."""
    with pytest.raises(InputError) as refused:
        load_base(folder, **options)
    message = str(refused.value)
    assert "\n" not in message
    if not options:
        done = minibert("info", folder)
        assert (done.code, done.err) == (2, f"minibert: error: {message}\n")
    return message


# ------------------------------------------------------------------------------- not floats


class TestWeightsThatAreNotFloats:
    @pytest.mark.parametrize(
        "kind, name", [("i1", "I8"), ("u1", "U8"), ("<i8", "I64"), ("?", "BOOL"), ("<u2", "U16")]
    )
    def test_are_refused_with_the_tensor_and_its_type(self, tmp_path, kind, name):
        """A quantised matrix without its scale: it would load, and mean nothing."""
        spoiled = tensors() | {KEY: (tensors()[KEY] * 100).astype(kind)}
        assert refusal(folder_of(tmp_path, spoiled)) == (
            f"{tmp_path / 'model.safetensors'}: {KEY} is of type {name}; weights must be floats "
            "(F32, F16, BF16 or F64)"
        )

    def test_may_be_there_where_they_are_not_used(self, tiny, tmp_path):
        more = {"embeddings.position_ids": np.arange(64)[None], "steps": np.ones(1, np.int8)}
        base = load_base(folder_of(tmp_path, tensors() | more))
        assert bits(base.params) == bits(tiny.params)
        assert base.extra == ("embeddings.position_ids", "steps")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["<f4", "<f2", "<f8"])
def test_a_weight_that_is_not_finite_is_named_when_it_is_loaded(tmp_path, value, kind):
    """Not blamed on the learning rate after the first step."""
    spoiled = {name: values.astype(kind) for name, values in tensors().items()}
    spoiled[KEY][3, 4] = value
    assert refusal(folder_of(tmp_path, spoiled)) == (
        f"{tmp_path / 'model.safetensors'}: {KEY} has weights that are NaN, infinite or beyond "
        "float32"
    )


def test_a_weight_beyond_float32_is_named_unless_float64_is_asked_for(tmp_path):
    wide = {name: values.astype(np.float64) for name, values in tensors().items()}
    wide[KEY][0, 0] = 1e300
    folder = folder_of(tmp_path, wide)
    assert f"{KEY} has weights that are NaN, infinite or beyond float32" in refusal(folder)
    leaf = load_base(folder, dtype=np.float64).params["layers"][1]["attention"]["key"]["weight"]
    assert leaf[0, 0] == 1e300


def test_an_unused_tensor_may_hold_anything(tiny, tmp_path):
    more = {"classifier.weight": np.full((2, 3), np.nan, np.float32)}
    assert bits(load_base(folder_of(tmp_path, tensors() | more)).params) == bits(tiny.params)


class TestAFileThatIsSomethingElse:
    POINTER = (
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db\n"
        b"size 90868376\n"
    )

    @pytest.mark.parametrize(
        "content, what",
        [
            (
                POINTER,
                "a Git LFS pointer, not the weights; run `git lfs pull` there, or fetch them",
            ),
            (b"<!DOCTYPE html>\n<html lang=en>", "a web page (HTML), not the weights; fetch them"),
            (b"\n  <html><head><title>504</title>", "a web page (HTML), not the weights; fetch th"),
        ],
        ids=["lfs", "doctype", "html"],
    )
    def test_is_called_what_it_is(self, tmp_path, content, what):
        folder = folder_of(tmp_path, tensors())
        (folder / "model.safetensors").write_bytes(content)
        assert refusal(folder).startswith(f"{folder / 'model.safetensors'}: is {what}")


def test_metadata_that_is_null_counts_as_none(tmp_path):
    header = b'{"__metadata__":null,"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    header += b" " * (-len(header) % 8)
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + np.float32(3).tobytes())
    values, metadata = read_safetensors(path)
    assert (values["x"].tolist(), metadata) == ([3.0], {})
    with pytest.raises(InputError, match="is not a minibert task file"):
        load_task(path)


# ------------------------------------------------------------------------------- the same weights


def renamed(prefix: str) -> Tensors:
    return {prefix + name: values for name, values in tensors().items()}


def widened() -> Tensors:
    return {name: values.astype(np.float64) for name, values in tensors().items()}


def with_another_head() -> Tensors:
    return tensors() | {"classifier.weight": np.ones((3, 32), np.float32)}


SAVED_AGAIN = {
    "with bert.": lambda: renamed("bert."),
    "in float64": widened,
    "with another head": with_another_head,
    "in another order": lambda: dict(reversed(tensors().items())),
}


class TestTheSameWeightsSavedAgain:
    @pytest.mark.parametrize("how", SAVED_AGAIN)
    def test_take_the_tasks_of_the_first_file(self, tiny, tmp_path, how):
        run = train(tiny)
        path = tmp_path / "model.safetensors"
        again = load_base(folder_of(tmp_path, SAVED_AGAIN[how]()))
        assert again.tensors_sha256 == tiny.tensors_sha256
        assert (again.sha256 == tiny.sha256) == (path.read_bytes() == _bytes_of(TINY))
        texts = ["ba morulan", "tikora do"]
        assert (
            predict_texts(run.task, again, texts).tobytes()
            == predict_texts(run.task, tiny, texts).tobytes()
        )

    def test_have_the_hash_that_its_description_says(self, tiny):
        """Names here, shapes, types and bytes, each tensor as the file has it."""
        digest = sha256()
        named = sorted((our_path(name), values) for name, values in tensors().items())
        for path, values in named:
            digest.update(f"{path} {values.shape} <f4\n".encode() + values.tobytes())
        assert tiny.tensors_sha256 == digest.hexdigest()
        assert train(tiny).task.base_tensors_sha256 == digest.hexdigest()

    def test_do_not_depend_on_the_masked_token_head_which_no_task_uses(self, tmp_path):
        whole = load_file(GOLDENS / "tiny_mlm" / "model.safetensors")
        bare = {name: values for name, values in whole.items() if not name.startswith("cls.")}
        one = load_base(GOLDENS / "tiny_mlm")
        other = load_base(folder_of(tmp_path, bare))
        assert "masked_tokens" in one.params
        assert "masked_tokens" not in other.params
        assert one.tensors_sha256 == other.tensors_sha256

    @pytest.mark.parametrize("name", tensors())
    def test_are_not_the_same_when_one_bit_of_one_tensor_differs(self, tiny, tmp_path, name):
        changed = tensors()
        changed[name].reshape(-1).view(np.uint32)[-1] ^= 1
        other = load_base(folder_of(tmp_path, changed))
        assert other.tensors_sha256 != tiny.tensors_sha256
        with pytest.raises(InputError, match="was trained on tiny "):
            on_base(_task(tiny), other)

    def test_of_float64_are_hashed_as_the_float32_that_they_are(self, tiny):
        assert load_base(TINY, dtype=np.float64).tensors_sha256 == tiny.tensors_sha256

    def test_a_task_file_without_that_hash_fits_the_same_file_only(self, tiny, tmp_path):
        """As earlier versions wrote them (tests/format_1)."""
        earlier = replace(_task(tiny), base_tensors_sha256="")
        save_task(tmp_path / "task.safetensors", earlier)
        task = load_task(tmp_path / "task.safetensors")
        on_base(task, tiny)
        again = load_base(folder_of(tmp_path, renamed("bert.")))
        with pytest.raises(InputError, match="was trained on tiny "):
            on_base(task, again)


def _bytes_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def _task(base: Base) -> TaskFile:
    head = {"head": new_task_model(base, METHODS["head"], RECIPES["paper"], 2, 0).tree["head"]}
    about = (TASK, METHODS["head"], "paper", 16, base.name, base.sha256)
    return TaskFile(*about, {}, head, base_tensors_sha256=base.tensors_sha256)


# ------------------------------------------------------------------------------- names


class TestPrefixes:
    @pytest.mark.parametrize(
        "prefix",
        ["module.", "model.", "module.bert.", "model.bert.", "module.model.bert.", "model.module."],
    )
    def test_that_tools_put_in_front_make_no_difference(self, tiny, tmp_path, prefix):
        base = load_base(folder_of(tmp_path, renamed(prefix)))
        assert bits(base.params) == bits(tiny.params)
        assert base.extra == ()

    def test_hold_for_the_masked_token_head_and_its_decoder_too(self, tmp_path):
        whole = load_file(GOLDENS / "tiny_mlm" / "model.safetensors")
        words = whole["bert.embeddings.word_embeddings.weight"]
        for decoder, kept in ((words, True), (words + 1, False)):
            whole["cls.predictions.decoder.weight"] = decoder
            wrapped = {f"module.{name}": values for name, values in whole.items()}
            assert ("masked_tokens" in load_base(folder_of(tmp_path, wrapped)).params) == kept

    def test_too_many_layers_are_seen_behind_them(self, tmp_path):
        folder = folder_of(tmp_path, renamed("module.bert."), num_hidden_layers=1)
        assert (
            "has module.bert.encoder.layer.1.attention.output.LayerNorm.bias, but config.json "
            in (refusal(folder))
        )

    def test_two_models_in_one_file_are_refused(self, tmp_path):
        both = renamed("module.") | renamed("model.bert.")
        assert " twice, the second time as mod" in refusal(folder_of(tmp_path, both))

    @pytest.mark.parametrize("name", ["my.model.pooler.dense.bias", "bert.model.pooler.dense.bias"])
    def test_others_are_not_guessed(self, name):
        assert our_path(name) == ""


@pytest.mark.parametrize(
    "name, spelled",
    [
        (KEY, "encoder.layer.1.attention.self.keys.weight"),
        ("embeddings.word_embeddings.weight", "embeddings.words.weight"),
        ("encoder.layer.0.output.dense.bias", "encoder.layer.0.output.dense.offset"),
    ],
)
def test_where_a_tensor_is_missing_the_nearest_name_of_the_file_is_shown(tmp_path, name, spelled):
    changed = tensors() | {"classifier.bias": np.zeros(3, np.float32)}
    changed[spelled] = changed.pop(name)
    message = refusal(folder_of(tmp_path, changed))
    hint = f"the nearest name in it is {spelled}"
    assert message.endswith(f"lacks {our_path(name)} (1 of 39 missing); {hint}")


def test_a_name_that_is_not_near_is_not_shown(tmp_path):
    changed = tensors() | {"zzz": np.zeros(3, np.float32)}
    del changed[KEY]
    assert refusal(folder_of(tmp_path, changed)).endswith("(1 of 39 missing)")


# ------------------------------------------------------------------------------- activations


@pytest.fixture(scope="module")
def theirs() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "hidden_act.npz") as file:
        return dict(file)


class TestHiddenAct:
    """Against what transformers computes under each name (tests/goldens/hidden_act.npz)."""

    def test_every_accepted_name_is_the_function_that_it_is_computed_as(self, theirs):
        assert set(ACTIVATIONS) <= set(theirs)
        for name, ours in ACTIVATIONS.items():
            got = getattr(ops, ours)(theirs["x"])
            np.testing.assert_allclose(got, theirs[name], rtol=2e-6, atol=1e-6, err_msg=name)

    def test_every_other_name_is_another_function_and_refused(self, theirs, tmp_path):
        others = theirs.keys() - {"x", *ACTIVATIONS}
        assert {"quick_gelu", "gelu_10", "relu2", "relu6"} <= others
        for name in others:
            for ours in set(ACTIVATIONS.values()):
                away = np.abs(getattr(ops, ours)(theirs["x"]) - theirs[name]).max()
                assert away > 1e-2, (name, ours)
            folder = folder_of(tmp_path, tensors(), hidden_act=name)
            assert f"hidden_act '{name}' is not supported" in refusal(folder)

    def test_the_two_forms_of_gelu_are_told_apart(self, theirs):
        """They differ by more than the tolerance above."""
        assert np.abs(theirs["gelu_python"] - theirs["gelu_fast"]).max() > 1e-4

    @pytest.mark.parametrize("name", ACTIVATIONS)
    def test_is_read_from_config_json(self, tmp_path, name):
        folder = folder_of(tmp_path, tensors(), hidden_act=name)
        assert read_config(folder / "config.json").hidden_act == name
        base = without_dropout(load_base(folder))
        one = train(base).losses
        first = next(n for n, ours in ACTIVATIONS.items() if ours == ACTIVATIONS[name])
        other = folder_of(tmp_path / "other", tensors(), hidden_act=first)
        assert one == train(without_dropout(load_base(other))).losses


# ------------------------------------------------------------------------------- shards


def sharded(folder: Path, parts: int = 3) -> Path:
    """The tiny BERT in shards, as transformers saves them, by the safetensors library."""
    folder_of(folder, tensors())
    (folder / "model.safetensors").unlink()
    shard_of = {}
    for number in range(parts):
        name = f"model-{number + 1:05}-of-{parts:05}.safetensors"
        part = dict(list(tensors().items())[number::parts])
        save_file(part, folder / name, {"format": "pt"})
        shard_of |= dict.fromkeys(part, name)
    size = sum(values.nbytes for values in tensors().values())
    index = {"metadata": {"total_size": size}, "weight_map": shard_of}
    (folder / INDEX).write_text(json.dumps(index))
    return folder


def edit_index(folder: Path, change: Callable[[dict], Any]) -> None:
    index = json.loads((folder / INDEX).read_text())
    change(index)
    (folder / INDEX).write_text(json.dumps(index))


SECOND = "model-00002-of-00003.safetensors"


MAPS = ("null", "[]", "3", '{"a": [1]}', '{"a": 3}', '{"a": null}')
DAMAGED = ["", "[]", "{}", "3", "{", "\x00", *(f'{{"weight_map": {given}}}' for given in MAPS)]


class TestShards:
    def test_load_to_the_same_arrays_each_mapped_from_its_own_file(self, tiny, tmp_path):
        base = load_base(sharded(tmp_path))
        assert bits(base.params) == bits(tiny.params)
        owners = set()
        for path, leaf in leaves(base.params):
            assert not leaf.flags.owndata, path
            while isinstance(leaf.base, np.ndarray):
                leaf = leaf.base
            assert isinstance(leaf, np.memmap), path
            owners.add(id(leaf))
        assert len(owners) == 3

    def test_have_the_sha256_of_their_tensors(self, tiny, tmp_path):
        base = load_base(sharded(tmp_path))
        assert base.sha256 == base.tensors_sha256 == tiny.tensors_sha256

    def test_take_a_task_of_the_single_file_and_the_other_way_round(self, tiny, tmp_path):
        base = load_base(sharded(tmp_path))
        for trained, used in ((tiny, base), (base, tiny)):
            assert on_base(train(trained).task, used).base is used

    def test_are_trained_on_and_used_from_the_command_line(self, tmp_path):
        folder, out = sharded(tmp_path / "model"), tmp_path / "out"
        words = ("--task", "sst-2", "--sample", "--train-examples", 16, "--epochs", 1)
        works("train", *words, "--base", folder, "--max-length", 16, "--out", out)
        works("predict", out / "task.safetensors", "--base", folder, "a text")

    @pytest.mark.parametrize("content", DAMAGED)
    def test_with_a_damaged_index_are_refused(self, tmp_path, content):
        (sharded(tmp_path) / INDEX).write_text(content)
        what = "is damaged or has no weight_map of tensors and files"
        if content in ("", "{", "\x00"):
            what = "is not JSON: "
        assert refusal(tmp_path).startswith(f"{tmp_path / INDEX}: {what}")

    @pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "a/b", "", "a\\b"])
    def test_are_looked_for_beside_the_index_only(self, tmp_path, name):
        edit_index(sharded(tmp_path), lambda index: index["weight_map"].update({KEY: name}))
        assert str(tmp_path / INDEX) in refusal(tmp_path)

    def test_of_which_one_is_missing_are_refused(self, tmp_path):
        (sharded(tmp_path) / SECOND).unlink()
        assert refusal(tmp_path).startswith(f"{tmp_path / SECOND}: cannot be read: No such file")

    def test_of_which_one_is_damaged_are_refused(self, tmp_path):
        path = sharded(tmp_path) / SECOND
        path.write_bytes(path.read_bytes()[:-1])
        assert refusal(tmp_path).startswith(f"{path}: is damaged or not a safetensors file")

    def test_that_lack_a_tensor_of_the_index_are_refused(self, tmp_path):
        edit_index(sharded(tmp_path), lambda index: index["weight_map"].update({"x": SECOND}))
        assert refusal(tmp_path) == f"{tmp_path / SECOND}: lacks x, which {INDEX} promises"

    def test_that_hold_a_tensor_beyond_the_index_are_refused(self, tmp_path):
        edit_index(sharded(tmp_path), lambda index: index["weight_map"].pop(KEY))
        assert f": has {KEY}, which {INDEX} does not say" in refusal(tmp_path)

    def test_that_lack_a_parameter_altogether_are_refused_naming_the_index(self, tmp_path):
        folder = sharded(tmp_path)
        shard = folder / json.loads((folder / INDEX).read_text())["weight_map"][KEY]
        part = load_file(shard)
        del part[KEY]
        save_file(part, shard)
        edit_index(folder, lambda index: index["weight_map"].pop(KEY))
        assert refusal(folder).startswith(
            f"{folder / INDEX}: lacks {our_path(KEY)} (1 of 39 missing)"
        )

    def test_with_a_wrong_value_name_the_shard_that_has_it(self, tmp_path):
        folder = sharded(tmp_path)
        part = load_file(folder / SECOND)
        name = next(iter(part))
        part[name].flat[0] = np.nan
        save_file(part, folder / SECOND)
        assert refusal(folder).startswith(f"{folder / SECOND}: {name} has weights that are NaN")

    def test_are_compared_with_sha256sums(self, tmp_path):
        folder = sharded(tmp_path)
        right = sha256((folder / SECOND).read_bytes()).hexdigest()
        (folder / "SHA256SUMS").write_text(f"{right}  {SECOND}\n")
        load_base(folder)
        (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {SECOND}\n")
        assert refusal(folder) == (
            f"{folder / SECOND}: sha256 is {right}, but SHA256SUMS says {'0' * 64}; fetch again"
        )


# ------------------------------------------------------------------------------- one segment


class TestABaseWithOneSegment:
    """`type_vocab_size: 1`: it was trained on single texts, and cannot tell a pair's apart."""

    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        name = "embeddings.token_type_embeddings.weight"
        cut = tensors() | {name: tensors()[name][:1]}
        return folder_of(tmp_path / "one", cut, type_vocab_size=1)

    def test_takes_a_task_on_single_texts(self, folder):
        assert len(train(load_base(folder)).losses) == 9

    def test_is_refused_for_pairs_before_anything_is_written(self, folder, tmp_path):
        said = f"{folder}: takes no pairs of texts: its type_vocab_size is 1"
        words = ("--task", "rte", "--sample", "--base", folder, "--max-length", 16)
        done = minibert("train", *words, "--out", tmp_path / "out")
        assert (done.code, done.err) == (2, f"minibert: error: {said}\n")
        assert not (tmp_path / "out").exists()
        on_pairs = replace(_task(load_base(folder)), task=replace(TASK, text=("one", "two")))
        with pytest.raises(InputError) as refused:
            predict_texts(on_pairs, load_base(folder), [("ba", "bo")])
        assert str(refused.value) == said

    def test_is_refused_for_questions_and_their_contexts(self, folder):
        base = load_base(folder)
        question = Question("q", "ba", "bo bi", (Answer("bo", 0),))
        model = new_task_model(base, METHODS["head"], RECIPES["paper"], 2, 0)
        with pytest.raises(InputError, match="takes no pairs of texts"):
            answer_questions(model, [question], max_length=16, stride=4)
        data = Questions([question], [question])
        with pytest.raises(InputError, match="takes no pairs of texts"):
            train_squad(base, data, METHODS["head"], Settings(), max_length=16, stride=4)


# ------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("said", [".", "..", "../tiny", "./"])
def test_a_base_is_named_after_its_folder_however_that_is_said(tmp_path, monkeypatch, said):
    shutil.copytree(TINY, tmp_path / "tiny")
    (tmp_path / "tiny" / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "tiny" / ("inner" if said == ".." else ""))
    assert load_base(said).name == "tiny"


def test_a_commit_in_the_hubs_cache_is_named_so_from_within(tmp_path, monkeypatch):
    folder = tmp_path / "models--org--small" / "snapshots" / "abc"
    shutil.copytree(TINY, folder)
    monkeypatch.chdir(folder)
    assert load_base(".").name == load_base(folder).name == "org--small@abc"


def test_the_line_that_uses_a_task_can_be_pasted_where_folders_have_spaces(tmp_path):
    base, out = tmp_path / "my base", tmp_path / "it's mine"
    shutil.copytree(TINY, base)
    words = ("--task", "sst-2", "--sample", "--train-examples", 16, "--epochs", 1)
    said = works("train", *words, "--base", base, "--max-length", 16, "--out", out).out
    (line,) = (line for line in said.splitlines() if line.startswith("use it"))
    command, *pasted = shlex.split(line.removeprefix("use it"))
    assert command == "minibert"
    assert pasted == ["predict", f"{out / 'task.safetensors'}", "--base", f"{base}", "A TEXT"]
    assert works(*pasted).out.endswith("\tA TEXT\n")


class TestNoHomeFolder:
    """A container that runs as a user of its own: no HOME, and no entry in the user database."""

    @pytest.fixture(autouse=True)
    def nobody(self, tmp_path, monkeypatch):
        pwd = pytest.importorskip("pwd")

        def unknown(_: int) -> None:
            raise KeyError("getpwuid(): uid not found")

        for name in ("HOME", "MINIBERT_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(pwd, "getpwuid", unknown)
        installed = tmp_path / "site-packages" / "minibert" / "fetch" / "home.py"
        monkeypatch.setattr(home_module, "__file__", str(installed))
        monkeypatch.chdir(tmp_path)

    def test_is_one_line_that_says_what_to_set(self, tmp_path, monkeypatch):
        monkeypatch.setattr(manifest, "read_manifest", lambda name: {})
        for call in (home, lambda: locate_model("org/name"), lambda: fetch_model("org/name")):
            with pytest.raises(InputError, match=r"^no home folder is known .* set HOME, or MINI"):
                call()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("kept", ["~/.cache/minibert", KeyError("uid"), RuntimeError("no")])
    def test_is_told_whatever_version_of_platformdirs_there_is(self, monkeypatch, kept):
        def user_cache_dir(_: str) -> str:
            if isinstance(kept, Exception):
                raise kept
            return kept

        monkeypatch.setattr("platformdirs.user_cache_dir", user_cache_dir)
        with pytest.raises(InputError, match=r"^no home folder is known"):
            home()

    def test_is_no_matter_where_one_is_given(self, tmp_path, monkeypatch):
        assert locate_model(TINY) == TINY
        monkeypatch.setenv("MINIBERT_HOME", str(tmp_path))
        assert home() == tmp_path
        monkeypatch.delenv("MINIBERT_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert home() == tmp_path / "cache" / "minibert"

    @pytest.mark.parametrize("name", ["MINIBERT_HOME", "MINIBERT_GLUE", "MINIBERT_SQUAD"])
    def test_is_told_of_a_setting_with_a_tilde(self, monkeypatch, name):
        monkeypatch.setenv(name, "~/data")
        where = {"MINIBERT_GLUE": glue_root, "MINIBERT_SQUAD": squad_folder}.get(name, home)
        with pytest.raises(InputError, match=r"^~/data: the home folder in it is not known$"):
            where()

    def test_is_told_of_another_users_base(self):
        done = minibert("info", "~nobody-of-this-name/bert")
        said = "~nobody-of-this-name/bert: the home folder in it is not known"
        assert (done.code, done.err) == (2, f"minibert: error: {said}\n")


class TestReadingTheSameWeightsOtherwise:
    """The weights are the same to the bit; what they compute of a text is not."""

    @pytest.mark.parametrize(
        "name, change",
        [
            ("config.json", {"num_attention_heads": 1}),
            ("config.json", {"hidden_act": "relu"}),
            ("config.json", {"layer_norm_eps": 1e-6}),
            ("tokenizer_config.json", {"do_lower_case": False}),
        ],
    )
    def test_another_config_or_tokenizer_is_another_base(self, tiny, tmp_path, name, change):
        folder = Path(shutil.copytree(tiny.folder, tmp_path / "other"))
        path = folder / name
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(before | change))
        with pytest.raises(InputError) as refused:
            on_base(train(tiny).task, load_base(folder), "task.safetensors")
        assert str(refused.value) == (
            "task.safetensors: was trained on these weights with another config.json or other "
            f"tokenizer files than those in {folder}"
        )

    def test_what_changes_nothing_is_the_same_base(self, tiny, tmp_path):
        folder = Path(shutil.copytree(tiny.folder, tmp_path / "other"))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.2}))
        (folder / "tokenizer.json").write_text(tiny.tokenizer.to_str())
        base = load_base(folder)
        assert on_base(train(tiny).task, base).base is base

    def test_half_a_pooler_is_found_lacking(self, tiny, tmp_path):
        folder = Path(shutil.copytree(tiny.folder, tmp_path / "other"))
        tensors, metadata = read_safetensors(folder / "model.safetensors")
        name = next(n for n in tensors if n.endswith("pooler.dense.bias"))
        kept = {n: np.array(t) for n, t in tensors.items() if n != name}
        write_safetensors(folder / "model.safetensors", kept, metadata)
        with pytest.raises(InputError, match=r"lacks pooler\.bias \(1 of "):
            load_base(folder)


def test_every_parameter_of_ours_has_a_name_in_the_hubs_files_that_leads_back_to_it():
    config = BertConfig(num_hidden_layers=12)
    for path in parameter_shapes(config) | masked_token_shapes(config):
        assert our_path(hub_name(path)) == path


def test_a_finished_run_that_lost_its_task_file_gets_it_again(tiny, tmp_path):
    path = train(tiny, tmp_path).path
    before = path.read_bytes()
    path.unlink()
    assert train(tiny, tmp_path, resume=True).path == path
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "other, named",
    [
        ({"method": without_layernorm(ADAPTERS)}, "freeze_layernorm"),
        ({"method": replace(ADAPTERS, first_layer=1), "cache": False}, "cached"),
    ],
)
def test_a_run_is_not_resumed_with_what_gives_other_bits(tiny, tmp_path, other, named):
    """Frozen states that are kept are computed in other groups of texts than those of a batch."""
    same = {"method": other["method"]} if named == "cached" else {}
    train(tiny, tmp_path, **same)
    with pytest.raises(InputError, match=named):
        train(tiny, tmp_path, resume=True, **other)


@pytest.mark.parametrize("method", METHOD_LIST, ids=str)
def test_a_run_of_before_the_choices_were_told_is_resumed(tiny, tmp_path, monkeypatch, method):
    """An earlier version kept neither whether LayerNorms were frozen nor whether states were."""
    assert "trained" not in describe_method(method)
    whole = train(tiny, tmp_path / "whole", method=method).path

    def stop(report) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    def earlier(run: RunOptions, identity: dict, scores: tuple) -> Checkpoint | None:
        kept = {name: value for name, value in identity.items() if name not in TRUSTED}
        return now(run, kept, scores)

    now = RunOptions.checkpoint
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(RunOptions, "checkpoint", earlier)
        train(tiny, tmp_path / "part", method=method, on_report=stop)
    again = train(tiny, tmp_path / "part", method=method, resume=True).path
    assert again.read_bytes() == whole.read_bytes()


def test_another_dropout_before_the_head_is_refused_in_training_alone(tiny, tmp_path):
    shutil.copytree(TINY, tmp_path / "base")
    config = json.loads((TINY / "config.json").read_text("utf-8"))
    config["classifier_dropout"] = 0.5
    (tmp_path / "base" / "config.json").write_text(json.dumps(config), "utf-8")
    base = load_base(tmp_path / "base")
    predict_texts(train(tiny).task, base, ["ba"])
    with pytest.raises(InputError, match=r"config\.json: classifier_dropout is 0\.5; training"):
        train(base)
