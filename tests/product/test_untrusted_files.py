"""What somebody else's files may say: everything is compared with what it can be before it is used.

The sums of these files are right, so whoever wrote them meant it. tests/faults changes all of them
at random, too: test_faults.py.
"""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TINY, minibert
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from toy import ADAPTERS, METHOD_LIST, SETTINGS, TASK, examples, toy_data, train

from adapters.bank import Bank
from adapters.embed import embed_texts
from adapters.finetune import Trained
from adapters.methods.method import Method
from adapters.methods.table import METHODS, method_named, trained_shapes
from adapters.predict import evaluate_task, predict_texts
from adapters.reproduce.sweep.answers import packed
from adapters.reproduce.sweep.runs_file import append_run, read_runs, run_key
from adapters.task_file import FORMAT, TaskFile, load_task, on_base, save_task
from minibert.checkpoint import Base, load_base
from minibert.config import BertConfig
from minibert.data.metrics import pearson, r2, spearman
from minibert.data.squad import read_questions
from minibert.errors import InputError, Interrupted
from minibert.json_files import fitted, parse_json, read_json
from minibert.tensors import content_sha256, read_safetensors
from minibert.tree import from_leaves, leaves

FORMAT_1 = Path(__file__).parents[1] / "format_1"


def refusal(call: Any) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(InputError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


# -------------------------------------------------------------------------------------- JSON


def test_a_message_is_short_whatever_it_quotes(tmp_path):
    words = "." * 5000
    asked = {"id": words, "question": "q", "answers": [{"text": words, "answer_start": 0}]}
    path = tmp_path / "train.json"
    paragraphs = [{"context": "c", "qas": [asked]}]
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    said = refusal(lambda: read_questions(path))
    assert said.startswith(f"{path}: question ...")
    assert said.endswith("at character 0")


class TestJSON:
    @pytest.mark.parametrize(
        "text, said",
        [
            ("[" * 100_000, "is not JSON"),
            ("[" * 100_000 + "]" * 100_000, "is not JSON: it is nested too deeply"),
            ("[" * 65 + "]" * 65, "is nested more than 64 levels deep"),
            ('{"a":' * 65 + "1" + "}" * 65, "is nested more than 64 levels deep"),
            ("9" * 5000, "is not JSON: a number of 5,000 digits"),
            ("9" * 301, "is not JSON: a number of 301 digits"),
            ("", "is not JSON"),
            ("{", "is not JSON"),
            ("'a'", "is not JSON"),
        ],
    )
    def test_json_is_read_within_bounds(self, text, said):
        assert refusal(lambda: parse_json(text, "a.json")).startswith(f"a.json: {said}")

    def test_json_within_the_bounds_is_what_it_says(self):
        deep = "[" * 63 + '{"a": [1, 2.5, "x", null, true]}'[:6] + "1}" + "]" * 63
        assert parse_json(deep, "a.json") == json.loads(deep)
        assert float(parse_json("9" * 300, "a.json")) == 1e300

    def test_a_json_file_is_not_read_beyond_its_bound_whatever_its_size(self, tmp_path):
        path = tmp_path / "a.json"
        with path.open("wb") as file:
            file.truncate(1 << 40)  # a terabyte of nothing, on a disk that has holes in files
        assert refusal(lambda: read_json(path)) == (
            f"{path}: is not read: it has more than 16,777,216 bytes"
        )

    @pytest.mark.parametrize(
        "kind, value, said",
        [
            (int, True, "it is True; a whole number is expected"),
            (int, 1.0, "it is 1.0; a whole number is expected"),
            (float, float("nan"), "it is nan; a finite number is expected"),
            (float, float("inf"), "it is inf; a finite number is expected"),
            (str | None, 3, "it is 3; a text or null is expected"),
            (dict[str, int], {"a": "b"}, "a is 'b'; a whole number is expected"),
            (list[dict[str, float]], [{}, {"b": []}], "[1].b is []; a finite number is expected"),
            (tuple[int, int], [1], "it is [1]; a list of 2 is expected"),
            (tuple[str, ...], ["a", 1], "[1] is 1; a text is expected"),
            (Method, {"trained": []}, "name is missing"),
            (Method, {"name": "x", "trained": [], "a": 1}, "a is not known"),
            (Method, [], "it is []; an object is expected"),
        ],
    )
    def test_a_value_of_another_form_is_refused_naming_the_part(self, kind, value, said):
        assert refusal(lambda: fitted(kind, value, "a.json")) == f"a.json: {said}"

    def test_a_value_of_the_form_becomes_its_type(self):
        made = fitted(Method, {"name": "x", "trained": ["a"], "size": 3, "std": 1}, "a.json")
        assert made == Method("x", ("a",), size=3, std=1.0)
        assert fitted(tuple[float, float], [1, 2.5], "a.json") == (1.0, 2.5)
        assert fitted(list[int | str], [1, "a"], "a.json") == [1, "a"]


# ----------------------------------------------------------------------------------- the base


def base_with(folder: Path, name: str, change: Any) -> Path:
    """A copy of the tiny BERT with `change` applied to one of its JSON files."""
    shutil.copytree(TINY, folder)
    content = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    (folder / name).write_text(json.dumps(change(content)))
    return folder


class TestSizes:
    """config.json may say anything; the weights say how much there is."""

    @pytest.mark.parametrize("number", [2_000_000_000, 10**30, 10**299])
    @pytest.mark.parametrize(
        "name",
        [
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "type_vocab_size",
        ],
    )
    def test_a_size_beyond_the_weights_is_refused_at_once(self, tmp_path, name, number):
        folder = base_with(tmp_path / "base", "config.json", lambda raw: raw | {name: number})
        assert str(folder) in refusal(lambda: load_base(folder))

    def test_more_layers_than_tensors_are_refused_before_their_names_are_made(self, tmp_path):
        folder = base_with(
            tmp_path / "base", "config.json", lambda raw: raw | {"num_hidden_layers": 2 * 10**9}
        )
        assert refusal(lambda: load_base(folder)) == (
            f"{folder / 'model.safetensors'}: has 39 tensors, but config.json says "
            "num_hidden_layers 2000000000"
        )

    @pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [1] * 80 + [0]])
    def test_a_shape_that_no_array_can_have_is_refused(self, tmp_path, shape):
        path = tmp_path / "model.safetensors"
        entry = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
        header = json.dumps(entry).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        assert refusal(lambda: read_safetensors(path)).startswith(f"{path}: ")


