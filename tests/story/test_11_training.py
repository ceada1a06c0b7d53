"""Training: from one seed to the same bits, whatever stops it in between.

On the tiny random BERT and a toy task (`tests/toy.py`): 3 epochs of 3 steps.
"""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import autograd.numpy as anp
import numpy as np
import plain_loops
import pytest
from autograd import value_and_grad
from conftest import GOLDENS
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from parity import golden_batch, golden_gradients, golden_texts, golden_tree
from runs import bits, contents, ctrl_c, stop_at, without_dropout
from toy import ADAPTERS, MAX_LENGTH, METHOD_LIST, SETTINGS, TASK, examples, toy_data, train

import adapters.finetune as finetune
import adapters.predict as predict
import adapters.training_run as training_run
import minibert.batch as batch_module
from adapters.cached_layers import Bottom
from adapters.finetune import task_loss, train_task
from adapters.methods.method import split
from adapters.methods.table import METHODS, method_named
from adapters.predict import encode_examples, evaluate_task, predict_texts
from adapters.recipes import RECIPES
from adapters.run_folder import RunOptions
from adapters.task_file import load_task, on_base
from adapters.task_model import TaskModel, check_length, forward, new_task_model
from adapters.train_data import subset
from adapters.training_run import Training, fit_training
from minibert import ops
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.data.tasks import Data, Example
from minibert.errors import InputError
from minibert.heads import classify, loss
from minibert.model import ForwardPass
from minibert.parameters import cast
from minibert.tensors import as_stored
from minibert.training.loop import Interrupted, Problem, Report, fit
from minibert.training.optim import Adam
from minibert.training.resume import Checkpoint, State, load_state
from minibert.training.schedule import Settings, epoch_batches, schedule
from minibert.tree import from_leaves, leaves, merge

STEPS = 9
EVERY_METHOD = pytest.mark.parametrize("method", METHOD_LIST, ids=lambda method: method.name)


