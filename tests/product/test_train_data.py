"""What a training does with its examples first: a dev part, class weights, one scale for scores."""

import json
from collections import Counter
from dataclasses import replace

import autograd
import numpy as np
import pytest
import toy
from conftest import GOLDENS
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.methods.table import METHODS
from adapters.predict import evaluate_task, predict_texts
from adapters.task_file import load_task
from adapters.train_data import Scale, balanced_weights, scale_of, split_dev, spread, subset
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError
from minibert.heads import loss, probabilities, weighted_loss
from minibert.training.resume import State
from minibert.training.schedule import Settings


def data_of(labels: list[int]) -> Data:
    names = tuple(map(str, range(max(labels) + 1)))
    task = Task("t", "", ("text",), "label", names, names)
    return Data(task, [Example(f"text {i}", label) for i, label in enumerate(labels)], [], "t.csv")


class TestADevPart:
    @given(
        labels=st.lists(st.integers(0, 5), min_size=12, max_size=200),
        share=st.floats(0.1, 0.9),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=100, deadline=None)
    def test_each_class_gives_its_share_to_less_than_two_and_keeps_one(self, labels, share, seed):
        data = data_of(labels)
        part = split_dev(data, share, seed)
        assert Counter(part.train) + Counter(part.dev) == Counter(data.train)
        counts, given_off = Counter(labels), Counter(e.label for e in part.dev)
        assert all(counts[c] > given_off[c] for c in counts)
        if all(n * (1 - share) >= 2 for n in counts.values()):  # no class's last is asked for
            assert len(part.dev) == round(share * len(labels))
            assert all(abs(given_off[c] - share * n) < 2 for c, n in counts.items())

    def test_classes_of_two_rows_give_some_of_theirs(self):
        """150 classes, a tenth of 300 rows: 30 of the classes give one each."""
        part = split_dev(data_of([i % 150 for i in range(300)]), 0.1, 0)
        assert len(part.dev) == 30
        assert set(Counter(e.label for e in part.dev).values()) == {1}

    def test_texts_in_both_parts_are_counted(self):
        data = data_of([0, 1] * 20)
        assert split_dev(data, 0.2, 0).notes == ()
        doubled = replace(data, train=[*data.train, *data.train], notes=("a note",))
        part = split_dev(doubled, 0.2, 0)
        known = {e.text for e in part.train}
        again = sum(e.text in known for e in part.dev)
        assert 0 < again < len(part.dev) == 16
        assert part.notes == ("a note", f"{again} development rows with a text that is trained on")

    def test_the_split_is_drawn_with_the_seed_and_says_so(self):
        data = data_of([0, 1] * 50)
        part = split_dev(data, 0.2, 3)
        assert part == split_dev(data, 0.2, 3)
        assert part.dev != split_dev(data, 0.2, 4).dev
        assert part.source == "t.csv (a share of 0.2 split off with seed 3)"
        assert part.train == [e for e in data.train if e in part.train]  # in their order

    def test_scores_are_split_without_classes(self):
        task = Task("t", "", ("text",), "score")
        data = Data(task, [Example(str(i), i / 7) for i in range(40)], [], "t.csv")
        assert len(split_dev(data, 0.25, 0).dev) == 10

    def test_a_negative_seed_is_refused(self):
        for draw in (lambda d: split_dev(d, 0.1, -1), lambda d: subset(d, 5, -1)):
            with pytest.raises(InputError, match="seed must not be negative, not -1"):
                draw(data_of([0, 1] * 9))

    @pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
    def test_a_share_that_is_none_is_refused(self, share):
        with pytest.raises(InputError, match="the dev share must be between 0 and 1"):
            split_dev(data_of([0, 1] * 9), share, 0)

    def test_too_few_examples_are_refused(self):
        with pytest.raises(InputError, match=r"t\.csv: 3 examples are too few to split off"):
            split_dev(data_of([0, 1, 1]), 0.1, 0)