class TestTokenizers:
    @staticmethod
    def json_of(tiny: Base) -> dict[str, Any]:
        return json.loads(tiny.tokenizer.to_str())

    @staticmethod
    def folder(tmp_path: Path, content: dict[str, Any]) -> Path:
        folder = tmp_path / "base"
        shutil.copytree(TINY, folder)
        (folder / "tokenizer.json").write_text(json.dumps(content))
        return folder

    def check(self, tmp_path: Path, content: dict[str, Any], said: str) -> None:
        folder = self.folder(tmp_path, content)
        assert said in refusal(lambda: load_base(folder).tokenizer)
        done = minibert("embed", "a text", "--base", folder)
        assert done.code == 2
        assert done.err.startswith("minibert: error: ")
        assert done.err.count("\n") == 1

    def test_special_tokens_without_an_id_are_refused(self, tiny, tmp_path):
        """They make the library panic, which is no Exception, and print a trace of its own."""
        content = self.json_of(tiny)
        del content["post_processor"]["special_tokens"]["[SEP]"]
        self.check(tmp_path, content, "post_processor: special_tokens lacks '[SEP]'")

    def test_special_tokens_with_an_id_beyond_the_embedding_are_refused(self, tiny, tmp_path):
        content = self.json_of(tiny)
        content["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [99_999]
        self.check(tmp_path, content, "'[CLS]' is token 99999, but in the vocabulary 2")

    def test_a_text_in_another_segment_is_refused(self, tiny, tmp_path):
        """Which an empty text, that has no tokens of its own, does not show."""
        content = self.json_of(tiny)
        single = content["post_processor"]["single"]
        (own,) = (piece["Sequence"] for piece in single if "Sequence" in piece)
        own["type_id"] = 7
        self.check(tmp_path, content, "in segments [0, 7")

    def test_two_texts_the_other_way_round_are_refused(self, tiny, tmp_path):
        content = self.json_of(tiny)
        for piece in content["post_processor"]["pair"]:
            if "Sequence" in piece:
                piece["Sequence"]["id"] = "AB"["BA".index(piece["Sequence"]["id"])]
        self.check(tmp_path, content, "BERT reads [CLS] text [SEP]")

    def test_a_tokenizer_without_any_token_is_refused(self, tiny, tmp_path):
        content = self.json_of(tiny)
        content["model"]["vocab"], content["added_tokens"] = {}, []
        folder = self.folder(tmp_path, content)
        assert str(folder) in refusal(lambda: load_base(folder).tokenizer)

    @pytest.mark.parametrize("number", [1e308, float("inf"), 7.5, True, None, "7.5", "²", []])
    def test_what_is_no_token_id_is_refused(self, tmp_path, number):
        folder = tmp_path / "base"
        shutil.copytree(TINY, folder)
        (folder / "added_tokens.json").write_text(json.dumps({"[NEW]": number}))
        assert "is no token id" in refusal(lambda: load_base(folder).tokenizer)

    def test_what_fails_on_a_text_is_refused_too(self, tiny, tmp_path):
        """Its model gives up where a word is unknown, which no look at the file tells."""
        content = self.json_of(tiny)
        vocabulary = content["model"]["vocab"]
        content["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNKNOWN]"}
        folder = self.folder(tmp_path, content)
        refusal(lambda: embed_texts(load_base(folder), ["🦊"]))


# -------------------------------------------------------------------------------------- tasks


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> dict[str, Path]:
    """A task file for each method of the table, one with statistics, and one of scores."""
    quick = replace(SETTINGS, epochs=1)
    methods = [*METHOD_LIST, method_named("adapters", 4, variant="batch-norm")]
    paths = {}
    for method in methods:
        name = f"{method}"
        run = train(tiny, tmp_path_factory.mktemp("task"), method=method, settings=quick)
        paths[name] = run.path
    data = toy_data(regression=True)
    folder = tmp_path_factory.mktemp("task")
    paths["scores"] = train(tiny, folder, data=data, settings=quick).path
    return paths


def parts_of(path: Path, key: str = FORMAT) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()[key]), load_file(path)


