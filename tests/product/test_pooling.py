"""What the head reads: the pooled [CLS], the mean of all tokens' states, or [CLS] itself.

The paper's is the first; the second is what sentence-embedding models were trained for; the third
is all that a checkpoint without pooler leaves. Held to transformers (tests/goldens/pooling.npz), to
loops, and to what every run here promises: the same bits for any number of threads, kept and
resumed, and told as it is.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autograd import value_and_grad
from cases import DTYPES, LEVELS
from command_line import minibert, works
from conftest import GOLDENS
from parity import (
    PRECISIONS,
    compare_gradients,
    golden_batch,
    golden_gradients,
    golden_texts,
    golden_tree,
)
from runs import contents, ctrl_c, equal, stop_at
from safetensors.numpy import load_file
from toy import ADAPTERS, MAX_LENGTH, METHOD_LIST, examples, train

from adapters.cached_layers import cache_states, frozen_layers, states_bytes
from adapters.finetune import train_task
from adapters.methods.method import parameter_table, split
from adapters.methods.table import METHODS, method_named, method_rows
from adapters.predict import predict_logits, predict_texts
from adapters.recipes import RECIPES
from adapters.show import trained_table
from adapters.task_file import load_task, on_base, save_task
from adapters.task_model import TaskModel, forward, new_task_model
from minibert.batch import make_batch
from minibert.checkpoint import Base, load_base
from minibert.data.glue import glue_data
from minibert.data.tasks import constant_score
from minibert.errors import InputError, Interrupted
from minibert.heads import loss, mean_pool
from minibert.model import encode
from minibert.tensors import read_safetensors, write_safetensors
from minibert.training.schedule import Settings
from minibert.tree import from_leaves, leaves, merge

PAPER = RECIPES["paper"]
TINY = GOLDENS / "tiny"
POOLINGS = ("pooler", "mean", "cls")  # of one sequence; the fourth, of two, is in test_similarity
EVERY_POOLING = pytest.mark.parametrize("pooling", POOLINGS)
UNPOOLED = pytest.mark.parametrize("pooling", ["mean", "cls"])


@pytest.fixture(scope="module")
def theirs() -> dict[str, np.ndarray]:
    """What transformers computes."""
    with np.load(GOLDENS / "pooling.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The tiny BERT with its masked-token head and without pooler, as such models are saved."""
    folder = tmp_path_factory.mktemp("models") / "masked"
    shutil.copytree(GOLDENS / "tiny_mlm", folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: values for name, values in tensors.items() if "pooler" not in name}
    assert len(kept) == len(tensors) - 2
    write_safetensors(folder / "model.safetensors", kept)
    return folder


@pytest.fixture(scope="module")
def poolerless(folder) -> Base:
    return load_base(folder)


def model_of(base: Base, pooling: str | None, method: Any = ADAPTERS) -> TaskModel:
    return new_task_model(base, method, PAPER, 2, 3, pooling)


# ------------------------------------------------------------------------------- the mean


class TestTheMean:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("lengths", [[1], [7], [1, 1], [3, 1, 12, 5]], ids=str)
    def test_is_that_of_a_loop_over_each_texts_own_rows(self, dtype, lengths):
        states = np.random.default_rng(0).standard_normal((sum(lengths), 6)).astype(dtype)
        expected, row = np.zeros((len(lengths), 6)), 0
        for text, length in enumerate(lengths):
            for _ in range(length):
                expected[text] += states[row].astype(np.float64) / length
                row += 1
        got = mean_pool(states, np.array(lengths))
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got, expected, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-15
        )

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_passes_a_gradient_to_each_row_by_its_share(self, dtype):
        """Against the difference quotient, which for a linear map is exact but for rounding."""
        rng, lengths = np.random.default_rng(1), np.array([4, 1, 3])
        states = rng.standard_normal((8, 3)).astype(dtype)
        g = rng.standard_normal((3, 3)).astype(dtype)

        def total(x: np.ndarray) -> Any:
            return (g * mean_pool(x, lengths)).sum()

        _, gradient = value_and_grad(total)(states)
        assert gradient.dtype == dtype
        wide = states.astype(np.float64)
        for i in np.ndindex(*states.shape):
            step = np.zeros_like(wide)
            step[i] = 0.5
            quotient = float(total(wide + step) - total(wide - step))
            assert abs(gradient[i] - quotient) < (1e-6 if dtype == np.float32 else 1e-12)

    def test_of_a_text_does_not_depend_on_its_neighbours_not_even_if_they_overflow(self):
        states = np.random.default_rng(2).standard_normal((9, 4)).astype(np.float32)
        alone = mean_pool(states[2:7], np.array([5]))
        states[:2], states[7:] = np.nan, np.inf
        assert mean_pool(states, np.array([2, 5, 2]))[1].tobytes() == alone[0].tobytes()


