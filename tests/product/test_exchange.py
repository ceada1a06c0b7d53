"""Adapters from and to other libraries: AdapterHub, PEFT, transformers.

The oracle of what is read are these libraries' own files and logits (goldens/exchange); what they
make of our files, goldens/exchange/checked.md says. Here, too, what is exported comes back bit for
bit, and what cannot be computed is refused by name.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import minibert
from foreign_files import EXCHANGE, GOLDENS, change_json, change_tensors, copied
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.exchange import Wanted, export_adapter, import_adapter
from adapters.exchange.note import NOTE
from adapters.methods.bottleneck import ACTIVATIONS
from adapters.methods.lora import MAPS
from adapters.methods.method import Method, split
from adapters.methods.table import layer_span, method_named
from adapters.recipes import recipe_named
from adapters.task_file import TaskFile, load_task, on_base, task_digest
from adapters.task_model import forward, new_task_model
from minibert.batch import make_batch
from minibert.checkpoint import Base, load_base
from minibert.config import BertConfig
from minibert.data.tasks import GLUE, Task
from minibert.errors import InputError
from minibert.parameters import random_params
from minibert.tensors import read_safetensors
from minibert.tokenizer import encode_texts
from minibert.tree import from_leaves, leaves

LOGITS = json.loads((EXCHANGE / "logits.json").read_text())
TEXTS = [
    tuple(text) if isinstance(text, list) else text
    for text in json.loads((GOLDENS / "tiny_texts.json").read_text())["texts"]
]
FORMAT = {"whole": "transformers", "lora": "peft"}


def format_of(name: str) -> str:
    return FORMAT.get(name.partition("-")[0], "adapterhub")


def logits_of(task: TaskFile, base: Base) -> np.ndarray:
    """The logits of the goldens' texts, one text at a time, as there."""
    encoded = encode_texts(base.tokenizer, TEXTS, 40)
    model = on_base(task, base)
    return np.concatenate([forward(model, make_batch([text])) for text in encoded])


class TestReading:
    """What other libraries save answers here as there, to 2e-5 (float32 on both sides)."""

    @pytest.mark.parametrize("name", sorted(LOGITS))
    def test_it_gives_the_logits_of_the_library_that_saved_it(self, tiny, name):
        task = import_adapter(EXCHANGE / name, tiny)
        np.testing.assert_allclose(logits_of(task, tiny), LOGITS[name], rtol=0, atol=2e-5)

    def test_there_are_at_least_twelve_adapters_of_both_libraries(self):
        kinds = [format_of(name) for name in LOGITS]
        assert kinds.count("adapterhub") + kinds.count("peft") >= 12
        assert min(kinds.count(kind) for kind in ("adapterhub", "peft", "transformers")) >= 5

    def test_the_label_names_are_those_in_the_files(self, tiny):
        labels = {name: import_adapter(EXCHANGE / name, tiny).task.names for name in LOGITS}
        assert labels["houlsby"] == labels["whole-full"] == ("negative", "positive")
        assert labels["houlsby-paper"] == ("no", "maybe", "yes")
        assert labels["lora"] == ("0", "1")  # PEFT writes none
        assert labels["pfeiffer-both"] == ()  # one output: a score

    def test_each_whole_model_is_the_smallest_method_that_explains_it(self, tiny):
        found = {name: str(import_adapter(EXCHANGE / name, tiny).method)
                 for name in LOGITS if name.startswith("whole")}  # fmt: skip
        assert found == {
            "whole-full": "full",
            "whole-top": "full, from layer 1",
            "whole-norms": "norms",
            "whole-biases": "biases",
            "whole-head": "head",
        }

    def test_the_users_word_on_the_task_counts(self, tiny):
        wanted = Wanted("sst-2", (), False, 17)
        task = import_adapter(EXCHANGE / "houlsby", tiny, wanted)
        assert (task.task, task.max_length) == (GLUE["sst-2"], 17)
        own = import_adapter(EXCHANGE / "lora", tiny, Wanted(labels=("bad", "good"), pairs=True))
        assert own.task.names == ("bad", "good")
        assert own.task.pairs

    def test_labels_in_another_order_keep_their_outputs(self, tiny, tmp_path):
        folder = copied("houlsby", tmp_path)
        other = {"positive": 0, "negative": 1}
        change_json(folder / "head_config.json", lambda s: s["config"].update(label2id=other))
        task = import_adapter(folder, tiny, Wanted("sst-2")).task
        assert (task.names, task.values) == (("positive", "negative"), ("1", "0"))

    def test_a_task_on_single_texts_is_none_on_pairs(self, tiny, tmp_path):
        wanted = Wanted("sst-2", pairs=True)
        with pytest.raises(InputError, match="--pairs: sst-2 is a task on single texts"):
            import_adapter(copied("houlsby", tmp_path), tiny, wanted)

    def test_a_head_in_a_folder_of_its_own(self, tiny, tmp_path):
        folder, head = copied("pfeiffer", tmp_path), tmp_path / "head"
        head.mkdir()
        for name in ("head_config.json", "model_head.safetensors"):
            (folder / name).rename(head / name)
        with pytest.raises(InputError, match=r"has no head_config\.json"):
            import_adapter(folder, tiny)
        task = import_adapter(folder, tiny, Wanted(head=head))
        np.testing.assert_allclose(logits_of(task, tiny), LOGITS["pfeiffer"], rtol=0, atol=2e-5)

    def test_another_head_in_the_same_file_is_left_alone(self, tiny, tmp_path):
        """AdapterHub saves every head whose name begins with this one's."""
        folder = copied("houlsby", tmp_path)
        change_tensors(
            folder / "model_head.safetensors",
            lambda t: t.update({"heads.houlsby2.1.weight": np.ones((5, 32), np.float32)}),
        )
        task = import_adapter(folder, tiny)
        np.testing.assert_allclose(logits_of(task, tiny), LOGITS["houlsby"], rtol=0, atol=2e-5)

    def test_of_several_adapters_in_a_folder_one_must_be_named(self, tiny, tmp_path):
        copied("houlsby", tmp_path)
        assert import_adapter(tmp_path, tiny).task.name == "houlsby"
        copied("pfeiffer", tmp_path)
        with pytest.raises(InputError, match="several adapters: houlsby, pfeiffer"):
            import_adapter(tmp_path, tiny)