def signed(
    path: Path, about: dict[str, Any], tensors: dict[str, np.ndarray], key: str = FORMAT
) -> Path:
    """A file with a right sha256."""
    about = {name: value for name, value in about.items() if name != "sha256"}
    said = {**about, "sha256": content_sha256(about, tensors)}
    save_file(tensors, path, {key: json.dumps(said)})
    return path


def test_a_task_holds_what_its_method_trains_on_its_base(tiny, made):
    """By names and shapes, for every kind of method."""
    for name, path in made.items():
        task = load_task(path)
        shapes = trained_shapes(tiny.config, task.method, task.task.outputs, True)
        assert {p: leaf.shape for p, leaf in leaves(task.trained)} == shapes, name


SAID: list[tuple[dict[str, Any], str]] = [
    ({"max_length": 10**9}, "max length must be from 4 to 64"),
    ({"max_length": 65}, "max length must be from 4 to 64"),
    ({"max_length": 3}, "its max_length is 3"),
    ({"max_length": "16"}, "max_length is '16'; a whole number is expected"),
    ({"max_length": True}, "max_length is True"),
    ({"recipe": "mine"}, "unknown recipe 'mine'"),
    ({"pooling": "max"}, "has the unknown pooling 'max'"),
    ({"pooling": []}, "pooling is []; a text is expected"),
    ({"pooling": "cosine"}, "pooling cosine is for a score of two texts"),
    ({"scale": [0.0, 0.0]}, "has no positive deviation"),
    ({"scale": [0.0]}, "scale is [0.0]; a list of 2 is expected"),
    ({"scale": [float("nan"), 1.0]}, "scale[0] is nan"),
    ({"label_kind": "complex"}, "unknown kind of labels 'complex'"),
    ({"results": {"accuracy": "high"}}, "its result 'accuracy' is 'high'"),
    ({"results": {"accuracy": float("nan")}}, "its result 'accuracy' is nan"),
    ({"results": []}, "results is []; an object is expected"),
    ({"base_name": "a" * 5000}, "is too long for a folder's name"),
    ({"base_name": None}, "base_name is None"),
    ({"trained": {}}, "trained is not known"),
    ({"colour": "red"}, "colour is not known"),
]
TASK_SAID: list[tuple[dict[str, Any], str]] = [
    ({"metrics": ["bleu"]}, "unknown metric 'bleu' of classes"),
    ({"metrics": ["pearson"]}, "unknown metric 'pearson' of classes"),
    ({"metrics": []}, "unknown metric '' of classes"),
    ({"names": ["a", "a"]}, "its labels ('a', 'a') are damaged"),
    ({"names": ["a"]}, "its labels ('a',) are damaged"),
    ({"names": ["a", "b", "c"]}, "its labels ('a', 'b', 'c') are damaged"),
    ({"names": ["a"], "values": ["0"]}, "has one class only"),
    ({"names": ["a", 3]}, "task.names[1] is 3; a text is expected"),
    ({"names": [], "values": []}, "unknown metric 'accuracy' of scores"),
    ({"names": ["a", "b", "c"], "values": ["0", "1", "2"]}, "head."),
    ({"text": []}, "has 0 text columns"),
    ({"text": ["a", "b", "c"]}, "has 3 text columns"),
    ({"text": [[]]}, "task.text[0] is []"),
    ({"name": 5}, "task.name is 5; a text is expected"),
]
METHOD_SAID: list[tuple[dict[str, Any], str]] = [
    ({"name": "norms"}, "method 'norms' is not the one that is known by that name"),
    ({"trained": ["head"]}, "is not the one that is known by that name"),
    ({"name": "mine", "trained": ["("]}, "'(' is no pattern"),
    ({"name": "mine", "trained": ["(a+)+$"]}, "is too long or complicated"),
    ({"name": "mine", "trained": [".*.*.*.*x"]}, "is too long or complicated"),
    ({"size": 2_000_000_000}, "parameters in its adapters; adapters, m = "),
    ({"size": 5}, "parameters in its adapters; adapters, m = "),
    ({"size": 0}, "adapter size must be at least 1, not 0"),
    ({"size": None}, "has no size"),
    ({"size": 4.0}, "method.size is 4.0; a whole number or null is expected"),
    ({"activation": "__class__"}, "unknown activation '__class__'"),
    ({"variant": "parallel", "activation": "exec"}, "unknown activation"),
    ({"variant": "x"}, "unknown variant 'x'"),
    ({"variant": "deep"}, "parameters in its adapters"),
    ({"std": 0}, "std must be positive"),
    ({"first_layer": -1}, "the method's layers are from -1"),
    ({"first_layer": 1}, "is none of the parameters"),
    ({"last_layer": 7}, "is not for 2 layers"),
    ({"first_layer": 1, "last_layer": 0}, "the method's layers are from 1 to 0"),
]
EVERY_CHANGE = [
    *(pytest.param(None, change, said, id=f"{change}"[:60]) for change, said in SAID),
    *(pytest.param("task", change, said, id=f"task {change}"[:60]) for change, said in TASK_SAID),
    *(pytest.param("method", ch, said, id=f"method {ch}"[:60]) for ch, said in METHOD_SAID),
]