# ------------------------------------------------------------------------------- the model


@UNPOOLED
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("prefix, dtype, tolerance", PRECISIONS)
def test_logits_loss_and_gradients_are_those_of_transformers(
    tiny, goldens, theirs, prefix, dtype, tolerance, level, pooling
):
    tree = golden_tree(tiny, goldens, False, dtype)
    del tree["base"]["pooler"]
    trained, frozen = split(tree, METHODS["full"])
    batch, flat = golden_batch(goldens), dict(leaves(trained))
    model = TaskModel(tiny, METHODS["full"], tree, pooling)

    def batch_loss(params: dict) -> Any:
        whole = merge(frozen, from_leaves({path: params[path] for path in flat}))
        logits = forward(replace(model, tree=whole), batch, ops=level)
        return loss(logits, goldens["labels"], False, level)

    logits = forward(model, batch, ops=level)
    assert logits.dtype == dtype
    their_logits = theirs[f"{prefix}/{pooling}/logits"]
    np.testing.assert_allclose(logits, their_logits, rtol=0, atol=tolerance)
    value, grads = value_and_grad(batch_loss)(flat)
    np.testing.assert_allclose(value, theirs[f"{prefix}/{pooling}/loss"], rtol=0, atol=tolerance)
    renamed = {
        key.replace(f"{pooling}/grad/", f"grad/{pooling}/"): values
        for key, values in theirs.items()
    }
    compare_gradients(grads, golden_gradients(renamed, prefix, pooling), dtype, tolerance)


@EVERY_POOLING
@pytest.mark.parametrize("method", METHOD_LIST, ids=str)
def test_a_text_alone_gets_the_logits_that_it_gets_among_others(tiny, goldens, method, pooling):
    """And both are what a plain head makes of the encoder's states: the [CLS] row is here taken
    from all rows, where the model computes it alone."""
    model, texts = model_of(tiny, pooling, method), golden_texts(goldens)
    batch = make_batch(texts)
    every = encode(model.tree["base"], batch, tiny.config, adapt=model.attach())[-1]
    parts = np.split(every.astype(np.float64), np.cumsum(batch.lengths)[:-1])
    rows = np.array([p.mean(axis=0) if pooling == "mean" else p[0] for p in parts])
    if pooling == "pooler":
        p = tiny.params["pooler"]
        rows = np.tanh(rows @ p["weight"] + p["bias"])
    expected = rows @ model.tree["head"]["weight"] + model.tree["head"]["bias"]
    together = forward(model, batch)
    np.testing.assert_allclose(together, expected, rtol=0, atol=2e-6)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_allclose(forward(model, make_batch([text]))[0], row, rtol=0, atol=2e-6)


def test_the_three_give_different_logits(tiny, goldens):
    batch = golden_batch(goldens)
    one, two, three = (forward(model_of(tiny, pooling), batch) for pooling in POOLINGS)
    assert all(np.abs(a - b).max() > 1e-4 for a, b in ((one, two), (two, three), (one, three)))


@EVERY_POOLING
@pytest.mark.parametrize("method", [METHODS["head"], replace(ADAPTERS, first_layer=1)], ids=str)
def test_cached_states_of_frozen_layers_change_no_bit(tiny, goldens, method, pooling):
    """Where every layer is frozen, a row a text is cached, whatever the pooling."""
    model, texts = model_of(tiny, pooling, method), golden_texts(goldens)
    frozen = frozen_layers(model)
    bottom = cache_states(model, texts, frozen, 2)
    rows = [len(text.ids) if frozen == 1 else 1 for text in texts]
    assert [len(states) for states in bottom.states] == rows
    assert states_bytes(model, texts, frozen) == sum(states.nbytes for states in bottom.states)
    cached = predict_logits(model, texts, 1, bottom)
    assert cached.tobytes() == predict_logits(model, texts, 1).tobytes()