class TestComingBack:
    """Export, then import: the same task, bit for bit."""

    @pytest.mark.parametrize("name", sorted(LOGITS))
    def test_what_was_imported_goes_out_and_comes_back(self, tiny, name, tmp_path):
        task = import_adapter(EXCHANGE / name, tiny)
        export_adapter(task, tiny, tmp_path / "out", format_of(name))
        assert task_digest(import_adapter(tmp_path / "out", tiny)) == task_digest(task)

    @pytest.mark.parametrize("name", sorted(LOGITS))
    def test_without_our_note_it_still_answers_the_same(self, tiny, name, tmp_path):
        task = import_adapter(EXCHANGE / name, tiny)
        export_adapter(task, tiny, tmp_path / "out", format_of(name))
        (tmp_path / "out" / NOTE).unlink()
        back = import_adapter(tmp_path / "out", tiny)
        np.testing.assert_array_equal(logits_of(back, tiny), logits_of(task, tiny))

    @given(data=st.data())
    @settings(max_examples=60)
    def test_any_task_with_a_place_in_a_format_comes_back(self, data, tmp_path_factory):
        """For random sizes, activations, layers left out, label names."""
        base = some_base(data.draw(st.integers(1, 4), "layers"), data.draw(st.integers(1, 3)) * 4)
        kind, method, pooling = data.draw(exportable(base.config), "method")
        task = some_task(base, method, pooling, data.draw(some_labels, "labels"))
        folder = tmp_path_factory.mktemp("any") / "out"
        export_adapter(task, base, folder, kind)
        back = import_adapter(folder, base)
        assert task_digest(back) == task_digest(task)
        assert back.task == task.task
        assert back.method == task.method

    def test_a_note_that_no_longer_fits_the_tensors_is_not_believed(self, tiny, tmp_path):
        task = replace(import_adapter(EXCHANGE / "lora", tiny), results={"accuracy": 0.9})
        export_adapter(task, tiny, tmp_path / "out", "peft")
        assert import_adapter(tmp_path / "out", tiny).results == {"accuracy": 0.9}
        change_tensors(
            tmp_path / "out" / "adapter_model.safetensors",
            lambda t: t.update({"base_model.model.classifier.bias": np.ones(2, np.float32)}),
        )
        assert import_adapter(tmp_path / "out", tiny).results == {}

    def test_a_setting_that_was_changed_since_counts_more_than_the_note(self, tiny, tmp_path):
        task = import_adapter(EXCHANGE / "houlsby", tiny)
        export_adapter(task, tiny, tmp_path / "out", "adapterhub")
        file = tmp_path / "out" / "adapter_config.json"
        change_json(file, lambda s: s["config"].update(non_linearity="tanh"))
        assert import_adapter(tmp_path / "out", tiny).method.activation == "tanh"

    def test_what_the_user_says_counts_more_than_the_note(self, tiny, tmp_path):
        export_adapter(import_adapter(EXCHANGE / "lora", tiny), tiny, tmp_path / "out", "peft")
        task = import_adapter(tmp_path / "out", tiny, Wanted(labels=("bad", "good")))
        assert task.task.names == ("bad", "good")

    def test_merged_layernorms_are_a_base_with_the_same_answers(self, tiny, tmp_path):
        task = some_task(tiny, method_named("adapters", 3), "pooler", ("a", "b"))
        export_adapter(task, tiny, tmp_path / "out", "adapterhub", merge_base=True)
        merged = load_base(tmp_path / "out" / "base")
        back = import_adapter(tmp_path / "out", merged)
        # equal but for rounding: the merged arrays lie in memory as a file has them
        np.testing.assert_allclose(
            logits_of(back, merged), logits_of(task, tiny), rtol=0, atol=2e-6
        )

    def test_a_base_with_an_ancestors_name_in_its_config_comes_back(self, tiny, tmp_path):
        """MiniLM's config.json says what it was made from."""
        folder = Path(shutil.copytree(GOLDENS / "tiny", tmp_path / "child"))
        change_json(folder / "config.json", lambda s: s.update(_name_or_path="org/ancestor"))
        base = load_base(folder)
        task = some_task(base, method_named("full"), "pooler", ("a", "b"))
        export_adapter(task, base, tmp_path / "out", "transformers")
        assert task_digest(import_adapter(tmp_path / "out", base)) == task_digest(task)

    def test_lora_is_merged_into_a_whole_model(self, tiny, tmp_path):
        task = import_adapter(EXCHANGE / "lora-everywhere", tiny)
        export_adapter(task, tiny, tmp_path / "out", "transformers")
        back = import_adapter(tmp_path / "out", tiny)
        assert back.method.name == "full"
        np.testing.assert_allclose(logits_of(back, tiny), logits_of(task, tiny), rtol=0, atol=2e-5)