class TestTasks:
    """A task file whose sum is right and whose content is not."""

    @staticmethod
    def use(path: Path, base: Base) -> None:
        task = load_task(path)
        on_base(task, base, path)
        evaluate_task(task, base, examples(4, 1))

    @pytest.mark.parametrize("part, change, said", EVERY_CHANGE)
    def test_what_a_task_cannot_say_is_refused(self, tiny, made, tmp_path, part, change, said):
        about, tensors = parts_of(made[f"{ADAPTERS}"])
        about = about | change if part is None else about | {part: about[part] | change}
        path = signed(tmp_path / "task.safetensors", about, tensors)
        message = refusal(lambda: self.use(path, tiny))
        assert message.startswith(f"{path}: ")
        assert said in message

    @pytest.mark.parametrize(
        "name", [f"{m}" for m in METHOD_LIST] + ["adapters, batch-norm, m = 4"]
    )
    @pytest.mark.parametrize("how", ["gone", "renamed", "more", "another shape", "a row more"])
    def test_another_tensor_than_the_method_trains_is_refused(
        self, tiny, made, tmp_path, name, how
    ):
        about, tensors = parts_of(made[name])
        for chosen in sorted(tensors):
            changed, values = dict(tensors), tensors[chosen]
            if how == "gone":
                del changed[chosen]
            elif how == "renamed":
                changed[f"{chosen}s"] = changed.pop(chosen)
            elif how == "more":
                changed[f"{chosen}.weight"] = values
            elif how == "another shape":
                changed[chosen] = values[None]
            else:
                changed[chosen] = np.concatenate([values, values[-1:]])
            path = signed(tmp_path / "task.safetensors", about, changed)
            assert refusal(lambda path=path: self.use(path, tiny)).startswith(f"{path}: ")

    @pytest.mark.parametrize("kind", ["float16", "float64", "int32", "uint8", "bool"])
    def test_tensors_of_another_type_are_refused(self, tiny, made, tmp_path, kind):
        about, tensors = parts_of(made[f"{ADAPTERS}"])
        tensors["head.bias"] = tensors["head.bias"].astype(kind)
        path = signed(tmp_path / "task.safetensors", about, tensors)
        assert "head.bias is of type " in refusal(lambda: load_task(path))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_tensors_that_are_not_finite_are_refused(self, made, tmp_path, value):
        for name, source in made.items():
            about, tensors = parts_of(source)
            chosen = sorted(tensors)[len(name) % len(tensors)]
            tensors[chosen].flat[-1] = value
            path = signed(tmp_path / "task.safetensors", about, tensors)
            assert refusal(lambda path=path: load_task(path)) == (
                f"{path}: {chosen} has values that are NaN or infinite"
            )

    def test_a_negative_variance_is_refused(self, made, tmp_path):
        about, tensors = parts_of(made["adapters, batch-norm, m = 4"])
        chosen = next(name for name in tensors if name.endswith("variance"))
        tensors[chosen] = -tensors[chosen]
        path = signed(tmp_path / "task.safetensors", about, tensors)
        assert refusal(lambda: load_task(path)).endswith("has negative values")

    @pytest.mark.parametrize(
        "name", ["head" + ".a" * 3000, "head.²", "head", "adapters.0", "base", "head.weight.x", ""]
    )
    def test_a_name_that_no_parameter_has_is_refused(self, made, tmp_path, name):
        about, tensors = parts_of(made[f"{ADAPTERS}"])
        tensors[name] = np.zeros(1, np.float32)
        path = signed(tmp_path / "task.safetensors", about, tensors)
        refusal(lambda: load_task(path))

    def test_the_command_line_says_so_with_exit_code_2(self, made, tmp_path):
        about, tensors = parts_of(made[f"{ADAPTERS}"])
        path = tmp_path / "task.safetensors"
        for change in ({"max_length": 10**9}, {"recipe": "mine"}):
            signed(path, about | change, tensors)
            done = minibert("predict", path, "ba", "--base", TINY)
            assert done.code == 2
            assert done.err.startswith(f"minibert: error: {path}: ")


