"""What strangers' adapters say of themselves: the base's name, label names, numbers; what a note of
ours beside them still counts for; and how files are written."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import minibert
from foreign_files import EXCHANGE, GOLDENS, change_json, change_tensors, copied

from adapters.exchange import Wanted, export_adapter, import_adapter
from adapters.exchange.bases import check_base, on_the_hub
from adapters.exchange.note import NOTE
from adapters.methods.method import split
from adapters.methods.table import method_named
from adapters.recipes import recipe_named
from adapters.task_file import load_task, on_base
from adapters.task_model import forward, new_task_model
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.fetch.manifest import known_models
from minibert.tokenizer import encode_texts
from minibert.weight_files import SINGLE

SAYS_BASE = {
    "houlsby": ("adapter_config.json", "model_name"),
    "lora": ("adapter_config.json", "base_model_name_or_path"),
    "whole-full": ("config.json", "_name_or_path"),
}
LABELS = {"houlsby": "head_config.json", "whole-full": "config.json"}
PATHS = (
    "output/my-model",
    "./x",
    "checkpoints/step-100",
    "runs/checkpoint-500",
    "my_models/bert",
    "project/checkpoint-12",
    "somebody/epoch_3",
    "../bert",
    "~/bert",
    "/content/bert",
    "C:\\models\\bert",
    "a/b/c",
    "models",
    "bert-tiny",
    "my-bert",
)
ON_HUB = (
    "google-bert/bert-base-uncased",
    "bert-base-uncased",
    "org/distant",
    "prajjwal1/bert-tiny",
    "roberta-base",
    "distilbert-base-uncased-finetuned-sst-2-english",
    "xlm-roberta-large",
    "gpt2",
)


def labelled(name: str, to: Path, **labels: Any) -> Path:
    """A copy of a golden with other label2id or id2label."""
    folder = copied(name, to)
    file = folder / LABELS[name]

    def change(settings: dict[str, Any]) -> None:
        inner = settings if name.startswith("whole") else settings["config"]
        for key in ("id2label", "label2id"):
            inner.pop(key, None)
        inner.update(labels)

    change_json(file, change)
    return folder


class TestTheBasesName:
    def test_a_path_of_a_folder_is_no_name_on_the_hub(self):
        assert [name for name in PATHS if on_the_hub(name)] == []
        assert [name for name in ON_HUB if not on_the_hub(name)] == []

    @pytest.mark.parametrize("name", sorted(SAYS_BASE))
    def test_a_path_is_no_hindrance_and_is_told(self, name, tiny, tmp_path):
        folder = copied(name, tmp_path)
        file, key = SAYS_BASE[name]
        for path in PATHS:
            change_json(folder / file, lambda s, path=path: s.update({key: path}))
            told: list[str] = []
            import_adapter(folder, tiny, on_doubt=told.append)
            assert len(told) == 1
            assert path in told[0]
            with pytest.raises(InputError, match=f"{file}: does not say which base.*--base"):
                import_adapter(folder)

    def test_the_bases_own_name_is_not_doubted(self, tiny, tmp_path):
        folder = copied("houlsby", tmp_path)
        for own in ("tiny", "/somewhere/tiny", "output/tiny", ""):
            change_json(folder / "adapter_config.json", lambda s, own=own: s.update(model_name=own))
            told: list[str] = []
            import_adapter(folder, tiny, on_doubt=told.append)
            assert told == []

    @pytest.mark.parametrize("name", sorted(SAYS_BASE))
    def test_another_model_of_the_hub_is_refused_with_the_way_out(self, name, tmp_path):
        folder, base, out = copied(name, tmp_path), GOLDENS / "tiny", tmp_path / "t.safetensors"
        file, key = SAYS_BASE[name]
        change_json(folder / file, lambda s: s.update({key: "org/distant"}))
        words = ("import", folder, "--out", out, "--base", base)
        done = minibert(*words)
        assert done.code == 2
        for part in (f"{file}: is for the base 'org/distant'", "tiny", "--ignore-base-name"):
            assert part in done.err
        done = minibert(*words, "--ignore-base-name")
        assert done.code == 0
        assert "'org/distant'" in done.err
        assert len(done.err.splitlines()) == 1
        done = minibert("import", folder, "--out", out, "--force", "--ignore-base-name")
        assert done.code == 2
        assert "--ignore-base-name goes with --base" in done.err

    def test_what_is_ignored_is_the_name_alone(self, tiny, tmp_path):
        folder = copied("houlsby", tmp_path)
        change_json(folder / "adapter_config.json", lambda s: s.update(hidden_size=48))
        with pytest.raises(InputError, match="hidden size 48"):
            import_adapter(folder, tiny, Wanted(ignore_base_name=True))

    def test_it_does_not_change_the_task(self, tiny, tmp_path):
        task = replace(import_adapter(EXCHANGE / "lora", tiny), results={"accuracy": 0.5})
        export_adapter(task, tiny, tmp_path / "out", "peft")
        back = import_adapter(tmp_path / "out", tiny, Wanted(ignore_base_name=True))
        assert back.results == {"accuracy": 0.5}  # so our note was read

    @pytest.mark.parametrize(
        ("model", "its_own", "others"),
        [
            (
                "bert-base-uncased",
                ("google-bert/bert-base-uncased", "bert-base-uncased", "BERT-base-uncased"),
                ("someone/bert-base-uncased", "google-bert/bert-base-cased", "bert-base-cased"),
            ),
            (
                "minilm",
                ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2", "/models/minilm"),
                ("someone/all-MiniLM-L6-v2", "nreimers/MiniLM-L6-H384-uncased", "someone/minilm"),
            ),
        ],
    )
    def test_the_org_counts_but_for_names_that_had_none(self, tiny, model, its_own, others):
        """bert-base-uncased was renamed google-bert/bert-base-uncased."""
        base = replace(tiny, sha256=known_models()[model].sha256[SINGLE])
        for name in its_own:
            check_base(name, base, "file")
        for name in others:
            with pytest.raises(InputError, match=f"is for the base '{name}', not for .*/"):
                check_base(name, base, "file")

    def test_a_base_of_any_repository_is_known_by_its_org(self, tiny):
        base = replace(tiny, name="some--bert@abc")
        check_base("some/bert", base, "file")
        with pytest.raises(InputError, match="'other/bert', not for some/bert"):
            check_base("other/bert", base, "file")


class TestClassifiers:
    @pytest.mark.parametrize(
        "given",
        [["BertForMultipleChoice"], ["BertModel"], ["BertForTokenClassification"], "x", [], 5],
        ids=repr,
    )
    def test_of_another_kind_are_refused_by_their_name(self, given, tiny, tmp_path):
        """A multiple choice has the tensors of a score."""
        folder = copied("whole-full", tmp_path)
        change_json(folder / "config.json", lambda s: s.update(architectures=given))
        line = f"config.json: architectures is {json.dumps(given)}; only BertForSequenceClassific"
        with pytest.raises(InputError, match=re.escape(line)):
            import_adapter(folder, tiny)

    def test_may_not_say_what_they_are(self, tiny, tmp_path):
        folder = copied("whole-full", tmp_path)
        change_json(folder / "config.json", lambda s: s.pop("architectures"))
        assert import_adapter(folder, tiny).task.outputs == 2

    @pytest.mark.parametrize(
        ("name", "file", "prefix"),
        [("lora", "adapter_model.safetensors", "base_model.model."), ("whole-full", SINGLE, "")],
    )
    def test_that_are_missing_or_half_missing_are_told(self, name, file, prefix, tiny, tmp_path):
        folder = copied(name, tmp_path)
        change_tensors(folder / file, lambda t: t.pop(f"{prefix}classifier.bias"))
        with pytest.raises(InputError, match=rf"{file}: lacks classifier\.bias"):
            import_adapter(folder, tiny)
        change_tensors(folder / file, lambda t: t.pop(f"{prefix}classifier.weight"))
        with pytest.raises(InputError, match=rf"{file}: has no classifier, so it answers nothing"):
            import_adapter(folder, tiny)


def test_no_labels_are_the_same_as_nothing_said():
    assert Wanted(labels=[]) == Wanted()


class TestLabels:
    @pytest.mark.parametrize("label", ["", "  ", "\t\n", "n" * 2000], ids=len)
    def test_what_is_no_name_is_refused(self, label, tiny, tmp_path):
        for number, (name, labels) in enumerate(
            (
                ("houlsby", {"label2id": {"fine": 0, label: 1}}),
                ("whole-full", {"label2id": {"fine": 0, label: 1}}),
                ("whole-full", {"id2label": {"0": "fine", "1": label}}),
            )
        ):
            folder, (key,) = labelled(name, tmp_path / str(number), **labels), labels
            with pytest.raises(InputError, match=rf"{LABELS[name]}: {key} .*name") as error:
                import_adapter(folder, tiny)
            assert len(str(error.value)) < 600

    @pytest.mark.parametrize("label", [3, None, ["a"], {}], ids=repr)
    def test_what_is_no_text_is_no_name(self, label, tiny, tmp_path):
        folder = labelled("whole-full", tmp_path, id2label={"0": "fine", "1": label})
        with pytest.raises(InputError, match=r"config\.json: id2label names class 1 .* no name"):
            import_adapter(folder, tiny)

    def test_one_name_for_two_classes_is_said_so(self, tiny, tmp_path):
        folder = labelled("whole-full", tmp_path, id2label={"0": "same", "1": "same"})
        with pytest.raises(InputError, match="id2label names 2 classes 'same'"):
            import_adapter(folder, tiny)

    @pytest.mark.parametrize(
        ("name", "labels"),
        [
            ("whole-full", {"id2label": {"0": "a"}}),
            ("whole-full", {"id2label": {"0": "a", "2": "b"}}),
            ("whole-full", {"id2label": {"zero": "a", "one": "b"}}),
            ("whole-full", {"id2label": {str(n): f"{n}" for n in range(5000)}}),
            ("whole-full", {"label2id": {"a": 0, "b": 0}}),
            ("houlsby", {"label2id": {"a": 0, "b": 0}}),
            ("houlsby", {"label2id": {"a": False, "b": True}}),
            ("houlsby", {"label2id": {"a": 0.0, "b": 1.0}}),
            ("houlsby", {"label2id": {f"{n}": n for n in range(5000)}}),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_names_that_do_not_number_the_outputs_are_refused(self, name, labels, tiny, tmp_path):
        folder, (key,) = labelled(name, tmp_path, **labels), labels
        with pytest.raises(InputError, match=f"{key} .* does not number the 2 outputs") as error:
            import_adapter(folder, tiny)
        assert len(str(error.value)) < 600

    def test_control_characters_are_shown_and_obeyed_by_no_terminal(self, tmp_path):
        odd = "\x1b[31mred\x07\u202e"
        folder = labelled("houlsby", tmp_path, label2id={odd: 0, "plain": 1})
        out = tmp_path / "task.safetensors"
        done = minibert("import", folder, "--out", out, "--base", GOLDENS / "tiny")
        assert done.code == 0
        assert r"\x1b[31mred\x07\u202e, plain" in done.out
        assert not {"\x1b", "\x07", "\u202e"} & {*done.out}
        assert load_task(out).task.names == (odd, "plain")

    def test_those_that_the_user_gives_are_looked_at_too(self, tiny):
        for labels in (("a", "a"), ("a", " ")):
            with pytest.raises(InputError, match="--labels names"):
                import_adapter(EXCHANGE / "lora", tiny, Wanted(labels=labels))

    def test_a_task_that_could_not_come_back_is_not_exported(self, tiny, tmp_path):
        task = import_adapter(EXCHANGE / "lora", tiny)
        blank = replace(task, task=replace(task.task, names=("a", " "), values=("a", " ")))
        with pytest.raises(InputError, match="names class 1 ' ', which is no name"):
            export_adapter(blank, tiny, tmp_path / "out", "peft")


NUMBERS: tuple[Any, ...] = (float("inf"), float("nan"), 1e299, 0, -1, -0.5, True, "4", None, [4])


class TestNumbers:
    """Each is refused by the name of its setting, in the spelling of JSON, and before any tensor is
    compared with what it asks for."""

    @pytest.mark.parametrize("value", NUMBERS, ids=repr)
    def test_a_number_that_can_be_none_is_refused_by_name(self, value, tiny, tmp_path):
        spelled = re.escape(json.dumps(value))
        for number, factor in enumerate((value, {"1": value, "default": 16})):
            folder = copied("houlsby", tmp_path / str(number))
            file = folder / "adapter_config.json"
            change_json(file, lambda s, factor=factor: s["config"].update(reduction_factor=factor))
            said = rf"adapter_config\.json: reduction_factor.* is {spelled}; a positive number"
            with pytest.raises(InputError, match=said):
                import_adapter(folder, tiny)
        folder = copied("lora", tmp_path / "lora")
        for name in ("lora_alpha", "r"):
            change_json(
                folder / "adapter_config.json",
                lambda s, name=name: s.update({"lora_alpha": 8, "r": 8, name: value}),
            )
            with pytest.raises(InputError, match=rf"adapter_config\.json: {name} is {spelled}"):
                import_adapter(folder, tiny)
        if value not in (0, -1, -0.5) or isinstance(value, bool):  # which may scale an adapter
            folder = copied("houlsby", tmp_path / "scaled")
            file = folder / "adapter_config.json"
            change_json(file, lambda s: s["config"].update(scaling=value))
            with pytest.raises(InputError, match=f"scaling is {spelled}"):
                import_adapter(folder, tiny)

    @pytest.mark.parametrize("name", ["mh_adapter", "is_parallel", "original_ln_before"])
    def test_a_switch_is_true_or_false(self, name, tiny, tmp_path):
        for number, value in enumerate((1, "false", None)):
            folder = copied("houlsby", tmp_path / str(number))
            file = folder / "adapter_config.json"
            change_json(file, lambda s, value=value: s["config"].update({name: value}))
            said = f"{name} is {json.dumps(value)}; supported: true, false$"
            with pytest.raises(InputError, match=said):
                import_adapter(folder, tiny)

    def test_values_are_in_the_spelling_of_the_file(self, tiny, tmp_path):
        folder = copied("lora", tmp_path)
        file = folder / "adapter_config.json"
        for change, said in (
            ({"init_lora_weights": "pissa"}, 'is "pissa"; supported: true, false, "gaussian", '),
            ({"use_dora": True}, "use_dora is true; supported: false"),
            ({"task_type": ["SEQ_CLS"]}, 'is ["SEQ_CLS"]; supported: "SEQ_CLS", null'),
        ):
            fine = {"init_lora_weights": True, "use_dora": False, "task_type": "SEQ_CLS"}
            change_json(file, lambda s, change=change, fine=fine: s.update(fine | change))
            with pytest.raises(InputError) as error:
                import_adapter(folder, tiny)
            assert str(error.value).startswith(f"{file}: ")
            assert said in str(error.value)
            assert str(error.value).count(" or ") == 0


class TestTheNote:
    """What another library's files say counts more than our own note beside them."""

    @pytest.mark.parametrize("name", sorted(LABELS))
    def test_labels_that_were_changed_since_count(self, name, tiny, tmp_path):
        task = replace(import_adapter(EXCHANGE / name, tiny), results={"accuracy": 0.9})
        kind = "transformers" if name.startswith("whole") else "adapterhub"
        export_adapter(task, tiny, tmp_path / "out", kind)
        assert import_adapter(tmp_path / "out", tiny).results == {"accuracy": 0.9}
        file = tmp_path / "out" / LABELS[name]
        file.write_text(file.read_text().replace("negative", "dreadful"))
        back = import_adapter(tmp_path / "out", tiny)
        assert back.task.names == ("dreadful", "positive")
        assert back.results == {}  # of the task as it was

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("lora", {"lora_alpha": 16}),
            ("lora", {"use_rslora": True}),
            ("houlsby", {"is_parallel": True}),
            ("houlsby", {"original_ln_before": True}),
            ("houlsby", {"non_linearity": "relu"}),
            ("houlsby", {"scaling": 2.0}),
        ],
        ids=str,
    )
    def test_every_setting_that_was_changed_since_counts(self, name, change, tiny, tmp_path):
        task = import_adapter(EXCHANGE / name, tiny)
        export_adapter(task, tiny, tmp_path / "out", "peft" if name == "lora" else "adapterhub")
        file = tmp_path / "out" / "adapter_config.json"
        change_json(file, lambda s: (s if name == "lora" else s["config"]).update(change))
        noted = logits(import_adapter(tmp_path / "out", tiny), tiny)
        (tmp_path / "out" / NOTE).unlink()
        np.testing.assert_array_equal(noted, logits(import_adapter(tmp_path / "out", tiny), tiny))
        assert not np.array_equal(noted, logits(task, tiny))