# ------------------------------------------------------------------------------- training


@UNPOOLED
@pytest.mark.parametrize("method", METHOD_LIST, ids=str)
def test_every_method_learns_the_toy_task(tiny, method, pooling):
    rate = 1e-1 if method.name == "head" else 1e-2
    settings = Settings(rate=rate, epochs=14, batch_size=16)
    run = train(tiny, method=method, settings=settings, pooling=pooling)
    assert max(epoch["accuracy"] for epoch in run.epochs) > run.constant["accuracy"] + 0.15
    assert run.task.pooling == pooling


def test_the_mean_of_a_sentence_embedding_model_learns_the_sample(minilm):
    data = glue_data("sst-2", sample=True)
    settings = Settings(rate=1e-2, epochs=20, batch_size=32)
    run = train_task(minilm, data, METHODS["head"], settings, max_length=48, pooling="mean")
    guess = constant_score(data.task, data.train, data.dev)["accuracy"]
    assert run.task.results["accuracy"] > guess + 0.15


@UNPOOLED
@pytest.mark.parametrize("method", [ADAPTERS, METHODS["head"]], ids=str)
def test_any_number_of_threads_gives_the_same_bits(tiny, tmp_path, pooling, method):
    runs = [
        train(tiny, tmp_path / str(threads), pooling=pooling, method=method, threads=threads)
        for threads in (1, 2, 5)
    ]
    kept = [contents(tmp_path / str(threads)) for threads in (1, 2, 5)]
    assert kept[0] == kept[1] == kept[2]
    assert equal(runs[0].task, runs[2].task)


@UNPOOLED
def test_a_run_without_the_pooler_neither_trains_nor_keeps_it(tiny, pooling):
    run = train(tiny, method=METHODS["full"], pooling=pooling)
    trained = {path for path, _ in leaves(run.task.trained)}
    assert not any("pooler" in path for path in trained)
    assert "base.layers.1.feed_forward.norm.bias" in trained


# ------------------------------------------------------------------------------- kept, resumed


@EVERY_POOLING
def test_a_task_file_keeps_the_pooling(tiny, tmp_path, pooling):
    run = train(tiny, tmp_path, pooling=pooling)
    task = load_task(tmp_path / "task.safetensors")
    assert equal(task, run.task)
    assert task.pooling == on_base(task, tiny).pooling == pooling
    assert json.loads((tmp_path / "report.json").read_text())["pooling"] == pooling
    texts = [example.text for example in examples(9, 7)]
    other = replace(task, pooling="mean" if pooling != "mean" else "cls")
    mine, others = predict_texts(task, tiny, texts), predict_texts(other, tiny, texts)
    assert np.abs(mine - others).max() > 1e-3


def test_a_task_file_with_an_unknown_pooling_is_refused(tiny, tmp_path):
    path = tmp_path / "task.safetensors"
    save_task(path, replace(train(tiny).task, pooling="max"))
    with pytest.raises(InputError, match="has the unknown pooling 'max'"):
        load_task(path)


@UNPOOLED
def test_a_stopped_run_resumes_to_the_same_bits(tiny, tmp_path, pooling):
    whole = train(tiny, tmp_path / "whole", pooling=pooling)
    with pytest.raises(Interrupted):
        train(tiny, tmp_path / "part", pooling=pooling, on_report=stop_at(4, ctrl_c))
    resumed = train(tiny, tmp_path / "part", pooling=pooling, resume=True)
    assert equal(resumed.task, whole.task)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


@pytest.mark.parametrize("first, then", [("mean", None), (None, "mean"), ("mean", "cls")])
def test_a_run_is_not_resumed_with_another_pooling(tiny, tmp_path, first, then):
    with pytest.raises(Interrupted):
        train(tiny, tmp_path, pooling=first, on_report=stop_at(4, ctrl_c))
    with pytest.raises(InputError, match="was made with pooling"):
        train(tiny, tmp_path, pooling=then, resume=True)


def test_a_checkpoint_from_before_there_was_a_choice_is_the_poolers(tiny, tmp_path):
    """It resumes with the default (test_earlier_files.py), and with nothing else."""
    earlier = GOLDENS.parent / "format_1" / "checkpoint.safetensors"
    assert "pooling" not in read_safetensors(earlier)[1]["run"]
    (tmp_path / earlier.name).write_bytes(earlier.read_bytes())
    with pytest.raises(InputError, match="was made with pooling 'pooler', not 'mean'"):
        train(tiny, tmp_path, pooling="mean", resume=True)