# ------------------------------------------------------------------------- answers that are none


class TestOverflow:
    """Finite parameters, whose products are not."""

    @pytest.fixture
    def large(self, tiny, made) -> TaskFile:
        """A task whose adapters overflow on any text."""
        task = load_task(made[f"{ADAPTERS}"])
        scaled = {path: leaf * np.float32(1e30) for path, leaf in leaves(task.trained)}
        return replace(task, trained=from_leaves(scaled))

    def test_logits_that_are_not_finite_are_refused_with_the_cause(self, tiny, large):
        bank = Bank(tiny)
        for call in (
            lambda: predict_texts(large, tiny, ["ba", "bi"]),
            lambda: evaluate_task(large, tiny, examples(4, 1)),
        ):
            assert refusal(call) == (
                "texts[0]: its logits are not finite: the task's parameters are too large for "
                "float32"
            )
        bank.tasks["a"], bank.models["a"] = large, on_base(large, tiny)
        assert "its logits are not finite" in refusal(lambda: bank.logits("a", ["ba"]))

    def test_no_command_prints_nan(self, large, tmp_path):
        path, table = tmp_path / "task.safetensors", tmp_path / "mine.csv"
        save_task(path, large)
        table.write_text("text,label\nba,morulan\nbi,tikora\n")
        on = ("--base", TINY)
        for words in (
            ("predict", path, *on, "ba"),
            ("predict", path, *on, "ba", "--json"),
            ("evaluate", path, *on, "--data", table),
            ("evaluate", path, *on, "--data", table, "--json"),
            ("predict", path, *on, "--input", table, "--text", "text", "--output", tmp_path / "o"),
        ):
            done = minibert(*words)
            assert done.code == 2, done
            assert "nan" not in done.out.lower()
            assert "its logits are not finite" in done.err
            assert done.err.count("\n") == 1
        assert f"{table} row 2: its logits" in done.err
        assert not (tmp_path / "o").exists()

    def test_a_base_that_overflows_is_named_as_the_cause(self, tiny, made, tmp_path):
        folder = tmp_path / "base"
        shutil.copytree(TINY, folder)
        tensors = load_file(folder / "model.safetensors")
        for name in tensors:
            if "LayerNorm" in name and name.endswith(("weight", "gamma")):
                tensors[name] = np.full_like(tensors[name], 1e38)
        save_file(tensors, folder / "model.safetensors")
        base = load_base(folder)
        task = replace(load_task(made["head"]), base_sha256=base.sha256, base_reading="")
        assert "the weights of the base base are too large" in refusal(
            lambda: predict_texts(task, base, ["ba"])
        )
        assert "a text's vector overflows" in refusal(lambda: embed_texts(base, ["ba"]))


