"""tutorials/00_one_page.py computes what the library computes, in under a hundred lines of code.

Its functions are held to the library's; then it is run from the shell.
"""

import ast
import importlib.util
import io
import re
import tokenize
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import toy
from autograd import value_and_grad
from tutorial import TUTORIALS, run

from adapters.finetune import HeadOptions, prepare
from adapters.methods.method import split
from adapters.methods.table import method_named
from adapters.recipes import recipe_named
from adapters.task_model import TaskModel, forward, new_task_model
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.data.glue import glue_data
from minibert.data.tasks import Data
from minibert.parameters import cast
from minibert.tokenizer import encode_texts
from minibert.training.gradients import value_and_grads
from minibert.training.optim import Adam, adam_start, adam_step, warm_up_then_decay
from minibert.training.schedule import Settings
from minibert.tree import from_leaves, leaves, merge

PATH = TUTORIALS / "00_one_page.py"
SOURCE = PATH.read_text("utf-8")
METHOD = method_named("adapters", 64)
MAX_LENGTH = 32
LAID_OUT = {  # tokens that are no code: comments, and how the code is laid out
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """Its functions; what stands below `if __name__ == "__main__"` is not run."""
    spec = importlib.util.spec_from_file_location("one_page", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["tiny", "minilm"])
def base(request: pytest.FixtureRequest) -> Base:
    return request.getfixturevalue(request.param)


def data_for(base: Base) -> Data:
    """A few labelled texts in words that the base knows, of different lengths."""
    words = toy.toy_data(6, 2) if base.config.hidden_size == 32 else glue_data("sst-2", sample=True)
    return replace(words, train=words.train[:6], dev=words.dev[:2])


def examples_for(base: Base) -> list:
    """The texts as tokens, with their labels."""
    examples = data_for(base).train
    encoded = encode_texts(base.tokenizer, [e.text for e in examples], MAX_LENGTH)
    assert len({len(text.ids) for text in encoded}) > 1
    return [(text, example.label) for text, example in zip(encoded, examples, strict=True)]


def moved(flat: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays as training might leave them: no bias is 0, no adapter nearly the identity."""
    rng = np.random.default_rng(5)
    return {
        path: (array + rng.normal(0, 0.03, array.shape)).astype(array.dtype)
        for path, array in flat.items()
    }


def trained_model(base: Base) -> TaskModel:
    """A model of the library whose adapters, LayerNorms and head are not as they began."""
    fresh = new_task_model(base, METHOD, recipe_named("paper"), 2, seed=3, pooling="pooler")
    trained, _ = split(fresh.tree, METHOD)
    return replace(fresh, tree=merge(fresh.tree, from_leaves(moved(dict(leaves(trained))))))


class TestTheModel:
    def test_the_pages_logits_are_those_of_the_library(self, page, base):
        """float32, each text alone against all in one batch: 1e-5 is the rounding of numbers up to
        about 5 in a different order, and the 6e-7 of the fused GELU."""
        model, heads = trained_model(base), base.config.num_attention_heads
        texts = [text for text, _ in examples_for(base)]
        expected = forward(model, make_batch(texts))  # [B, 2]
        found = np.concatenate([page.logits(model.tree, text, heads) for text in texts])
        assert found.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert np.ptp(expected, axis=0).max() > 0.01  # the texts are told apart

    def test_the_pages_gradients_are_the_librarys_for_every_trained_parameter(self, page, base):
        """float64, without dropout. Rounding is 1e-16 of the numbers at hand, so 1e-10 of a
        gradient's largest element leaves room for cancellation, and for no mistake."""
        base = replace(base, params=cast(base.params, np.float64))
        how = {"max_length": MAX_LENGTH, "head": HeadOptions("pooler")}
        training = prepare(base, data_for(base), METHOD, Settings(), **how)
        problem, (_, frozen) = training.problem(), split(training.model.tree, METHOD)
        flat = moved({path: leaf.astype(np.float64) for path, leaf in problem.leaves.items()})
        numbers = np.arange(6)
        value, expected = value_and_grads(lambda p: problem.loss(p, numbers, None), flat)
        heads = base.config.num_attention_heads
        own, found = value_and_grad(page.loss)(flat, frozen, examples_for(base), heads)
        assert own == pytest.approx(value, rel=1e-12)
        assert found.keys() == expected.keys()
        for path, gradient in expected.items():
            largest = np.abs(gradient).max()
            assert largest > 0, path
            np.testing.assert_allclose(
                found[path], gradient, rtol=0, atol=1e-10 * largest, err_msg=path
            )

    def test_float32_stays_float32_in_the_gradients(self, page, tiny):
        model, heads = trained_model(tiny), tiny.config.num_attention_heads
        trained, frozen = split(model.tree, METHOD)
        given = dict(leaves(trained)), frozen, examples_for(tiny), heads
        value, grads = value_and_grad(page.loss)(*given)
        assert {value.dtype, *(g.dtype for g in grads.values())} == {np.dtype(np.float32)}


class TestWhatIsTrained:
    def test_the_page_trains_what_the_papers_method_trains(self, page, base):
        tree = page.new_tree(np.random.default_rng(0), base.params, 64, 2)
        library = new_task_model(base, METHOD, recipe_named("paper"), 2, 0, "pooler").tree
        own, expected = (
            {path: (leaf.shape, leaf.dtype) for path, leaf in leaves(t) if chosen(path)}
            for t, chosen in ((tree, page.is_trained), (library, METHOD.trains))
        )
        assert own == expected

    @pytest.mark.parametrize("leaf", ["norm.weight", "norm.bias", "transform.weight", "bias"])
    def test_a_masked_token_head_is_not_trained(self, page, leaf):
        """bert-base-uncased brings one, with a LayerNorm that no task runs through."""
        path = f"base.masked_tokens.{leaf}"
        assert page.is_trained(path) is METHOD.trains(path) is False

    def test_a_fresh_tree_has_the_bases_own_arrays_and_small_projections(self, page, tiny):
        """Section 3.6: std 1e-2, truncated at two std. What truncation leaves is 0.88 of it; 8,192
        numbers know that to 1 %, and 5 % are allowed."""
        tree = page.new_tree(np.random.default_rng(0), tiny.params, 64, 3)
        assert tree["base"] is tiny.params
        fresh = dict(leaves({"adapters": tree["adapters"], "head": tree["head"]}))
        biases = [leaf for path, leaf in fresh.items() if path.endswith("bias")]
        assert not any(leaf.any() for leaf in biases)
        adapters = [a.ravel() for path, a in fresh.items() if path.endswith("weight")][:-1]
        for weights in adapters:
            assert np.abs(weights).max() <= 0.02 + 1e-9
        assert np.concatenate(adapters).std() == pytest.approx(0.0088, rel=0.05)
        assert np.abs(fresh["head.weight"]).max() <= 0.04 + 1e-9
        assert fresh["head.weight"].std() == pytest.approx(0.0176, rel=0.2)  # of 96 numbers


class TestTraining:
    def test_the_pages_adam_is_that_of_the_library(self, page):
        """The same formula, up to the order of the factors: float64's rounding."""
        rng = np.random.default_rng(1)
        p = {"p": rng.normal(size=(3, 4))}
        state, own, m, v = adam_start(p), p["p"], 0.0, 0.0
        for t in range(1, 6):
            g = rng.normal(size=(3, 4))
            own, m, v = page.adam(own, g, m, v, t, rate=0.01)
            p, state = adam_step(p, {"p": g}, state, 0.01, Adam())
            np.testing.assert_allclose(own, p["p"], rtol=0, atol=1e-15)

    @pytest.mark.parametrize("steps", [10, 160])
    def test_the_pages_learning_rate_is_the_librarys_where_a_tenth_is_whole(self, page, steps):
        """Of 15 steps the library warms up for 2, the page for 1.5."""
        own = [page.learning_rate(t, steps, 1e-3) for t in range(1, steps + 1)]
        library = [1e-3 * warm_up_then_decay(s, steps, steps // 10) for s in range(steps)]
        np.testing.assert_allclose(own, library, rtol=1e-12)

    def test_the_page_trains_all_that_is_to_be_trained_and_learns_a_task(self, page, tiny, capsys):
        """Two words decide; guessing gives 50 % of the 24 texts, with a standard error of 10."""
        data, heads = toy.toy_data(48, 24), tiny.config.num_attention_heads
        train, dev = (
            encode_texts(tiny.tokenizer, [e.text for e in part], toy.MAX_LENGTH)
            for part in (data.train, data.dev)
        )
        examples = [(text, e.label) for text, e in zip(train, data.train, strict=True)]
        tree = page.new_tree(np.random.default_rng(0), tiny.params, m=4, C=2)
        before = {path: leaf.copy() for path, leaf in leaves(tree)}
        trained = page.train(np.random.default_rng(1), tree, examples, heads, epochs=10, peak=2e-2)
        assert "step 60 of 60: loss" in capsys.readouterr().out
        assert trained.keys() == {path for path in before if page.is_trained(path)}
        for path, leaf in leaves(tree):
            np.testing.assert_array_equal(leaf, before[path], err_msg=path)  # nothing in place
        for path, leaf in trained.items():
            assert leaf.dtype == np.float32
            assert (leaf != before[path]).any(), path
        learned = merge(tree, from_leaves(trained))
        right = [
            page.logits(learned, text, heads).argmax() == e.label
            for text, e in zip(dev, data.dev, strict=True)
        ]
        assert np.mean(right) > 0.75

    def test_what_is_saved_and_loaded_gives_the_same_bits(self, page, base, tmp_path):
        model, heads = trained_model(base), base.config.num_attention_heads
        trained, _ = split(model.tree, METHOD)
        np.savez(tmp_path / "task.npz", **dict(leaves(trained)))
        loaded = page.load(tmp_path / "task.npz", base.params)
        for text, _ in examples_for(base):
            expected = page.logits(model.tree, text, heads)
            np.testing.assert_array_equal(page.logits(loaded, text, heads), expected)


def lines_of_code(source: str) -> set[int]:
    """The numbers of the lines that have code: no blank line, comment or docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAID_OUT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, docstring.end_lineno + 1))
    return lines


class TestThePage:
    def test_the_page_has_under_a_hundred_lines_of_code(self):
        counted = '"""Not\ncode."""\n\n# nor this\nx = [  # but this\n\n    1,\n]\n'
        assert lines_of_code(counted) == {5, 7, 8}
        assert len(lines_of_code(SOURCE)) < 100

    def test_the_page_stands_on_numpy_autograd_ops_tree_and_load_base_alone(self):
        found = {
            (node.module, alias.name)
            for node in ast.walk(ast.parse(SOURCE))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        public = ("encode_texts", "fetch_model", "glue_data", "load_base", "ops")
        tree = ("from_leaves", "leaves", "merge", "partition")
        assert found == {
            ("pathlib", "Path"),
            ("autograd", "value_and_grad"),
            *(("minibert", name) for name in public),
            *(("minibert.tree", name) for name in tree),
        }

    def test_the_page_is_not_golfed(self):
        """One statement a line, as the formatter lays it out."""
        assert "fmt:" not in SOURCE
        statements = [n.lineno for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.stmt)]
        assert len(statements) == len(set(statements))


class TestRunning:
    """`python tutorials/00_one_page.py`, on the default weights."""

    def test_the_page_trains_saves_loads_and_predicts(self, minilm, tmp_path):
        """On the sample. Seed 0 gave 93.3 %; asked for is a lead of 30 points over the majority.
        (At twice the rate this seed collapsed to one class.)"""
        folder = tmp_path / "files"
        printed = run(PATH, tmp_path, MINIBERT_TUTORIAL_OUT=str(folder))
        assert "step 160 of 160: loss" in printed
        said = re.search(r"^dev accuracy (\S+)%, majority class (\S+)%$", printed, re.MULTILINE)
        accuracy, majority = map(float, said.groups())
        assert majority == 50.0
        assert accuracy >= majority + 30
        assert len(re.findall(r"^(negative|positive): \w.*\.$", printed, re.MULTILINE)) == 3
        with np.load(folder / "00_one_page.npz") as file:
            assert sum(array.size for array in file.values()) == 595_200 + 9_984 + 770