def start(base: Base, method: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """The trained leaves before the first step."""
    model = new_task_model(base, method, RECIPES["paper"], TASK.outputs, seed)
    return dict(leaves(split(model.tree, method)[0]))


# ----------------------------------------------------------------------------- batches


class TestBatches:
    @given(
        number=st.integers(1, 200),
        size=st.integers(1, 64),
        epoch=st.integers(0, 20),
        seed=st.integers(0, 99),
    )
    @hypothesis_settings(max_examples=40)
    def test_the_batches_of_an_epoch_hold_every_example_exactly_once(
        self, number, size, epoch, seed
    ):
        batches = epoch_batches(number, Settings(batch_size=size, seed=seed), epoch)
        assert sorted(np.concatenate(batches)) == list(range(number))
        assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
        assert 1 <= len(batches[-1]) <= size

    def test_the_order_of_examples_depends_on_the_seed_and_the_epoch(self):
        def order(seed: int, epoch: int) -> list[int]:
            return np.concatenate(epoch_batches(100, Settings(seed=seed), epoch)).tolist()

        assert order(0, 0) == order(0, 0)
        orders = [order(0, 0), order(0, 1), order(1, 0), order(1, 1), list(range(100))]
        assert len({tuple(o) for o in orders}) == 5

    def test_training_follows_the_papers_schedule(self):
        """Section 3.1: the rate rises over the first 10 % of all steps and falls to 0. 96 examples
        in batches of 32, 10 epochs: 30 steps, 3 of them warm-up."""
        run = Settings(rate=0.5, epochs=10, batch_size=32)
        steps = list(schedule(run, 96))
        assert [step for step, *_ in steps] == list(range(30))
        assert [epoch for _, epoch, *_ in steps] == [epoch for epoch in range(10) for _ in range(3)]
        expected = [0.5 * min(step / 3, (30 - step) / 27) for step in range(30)]
        np.testing.assert_allclose([rate for *_, rate in steps], expected, rtol=1e-14)
        # the released code's decay is not rebased: it falls from 0.9 of the peak
        released = [rate for *_, rate in schedule(replace(run, rebased=False), 96)]
        assert released[:3] == [rate for *_, rate in steps[:3]]
        np.testing.assert_allclose(
            released[3:], [0.5 * (1 - step / 30) for step in range(3, 30)], rtol=1e-14
        )

    @pytest.mark.parametrize(
        "bad, message",
        [
            ({"epochs": 0}, "epochs must be at least 1, not 0"),
            ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
            ({"rate": 0.0}, "the learning rate must be positive, not 0.0"),
            ({"rate": -1e-3}, "the learning rate must be positive, not -0.001"),
            ({"rate": math.nan}, "the learning rate must be positive, not nan"),
            ({"rate": math.inf}, "the learning rate must be positive, not inf"),
            ({"seed": -1}, "seed must not be negative, not -1"),
            ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
            ({"epochs": 2.5}, "epochs must be a whole number, not 2.5"),
            ({"batch_size": "8"}, "batch_size must be a whole number, not '8'"),
            ({"stop_after": 1.0}, "stop_after must be a whole number, not 1.0"),
            ({"stop_after": 0}, "stop_after must be at least 1, not 0"),
            ({"warm_up": -0.1}, "warm_up must be from 0 to 1, not -0.1"),
            ({"warm_up": math.nan}, "warm_up must be from 0 to 1, not nan"),
        ],
    )
    def test_impossible_training_settings_are_refused(self, bad, message):
        with pytest.raises(InputError) as refused:
            Settings(**bad)
        assert str(refused.value) == message


class TestSubset:
    """`--train-examples`: a part of the training set, drawn with the seed."""

    def test_a_subset_is_drawn_without_repeats_and_leaves_the_dev_set_alone(self):
        data = Data(TASK, [Example(str(i), 0) for i in range(50)], examples(5, 0), "toy")
        part = subset(data, 20, seed=1)
        assert len(part.train) == len(set(part.train)) == 20
        assert set(part.train) < set(data.train)
        assert part.dev == data.dev
        assert part.source == "toy (20 drawn with seed 1)"
        assert part.train == subset(data, 20, seed=1).train
        assert part.train != subset(data, 20, seed=2).train
        assert set(subset(data, 50, seed=1).train) == set(data.train)

    @pytest.mark.parametrize("number", [0, -3, 45])
    def test_a_subset_of_an_impossible_size_is_refused(self, number):
        with pytest.raises(InputError, match=f"^train examples must be from 1 to 44, not {number}"):
            subset(toy_data(), number, seed=0)


# ----------------------------------------------------------------------------- one step


class TestOneStep:
    """A step of the whole model is Adam's, on the gradients that other libraries compute."""

    def test_a_step_of_adapter_tuning_follows_the_gradients_of_adapterhub(self, tiny, goldens):
        """The goldens' texts in one batch, without dropout, from the goldens' adapters. Adam's eps
        is 1 here, so that g / (|g| + 1) does not magnify the gradients' error of 2e-5 (of the
        largest in a leaf); with the usual eps only the sign would show."""
        base, method = without_dropout(tiny), METHODS["adapters"]
        tree = golden_tree(tiny, goldens, adapters=True, dtype=np.float32)
        texts = golden_texts(goldens)
        trained = dict(leaves(split(tree, method)[0]))
        training = Training(
            TaskModel(base, method, tree),
            Settings(rate=0.5, epochs=1, batch_size=len(texts), adam=Adam(eps=1.0)),
            task_loss(texts, goldens["labels"], False, Bottom(None)),
            lambda model: {"accuracy": 0.0},
            [len(text.ids) for text in texts],
            sample=golden_batch(goldens),
            first_only=True,
            identity={},
        )
        step = fit_training(training, RunOptions())
        assert step.losses == pytest.approx([float(goldens["f64/adapters/loss"])], abs=2e-5)
        theirs = golden_gradients(goldens, "f64", "adapters")
        assert theirs.keys() == trained.keys()
        for path, gradient in theirs.items():
            g = as_stored(path, gradient)
            expected = plain_loops.adam_first_step(trained[path], g, 0.5, eps=1.0)
            atol = 2e-5 * max(1.0, float(np.abs(g).max()))
            np.testing.assert_allclose(step.leaves[path], expected, rtol=0, atol=atol, err_msg=path)

    @pytest.mark.parametrize("recipe", RECIPES)
    def test_a_step_from_texts_to_trained_leaves_follows_its_recipe(self, tiny, recipe):
        """One epoch of one batch, from sentences to the trained leaves, against float64 gradients
        of the plain `ops` and the recipe's step by hand. Adam's division magnifies float32's error
        where a gradient is tiny (below 1e-4); there only the size of the step is held."""
        base, method, data, rate = without_dropout(tiny), ADAPTERS, toy_data(8, 4), 1e-2
        run = Settings(rate=rate, epochs=1, batch_size=8)
        result = train(base, data=data, settings=run, recipe=recipe)
        tree = cast(new_task_model(base, method, RECIPES[recipe], 2, seed=0).tree, np.float64)
        trained, frozen = split(tree, method)
        flat = dict(leaves(trained))
        batch = make_batch(encode_examples(base, data.train, MAX_LENGTH))
        labels = np.array([example.label for example in data.train])

        def batch_loss(params: dict[str, Any]) -> Any:
            whole = merge(frozen, from_leaves({path: params[path] for path in flat}))
            logits = forward(TaskModel(base, METHODS["adapters"], whole), batch, ops=ops)
            return loss(logits, labels, False, ops)

        value, grads = value_and_grad(batch_loss)(flat)
        clear_ones = 0
        assert result.losses == pytest.approx([value], abs=1e-6)
        if recipe == "released-code":
            norm = math.sqrt(math.fsum(float(x) ** 2 for g in grads.values() for x in g.ravel()))
            grads = {path: g * min(1.0, 1.0 / norm) for path, g in grads.items()}
        for path, new in leaves(result.task.trained):
            g, p = grads[path], flat[path]
            if recipe == "paper":
                expected, largest = plain_loops.adam_first_step(p, g, rate, eps=1e-8), 1.0
            else:  # no bias correction, eps 1e-6, decay 0.01 but for norms and biases
                decay = 0.01 if path.endswith("weight") and ".norm." not in path else 0.0
                expected = plain_loops.adam_first_step(p, g, rate, 1e-6, False, decay)
                largest = math.sqrt(10) + 0.01 * np.abs(p).max()
            clear = np.abs(g) > 1e-4
            np.testing.assert_allclose(new[clear], expected[clear], rtol=0, atol=2e-5)
            assert (np.abs(new - p) <= rate * largest + 1e-6).all(), path
            clear_ones += int(clear.sum())
        assert clear_ones > 400  # of 1,554; near the identity many adapters' gradients are tiny

    def test_a_step_clips_all_gradients_together_first(self):
        """(3, 4) has norm 5 and becomes (0.6, 0.8); eps 1 makes the step g / (|g| + 1)."""
        step = fit(
            Problem(
                {"x": np.zeros(1), "y": np.zeros(1)},
                lambda params, batch, rng: anp.sum(3.0 * params["x"] + 4.0 * params["y"]),
                lambda params: {"score": 0.0},
                [1],
            ),
            Settings(rate=1.0, epochs=1, batch_size=1, adam=Adam(eps=1.0, clip=1.0)),
        )
        assert step.leaves["x"][0] == pytest.approx(-0.6 / 1.6, rel=1e-12)
        assert step.leaves["y"][0] == pytest.approx(-0.8 / 1.8, rel=1e-12)

    @pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
    def test_training_uses_the_recipes_optimiser_and_schedule(self, tiny, monkeypatch, recipe):
        asked, real = [], training_run.fit

        def watched(problem: Problem, settings: Settings, *rest: Any, **named: Any) -> State:
            asked.append(settings)
            return real(problem, settings, *rest, **named)

        monkeypatch.setattr(training_run, "fit", watched)
        train(tiny, recipe=recipe.name)
        assert asked == [
            replace(SETTINGS, adam=recipe.adam, warm_up=recipe.warm_up, rebased=recipe.rebased)
        ]


# ----------------------------------------------------------------------------- one seed


class TestOneSeed:
    """All randomness (order, dropout, initialisation) comes from one seed."""

    @EVERY_METHOD
    def test_one_seed_gives_the_same_bits_twice(self, tiny, method):
        one, two = train(tiny, method=method), train(tiny, method=method)
        assert bits(one.task.trained) == bits(two.task.trained)
        assert one.losses == two.losses
        assert one.epochs == two.epochs

    def test_another_seed_gives_other_bits(self, tiny):
        one, two = (train(tiny, settings=replace(SETTINGS, seed=seed)) for seed in (0, 1))
        other = bits(two.task.trained)
        assert all(other[path] != leaf for path, leaf in bits(one.task.trained).items())
        assert one.losses != two.losses

    def test_training_does_not_depend_on_numpys_global_generator(self, tiny):
        np.random.seed(1)  # noqa: NPY002
        one = train(tiny)
        np.random.seed(2)  # noqa: NPY002
        assert one.losses == train(tiny).losses


class TestFrozenAndTrained:
    @EVERY_METHOD
    def test_frozen_weights_keep_their_bits_and_every_trained_leaf_moves(self, tiny, method):
        before = bits(tiny.params)
        result = train(tiny, method=method)
        assert bits(tiny.params) == before
        first = start(tiny, method)
        trained = dict(leaves(result.task.trained))
        assert trained.keys() == first.keys()
        for path, leaf in trained.items():
            assert (leaf != first[path]).any(), f"{path} did not move"
            assert leaf.dtype == np.float32, path
            assert leaf.shape == first[path].shape, path

    def test_a_trained_task_holds_only_what_its_method_trains(self, tiny):
        result = train(tiny)
        assert "pooler" not in result.task.trained["base"]
        assert not any("query" in path for path, _ in leaves(result.task.trained))


class TestDropout:
    """Srivastava et al. 2014; BERT's 0.1 on hidden states and attention probabilities."""

    FROZEN = Settings(rate=1e-30, epochs=6, batch_size=44)  # the same batch, the same weights

    def test_dropout_is_on_in_training(self, tiny):
        """Only dropout makes the loss differ from step to step here (the order of sums: 1e-6)."""
        assert np.ptp(train(tiny, settings=self.FROZEN).losses) > 1e-3
        assert np.ptp(train(without_dropout(tiny), settings=self.FROZEN).losses) < 1e-6

    @pytest.mark.parametrize("kind", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
    def test_dropout_acts_on_hidden_states_and_attention_as_the_configuration_says(
        self, tiny, kind
    ):
        config = replace(without_dropout(tiny).config, **{kind: 0.1})
        assert np.ptp(train(replace(tiny, config=config), settings=self.FROZEN).losses) > 1e-4

    def test_dropout_acts_on_the_pooled_vector_before_the_head_too(self):
        """A head that copies shows it: half of the ones become 0, the others 2."""
        copy = {"weight": np.eye(4000), "bias": np.zeros(4000)}
        ones = np.ones((1, 4000))
        half = ForwardPass(BertConfig(hidden_dropout_prob=0.5), np.array([1]))
        np.testing.assert_array_equal(classify(copy, ones, half), ones)
        dropped = classify(copy, ones, replace(half, rng=np.random.default_rng(0)))
        assert set(dropped.ravel()) == {0.0, 2.0}
        assert abs(dropped.mean() - 1) < 5 / math.sqrt(4000)  # five deviations

    def test_dropout_draws_anew_at_every_step_but_the_same_in_every_run(self):
        def draws(seed: int) -> list[float]:
            seen = []

            def noisy(params: Any, batch: np.ndarray, rng: np.random.Generator) -> Any:
                seen.append(rng.random())
                return anp.sum(params["x"])

            run = Settings(epochs=3, batch_size=2, seed=seed)
            fit(Problem({"x": np.zeros(1)}, noisy, lambda params: {"score": 0.0}, [1] * 8), run)
            return seen

        assert len(set(draws(0))) == 24  # 12 steps of 2 shards
        assert draws(0) == draws(0)
        assert not set(draws(0)) & set(draws(1))

    def test_dropout_is_off_in_prediction(self, tiny):
        task = train(tiny).task
        texts = [example.text for example in toy_data().dev]
        logits = predict_texts(task, tiny, texts)
        np.testing.assert_array_equal(logits, predict_texts(task, tiny, texts))
        np.testing.assert_array_equal(logits, predict_texts(task, without_dropout(tiny), texts))


# ----------------------------------------------------------------------------- learning


class TestLearning:
    LONG = replace(SETTINGS, rate=2e-2, epochs=12)

    def test_adapters_learn_and_beat_the_head_alone_and_the_constant_guess(self, tiny):
        """Table 1's order at toy size: a head on frozen features cannot see the word, adapters
        can."""
        scores = {}
        for method in (method_named("adapters", 16), METHODS["head"]):
            result = train(tiny, data=toy_data(160, 60), method=method, settings=self.LONG)
            assert result.constant == {"accuracy": 0.5}
            scores[method.name] = result.task.results["accuracy"]
            if method.name == "adapters":
                assert np.mean(result.losses[-10:]) < 0.6 * np.mean(result.losses[:10])
        assert scores["adapters"] > 0.9
        assert 0.5 < scores["head"] < scores["adapters"] - 0.15

    def test_full_fine_tuning_learns_the_toy_task_perfectly(self, tiny):
        """With any of twelve seeds: the last losses were 0.018 to 0.032."""
        run = replace(SETTINGS, rate=3e-3, epochs=8)
        result = train(tiny, data=toy_data(160, 60), method=METHODS["full"], settings=run)
        assert result.task.results["accuracy"] == 1.0
        assert result.losses[-1] < 0.05

    def test_a_regression_learns_scores(self, tiny):
        """With any of ten seeds: correlations from 0.985 and 0.879. The class shows in 2 of the
        score, each further word in 0.1, so seeing the class alone gives Pearson's about 0.98."""
        data = toy_data(320, 60, regression=True)
        run = Settings(rate=2e-3, epochs=8, batch_size=8)
        result = train(tiny, data=data, method=METHODS["full"], settings=run)
        assert result.task.results["pearson"] > 0.9
        assert result.task.results["spearman"] > 0.8
        assert result.constant == {"pearson": 0.0, "spearman": 0.0}
        texts = [example.text for example in data.dev]
        assert predict_texts(result.task, tiny, texts).shape == (60, 1)

    def test_empty_texts_and_texts_of_100_000_characters_can_be_trained_on(self, tiny):
        """The long one is truncated to the maximum length."""
        odd = [Example("", 0), Example("tikora " * 14_286, 1), Example("ba", 0)]
        result = train(tiny, data=Data(TASK, odd, odd, "odd data"))
        assert all(math.isfinite(value) for value in result.losses)
        encoded = encode_examples(tiny, odd, MAX_LENGTH)
        assert [len(text.ids) for text in encoded] == [2, MAX_LENGTH, 3]

    @pytest.mark.parametrize("part", ["train", "dev"])
    def test_data_without_training_or_dev_examples_are_refused(self, tiny, tmp_path, part):
        word = {"train": "training", "dev": "dev"}[part]
        with pytest.raises(InputError, match=f"^toy data: has no {word} examples$"):
            train(tiny, tmp_path / "run", data=replace(toy_data(), **{part: []}))
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("length", [65, 3, 0, -1])
    def test_a_max_length_that_the_base_has_no_positions_for_is_refused(
        self, tiny, tmp_path, length
    ):
        message = rf"^max length must be from 4 to 64 \(tiny\), not {length}$"
        with pytest.raises(InputError, match=message):
            train(tiny, tmp_path / "run", max_length=length)
        assert not (tmp_path / "run").exists()
        assert check_length(tiny, 64) == 64


class TestBestEpoch:
    """ "Best on validation": sections 3.2 and 3.3."""

    def test_the_best_epoch_is_the_first_with_the_highest_first_metric(self):
        """A parameter that Adam moves by the rate at each step, as its gradient is constant."""
        scores = iter([0.5, 0.9, 0.7, 0.9, 0.1])
        kept: list[State] = []
        state = fit(
            Problem(
                {"x": np.zeros(1)},
                lambda params, batch, rng: anp.sum(-params["x"]),
                lambda params: {"accuracy": next(scores), "f1": float(params["x"][0])},
                [1],
            ),
            Settings(rate=1.0, epochs=5, batch_size=1, warm_up=0.0),
            on_best=kept.append,
        )
        assert [epoch["accuracy"] for epoch in state.epochs] == [0.5, 0.9, 0.7, 0.9, 0.1]
        assert [len(s.epochs) for s in kept] == [1, 2]  # the fourth is no better than the second
        assert state.best["x"][0] == state.epochs[1]["f1"]
        assert state.best["x"][0] == pytest.approx(1.0 + 0.8)  # the rate falls: 1, 0.8, 0.6, ...
        assert state.leaves["x"][0] == pytest.approx(1.0 + 0.8 + 0.6 + 0.4 + 0.2)

    def test_the_task_file_holds_the_best_epoch(self, tiny, tmp_path, monkeypatch):
        """With invented scores, so that the second of three epochs is the best."""
        logits, real = [], finetune.score

        def score(task: Any, values: np.ndarray, gold: Any) -> dict[str, float]:
            logits.append(values)
            return {"accuracy": [0.5, 0.9, 0.7][len(logits) - 1]}

        monkeypatch.setattr(finetune, "score", score)
        result = train(tiny, tmp_path)
        monkeypatch.setattr(finetune, "score", real)
        task = load_task(tmp_path / "task.safetensors")
        assert task.results == result.task.results == {"accuracy": 0.9, "epoch": 2}
        assert bits(task.trained) == bits(result.task.trained)
        texts = [example.text for example in toy_data().dev]
        np.testing.assert_array_equal(predict_texts(task, tiny, texts), logits[1])
        assert (logits[1] != logits[2]).any()

    def test_a_task_loaded_from_its_file_scores_as_its_best_epoch_did(self, tiny, tmp_path):
        result = train(tiny, tmp_path)
        task, dev = load_task(tmp_path / "task.safetensors"), toy_data().dev
        best = max(epoch["accuracy"] for epoch in result.epochs)
        assert evaluate_task(task, tiny, dev) == {"accuracy": best}
        assert task.results["accuracy"] == best

    def test_the_report_has_the_best_epoch_and_every_epoch_and_loss(self, tiny, tmp_path):
        result = train(tiny, tmp_path)
        report = json.loads((tmp_path / "report.json").read_text("utf-8"))
        assert report["losses"] == result.losses
        assert report["epochs"] == result.epochs
        assert report["best"] == result.task.results
        assert (report["task"], report["method"], report["size"]) == ("toy", "adapters", 4)
        assert (report["rate"], report["batch_size"], report["seed"]) == (1e-2, 16, 0)
        assert report["base"] == tiny.sha256


def test_progress_is_reported_after_every_step(tiny):
    reports: list[Report] = []
    result = train(tiny, on_report=reports.append)
    assert [report.step for report in reports] == list(range(1, STEPS + 1))
    assert {report.total for report in reports} == {STEPS}
    assert [report.epoch for report in reports] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [report.loss for report in reports] == result.losses
    assert [report.scores for report in reports if report.scores] == result.epochs
    assert [i for i, report in enumerate(reports) if report.scores] == [2, 5, 8]
    lengths = [len(text.ids) for text in encode_examples(tiny, toy_data().train, MAX_LENGTH)]
    assert sum(report.tokens for report in reports) == 3 * sum(lengths)
    assert all(report.seconds > 0 for report in reports)


# ----------------------------------------------------------------------------- resuming


FILES = ("task.safetensors", "checkpoint.safetensors", "report.json")


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory) -> dict[str, bytes]:
    """The three files of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(tiny, folder)
    assert set(contents(folder)) == set(FILES)
    return contents(folder)


# A process that trains into the folder of its first argument and kills itself, as `kill -9` or
# a power cut would: nothing is cleaned up.
KILLED = """
import os, signal, sys
from pathlib import Path
from conftest import GOLDENS
from minibert.checkpoint import load_base
from toy import train

folder, when, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
if when == "write":  # the number-th file is complete, but not yet in its place
    left, fsync = [number], os.fsync
    def os_fsync(handle):
        fsync(handle)
        left[0] -= 1
        if left[0] == 0:
            die()
    os.fsync = os_fsync
train(load_base(GOLDENS / "tiny"), folder,
      on_report=lambda report: die() if when == "step" and report.step == number else None)
"""


class TestResuming:
    """A run that was stopped and resumed ends with the bits of one that was not stopped."""

    @pytest.mark.parametrize("step", range(1, STEPS + 1))
    def test_resuming_after_ctrl_c_at_any_step_gives_the_same_files(
        self, tiny, tmp_path, uninterrupted, step
    ):
        with pytest.raises(Interrupted, match=f"^stopped after step {step} of {STEPS}$"):
            train(tiny, tmp_path, on_report=stop_at(step, ctrl_c))
        seen = []
        train(tiny, tmp_path, resume=True, on_report=lambda report: seen.append(report.step))
        assert seen == list(range(step + 1, STEPS + 1))
        assert contents(tmp_path) == uninterrupted

    def test_a_run_that_pauses_after_its_epochs_goes_on_to_the_same_files(
        self, tiny, tmp_path, uninterrupted
    ):
        """Each pause is where it should be, and a run that has come so far makes no step."""
        for epochs, steps in ((1, [1, 2, 3]), (1, []), (2, [4, 5, 6]), (9, [7, 8, 9]), (2, [])):
            seen: list[int] = []
            paused = train(
                tiny,
                tmp_path,
                resume=True,
                pause_after=epochs,
                on_report=lambda report, seen=seen: seen.append(report.step),
            )
            assert seen == steps
        assert len(paused.epochs) == 3
        assert contents(tmp_path) == uninterrupted
        with pytest.raises(InputError, match=r"^pause_after must be at least 1, not 0$"):
            train(tiny, tmp_path, resume=True, pause_after=0)

    @pytest.mark.parametrize("call", [1, 2, 3])
    @pytest.mark.parametrize("place", ["score", "save_task", "loss"])
    def test_resuming_after_ctrl_c_in_the_middle_of_something_gives_the_same_files(
        self, tiny, tmp_path, uninterrupted, monkeypatch, place, call
    ):
        """While an epoch is scored, while the best is written, while a gradient is computed: what
        was half done is done again, and no epoch's score is lost."""
        real, calls = getattr(finetune, place), []

        def stopped(*args: Any) -> Any:
            calls.append(place)
            return ctrl_c() if len(calls) == call else real(*args)

        monkeypatch.setattr(finetune, place, stopped)
        try:
            train(tiny, tmp_path)
            assert len(calls) < call  # fewer epochs than that were the best so far
        except Interrupted:
            monkeypatch.setattr(finetune, place, real)
            train(tiny, tmp_path, resume=True)
        assert contents(tmp_path) == uninterrupted

    def test_resuming_again_and_again_gives_the_same_files(self, tiny, tmp_path, uninterrupted):
        for step in (2, 3, 5, 8):
            with pytest.raises(Interrupted):
                train(tiny, tmp_path, resume=step > 2, on_report=stop_at(step, ctrl_c))
        train(tiny, tmp_path, resume=True)
        assert contents(tmp_path) == uninterrupted

    @pytest.mark.parametrize(
        "when, number",
        [
            pytest.param("step", 5, id="in the middle of the second epoch"),
            pytest.param("write", 4, id="while the second checkpoint is written"),
        ],
    )
    def test_resuming_after_a_kill_gives_the_same_files(
        self, tiny, tmp_path, uninterrupted, when, number
    ):
        root = GOLDENS.parent.parent
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), when, str(number)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert "report.json" not in contents(tmp_path)
        assert "checkpoint.safetensors" in contents(tmp_path)
        train(tiny, tmp_path, resume=True)
        assert {name: contents(tmp_path)[name] for name in FILES} == uninterrupted

    def test_resuming_reads_the_parameters_into_the_same_layout_in_memory(self, tiny, tmp_path):
        """Equal numbers in another layout would be multiplied in another order, and rounded
        differently from the next step on."""
        with pytest.raises(Interrupted):
            train(tiny, tmp_path, on_report=stop_at(5, ctrl_c))
        path, first = tmp_path / "checkpoint.safetensors", start(tiny, ADAPTERS)
        state = load_state(Checkpoint(path, json.loads(_metadata(path))["about"]), first)
        for name, leaf in first.items():
            assert state.leaves[name].strides == state.best[name].strides == leaf.strides, name
            assert state.leaves[name].flags.owndata, f"{name} is a view of a file to be replaced"

    def test_resuming_a_finished_run_changes_nothing(self, tiny, tmp_path, uninterrupted):
        train(tiny, tmp_path)
        again = train(tiny, tmp_path, resume=True, on_report=stop_at(1, pytest.fail))
        assert len(again.losses) == STEPS
        assert contents(tmp_path) == uninterrupted

    def test_resuming_in_an_empty_folder_starts_at_the_beginning(
        self, tiny, tmp_path, uninterrupted
    ):
        train(tiny, tmp_path / "new", resume=True)
        assert contents(tmp_path / "new") == uninterrupted

    def test_a_long_epoch_can_be_resumed_from_its_middle(self, tmp_path):
        """A checkpoint at least once a minute; here after every step."""

        def crash() -> None:
            raise RuntimeError("a crash that nobody catches")

        def run(folder: Path | None, resume: bool = False, **more: Any) -> State:
            path = folder / "checkpoint.safetensors" if folder else None
            return fit(
                Problem(
                    {"x": np.full(2, 3.0)},
                    lambda params, batch, rng: anp.sum((params["x"] - rng.random(2)) ** 2),
                    lambda params: {"score": float(params["x"][0])},  # falls: the first is best
                    [1] * 10,
                ),
                Settings(rate=0.1, epochs=2, batch_size=1),
                Checkpoint(path, {}, resume, seconds=0.0) if path else None,
                **more,
            )

        with pytest.raises(RuntimeError):
            run(tmp_path, on_report=stop_at(18, crash))
        seen: list[int] = []
        resumed = run(tmp_path, resume=True, on_report=lambda report: seen.append(report.step))
        assert seen == list(range(18, 21))  # the 18th step was not in the checkpoint yet
        whole = run(None)
        assert bits(resumed.leaves) == bits(whole.leaves)
        assert bits(resumed.best) == bits(whole.best)
        assert bits(resumed.best) != bits(resumed.leaves)
        assert resumed.losses == whole.losses


