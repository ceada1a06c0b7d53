"""`--fast` is the usual training with other numbers, and a user's own numbers come first."""

import json
import re

import pytest
import toy
from command_line import ON_TINY, minibert, works
from runs import equal

from adapters import AdapterClassifier, fast_method, load_task, method_named
from adapters.estimators.texts import BadInput
from adapters.fast import fast_stop
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.training.schedule import Settings

TRAIN = ("train", "--task", "sst-2", "--sample", *ON_TINY, "--train-examples", 40, "--size", 4)
TEXTS = [e.text for e in toy.examples(60, 1)]
LABELS = [toy.TASK.names[int(e.label)] for e in toy.examples(60, 1)]
GIVEN = {"base": ON_TINY[1], "size": 4, "batch_size": 16, "max_length": 16}


def run(tmp_path, *words):
    """(the report, what was said, the task file) of a training with these words."""
    out = tmp_path / "run"
    said = works(*TRAIN, *words, "--out", out).out
    report = json.loads((out / "report.json").read_text("utf-8"))
    return report, said, load_task(out / "task.safetensors")


class TestWhatIsTrained:
    @pytest.mark.parametrize("layers, first", [(1, 0), (2, 1), (3, 2), (6, 3), (12, 6)])
    def test_the_top_half_of_the_layers_rounded_down_but_one(self, layers, first):
        config = BertConfig(num_hidden_layers=layers)
        assert fast_method(method_named("adapters", 4), config).first_layer == first

    @pytest.mark.parametrize("name", ["full", "head"])
    def test_a_method_that_was_not_measured_is_refused(self, name):
        with pytest.raises(InputError, match=rf"not {name}$"):
            fast_method(method_named(name), BertConfig())


class TestWhenItEnds:
    @pytest.mark.parametrize("epochs, stop", [(1, 3), (5, 3), (15, 3), (20, 4), (40, 8)])
    def test_after_a_fifth_of_the_epochs_without_gain_and_three_at_least(self, epochs, stop):
        assert fast_stop(None, epochs) == stop

    def test_never_within_the_warm_up(self):
        settings = Settings(epochs=40)
        assert fast_stop(None, 40) > settings.warm_up * settings.epochs

    def test_or_as_the_user_says(self):
        assert fast_stop(1, 40) == 1


class TestTheCommand:
    def test_it_says_what_it_changes_and_trains_that(self, tmp_path):
        _, said, task = run(tmp_path, "--fast", "--epochs", 1)
        assert task.method.first_layer == 1  # of the two layers of tiny
        assert re.search("^fast +layers 1 to 1, and an end after 3 epochs without gain", said, re.M)

    def test_three_epochs_without_gain_end_it(self, tmp_path):
        report, _, _ = run(tmp_path, "--fast", "--lr", 1e-9, "--epochs", 9)
        assert len(report["epochs"]) == 1 + 3

    def test_what_the_user_asks_for_comes_first(self, tmp_path):
        words = ("--epochs", 6, "--lr", 1e-9, "--stop-after", 4, "--top-layers", 2)
        report, said, task = run(tmp_path, "--fast", *words)
        assert re.search("^fast +layers 0 to 1, and an end after 4 epochs without gain", said, re.M)
        assert task.method.first_layer == 0
        assert report["rate"] == 1e-9
        assert len(report["epochs"]) == 1 + 4

    def test_a_span_that_ends_at_layer_0_is_told_so(self, tmp_path):
        _, said, _ = run(tmp_path, "--fast", "--epochs", 1, "--layers", 0, 0)
        assert re.search("^fast +layers 0 to 0, and an end", said, re.M)

    def test_it_is_the_training_that_its_parts_ask_for(self, tmp_path):
        _, _, fast = run(tmp_path / "fast", "--fast", "--epochs", 2)
        words = ("--top-layers", 1, "--stop-after", 3, "--epochs", 2)
        _, _, parts = run(tmp_path / "parts", *words)
        assert equal(fast, parts)

    @pytest.mark.parametrize("name", ["full", "head"])
    def test_a_method_without_a_fast_way_is_refused_in_one_line(self, tmp_path, name):
        out = tmp_path / "run"
        result = minibert(*TRAIN[:-2], "--method", name, "--fast", "--out", out)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("minibert: error: fast is for methods that")
        assert result.err.endswith(f"not {name}\n")
        assert result.err.count("\n") == 1
        assert not out.exists()


class TestTheEstimators:
    def test_fast_is_the_same_as_its_parts(self):
        fast = AdapterClassifier(**GIVEN, epochs=2, fast=True)
        parts = AdapterClassifier(**GIVEN, epochs=2, top_layers=1, stop_after=3)
        fast, parts = (model.fit(TEXTS, LABELS) for model in (fast, parts))
        assert equal(fast.task_, parts.task_)
        assert fast.get_params()["fast"] is True

    def test_fast_stops_after_three_epochs_without_gain_or_as_it_is_told(self):
        given = {**GIVEN, "epochs": 9, "rate": 1e-9, "fast": True}
        assert len(AdapterClassifier(**given).fit(TEXTS, LABELS).epochs_) == 1 + 3
        assert len(AdapterClassifier(**given, stop_after=5).fit(TEXTS, LABELS).epochs_) == 1 + 5

    def test_a_method_without_a_fast_way_is_refused(self):
        with pytest.raises(BadInput, match=r"not head$"):
            AdapterClassifier(base=ON_TINY[1], method="head", fast=True).fit(TEXTS, LABELS)