def logits(task: Any, base: Base) -> np.ndarray:
    text = encode_texts(base.tokenizer, ["Morulan tikora!"], 40)
    return forward(on_base(task, base), make_batch(text))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], Iterator[int]]:
    """After full_disk(n) writing the n-th file from now fails; returns the numbers of those that
    were written."""
    synced = os.fsync

    def make_full(fails: int | None) -> Iterator[int]:
        numbers = count()

        def sync(handle: int) -> None:
            if next(numbers) == fails:
                raise OSError(errno.ENOSPC, "No space left on device")
            synced(handle)

        monkeypatch.setattr(os, "fsync", sync)
        return numbers

    return make_full


class TestWriting:
    @pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
    @pytest.mark.parametrize(
        ("name", "kind"),
        [("houlsby", "adapterhub"), ("lora", "peft"), ("whole-full", "transformers")],
    )
    def test_an_export_that_fails_at_any_file_leaves_nothing(
        self, name, kind, there, tiny, tmp_path, full_disk
    ):
        task, out = import_adapter(EXCHANGE / name, tiny), tmp_path / "out"
        written = full_disk(None)
        export_adapter(task, tiny, tmp_path / "good", kind)
        files = next(written)
        assert files >= 3
        shutil.rmtree(tmp_path / "good")
        (tmp_path / "mine.txt").write_text("mine")
        if there:
            out.mkdir()
        for number in range(files):
            full_disk(number)
            with pytest.raises(InputError, match="cannot be written: No space left") as error:
                export_adapter(task, tiny, out, kind)
            assert str(error.value).startswith(str(out))
            left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
            assert left == ({"mine.txt", "out"} if there else {"mine.txt"})
        full_disk(None)
        export_adapter(task, tiny, out, kind)
        assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]
        assert import_adapter(out, tiny).task == task.task

    def test_what_comes_into_an_empty_folder_in_the_meantime_stays(
        self, tiny, tmp_path, monkeypatch
    ):
        task, out = import_adapter(EXCHANGE / "lora", tiny), tmp_path / "out"
        out.mkdir()
        synced = os.fsync

        def somebody_else(handle: int) -> None:
            (out / "adapter_config.json").write_text("theirs")
            synced(handle)

        monkeypatch.setattr(os, "fsync", somebody_else)
        with pytest.raises(InputError, match="has come in the meantime"):
            export_adapter(task, tiny, out, "peft")
        assert [path.name for path in out.iterdir()] == ["adapter_config.json"]
        assert (out / "adapter_config.json").read_text() == "theirs"

    def test_a_folder_that_is_a_link_or_has_a_mode_keeps_both(self, tiny, tmp_path):
        task = import_adapter(EXCHANGE / "lora", tiny)
        (tmp_path / "real").mkdir(mode=0o700)
        (tmp_path / "link").symlink_to(tmp_path / "real")
        export_adapter(task, tiny, tmp_path / "link", "peft")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "real" / "adapter_config.json").exists()
        export_adapter(task, tiny, tmp_path / "a" / "new", "peft")
        (tmp_path / "usual").mkdir()
        modes = {(tmp_path / name).stat().st_mode for name in ("a/new", "usual")}
        assert len(modes) == 1

    def test_a_merged_base_is_named_where_it_stays(self, tiny, tmp_path):
        method = method_named("adapters", 3)
        task = import_adapter(EXCHANGE / "houlsby", tiny)
        model = new_task_model(tiny, method, recipe_named("paper"), 2, 0, "pooler")
        trained, _ = split(model.tree, method)
        task = replace(task, method=method, trained=trained)
        export_adapter(task, tiny, tmp_path / "out", "adapterhub", merge_base=True)
        about = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
        assert about["model_name"] == str(tmp_path / "out" / "base")
        assert (Path(about["model_name"]) / "config.json").exists()

    def test_an_import_overwrites_a_file_only_with_force(self, tmp_path):
        out = tmp_path / "task.safetensors"
        words = ("import", EXCHANGE / "lora", "--out", out, "--base", GOLDENS / "tiny")
        out.write_text("mine")
        done = minibert(*words)
        assert done.code == 2
        assert f"{out}: exists; --force overwrites it" in done.err
        assert out.read_text() == "mine"
        assert minibert(*words, "--force").code == 0
        assert load_task(out).task.name == "lora"