OTHER = [
    ("rate", {"settings": replace(SETTINGS, rate=2e-2)}, "rate 0.01, not 0.02"),
    ("epochs", {"settings": replace(SETTINGS, epochs=4)}, "epochs 3, not 4"),
    ("batch size", {"settings": replace(SETTINGS, batch_size=8)}, "batch_size 16, not 8"),
    ("seed", {"settings": replace(SETTINGS, seed=1)}, "seed 0, not 1"),
    ("size", {"method": method_named("adapters", 8)}, "size 4, not 8"),
    (
        "activation",
        {"method": method_named("adapters", 4, "relu")},
        "activation 'gelu_tanh', not 'relu'",
    ),
    ("method", {"method": METHODS["norms"]}, "method 'adapters', not 'norms'"),
    ("recipe", {"recipe": "released-code"}, "recipe 'paper', not 'released-code'"),
    ("length", {"max_length": 12}, "max_length 16, not 12"),
    ("data", {"data": replace(toy_data(), source="others")}, "data 'toy data', not 'others'"),
    ("examples", {"data": toy_data(train=40)}, "examples 44, not 40"),
    (
        "task",
        {"data": replace(toy_data(), task=replace(TASK, name="joy"))},
        "task 'toy', not 'joy'",
    ),
    (
        "labels",
        {"data": replace(toy_data(), task=replace(TASK, names=("a", "b")))},
        "labels ['morulan', 'tikora'], not ['a', 'b']",
    ),
]