def some_base(layers: int, d: int) -> Base:
    """A random BERT that is in no file."""
    config = BertConfig(99, d, layers, 2, 6, 40, initializer_range=0.3)
    return Base("random", GOLDENS / "tiny", config, random_params(config), "0" * 64)


some_labels = st.lists(
    st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip),
    min_size=2,
    max_size=5,
    unique=True,
).map(tuple) | st.just(())


@st.composite
def exportable(draw: Any, config: BertConfig) -> tuple[str, Method, str]:
    """(format, method, pooling)"""
    kind = draw(st.sampled_from(("adapterhub", "peft")))
    size = draw(st.integers(1, 2 * config.hidden_size))
    if kind == "peft":
        names = st.lists(st.sampled_from([*MAPS]), min_size=1, unique=True)
        alpha = draw(st.none() | st.floats(0.1, 64))
        method = method_named("lora", size, targets=draw(names), alpha=alpha)
    else:
        activation = draw(st.sampled_from([*ACTIVATIONS]))
        if draw(st.booleans()):
            method = method_named("pfeiffer", size, activation)
        else:
            form = draw(st.sampled_from(("serial", "parallel", "attention-only")))
            method = method_named("adapters", size, activation, form, freeze_layernorm=True)
    if draw(st.booleans()):
        first = draw(st.integers(0, config.num_hidden_layers - 1))
        last = draw(st.integers(first, config.num_hidden_layers - 1))
        method = layer_span(method, first, last, config)
    pooling = "pooler" if kind == "peft" else draw(st.sampled_from(("pooler", "cls")))
    return kind, method, pooling