class TestClassWeights:
    def test_balanced_weights_are_those_of_the_formula(self):
        examples = data_of([0] * 18 + [1] * 2).train
        weights = balanced_weights(examples, 3)
        np.testing.assert_allclose(weights, [20 / 36, 20 / 4, 0], rtol=1e-6)
        assert weights.dtype == np.float32
        assert np.mean([weights[e.label] for e in examples]) == pytest.approx(1, rel=1e-6)

    @given(seed=st.integers(0, 999))
    @settings(max_examples=30)
    def test_the_weighted_loss_is_the_mean_of_each_examples_loss_times_its_weight(self, seed):
        rng = np.random.default_rng(seed)
        logits, labels = rng.normal(size=(7, 3)) * 5, rng.integers(0, 3, 7)
        weights = rng.uniform(0, 4, 3)
        terms = []
        for row, label in zip(logits, labels, strict=True):
            p = np.exp(row[label]) / sum(np.exp(x) for x in row)
            terms.append(-weights[label] * np.log(p))
        got = weighted_loss(logits, labels, weights)
        assert got == pytest.approx(sum(terms) / 7, rel=1e-12)

    def test_weights_of_one_give_the_plain_loss_and_gradient_in_float32(self):
        rng = np.random.default_rng(0)
        logits, labels = rng.normal(size=(6, 4)).astype(np.float32), rng.integers(0, 4, 6)
        ones = np.ones(4, np.float32)
        pairs = [
            autograd.value_and_grad(f)(logits)
            for f in (lambda x: weighted_loss(x, labels, ones), lambda x: loss(x, labels, False))
        ]
        np.testing.assert_allclose(pairs[0][0], pairs[1][0], rtol=1e-6)
        np.testing.assert_allclose(pairs[0][1], pairs[1][1], rtol=0, atol=1e-7)
        assert pairs[0][1].dtype == np.float32

    def test_far_out_logits_have_a_finite_weighted_loss(self):
        logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
        assert weighted_loss(logits, np.array([1, 1]), np.ones(2, np.float32)) == 1e4

    def test_weights_of_the_classes_may_be_given(self, tiny, tmp_path):
        """Balanced weights of as many of both are ones. An array is as good as a tuple, and is
        written into the run's files."""
        a, b, c = (
            toy.train(tiny, class_weights=w).losses for w in ("balanced", (1.0, 1.0), (1.0, 3.0))
        )
        assert a == b != c
        array = np.array([1, 3], np.float32)
        assert toy.train(tiny, tmp_path, class_weights=array).losses == c

    def test_balanced_training_does_not_prefer_the_common_class(self, tiny):
        """36 of one word, 4 of the other: the mean probability of the rare one on a dev set with
        as many of both."""
        data = toy.toy_data(80, 24)
        common = [e for e in data.train if e.label == 0][:36]
        rare = [e for e in data.train if e.label == 1][:4]
        data = replace(data, train=common + rare)
        texts, means = [e.text for e in data.dev], {}
        for weights in ("balanced", None):
            task = toy.train(tiny, data=data, class_weights=weights).task
            means[weights] = probabilities(predict_texts(task, tiny, texts))[:, 1].mean()
        assert means[None] < 0.42
        assert 0.45 < means["balanced"] < 0.55

    @pytest.mark.parametrize(
        "weights, regression, message",
        [
            ((1.0, 2.0, 3.0), False, "class weights must be 2 numbers of at least 0, not all 0"),
            ((0.0, 0.0), False, "class weights must be 2 numbers of at least 0, not all 0"),
            ((1.0, -1.0), False, "class weights must be 2 numbers of at least 0"),
            ((1.0, float("nan")), False, "class weights must be 2 numbers of at least 0"),
            (("a", "b"), False, "class weights must be 2 numbers"),
            ({0: 1.0, 1: 2.0}, False, "class weights must be 2 numbers"),
            (([1.0], [1.0, 2.0]), False, "class weights must be 2 numbers"),
            ("heavy", False, "unknown class weights 'heavy'; known: balanced"),
            ("balanced", True, "class weights are for classes, not for a regression"),
        ],
    )
    def test_unknown_weights_are_refused(self, tiny, weights, regression, message):
        with pytest.raises(InputError, match=message):
            toy.train(tiny, data=toy.toy_data(regression=regression), class_weights=weights)