class TestResumingIsRefused:
    @pytest.fixture(scope="class")
    @classmethod
    def stopped(cls, tiny, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp("stopped")
        with pytest.raises(Interrupted):
            train(tiny, folder, on_report=stop_at(5, ctrl_c))
        return folder

    @pytest.mark.parametrize("changes, expected", [pytest.param(c, e, id=n) for n, c, e in OTHER])
    def test_resuming_with_another_option_is_refused_naming_it(
        self, tiny, stopped, changes, expected
    ):
        before = contents(stopped)
        with pytest.raises(InputError) as refused:
            train(tiny, stopped, resume=True, **changes)
        path = stopped / "checkpoint.safetensors"
        how = "resume with the same options"
        if "epochs" in expected:
            how = (
                "the learning rate falls to 0 over all epochs, so a run cannot be lengthened; "
                "resume with the same epochs, or train anew in another folder"
            )
        assert str(refused.value) == f"{path}: was made with {expected}; {how}"
        assert contents(stopped) == before

    def test_resuming_on_another_base_is_refused(self, tiny, stopped):
        other = replace(tiny, sha256="0" * 64)
        with pytest.raises(InputError, match=f"was made with base '{tiny.sha256}', not '0000"):
            train(other, stopped, resume=True)

    @pytest.mark.parametrize("keep", [0, 4, 8, 200, -1000, -1])
    def test_resuming_from_a_truncated_checkpoint_is_refused(self, tiny, stopped, tmp_path, keep):
        path = tmp_path / "checkpoint.safetensors"
        path.write_bytes((stopped / path.name).read_bytes()[:keep])
        said = r"checkpoint\.safetensors: is damaged or not a safetensors file"
        with pytest.raises(InputError, match=said):
            train(tiny, tmp_path, resume=True)

    def test_resuming_from_a_file_that_is_no_checkpoint_is_refused(self, tiny, stopped, tmp_path):
        path = tmp_path / "checkpoint.safetensors"
        path.write_bytes((stopped / "task.safetensors").read_bytes())
        with pytest.raises(InputError, match=r"checkpoint\.safetensors: is no training checkpoint"):
            train(tiny, tmp_path, resume=True)

    def test_resuming_from_a_checkpoint_that_lacks_a_leaf_is_refused(self, stopped):
        path = stopped / "checkpoint.safetensors"
        with pytest.raises(InputError, match=r"checkpoint\.safetensors: lacks first/adapters\.9$"):
            load_state(Checkpoint(path, {}), {"adapters.9": np.zeros(1)})


# ----------------------------------------------------------------------------- mishaps


class TestOneFolder:
    """Two runs never share an output folder."""

    def test_a_folder_in_use_is_refused_and_its_run_goes_on(self, tiny, tmp_path, uninterrupted):
        refusals = []

        def second() -> None:
            for resume in (False, True):
                with pytest.raises(InputError) as refused:
                    train(tiny, tmp_path, resume=resume)
                refusals.append(str(refused.value))

        train(tiny, tmp_path, on_report=stop_at(4, second))
        assert refusals == [f"{tmp_path}: another run is using this folder"] * 2
        assert contents(tmp_path) == uninterrupted

    @pytest.mark.parametrize("left", ["task.safetensors", "checkpoint.safetensors"])
    def test_a_folder_with_a_run_in_it_is_refused_without_resume(self, tiny, tmp_path, left):
        (tmp_path / left).write_bytes(b"a run of long ago")
        for _ in range(2):  # the refusal itself leaves no lock behind
            with pytest.raises(InputError) as refused:
                train(tiny, tmp_path)
            assert str(refused.value) == (
                f"{tmp_path}: already holds a run; continue it with --resume, or choose another "
                "--out"
            )
        assert contents(tmp_path) == {left: b"a run of long ago"}

    def test_an_output_folder_that_is_a_file_is_refused(self, tiny, tmp_path):
        (tmp_path / "file").write_text("text")
        with pytest.raises(InputError, match=r"file: cannot be used: File exists$"):
            train(tiny, tmp_path / "file")


class TestDivergence:
    """A learning rate that is too high: stop at once, and keep what was good."""

    def test_a_diverging_run_stops_at_the_step_and_keeps_the_best_epoch_so_far(
        self, tiny, tmp_path, monkeypatch
    ):
        """Each batch has two shards here, so step 5 makes the calls 9 and 10 of the loss."""
        real, numbers, calls = finetune.loss, count(1), []

        def diverging(*args: Any) -> Any:
            calls.append(number := next(numbers))
            return real(*args) * (math.inf if number == 9 else 1.0)

        monkeypatch.setattr(finetune, "loss", diverging)
        with pytest.raises(InputError) as stopped:
            train(tiny, tmp_path)
        assert str(stopped.value) == (
            "the loss is no longer finite at step 5 (epoch 2): learning rate 0.01 diverges; the "
            "best epoch so far is kept"
        )
        assert sorted(calls) == list(range(1, 11))
        task = load_task(tmp_path / "task.safetensors")
        assert task.results["epoch"] == 1
        assert evaluate_task(task, tiny, toy_data().dev)["accuracy"] == task.results["accuracy"]
        start_leaves = start(tiny, ADAPTERS)
        about = json.loads(_metadata(tmp_path / "checkpoint.safetensors"))["about"]
        checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", about)
        assert load_state(checkpoint, start_leaves).step == 3

    @pytest.mark.parametrize(
        "diverging",
        [
            pytest.param(lambda x: anp.sum(anp.sqrt(x)), id="gradient"),  # sqrt(0) = 0, its slope
            pytest.param(lambda x: anp.sum(x) + math.inf, id="loss"),
            pytest.param(lambda x: anp.sum(x) * math.nan, id="both"),
        ],
    )
    def test_a_run_stops_where_the_loss_or_the_gradient_alone_diverges(self, diverging):
        with pytest.raises(
            InputError, match=r"no longer finite at step 1 \(epoch 1\): learning rate 1 diverges$"
        ):
            fit(
                Problem(
                    {"x": np.zeros(1)},
                    lambda params, batch, rng: diverging(params["x"]),
                    lambda params: {"score": 0.0},
                    [1],
                ),
                Settings(rate=1.0, epochs=1, batch_size=1),
            )

    @pytest.mark.parametrize(
        "run, message",
        [
            pytest.param(
                Settings(rate=1e30, epochs=10, batch_size=16),
                "the loss is no longer finite at step 3 (epoch 1): learning rate 1e+30 diverges",
                id="in an epoch",
            ),
            pytest.param(
                Settings(rate=1e30, epochs=1, batch_size=44),
                "the logits are no longer finite: learning rate 1e+30 diverges",
                id="in its last step",
            ),
        ],
    )
    def test_divergence_is_told_in_one_line_and_leaves_the_folder_free(
        self, tiny, tmp_path, run, message
    ):
        """Nothing is half-written, and NumPy's own warnings are not shown."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InputError) as stopped:
                train(tiny, tmp_path, method=METHODS["full"], settings=run)
        assert str(stopped.value) == message
        assert contents(tmp_path) == {}
        train(tiny, tmp_path)


class TestFullDisk:
    """`ENOSPC` while a file is written: the old content stays, and the error names the file."""

    @pytest.mark.parametrize(
        "write, name, left",
        [  # the files of a run in the order of writing: task, checkpoint, task, checkpoint, ...
            pytest.param(1, "task.safetensors", set(), id="the first task file"),
            pytest.param(2, "checkpoint.safetensors", {"task.safetensors"}, id="first checkpoint"),
            pytest.param(
                4,
                "checkpoint.safetensors",
                {"task.safetensors", "checkpoint.safetensors"},
                id="second checkpoint",
            ),
        ],
    )
    def test_a_full_disk_leaves_the_old_file_whole(
        self, tiny, tmp_path, uninterrupted, monkeypatch, write, name, left
    ):
        real, writes, before = os.fsync, [], {}

        def full(handle: int) -> None:
            writes.append(handle)
            if len(writes) == write:
                before.update(
                    {n: (tmp_path / n).read_bytes() for n in FILES if (tmp_path / n).exists()}
                )
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InputError) as stopped:
            train(tiny, tmp_path)
        assert (
            str(stopped.value) == f"{tmp_path / name}: cannot be written: No space left on device"
        )
        assert contents(tmp_path) == before, "something half-written is left"
        assert before.keys() == left
        monkeypatch.setattr(os, "fsync", real)
        if "checkpoint.safetensors" in left:  # once there is space again, the run is resumed
            train(tiny, tmp_path, resume=True)
            assert contents(tmp_path) == uninterrupted


def _metadata(path: Path) -> str:
    """A checkpoint's log, read by hand: 8 bytes of length, then a JSON header."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"]["run"]


class TestPrediction:
    def test_predictions_keep_the_order_of_the_texts_though_batches_go_by_length(self, tiny):
        task = train(tiny).task
        texts = [example.text for example in toy_data(60).train]
        together = predict_texts(task, tiny, texts)
        for text, row in zip(texts, together, strict=True):
            # alone in its batch; float32 sums in another order
            np.testing.assert_allclose(predict_texts(task, tiny, [text])[0], row, atol=2e-5)

    def test_predicting_more_tokens_than_a_batch_holds_takes_several_batches(
        self, tiny, monkeypatch
    ):
        task = train(tiny).task
        texts = [example.text for example in toy_data(60).train]
        together = predict_texts(task, tiny, texts)
        sizes = []
        real = predict.forward

        def counted(model: Any, batch: Any, *rest: Any) -> Any:
            sizes.append(len(batch.ids))
            return real(model, batch, *rest)

        monkeypatch.setattr(predict, "forward", counted)
        monkeypatch.setattr(batch_module, "GROUP_TOKENS", 50)
        np.testing.assert_allclose(predict_texts(task, tiny, texts), together, atol=2e-5)
        assert len(sizes) > 5
        assert max(sizes) <= 50

    def test_predicting_no_texts_gives_no_rows_of_two_classes(self, tiny):
        assert predict_texts(train(tiny).task, tiny, []).shape == (0, 2)

    def test_scoring_no_examples_is_refused(self, tiny):
        with pytest.raises(InputError, match=r"^toy: there are no examples to score$"):
            evaluate_task(train(tiny).task, tiny, [])

    def test_predicting_on_another_base_is_refused(self, tiny):
        task = train(tiny).task
        params = merge(tiny.params, {"pooler": {"bias": tiny.params["pooler"]["bias"] + 1e-6}})
        other = replace(tiny, sha256="0" * 64, name="other", params=params)
        for use in (lambda: on_base(task, other), lambda: predict_texts(task, other, ["ba"])):
            with pytest.raises(InputError, match=r"^task: was trained on tiny .* not on other "):
                use()


def test_training_by_an_unknown_recipe_is_refused_before_anything_is_written(tiny, tmp_path):
    with pytest.raises(InputError, match=r"^unknown recipe 'mine'"):
        train_task(tiny, toy_data(), ADAPTERS, SETTINGS, recipe="mine", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