class TestLargeScores:
    @pytest.fixture(autouse=True)
    def no_warnings(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield

    @pytest.mark.parametrize("scale", [1.0, 1e100, 1e200, 2e307])
    def test_correlations_and_shares_are_right_at_any_scale(self, scale):
        rng = np.random.default_rng(0)
        gold = rng.uniform(-4, 4, 50)
        predicted = gold + rng.normal(size=50)
        right = np.corrcoef(predicted, gold)[0, 1]
        assert pearson(predicted, gold * scale) == pytest.approx(right, rel=1e-12)
        assert pearson(predicted * scale, gold) == pytest.approx(right, rel=1e-12)
        assert spearman(predicted, gold * scale) == spearman(predicted, gold)
        share = 1 - np.sum((predicted - gold) ** 2) / np.sum((gold - gold.mean()) ** 2)
        assert r2(predicted * scale, gold * scale) == pytest.approx(share, rel=1e-12)

    def test_a_task_is_scored_on_such_gold_scores(self, tiny, made):
        task = load_task(made["scores"])
        given = examples(12, 1, regression=True)
        scaled = [example._replace(label=example.label * 1e200) for example in given]
        usual = evaluate_task(task, tiny, given)
        assert evaluate_task(task, tiny, scaled) == pytest.approx(usual, rel=1e-9)


# ----------------------------------------------------------------------- checkpoints and runs


class TestCheckpoints:
    @pytest.fixture(scope="class")
    @classmethod
    def stopped(cls, tiny, tmp_path_factory) -> Path:
        def stop(report: Any) -> None:
            if report.step == 4:
                raise KeyboardInterrupt

        folder = tmp_path_factory.mktemp("stopped")
        with pytest.raises(Interrupted):
            train(tiny, folder, on_report=stop)
        return folder / "checkpoint.safetensors"

    @staticmethod
    def resume(tiny: Base, path: Path) -> Trained:
        return train(tiny, path.parent, resume=True)

    def test_a_flipped_bit_anywhere_is_refused(self, tiny, stopped, tmp_path):
        """It would go on to other bits, and say nothing."""
        content, path = stopped.read_bytes(), tmp_path / stopped.name
        rng = np.random.default_rng(0)
        for position in rng.integers(8, len(content), 100):
            flipped = bytearray(content)
            flipped[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            assert refusal(lambda: self.resume(tiny, path)).startswith(f"{path}: ")

    @pytest.mark.parametrize(
        "change",
        [
            {"step": 5},
            {"step": -1, "losses": []},
            {"step": 0, "losses": []},
            {"step": True},
            {"step": 10**9},
            {"step": 10, "losses": [0.5] * 10},
            {"losses": [0.5, 0.5, 0.5, float("nan")]},
            {"losses": [0.5, 0.5, 0.5, "x"]},
            {"epochs": []},
            {"epochs": [{}]},
            {"epochs": [{"accuracy": None}]},
            {"epochs": [{"accuracy": float("nan")}]},
            {"epochs": [{"bleu": 0.5}]},
            {"epochs": [{"accuracy": 0.5}] * 3},
            {"epochs": {"accuracy": 0.5}},
            {"about": []},
            {"about": {}},
            {"colour": "red"},
        ],
        ids=str,
    )
    def test_a_log_that_no_run_writes_is_refused(self, tiny, stopped, tmp_path, change):
        about, tensors = parts_of(stopped, "run")
        path = signed(tmp_path / stopped.name, about | change, tensors, "run")
        before = path.read_bytes()
        assert refusal(lambda: self.resume(tiny, path)).startswith(f"{path}: ")
        assert path.read_bytes() == before

    def test_a_loss_that_is_a_whole_number_becomes_a_float(self, tiny, stopped, tmp_path):
        """However large: NumPy has no integer of 30 digits."""
        about, tensors = parts_of(stopped, "run")
        losses = [10**30, *about["losses"][1:]]
        path = signed(tmp_path / stopped.name, about | {"losses": losses}, tensors, "run")
        assert np.array(self.resume(tiny, path).losses).dtype == np.float64

    @pytest.mark.parametrize("group", ["now", "best", "first", "second"])
    @pytest.mark.parametrize("how", ["NaN", "type", "shape", "gone", "more"])
    def test_tensors_that_no_run_writes_are_refused(self, tiny, stopped, tmp_path, group, how):
        about, tensors = parts_of(stopped, "run")
        name = f"{group}/head.weight"
        values = tensors[name]
        changes: dict[str, Any] = {
            "NaN": {name: np.full_like(values, np.nan)},
            "type": {name: values.astype(np.float64)},
            "shape": {name: values[:1].copy()},
            "gone": {},
            "more": {f"{name}s": values},
        }
        if how == "gone":
            del tensors[name]
        path = signed(tmp_path / stopped.name, about, tensors | changes[how], "run")
        assert name in refusal(lambda: self.resume(tiny, path))

    def test_a_negative_mean_of_squares_is_refused(self, tiny, stopped, tmp_path):
        about, tensors = parts_of(stopped, "run")
        tensors["second/head.bias"] -= 1
        path = signed(tmp_path / stopped.name, about, tensors, "run")
        assert "a mean of squares is negative" in refusal(lambda: self.resume(tiny, path))

    def test_a_checkpoint_of_an_earlier_version_has_no_sum_and_resumes(self, tiny, tmp_path):
        about, _ = parts_of(FORMAT_1 / "checkpoint.safetensors", "run")
        assert "sha256" not in about
        path = Path(shutil.copy(FORMAT_1 / "checkpoint.safetensors", tmp_path))
        self.resume(tiny, path)
        assert "sha256" in parts_of(path, "run")[0]


CLASSIFY = {"kind": "classify", "task": "mrpc"}
SCORES = {"accuracy": 0.5, "f1": 0.5}
COUNTS = {"task": 5, "adapters": 3, "head": 2, "all": 9, "layers": 4}
RESULT = {"dev": SCORES, "validation": [SCORES], "best_epoch": 1, "parameters": COUNTS}


SPANS = [{"first": f, "last": n, "dev": SCORES} for f, n in ((0, 0), (0, 1), (1, 1))]
QUESTIONS = {"f1": 0.5, "exact_match": 0.25}
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ablation": (
        {"kind": "ablation", "of": CLASSIFY},
        {"dev": SCORES, "constant": SCORES, "spans": SPANS},
    ),
    "squad": ({"kind": "squad"}, {"dev": QUESTIONS, "epochs": [QUESTIONS], "examples": [9, 3]}),
}
STEPS = [{"task": "cola"}, {"task": "rte"}]
MCC, ACCURACY = {"matthews": 0.5}, {"accuracy": 0.5}
MANY: dict[str, dict[str, Any]] = {
    "sequence": {"scores": [[MCC], [MCC, ACCURACY]], "changed": [[0], [1, 0]], "parameters": 9},
    "joint": {
        "scores": [[MCC, ACCURACY]],
        "answers": [packed(np.zeros(5, int)), packed(np.ones(6))],
        "validation": [{"mean": 0.5, "cola": 0.5, "rte": 0.5}],
        "parameters": 9,
        "examples": [5, 6],
    },
}