def some_task(base: Base, method: Method, pooling: str, labels: tuple[str, ...]) -> TaskFile:
    """A task with these labels (none: a score) whose parameters are drawn."""
    rng = np.random.default_rng(len(labels))
    model = new_task_model(base, method, recipe_named("paper"), max(1, len(labels)), 0, pooling)
    trained, _ = split(model.tree, method)
    drawn = {
        path: leaf + rng.normal(0, 0.2, leaf.shape).astype(np.float32)
        for path, leaf in leaves(trained)
    }
    if labels:
        task = Task("drawn", "", ("text",), "label", labels, labels)
    else:
        task = Task("drawn", "", ("a", "b"), "score", metrics=("pearson",))
    about = TaskFile(task, method, "paper", 33, base.name, base.sha256, pooling=pooling)
    tensors_sha256 = base.tensors_sha256
    return replace(about, trained=from_leaves(drawn), base_tensors_sha256=tensors_sha256)


REFUSED_SETTINGS = [
    ("ln_before", True),
    ("ln_after", True),
    ("use_gating", True),
    ("inv_adapter", "nice"),
    ("phm_layer", True),
    ("original_ln_after", False),
    ("non_linearity", "leakyrelu"),
    ("non_linearity", 3),
    ("scaling", "rows"),
    ("scaling", [1.0]),
    ("reduction_factor", {"0": 4}),
    ("reduction_factor", 0),
    ("reduction_factor", 1e-9),
    ("leave_out", "0"),
    ("leave_out", [10**299]),
    ("architecture", "prefix_tuning"),
    ("architecture", "union"),
    ("new_mathematics", True),
]
REFUSED_HEADS = [
    ("head_type", "multiple_choice"),
    ("head_type", "multilabel_classification"),
    ("layers", 3),
    ("layers", 0),
    ("use_pooler", True),
    ("activation_function", "relu"),
    ("num_labels", 10**9),
    ("label2id", {"a": 0, "b": 2}),
    ("label2id", ["a", "b"]),
]
REFUSED_PEFT = [
    ("peft_type", "IA3"),
    ("use_dora", True),
    ("lora_bias", True),
    ("fan_in_fan_out", True),
    ("use_qalora", True),
    ("init_lora_weights", "pissa"),
    ("layer_replication", [[0, 2]]),
    ("task_type", "CAUSAL_LM"),
    ("lora_alpha", "8"),
    ("lora_alpha", 0),
    ("alpha_pattern", [1]),
    ("alpha_pattern", {"(a+)+": 1}),
    ("alpha_pattern", {".*" * 20 + "!": 1}),
    ("alpha_pattern", {"(?i)QUERY": 1}),
    ("alpha_pattern", {"(query)?": 1}),
    ("r", 9),
    ("r", "8"),
    ("rank_pattern", {"query": 3}),
    ("trainable_token_indices", [1]),
    ("kasa_config", {"beta": 1}),
]


WRONG = np.ones((7, 7), np.float32)


