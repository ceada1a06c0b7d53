"""Several tasks trained together: one network, a head for each, batches of one task at a time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autograd import value_and_grad
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from runs import bits, contents, ctrl_c, stop_at, without_dropout
from toy import MAX_LENGTH, TASK, examples, toy_data, train

from adapters.finetune import prepare
from adapters.joint import TrainedTogether, joined, shuffled, train_jointly
from adapters.methods.table import METHODS
from adapters.predict import encode_examples, predict_logits
from adapters.recipes import RECIPES
from adapters.task_model import TaskModel, forward, new_task_model
from minibert import ops
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.data.tasks import Data, score
from minibert.errors import InputError, Interrupted
from minibert.heads import loss
from minibert.parameters import cast
from minibert.training.gradients import value_and_grads
from minibert.training.schedule import Settings, epoch_batches
from minibert.tree import count, from_leaves, leaves

SETTINGS = Settings(rate=1e-3, epochs=2, batch_size=8)
THREE = replace(TASK, name="three", values=("0", "1", "2"), names=("morulan", "tikora", "long"))


def three_tasks() -> list[Data]:
    """Of 20, 13 and 30 examples: 3, 2 and 4 batches of at most 8."""
    longest = [replace_label(e, 2 if len(str(e.text)) > 25 else e.label) for e in examples(13, 3)]
    return [
        toy_data(20, 12),
        Data(THREE, longest, longest[:9], "three classes"),
        toy_data(30, 10, regression=True),
    ]


def replace_label(example: Any, label: float) -> Any:
    return example._replace(label=label)


def together(base: Base, tasks: list[Data] | None = None, **changes: Any) -> TrainedTogether:
    usual = {"settings": SETTINGS, "max_length": MAX_LENGTH, "pooling": "pooler", "threads": 1}
    usual |= changes
    return train_jointly(base, three_tasks() if tasks is None else tasks, **usual)


def all_bits(done: TrainedTogether) -> list[dict[str, bytes]]:
    return [bits(model.tree) for model in done.models]


# ------------------------------------------------------------------------------------- batches

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


class TestBatches:
    @given(sizes=SIZES, size=st.integers(1, 16), epoch=st.integers(0, 9), seed=st.integers(0, 99))
    @hypothesis_settings(max_examples=30)
    def test_an_epoch_has_each_tasks_own_batches_in_their_own_order(self, sizes, size, epoch, seed):
        run = Settings(batch_size=size, seed=seed)
        batches = shuffled(sizes)(sum(sizes), run, epoch)
        start = 0
        for number in sizes:
            own = [b - start for b in batches if start <= b[0] < start + number]
            assert [b.tolist() for b in own] == [
                b.tolist() for b in epoch_batches(number, run, epoch)
            ]
            start += number
        assert sorted(np.concatenate(batches)) == list(range(sum(sizes)))

    def test_whose_turn_it_is_depends_on_the_seed_and_the_epoch(self):
        def turns(seed: int, epoch: int) -> str:
            batches = shuffled([80, 40])(120, Settings(batch_size=8, seed=seed), epoch)
            return "".join("ab"[int(batch[0] >= 80)] for batch in batches)

        assert turns(0, 0) == turns(0, 0)
        found = {turns(0, 0), turns(0, 1), turns(1, 0), turns(1, 1)}
        assert len(found) == 4
        assert all(word.count("a") == 10 and word.count("b") == 5 for word in found)
        assert not any("a" * 10 in word for word in found)  # no task comes all at once


# ------------------------------------------------------------------------------------- training


def test_one_task_trained_jointly_is_that_task_trained_alone_to_the_bit(tiny):
    alone = train(tiny, data=toy_data(20, 12), method=METHODS["full"], settings=SETTINGS)
    done = together(tiny, [toy_data(20, 12)], pooling=None)
    assert done.losses == alone.losses
    assert [epoch["toy"] for epoch in done.epochs] == [e["accuracy"] for e in alone.epochs]
    found = bits(done.models[0].tree)
    for path, value in bits(alone.task.trained).items():
        assert found[path] == value, path


def test_every_step_is_adams_on_the_loss_of_the_batchs_own_task(tiny):
    """Two epochs of three tasks, one of them a regression, without dropout, against float64
    gradients of the plain operations and Adam by hand."""
    base, tasks = without_dropout(tiny), three_tasks()
    done = together(base)
    models = [
        new_task_model(base, METHODS["full"], RECIPES["paper"], d.task.outputs, 0) for d in tasks
    ]
    tree = {"base": models[0].tree["base"], "head": [m.tree["head"] for m in models]}
    params = dict(leaves(cast({**tree, "head": dict(enumerate(tree["head"]))}, np.float64)))
    first = {path: np.zeros_like(leaf) for path, leaf in params.items()}
    second = {path: np.zeros_like(leaf) for path, leaf in params.items()}
    encoded = [encode_examples(base, data.train, MAX_LENGTH) for data in tasks]
    labels = [np.array([example.label for example in data.train]) for data in tasks]
    labels[2] = (labels[2] - labels[2].mean()) / labels[2].std()
    starts, step = [0, 20, 33, 63], 0
    expected = []
    for epoch in range(2):
        for batch in shuffled([20, 13, 30])(63, SETTINGS, epoch):
            task = next(k for k in range(3) if starts[k] <= batch[0] < starts[k + 1])
            rows = batch - starts[task]

            def batch_loss(flat: dict[str, Any], task: int = task, rows: Any = rows) -> Any:
                whole = from_leaves(flat)
                own = {"base": whole["base"], "head": whole["head"][task]}
                texts = make_batch([encoded[task][i] for i in rows])
                logits = forward(TaskModel(base, METHODS["full"], own), texts, ops=ops)
                return loss(logits, labels[task][rows], task == 2, ops)

            value, grads = value_and_grad(batch_loss)(params)
            expected.append(value)
            rate = 1e-3 * min(step / 2, (18 - step) / 16)  # 18 steps, 2 of them warm-up
            step += 1
            for path, g in grads.items():
                first[path] = 0.9 * first[path] + 0.1 * g
                second[path] = 0.999 * second[path] + 0.001 * g * g
                mean, square = first[path] / (1 - 0.9**step), second[path] / (1 - 0.999**step)
                params[path] = params[path] - rate * mean / (np.sqrt(square) + 1e-8)
    assert done.losses == pytest.approx(expected, rel=2e-4)
    assert len(done.losses) == 18


def test_a_batch_has_no_gradient_for_the_heads_of_other_tasks(tiny):
    each = [
        prepare(tiny, data, METHODS["full"], SETTINGS, max_length=MAX_LENGTH)
        for data in three_tasks()
    ]
    problem = joined(each).problem()
    for task, start in enumerate((0, 20, 33)):
        numbers = np.arange(start, start + 4)
        rng = np.random.default_rng(0)
        _, grads = value_and_grads(
            lambda flat, n=numbers, r=rng: problem.loss(flat, n, r), problem.leaves
        )
        learning = {path.split(".")[1] for path, g in grads.items() if "head." in path and g.any()}
        assert learning == {str(task)}
        assert any(g.any() for path, g in grads.items() if path.startswith("base."))


def test_every_task_is_scored_with_its_own_head_at_the_epoch_with_the_best_mean(tiny):
    tasks = three_tasks()
    done = together(tiny, settings=replace(SETTINGS, epochs=4, rate=1e-2))
    assert [list(epoch) for epoch in done.epochs] == [["mean", "toy", "three", "toy-score"]] * 4
    means = [epoch["mean"] for epoch in done.epochs]
    assert means == pytest.approx([sum(list(epoch.values())[1:]) / 3 for epoch in done.epochs])
    assert done.best_epoch == means.index(max(means)) + 1 < 4  # the last cannot pass for the best
    best = done.epochs[done.best_epoch - 1]
    for data, model in zip(tasks, done.models, strict=True):
        texts = encode_examples(tiny, data.dev, MAX_LENGTH)
        found = score(data.task, predict_logits(model, texts, 1), [e.label for e in data.dev])
        assert best[data.task.name] == next(iter(found.values()))
    scores = predict_logits(done.models[2], encode_examples(tiny, tasks[2].dev, MAX_LENGTH), 1)
    gold = [example.label for example in tasks[2].dev]
    assert abs(scores.mean() - np.mean(gold)) < np.std(gold)  # in the scores' own units


def test_all_tasks_share_one_base_and_each_has_a_head_of_its_own(tiny):
    models = together(tiny).models
    assert len({tuple(bits(model.tree["base"]).items()) for model in models}) == 1
    assert [count(model.tree["head"]) for model in models] == [
        33 * outputs for outputs in (2, 3, 1)
    ]


# ----------------------------------------------------------------------------- one seed, resumed


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> tuple[TrainedTogether, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return together(tiny, out=folder), folder


def test_any_number_of_threads_gives_the_same_bits_and_another_seed_others(tiny, whole):
    done, _ = whole
    assert all_bits(together(tiny, threads=2)) == all_bits(done)
    assert all_bits(together(tiny, settings=replace(SETTINGS, seed=1))) != all_bits(done)


@pytest.mark.parametrize("step", [1, 8, 9, 13])
def test_a_training_that_was_stopped_resumes_to_the_same_bits(tiny, tmp_path, whole, step):
    """In the first epoch, just before and at its end, and in the second; each has 9 steps."""
    done, folder = whole
    with pytest.raises(Interrupted):
        together(tiny, out=tmp_path, on_report=stop_at(step, ctrl_c))
    again = together(tiny, out=tmp_path, resume=True)
    assert all_bits(again) == all_bits(done)
    assert (again.losses, again.epochs, again.best_epoch) == (
        done.losses,
        done.epochs,
        done.best_epoch,
    )
    assert contents(tmp_path) == contents(folder)


def test_a_training_is_not_resumed_with_other_tasks(tiny, tmp_path, whole):
    with pytest.raises(Interrupted):
        together(tiny, out=tmp_path, on_report=stop_at(2, ctrl_c))
    with pytest.raises(InputError, match=r"checkpoint.safetensors: was made with together \["):
        together(tiny, three_tasks()[::-1], out=tmp_path, resume=True)


@pytest.mark.parametrize("names", [[], ["toy", "toy"], ["mean"]])
def test_tasks_whose_scores_could_not_be_told_apart_are_refused(tiny, names):
    tasks = [replace(toy_data(8, 4), task=replace(TASK, name=name)) for name in names]
    with pytest.raises(InputError, match="need names of their own, not"):
        together(tiny, tasks)