class TestTheScaleOfScores:
    @pytest.mark.parametrize("factor, shift", [(1.0, 0.0), (1e5, -3e5), (1e-4, 7.0)])
    def test_a_small_training_answers_in_the_scores_own_units(self, tiny, factor, shift):
        """Raw targets of 100,000 would meet a head that starts at 0 and learns in steps of 0.01."""
        data = toy.toy_data(320, 60, regression=True)

        def scaled(part: list[Example]) -> list[Example]:
            return [Example(e.text, factor * e.label + shift) for e in part]

        data = replace(data, train=scaled(data.train), dev=scaled(data.dev))
        run = Settings(rate=2e-3, epochs=8, batch_size=8)
        task = toy.train(tiny, data=data, method=METHODS["full"], settings=run).task
        gold = np.array([e.label for e in data.dev])
        errors = predict_texts(task, tiny, [e.text for e in data.dev])[:, 0] - gold
        assert np.sqrt(np.mean(errors**2)) < 0.3 * gold.std()
        scores = [e.label for e in data.train]
        assert task.scale == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-12)

    def test_units_change_no_answer(self, tiny):
        """The same training in other units: the answers are converted, to float32's rounding."""
        data = toy.toy_data(regression=True)
        plain = toy.train(tiny, data=data).task
        grown = [[Example(e.text, 1000 * e.label) for e in part] for part in (data.train, data.dev)]
        other = toy.train(tiny, data=replace(data, train=grown[0], dev=grown[1])).task
        texts = [e.text for e in data.dev]
        a, b = (predict_texts(task, tiny, texts)[:, 0] for task in (plain, other))
        np.testing.assert_allclose(b, 1000 * a, rtol=0, atol=0.05)

    def test_the_task_file_keeps_mean_and_deviation_and_scores_as_training_did(
        self, tiny, tmp_path
    ):
        data = toy.toy_data(regression=True)
        run = toy.train(tiny, tmp_path / "run", data=data)
        task = load_task(run.path)
        assert task.scale == run.task.scale
        kept = {n: v for n, v in task.results.items() if n != "epoch"}
        assert evaluate_task(task, tiny, data.dev) == kept

    def test_a_task_file_from_before_the_scale_was_kept_has_none(self):
        task = load_task(GOLDENS.parent / "format_1" / "adapters.safetensors")
        assert task.scale == (0.0, 1.0)
        assert (task.pooling, task.base_reading) == ("pooler", "")

    @pytest.mark.parametrize(
        "scores, message",
        [
            ((1e9, 1e9 + 1), "the scores differ by 0.5 around 1e.09, too little for float32"),
            ((1e300, -1e300), "has a score beyond 1e30, which float32 cannot square"),
        ],
    )
    def test_scores_that_float32_cannot_tell_apart_are_refused(self, tiny, scores, message):
        data = toy.toy_data(regression=True)
        train = [Example(e.text, scores[i % 2]) for i, e in enumerate(data.train)]
        with pytest.raises(InputError, match=message):
            toy.train(tiny, data=replace(data, train=train))

    @pytest.mark.parametrize("label", [7, -1, 1.5, "pos", None, float("nan")])
    def test_a_label_that_is_no_class_is_refused_in_training_and_evaluation(self, tiny, label):
        data = toy.toy_data()
        wrong = [*data.dev[:3], Example("ba", label)]
        message = r"examples\[3\] has label .*; a class from 0 to 1 is expected"
        with pytest.raises(InputError, match=message):
            toy.train(tiny, data=replace(data, dev=wrong))
        with pytest.raises(InputError, match=message):
            evaluate_task(toy.train(tiny).task, tiny, wrong)

    @pytest.mark.parametrize("label", [float("nan"), float("inf"), "4", None])
    def test_a_score_that_is_no_finite_number_is_refused(self, tiny, label):
        data = toy.toy_data(regression=True)
        with pytest.raises(InputError, match="a finite score is expected"):
            toy.train(tiny, data=replace(data, train=[*data.train, Example("ba", label)]))

    @pytest.mark.parametrize("value", [3.0, 0.1, 3.3])
    def test_scores_that_are_all_alike_are_not_divided_by_nothing(self, value):
        """Nor by what rounding makes of it: three times 0.1 have a deviation of 1e-17."""
        data = replace(toy.toy_data(regression=True), train=3 * [Example("a", value)])
        assert scale_of(data) == Scale(pytest.approx(value, rel=1e-15), 1.0)

    def test_true_and_false_are_the_classes_1_and_0(self, tiny):
        data = toy.toy_data()
        train = [Example(e.text, bool(e.label)) for e in data.train]
        same = toy.train(tiny, data=replace(data, train=train))
        assert same.losses == toy.train(tiny).losses

    @given(length=st.integers(1, 300), most=st.integers(1, 100))
    def test_a_sample_is_from_everywhere(self, length, most):
        found = spread(range(length), most)
        assert len(found) == min(most, length)
        assert found[0] == 0
        steps = np.diff([*found, length])
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1

    def test_a_classification_has_no_scale(self):
        assert scale_of(toy.toy_data()) == Scale()
        tree = {"head": {"weight": np.ones((2, 2)), "bias": np.ones(2)}}
        assert Scale().in_own_units(tree) is tree

    def test_a_stopped_run_resumes_to_the_same_bits_and_file(self, tiny, tmp_path):
        data = toy.toy_data(regression=True)
        whole = toy.train(tiny, tmp_path / "whole", data=data)

        def stop(report) -> None:
            if report.step == 4:
                raise KeyboardInterrupt

        with pytest.raises(Exception, match="stopped after step 4"):
            toy.train(tiny, tmp_path / "part", data=data, on_report=stop)
        again = toy.train(tiny, tmp_path / "part", data=data, resume=True)
        assert again.path.read_bytes() == whole.path.read_bytes()