class TestRefusals:
    @pytest.mark.parametrize(("name", "value"), REFUSED_SETTINGS, ids=str)
    def test_a_setting_that_is_not_computed_here_is_refused_by_name(
        self, tiny, tmp_path, name, value
    ):
        folder = copied("houlsby", tmp_path)
        file = folder / "adapter_config.json"
        change_json(file, lambda s: s["config"].update({name: value}))
        with pytest.raises(InputError, match=rf"adapter_config\.json: .*{name}"):
            import_adapter(folder, tiny)

    @pytest.mark.parametrize("residual", [False, "post_add"])
    def test_another_skip_connection_is_refused_where_it_matters(self, tiny, tmp_path, residual):
        for name in ("houlsby", "pfeiffer"):
            file = copied(name, tmp_path) / "adapter_config.json"
            change_json(file, lambda s: s["config"].update(residual_before_ln=residual))
        assert import_adapter(tmp_path / "houlsby", tiny).method.name == "adapters"
        with pytest.raises(InputError, match="residual_before_ln"):
            import_adapter(tmp_path / "pfeiffer", tiny)

    @pytest.mark.parametrize(("name", "value"), REFUSED_HEADS, ids=str)
    def test_a_head_that_is_not_computed_here_is_refused(self, tiny, tmp_path, name, value):
        folder = copied("houlsby", tmp_path)
        file = folder / "head_config.json"
        change_json(file, lambda s: s["config"].update({name: value}))
        with pytest.raises(InputError, match=r"head_config\.json: "):
            import_adapter(folder, tiny)

    @pytest.mark.parametrize(("name", "value"), REFUSED_PEFT, ids=str)
    def test_a_setting_of_peft_that_is_not_computed_here_is_refused(
        self, tiny, tmp_path, name, value
    ):
        folder = copied("lora", tmp_path)
        change_json(folder / "adapter_config.json", lambda s: s.update({name: value}))
        match = {"alpha_pattern": "pattern", "rank_pattern": "r is 3"}.get(name, name)
        with pytest.raises(InputError, match=rf"adapter_config\.json: .*{match}"):
            import_adapter(folder, tiny)

    @pytest.mark.parametrize(
        ("name", "safe", "pickle"),
        [
            ("houlsby", "adapter.safetensors", "pytorch_adapter.bin"),
            ("houlsby", "model_head.safetensors", "pytorch_model_head.bin"),
            ("lora", "adapter_model.safetensors", "adapter_model.bin"),
        ],
    )
    def test_a_pickle_is_refused_with_what_to_do(self, tiny, tmp_path, name, safe, pickle):
        folder = copied(name, tmp_path)
        (folder / safe).rename(folder / pickle)
        with pytest.raises(InputError, match=f"{pickle}: is a pickle.*save .* again as {safe}"):
            import_adapter(folder, tiny)

    @pytest.mark.parametrize("name", ["houlsby", "lora", "lora-all-biases"])
    def test_a_missing_or_additional_or_misshapen_tensor_is_named(self, tiny, tmp_path, name):
        file = "adapter.safetensors" if name == "houlsby" else "adapter_model.safetensors"
        known = sorted(read_safetensors(EXCHANGE / name / file)[0])
        for number, tensor in enumerate(known[:: max(1, len(known) // 6)]):
            folder = copied(name, tmp_path / str(number))
            change_tensors(folder / file, lambda t, gone=tensor: t.pop(gone))
            with pytest.raises(InputError, match=f"{folder}"):
                import_adapter(folder, tiny)
            more = copied(name, tmp_path / f"more{number}")
            change_tensors(more / file, lambda t, other=f"{tensor}2": t.update({other: WRONG}))
            with pytest.raises(InputError, match=f"{more}"):
                import_adapter(more, tiny)
            shape = copied(name, tmp_path / f"shape{number}")
            change_tensors(shape / file, lambda t, other=tensor: t.update({other: WRONG}))
            with pytest.raises(InputError, match=f"{shape}"):
                import_adapter(shape, tiny)

    def test_values_that_are_not_finite_are_refused(self, tiny, tmp_path):
        folder = copied("lora", tmp_path)
        change_tensors(
            folder / "adapter_model.safetensors",
            lambda t: t.update({"base_model.model.classifier.bias": np.full(2, np.nan, "f4")}),
        )
        with pytest.raises(InputError, match=r"classifier\.bias is not all finite"):
            import_adapter(folder, tiny)

    def test_a_scaling_beyond_float32_is_refused(self, tiny, tmp_path):
        folder = copied("houlsby", tmp_path)
        change_json(
            folder / "adapter_config.json", lambda s: s["config"].update(scaling=float(2**300))
        )
        with pytest.raises(InputError, match="beyond float32"):
            import_adapter(folder, tiny)

    @pytest.mark.parametrize(
        ("name", "file", "key"),
        [
            ("houlsby", "adapter_config.json", "model_name"),
            ("lora", "adapter_config.json", "base_model_name_or_path"),
            ("whole-full", "config.json", "_name_or_path"),
        ],
    )
    def test_a_file_of_another_base_is_refused_with_both_names(
        self, tiny, tmp_path, name, file, key
    ):
        folder = copied(name, tmp_path)
        for other in (
            "google-bert/bert-base-uncased",
            "bert-large-cased",
            "roberta-base",
            "org/distant",
        ):
            change_json(folder / file, lambda s, other=other: s.update({key: other}))
            with pytest.raises(InputError, match=f"is for the base '{other}', not for .*tiny"):
                import_adapter(folder, tiny)
        for path in ("/home/somebody/models/my-bert", "../models/my-bert", "org/tiny"):
            change_json(folder / file, lambda s, path=path: s.update({key: path}))
            assert import_adapter(folder, tiny)

    def test_a_file_that_names_no_base_needs_one(self, tmp_path):
        folder = copied("houlsby", tmp_path)
        with pytest.raises(InputError, match=r"does not say which base.*--base"):
            import_adapter(folder)

    def test_a_base_of_other_sizes_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="hidden size 32"):
            import_adapter(EXCHANGE / "houlsby", some_base(2, 16))
        with pytest.raises(InputError, match="shape"):
            import_adapter(EXCHANGE / "lora", some_base(2, 16))

    def test_what_a_format_has_no_place_for_is_said_before_anything_is_written(
        self, tiny, tmp_path
    ):
        labels = ("a", "b")
        cases = [
            ("adapterhub", method_named("adapters", 2), "pooler", "trained LayerNorms.*merge-base"),
            ("adapterhub", method_named("lora", 2), "pooler", "none of its adapters"),
            ("adapterhub", method_named("pfeiffer", 2), "mean", "'mean'"),
            ("peft", method_named("pfeiffer", 2), "pooler", "'pfeiffer'"),
            ("peft", method_named("lora", 2), "cls", "'cls'"),
            ("transformers", method_named("pfeiffer", 2), "pooler", "layers with an activation"),
            ("transformers", method_named("full"), "mean", "'mean'"),
            ("onnx", method_named("full"), "pooler", "unknown format 'onnx'"),
        ]
        for kind, method, pooling, why in cases:
            task = some_task(tiny, method, pooling, labels)
            with pytest.raises(InputError, match=why):
                export_adapter(task, tiny, tmp_path / "out", kind)
            assert not (tmp_path / "out").exists()

    def test_a_folder_with_files_is_never_written_into(self, tiny, tmp_path):
        task = import_adapter(EXCHANGE / "lora", tiny)
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(InputError, match="nothing is overwritten"):
            export_adapter(task, tiny, tmp_path, "peft")
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class TestTheCommands:
    def test_import_predict_export_and_import_again(self, tmp_path):
        base, task = ["--base", GOLDENS / "tiny"], tmp_path / "task.safetensors"
        done = minibert("import", EXCHANGE / "houlsby", "--out", task, *base)
        assert done.code == 0
        assert "not measured here" in done.out
        answer = minibert("predict", task, *base, "Morulan tikora!")
        assert answer.out.split("\t")[0] in ("negative", "positive")
        out = tmp_path / "out"
        assert minibert("export", task, out, "--format", "adapterhub", *base).code == 0
        again = tmp_path / "again.safetensors"
        assert minibert("import", out, "--out", again, *base).code == 0
        assert again.read_bytes() == task.read_bytes()

    def test_a_refusal_is_one_line_and_leaves_no_file(self, tmp_path):
        folder = copied("lora", tmp_path)
        change_json(folder / "adapter_config.json", lambda s: s.update(use_dora=True))
        out = tmp_path / "task.safetensors"
        done = minibert("import", folder, "--out", out, "--base", GOLDENS / "tiny")
        assert done.code == 2
        assert len(done.err.splitlines()) == 1
        assert "use_dora" in done.err
        assert not out.exists()

    def test_frozen_layernorms_and_loras_choices_can_be_trained(self, tmp_path):
        table = tmp_path / "table.csv"
        rows = (f"{'tikora' if n % 2 else 'morulan'} ba {n},{n % 2}" for n in range(24))
        table.write_text("text,label\n" + "\n".join(rows) + "\n")
        common = [table, "--base", GOLDENS / "tiny", "--epochs", "1", "--max-length", "16"]
        frozen, lora = tmp_path / "frozen", tmp_path / "lora"
        first = minibert("train", *common, "--size", "2", "--freeze-layernorm", "--out", frozen)
        assert first.code == 0, first.err
        maps = ["--lora-targets", "key", "feed_forward_output", "--lora-alpha", "3"]
        second = minibert("train", *common, "--method", "lora", *maps, "--out", lora)
        assert second.code == 0, second.err
        tasks = [load_task(folder / "task.safetensors") for folder in (frozen, lora)]
        assert not [p for p, _ in leaves(tasks[0].trained) if "norm" in p]
        assert (tasks[1].method.targets, tasks[1].method.alpha) == (tuple(maps[1:3]), 3.0)
        wrong = minibert("train", *common, "--method", "lora", "--lora-targets", "dense")
        assert wrong.code == 2
        assert "unknown LoRA target 'dense'" in wrong.err