class TestRuns:
    def test_a_result_that_its_kind_gives_is_read(self, tmp_path):
        append_run(tmp_path, CLASSIFY, RESULT)
        append_run(tmp_path, {**CLASSIFY, "seed": 1}, {"diverged": "at step 3"})
        assert [run["result"] for run in read_runs(tmp_path).values()] == [
            RESULT,
            {"diverged": "at step 3"},
        ]

    @pytest.mark.parametrize(
        "result",
        [
            [],
            None,
            "x",
            {},
            {"diverged": 3},
            RESULT | {"dev": {}},
            RESULT | {"dev": {"accuracy": "x", "f1": 0.5}},
            RESULT | {"dev": {"accuracy": float("nan"), "f1": 0.5}},
            RESULT | {"validation": [{}]},
            RESULT | {"validation": {"accuracy": 0.5}},
            RESULT | {"validation": []},
            RESULT | {"parameters": {"task": "many"}},
            RESULT | {"parameters": 5},
            RESULT | {"parameters": {}},
            RESULT | {"parameters": {**COUNTS, "layers": 0}},
            RESULT | {"parameters": {**COUNTS, "adapters": -1}},
            RESULT | {"constant": {}},
            RESULT | {"answers": ["x"]},
            RESULT | {"answers": "uint8:x"},
            RESULT | {"examples": 5},
        ],
        ids=str,
    )
    def test_a_result_of_another_form_is_refused_naming_the_row(self, tmp_path, result):
        run = {"key": run_key(CLASSIFY), "config": CLASSIFY, "result": result}
        (tmp_path / "runs.jsonl").write_text(json.dumps(run) + "\n")
        path = tmp_path / "runs.jsonl"
        assert refusal(lambda: read_runs(tmp_path)).startswith(f"{path} row 1: is damaged: ")

    @pytest.mark.parametrize(
        "kind, wrong",
        [
            ("ablation", {"spans": SPANS[:2]}),
            ("ablation", {"spans": [*SPANS[:2], SPANS[1]]}),
            ("ablation", {"spans": [{**span, "answers": 5} for span in SPANS]}),
            ("ablation", {"spans": [{**span, "last": 10**9} for span in SPANS]}),
            ("squad", {"examples": [9]}),
            ("squad", {"dev": {"f1": 0.5}}),
        ],
        ids=str,
    )
    def test_a_result_that_a_report_could_not_show_is_refused(self, tmp_path, kind, wrong):
        config, result = OTHERS[kind]
        path = tmp_path / "runs.jsonl"

        def write(result: dict[str, Any]) -> None:
            run = {"key": run_key(config), "config": config, "result": result}
            path.write_text(json.dumps(run) + "\n")

        write(result)
        assert [run["result"] for run in read_runs(tmp_path).values()] == [result]
        write(result | wrong)
        assert refusal(lambda: read_runs(tmp_path)).startswith(f"{path} row 1: is damaged: ")

    @pytest.mark.parametrize("kind", MANY)
    def test_a_result_of_many_tasks_is_read(self, tmp_path, kind):
        append_run(tmp_path, {"kind": kind, "steps": STEPS}, MANY[kind])
        assert [run["result"] for run in read_runs(tmp_path).values()] == [MANY[kind]]

    @pytest.mark.parametrize(
        "kind, wrong",
        [
            ("sequence", {"scores": [[MCC]]}),
            ("sequence", {"scores": [[MCC], [MCC]]}),
            ("sequence", {"scores": [[MCC], [MCC, MCC]]}),
            ("sequence", {"changed": [[0], [0]]}),
            ("sequence", {"parameters": {"task": 5}}),
            ("joint", {"scores": [[MCC], [MCC, ACCURACY]]}),
            ("joint", {"scores": [[ACCURACY, MCC]]}),
            ("joint", {"answers": "ab"}),
            ("joint", {"answers": [packed(np.zeros(5, int))]}),
            ("joint", {"answers": [packed(np.zeros(5, int)), "uint8:x"]}),
            ("joint", {"examples": [5]}),
            ("joint", {"validation": [{}]}),
            ("joint", {"parameters": {"task": 5}}),
        ],
        ids=str,
    )
    def test_a_result_without_every_task_is_refused_naming_the_row(self, tmp_path, kind, wrong):
        config = {"kind": kind, "steps": STEPS}
        run = {"key": run_key(config), "config": config, "result": MANY[kind] | wrong}
        path = tmp_path / "runs.jsonl"
        path.write_text(json.dumps(run) + "\n")
        assert refusal(lambda: read_runs(tmp_path)).startswith(f"{path} row 1: is damaged: ")

    @pytest.mark.parametrize("line", ["[" * 100_000, "9" * 5000, "[" * 100 + "]" * 100])
    def test_a_line_beyond_the_bounds_is_refused_naming_the_row(self, tmp_path, line):
        (tmp_path / "runs.jsonl").write_text(line + "\n")
        assert "runs.jsonl row 1: is n" in refusal(lambda: read_runs(tmp_path))


# the names that this file's parametrisation rests on
def test_every_method_is_among_those_tried(made):
    assert {f"{m}" for m in METHOD_LIST} <= made.keys()
    assert {m.name for m in METHOD_LIST} == set(METHODS)
    assert TASK.names == ("morulan", "tikora")
    assert BertConfig().num_hidden_layers == 12