class TestStoppingEarly:
    def test_training_stops_after_epochs_without_gain(self, tiny):
        """At this rate nothing is learned: the first epoch stays the best."""
        run = toy.train(tiny, settings=Settings(rate=1e-9, epochs=9, stop_after=2))
        assert len(run.epochs) == 3
        assert run.task.results["epoch"] == 1

    @pytest.mark.parametrize(
        "scores, stalled",
        [
            ([0.5], False),
            ([0.5, 0.4], False),
            ([0.5, 0.4, 0.5], True),  # an equal score is no gain
            ([0.5, 0.4, 0.6], False),
            ([0.5, 0.4, 0.6, 0.5], False),  # two without gain, but not in turn
            ([0.5, 0.4, 0.6, 0.5, 0.55], True),
        ],
    )
    def test_epochs_without_gain_count_in_turn(self, scores, stalled):
        state = State({}, {"step": 9}, {}, epochs=[{"accuracy": score} for score in scores])
        assert state.has_stalled(2) == stalled
        assert not state.has_stalled(None)

    def test_an_early_stopped_run_that_is_resumed_is_the_same(self, tiny, tmp_path):
        settings = Settings(rate=1e-9, epochs=9, stop_after=2)
        first = toy.train(tiny, tmp_path, settings=settings)
        again = toy.train(tiny, tmp_path, settings=settings, resume=True)
        assert again.epochs == first.epochs
        assert json.loads((tmp_path / "report.json").read_text())["epochs"] == first.epochs

    def test_without_it_every_epoch_runs(self, tiny):
        assert len(toy.train(tiny, settings=Settings(rate=1e-9, epochs=4)).epochs) == 4

    def test_less_than_one_epoch_is_refused(self):
        with pytest.raises(InputError, match="stop_after must be at least 1, not 0"):
            Settings(stop_after=0)