# ------------------------------------------------------------------------------- what is said


def test_the_table_counts_what_the_model_has(tiny, poolerless):
    d = tiny.config.hidden_size
    pooler_size = d * d + d
    for pooling in POOLINGS:
        rows = dict((g, (t, f)) for g, t, f in parameter_table(*_tree(tiny, pooling, "full")))
        assert rows.get("pooler") == ((pooler_size, 0) if pooling == "pooler" else None)
    said = trained_table(model_of(tiny, "pooler"))
    assert "pooler" in said
    assert "task head, on" not in said
    said = trained_table(model_of(tiny, "mean"))
    assert "task head, on the mean of all tokens' last states" in said
    assert "pooler" not in said
    assert "task head, on the last state of [CLS]" in trained_table(model_of(poolerless, None))


def _tree(base: Base, pooling: str | None, name: str) -> tuple:
    model = model_of(base, pooling, METHODS[name])
    return model.tree, model.method


def test_the_methods_rows_agree_with_the_trees_on_a_base_without_pooler(poolerless):
    rows = {
        str(method): (method, number)
        for method, _, number in method_rows(
            poolerless.config, method_named("adapters", 4), pooler=False
        )
    }
    for method, number in rows.values():
        model = model_of(poolerless, None, method)
        assert number == sum(leaf.size for _, leaf in leaves(split(model.tree, method)[0])), method
    assert not any("pooler" in what for _, what, _ in method_rows(poolerless.config, pooler=False))


class TestABaseWithoutPooler:
    """Every masked-language model's checkpoint."""

    def test_is_read_at_its_cls_unless_the_mean_is_asked_for(self, poolerless):
        assert model_of(poolerless, None).pooling == "cls"
        assert model_of(poolerless, "mean").pooling == "mean"

    def test_has_no_pooler_to_choose(self, poolerless):
        with pytest.raises(InputError, match=r"masked: has no pooler; choose pooling"):
            model_of(poolerless, "pooler")

    def test_is_otherwise_the_paper_s(self, tiny):
        assert model_of(tiny, None).pooling == "pooler"

    def test_trains_and_is_used_from_the_command_line(self, folder, tmp_path):
        words = (*_data(), "--base", folder, "--max-length", MAX_LENGTH, "--epochs", 1)
        said = works("train", *words, "--out", tmp_path).out
        assert "pooling   cls: the last state of [CLS]" in said
        assert "task head, on the last state of [CLS]" in said
        task = tmp_path / "task.safetensors"
        assert "head reads    the last state of [CLS]" in works("info", task).out
        assert len(works("predict", task, "--base", folder, "one", "two").out.splitlines()) == 2
        works("evaluate", task, "--base", folder, "--sample")

    def test_is_described(self, folder):
        said = works("info", folder).out
        assert "task head, on the last state of [CLS]" in said
        assert "the top layer, the pooler" not in said

    def test_refuses_the_pooler_in_one_line(self, folder, tmp_path):
        words = (*_data(), "--base", folder, "--max-length", MAX_LENGTH, "--epochs", 1)
        done = minibert("train", *words, "--out", tmp_path / "run", "--pooling", "pooler")
        assert done.code == 2
        assert done.err == (
            f"minibert: error: {folder}: has no pooler; choose pooling cls or mean\n"
        )
        assert not (tmp_path / "run").exists()


def test_the_command_line_takes_a_pooling(tmp_path):
    words = (*_data(), "--base", TINY, "--max-length", MAX_LENGTH, "--epochs", 1)
    said = works("train", *words, "--out", tmp_path, "--pooling", "mean").out
    assert "task head, on the mean of all tokens' last states" in said
    assert load_task(tmp_path / "task.safetensors").pooling == "mean"
    done = minibert("train", *words, "--out", tmp_path / "other", "--pooling", "max")
    assert done.code == 2
    assert done.err == "minibert: error: unknown pooling 'max'; known: pooler, mean, cls, cosine\n"


def _data() -> tuple:
    return ("--task", "sst-2", "--sample", "--train-examples", 32)
