"""Gradients: `ops` is the mathematics, `fused` the same made fast, and both are right.

`fused` derives each vector-Jacobian product by hand. Here both levels are held to each other, to
plain loops over whole Jacobians, and to finite differences of themselves. (Against torch's
gradients: test_06_parity.)
"""

import inspect
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import ModuleType
from typing import Any, ClassVar

import autograd.numpy as anp
import numpy as np
import plain_loops
import pytest
from autograd import grad, make_vjp, value_and_grad
from autograd.core import SparseObject, VJPNode
from autograd.tracer import trace
from cases import DTYPES, LEVELS, SEEDS
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import fused, ops
from minibert.batch import make_batch
from minibert.fused import activations as fused_activations
from minibert.fused import multi_head as fused_attention
from minibert.fused import norm as fused_norm
from minibert.heads import classify, loss
from minibert.model import ForwardPass, encode, pool
from minibert.tokenizer import Encoded
from minibert.training.gradients import value_and_grads
from minibert.tree import from_leaves, leaves

EPS = 1e-12

# Two ways to add the same terms differ by rounding: a few epsilons of the largest number that
# appears. float32 also has the 6e-7 of `fused.gelu`, times a g of up to about 4.
TOLERANCES = {np.float64: 1e-13, np.float32: 4e-6}


# ------------------------------------------------------------------------- the operations, by case

# A case is (function of a level, differentiated arguments, the other arguments). Made from a
# seeded generator, so that both levels get the same.
Case = tuple[str, list[np.ndarray], tuple]
ELEMENTWISE = ["gelu", "gelu_tanh", "relu", "tanh", "swish"]
MAT, NORM = ["linear", "lookup"], ["layer_norm", "add_layer_norm"]
LOSSES = ["cross_entropy", "squared_error"]


def make_case(
    name: str, rng: np.random.Generator, n: int, size: int, out: int, lengths: list[int]
) -> Case:
    """Arguments for the operation: N = n rows (or as many as the lengths say), `size` features."""

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape)

    if name in ELEMENTWISE:
        return name, [3 * draw(n, size)], ()
    if name == "linear":
        return name, [draw(n, size), draw(size, out), draw(out)], ()
    if name == "layer_norm":
        return name, [draw(n, size + 2), draw(size + 2), draw(size + 2)], (EPS,)
    if name == "add_layer_norm":
        width = size + 2
        return name, [draw(n, width), draw(n, width), draw(width), draw(width)], (EPS,)
    if name == "lookup":
        return name, [draw(out, size)], (rng.integers(0, out, n),)
    if name == "cross_entropy":
        return name, [3 * draw(n, out)], (rng.integers(0, out, n),)
    if name == "squared_error":
        return name, [draw(n)], (draw(n),)
    if name == "dropout":
        return name, [draw(n, size)], (rng.random((n, size)) < 0.75, 0.25)
    heads = [1, 2, 4][int(rng.integers(3))]
    asking = [1] * len(lengths) if "first rows" in name else lengths
    qkv = [draw(sum(count), 8) for count in (asking, lengths, lengths)]
    keep = rng.random(heads * sum(q * t for q, t in zip(asking, lengths, strict=True))) < 0.75
    masked = (keep, 0.25) if "dropout" in name else ()
    return "attention", qkv, (np.array(asking), np.array(lengths), heads, *masked)


ATTENTION = [  # of all rows, or of one query row for each sequence
    "attention",
    "attention with dropout",
    "attention of first rows",
    "attention of first rows with dropout",
]
NAMES = [*ELEMENTWISE, *MAT, *NORM, *LOSSES, "dropout", *ATTENTION]


def lay_out(x: np.ndarray, how: str) -> np.ndarray:
    """The same numbers, arranged differently in memory."""
    if how == "transposed":
        laid = np.asfortranarray(x)
    elif how == "every second":
        laid = np.repeat(x, 2, axis=-1)[..., ::2]
    elif how == "backwards":
        laid = x[::-1].copy()[::-1]
    else:
        laid = x
    assert laid.shape == x.shape
    return laid


def value_and_gradients(
    level: ModuleType, name: str, inputs: list[np.ndarray], rest: tuple, how: str = "plain"
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The operation's value, and the gradients of sum(g * value) for a fixed g that is not 1."""
    function = getattr(level, name)
    back, value = make_vjp(lambda xs: function(*xs, *rest))(inputs)
    g = cosines(*np.shape(value)).astype(value.dtype)
    return value, list(back(lay_out(g, how) if np.ndim(g) else g))


def gradient_alone(level: ModuleType, name: str, inputs: list, rest: tuple, i: int) -> np.ndarray:
    """The gradient of argument i when nothing else is differentiated, as the operation made it
    (gathered with others, autograd would give it the type of its argument)."""

    def function(v: Any) -> Any:
        return getattr(level, name)(*inputs[:i], v, *inputs[i + 1 :], *rest)

    back, value = make_vjp(function)(inputs[i])
    return back(cosines(*np.shape(value)).astype(value.dtype))


def cosines(*shape: int) -> np.ndarray:
    """A gradient of the output that differs from element to element."""
    return np.cos(np.arange(math.prod(shape))).reshape(shape)


def cast(arrays: Any, dtype: Any) -> Any:
    """Floats to the type; integers and booleans as they are."""
    return [
        a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype == np.float64 else a
        for a in arrays
    ]


def assert_levels_agree(case: Case, dtype: Any, how: str = "plain") -> None:
    """Value and every gradient of `ops` and `fused`: equal numbers, shapes and types."""
    name, inputs, rest = case
    inputs, rest = cast(inputs, dtype), tuple(cast(rest, dtype))
    inputs = [lay_out(x, how) for x in inputs]
    plain, plain_grads = value_and_gradients(ops, name, inputs, rest, how)
    fast, fast_grads = value_and_gradients(fused, name, inputs, rest, how)
    assert len(plain_grads) == len(fast_grads) == len(inputs)
    pairs = [("value", plain, fast)]
    for i, (mine, other) in enumerate(zip(plain_grads, fast_grads, strict=True)):
        assert mine.shape == inputs[i].shape
        for level in (ops, fused):
            kind = gradient_alone(level, name, inputs, rest, i).dtype
            assert kind == dtype, f"{level.__name__}.{name}: argument {i} of {dtype} gets {kind}"
        pairs.append((f"gradient of argument {i}", mine, other))
    for what, mine, other in pairs:
        assert mine.dtype == other.dtype == dtype, f"{name}: the {what} changed its type"
        assert mine.shape == other.shape, f"{name}: {what}"
        scale = max(1.0, float(np.abs(mine).max(initial=0)))
        np.testing.assert_allclose(
            other, mine, rtol=0, atol=TOLERANCES[dtype] * scale, err_msg=f"{name}: {what}"
        )


class TestTheTwoLevelsAgree:
    """Value, gradient, shape and dtype: float32 stays float32, in the gradients as well."""

    def test_every_function_of_fused_is_held_to_its_twin_here(self):
        assert {make_case(n, np.random.default_rng(0), 2, 2, 2, [2])[0] for n in NAMES} == set(
            fused.__all__
        ) - {"keep_mask"}
        for name in ("keep_mask", *LOSSES):  # nothing to gain: the very same functions
            assert getattr(fused, name) is getattr(ops, name)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("name", NAMES)
    @settings(max_examples=20)
    @given(
        n=st.integers(1, 20),
        size=st.integers(1, 12),
        out=st.integers(1, 7),
        lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
        seed=SEEDS,
    )
    def test_ops_and_fused_agree_on_any_sizes(self, name, dtype, n, size, out, lengths, seed):
        case = make_case(name, np.random.default_rng(seed), n, size, out, lengths)
        assert_levels_agree(case, dtype)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("how", ["transposed", "every second", "backwards"])
    @pytest.mark.parametrize("name", NAMES)
    def test_ops_and_fused_agree_on_arrays_that_are_not_contiguous(self, name, how, dtype):
        case = make_case(name, np.random.default_rng(1), 9, 6, 5, [4, 1, 7])
        plain = cast(case[1], dtype)
        laid = [lay_out(x, how) for x in plain]
        if how != "transposed":
            assert not laid[0].flags.c_contiguous
        assert_levels_agree(case, dtype, how)
        value, _ = value_and_gradients(fused, case[0], laid, tuple(cast(case[2], dtype)), how)
        expected, _ = value_and_gradients(fused, case[0], plain, tuple(cast(case[2], dtype)))
        np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCES[dtype] * 10)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("name", NAMES)
    def test_ops_and_fused_agree_on_one_row_one_token_and_one_feature(self, name, dtype):
        case = make_case(name, np.random.default_rng(2), 1, 1, 1, [1])
        assert_levels_agree(case, dtype)

    @pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # autograd's cosh; 1 / inf = 0
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("name", [*ELEMENTWISE, "dropout"])
    def test_ops_and_fused_agree_on_more_elements_than_one_block_holds(self, name, dtype):
        """`fused` works in blocks of 65,536 elements, the last one shorter."""
        case = make_case(name, np.random.default_rng(3), 2, 65_537, 1, [1])
        assert case[1][0].size > 2 * fused_activations.BLOCK
        assert_levels_agree(case, dtype)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("name", [*ELEMENTWISE, "dropout"])
    @pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)], ids=str)
    def test_ops_and_fused_agree_elementwise_on_any_number_of_axes(self, name, shape, dtype):
        rng = np.random.default_rng(4)
        rest = (rng.random(shape) < 0.75, 0.25) if name == "dropout" else ()
        assert_levels_agree((name, [np.asarray(rng.standard_normal(shape))], rest), dtype)


FUSED = (fused, fused_activations, fused_attention, fused_norm)


class Step(VJPNode):
    """A step of autograd that knows its function."""

    def __init__(self, value: Any, function: Callable[..., Any], *rest: Any) -> None:
        super().__init__(value, function, *rest)
        self.function = function


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOSSES])
def test_a_fast_operation_is_one_step_to_autograd(name):
    """Its gradient is the one derived by hand: autograd does not see inside it."""
    called, inputs, rest = make_case(name, np.random.default_rng(5), 3, 4, 2, [3])
    function, start = getattr(fused, called), Step.new_root()
    _, end = trace(start, lambda x: function(x, *inputs[1:], *rest), inputs[0])
    assert end.parents == (start,)
    assert inspect.getmodule(end.function.fun) in FUSED


LENGTHS = {
    "one of 512": [512],
    "three of one token": [1, 1, 1],
    "unsorted": [3, 8, 5, 1, 8, 2, 7],
    "sorted": [1, 2, 2, 2, 5, 7, 7, 8],
    "from long to short": [9, 9, 8, 3, 3, 3, 1],
    "all equal": [6, 6, 6, 6],
    "more than one run of a length": [96] * 16 + [90] * 15,
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("dtype", DTYPES)
class TestAttentionInRuns:
    """`fused.attention` takes neighbours of equal length together, as many as a core's cache has
    room for; the results must not show it."""

    @pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
    def test_ops_and_fused_agree_on_attention_whatever_the_lengths(self, name, lengths, dtype):
        assert_levels_agree(make_case(name, np.random.default_rng(5), 1, 1, 1, lengths), dtype)

    @pytest.mark.parametrize("room", [0.1, 1.0, 1.99, 2.0, 3.5, 100.0])
    def test_a_run_of_attention_ends_where_the_cache_does_and_not_before(
        self, name, room, dtype, monkeypatch
    ):
        """`room`: for how many sequences of six tokens there is room for the scores."""
        lengths = [6, 6, 6, 6, 6, 2, 2, 2, 9, 6]
        case = make_case(name, np.random.default_rng(12), 1, 1, 1, lengths)
        limit = int(room * case[2][2] * (6 if "first rows" in name else 36))
        monkeypatch.setattr(fused_attention, "_RUN_SCORES", limit)
        assert_levels_agree(case, dtype)
        shapes = runs(case, monkeypatch)
        assert [t for g, _, _, t in shapes for _ in range(g)] == lengths
        for g, *sizes in shapes:
            assert g == 1 or g * math.prod(sizes) <= limit
        for (g, *sizes), (_, *following) in pairwise(shapes):
            assert sizes != following or (g + 1) * math.prod(sizes) > limit


def runs(case: Case, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes [G, H, Q, T] of the scores that `fused.attention` works on at once."""
    name, inputs, rest = case
    seen: list[tuple[int, ...]] = []
    real = fused_attention._exp

    def watched(scores: np.ndarray) -> np.ndarray:
        seen.append(scores.shape)
        return real(scores)

    monkeypatch.setattr(fused_attention, "_exp", watched)
    getattr(fused, name)(*inputs, *rest)
    return seen


# ------------------------------------------------------------------------- independent oracles


def assert_gradients(
    level: ModuleType, name: str, inputs: list, rest: tuple, expected: tuple
) -> None:
    """Against the loops, in both types; g as in `value_and_gradients`."""
    for dtype, tolerance in TOLERANCES.items():
        _, grads = value_and_gradients(level, name, cast(inputs, dtype), rest)
        for i, (mine, theirs) in enumerate(zip(grads, expected, strict=True)):
            scale = max(1.0, float(np.abs(theirs).max()))
            np.testing.assert_allclose(
                mine, theirs, rtol=0, atol=tolerance * scale, err_msg=f"{name}: argument {i}"
            )


@pytest.mark.parametrize("level", LEVELS)
class TestAgainstPlainLoops:
    """Each gradient as a sum over the entries of a Jacobian, in plain Python."""

    def inputs(self, name: str, lengths: list[int], seed: int = 6) -> Case:
        return make_case(name, np.random.default_rng(seed), 5, 6, 4, lengths)

    def test_the_gradients_of_linear_are_the_plain_loops(self, level):
        name, (x, weight, bias), rest = self.inputs("linear", [])
        expected = plain_loops.linear_vjp(cosines(5, 4), x, weight)
        assert_gradients(level, name, [x, weight, bias], rest, expected)

    @pytest.mark.parametrize("eps", [1e-12, 0.3])
    def test_the_gradients_of_layer_norm_are_the_plain_loops(self, level, eps):
        name, (x, weight, bias), _ = self.inputs("layer_norm", [])
        expected = plain_loops.layer_norm_vjp(cosines(5, 8), x, weight, eps)
        assert_gradients(level, name, [x, weight, bias], (eps,), expected)

    def test_add_layer_norm_gives_both_summands_the_gradient_of_their_sum(self, level):
        name, (x, z, weight, bias), rest = self.inputs("add_layer_norm", [])
        dx, dweight, dbias = plain_loops.layer_norm_vjp(cosines(5, 8), x + z, weight, EPS)
        assert_gradients(level, name, [x, z, weight, bias], rest, (dx, dx, dweight, dbias))

    @pytest.mark.parametrize("lengths", [[1], [6], [3, 5, 1, 4]], ids=str)
    @pytest.mark.parametrize("name", ATTENTION)
    def test_the_gradients_of_attention_are_the_plain_loops(self, level, name, lengths):
        name, qkv, rest = self.inputs(name, lengths)
        expected = plain_loops.attention_vjp(cosines(*qkv[0].shape), *qkv, *rest)
        assert_gradients(level, name, qkv, rest, expected)

    def test_cross_entropy_is_minus_the_mean_log_probability_of_the_labels(self, level):
        """Its gradient is (softmax - one hot) / B."""
        logits, labels = 3 * cosines(4, 3), np.array([0, 2, 1, 1])
        expected, dlogits = 0.0, np.zeros((4, 3))
        for b in range(4):
            p = plain_loops.softmax(logits[b].tolist())
            expected -= math.log(p[labels[b]]) / 4
            for c in range(3):
                dlogits[b, c] = (p[c] - (c == labels[b])) / 4
        np.testing.assert_allclose(level.cross_entropy(logits, labels), expected, rtol=1e-14)
        assert_gradients(level, "cross_entropy", [logits], (labels,), (dlogits,))

    def test_cross_entropy_survives_huge_logits(self, level):
        logits = np.array([[1e30, 0.0], [-1e30, 0.0]], np.float32)
        with np.errstate(over="raise", invalid="raise"):
            value = level.cross_entropy(logits, np.array([0, 1]))
            gradient = grad(level.cross_entropy)(logits, np.array([0, 1]))
        assert value == 0
        assert not gradient.any()

    def test_squared_error_is_the_mean_square(self, level):
        predicted, target = np.array([1.0, 3.0, -2.0]), np.array([0.0, 5.0, -2.5])
        assert level.squared_error(predicted, target) == (1 + 4 + 0.25) / 3
        expected = np.array([2.0, -4.0, 1.0]) / 3
        assert_gradients(level, "squared_error", [predicted], (target,), (expected,))

    def test_relu_has_gradient_0_at_0(self, level):
        """As in torch: at the corner any number from 0 to 1 would do, and 0 is the convention."""
        x = np.array([-1.0, -0.0, 0.0, 1e-300, 2.0])
        np.testing.assert_array_equal(grad(lambda v: anp.sum(level.relu(v)))(x), [0, 0, 0, 1, 1])


@pytest.mark.parametrize("level", LEVELS)
class TestAgainstFiniteDifferences:
    """(f(x + h) - f(x - h)) / 2h in float64.

    The error of a central difference is h^2/6 times the third derivative plus the rounding of f,
    about 2e-16 |f| / h. With h = 1e-5, third derivatives of f along one coordinate below 30 and
    |f| below 50 that is at most 5e-10 + 1e-9.
    """

    H, BOUND = 1e-5, 2e-9

    @pytest.mark.parametrize("name", NAMES)
    def test_every_coordinate_of_every_gradient_is_its_finite_difference(self, level, name):
        operation, inputs, rest = make_case(
            name, np.random.default_rng(7), n=3, size=4, out=3, lengths=[3, 1, 2]
        )
        function = getattr(level, operation)
        g = cosines(*np.shape(function(*inputs, *rest)))
        _, grads = value_and_gradients(level, operation, inputs, rest)
        for i, x in enumerate(inputs):
            for place in np.ndindex(x.shape):
                sides = []
                for step in (self.H, -self.H):
                    moved = x.copy()
                    moved[place] += step
                    changed = [*inputs[:i], moved, *inputs[i + 1 :]]
                    sides.append(float(np.sum(g * function(*changed, *rest))))
                slope = (sides[0] - sides[1]) / (2 * self.H)
                assert abs(grads[i][place] - slope) < self.BOUND, f"argument {i} at {place}"


# ------------------------------------------------------------------------- several paths


@pytest.mark.parametrize("level", LEVELS)
class TestPaths:
    """A number that is used twice influences the loss in two ways, and the gradient is their sum.

    A backward pass that overwrote instead of adding, or passed a gradient on before all of it had
    arrived, would get these wrong."""

    def test_the_gradient_of_a_number_used_twice_is_the_sum_over_both_paths(self, level):
        """d(x tanh x)/dx = tanh x + x (1 - tanh^2 x): neither term alone."""
        x = np.array([0.7, -1.3])
        gradient = grad(lambda v: anp.sum(v * level.tanh(v)))(x)
        through_left = [math.tanh(v) for v in x]
        through_tanh = [v * (1 - math.tanh(v) ** 2) for v in x]
        both = np.add(through_left, through_tanh)
        np.testing.assert_allclose(gradient, both, rtol=1e-14)
        for one in (through_left, through_tanh):
            assert np.abs(gradient - one).max() > 0.4

    def test_the_gradient_of_a_skip_connection_is_the_sum_over_both_paths(self, level):
        """LayerNorm(x + W x): along the skip, and through the sublayer."""
        rng = np.random.default_rng(8)
        x, w, gain, shift = (rng.standard_normal(s) for s in ((4, 6), (6, 6), 6, 6))
        g = cosines(4, 6)

        def value(skip: Any, inner: Any) -> Any:
            z = level.linear(inner, w, np.zeros(6))
            return anp.sum(g * level.add_layer_norm(skip, z, gain, shift, EPS))

        total, _, _ = plain_loops.layer_norm_vjp(g, x + x @ w, gain, EPS)
        through_sublayer, _, _ = plain_loops.linear_vjp(total, x, w)
        gradient = grad(lambda v: value(v, v))(x)
        np.testing.assert_allclose(gradient, total + through_sublayer, rtol=0, atol=1e-13)
        for one in (total, through_sublayer):
            assert np.abs(gradient - one).max() > 0.1

    def test_the_gradient_of_self_attention_is_the_sum_over_query_key_and_value(self, level):
        x = np.random.default_rng(9).standard_normal((5, 4))
        g = cosines(5, 4)
        gradient = grad(lambda v: anp.sum(g * level.attention(v, v, v, [2, 3], [2, 3], 2)))(x)
        parts = plain_loops.attention_vjp(g, x, x, x, [2, 3], [2, 3], 2)
        np.testing.assert_allclose(gradient, parts[0] + parts[1] + parts[2], rtol=0, atol=1e-13)

    def test_a_node_waits_for_all_of_its_gradient_before_it_passes_it_on(self, level):
        """a -> b -> d and a -> b -> c -> d: b's gradient is whole only when c's part is in. With
        b = tanh a, c = tanh b, d = b c: dd/da = (c + b (1 - c^2)) (1 - b^2)."""
        a = 0.9

        def d(v: Any) -> Any:
            b = level.tanh(v)
            return anp.sum(b * level.tanh(b))

        b, c = math.tanh(a), math.tanh(math.tanh(a))
        expected = (c + b * (1 - c * c)) * (1 - b * b)
        np.testing.assert_allclose(grad(d)(np.array([a])), [expected], rtol=1e-14)


# ------------------------------------------------------------------------- a dict of leaves


class TestOfADict:
    """`value_and_grads`: a loss's gradients for every array of a dict, in one backward pass."""

    LEAVES: ClassVar = {
        "a": cosines(3, 4),
        "b": cosines(4, 2) + 0.5,
        "c": np.array([0.3, -1.2]),
        "unused": np.ones((2, 5)),
    }

    @staticmethod
    def loss(params: dict[str, Any]) -> Any:
        """Leaves that are used once, and twice, at the first and at the last."""
        product = fused.linear(params["a"], params["b"], params["c"])
        return anp.sum(fused.gelu(product) * product) + anp.sum(params["c"] ** 2) * 0.25

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_the_gradients_of_a_dict_are_autograds_own(self, dtype):
        given = {path: leaf.astype(dtype) for path, leaf in self.LEAVES.items()}
        value, grads = value_and_grads(self.loss, given)
        expected_value, expected = value_and_grad(self.loss)(given)
        assert value == expected_value
        assert isinstance(value, float)
        assert grads.keys() == given.keys()
        for path, gradient in grads.items():
            np.testing.assert_allclose(gradient, expected[path], rtol=TOLERANCES[dtype], atol=0)
            assert (gradient.dtype, gradient.shape) == (dtype, given[path].shape), path

    def test_the_gradients_of_what_the_loss_does_not_use_are_zero(self):
        _, grads = value_and_grads(self.loss, self.LEAVES)
        np.testing.assert_array_equal(grads["unused"], np.zeros((2, 5)))
        value, grads = value_and_grads(lambda params: 2.5, self.LEAVES)
        assert value == 2.5
        for path, leaf in self.LEAVES.items():
            np.testing.assert_array_equal(grads[path], np.zeros(leaf.shape), err_msg=path)

    def test_the_gradient_of_a_leaf_that_is_the_loss_itself_is_1(self):
        value, grads = value_and_grads(lambda params: params["x"], {"x": np.array(7.0)})
        assert (value, grads["x"]) == (7.0, 1.0)

    def test_the_gradient_of_a_leaf_used_a_hundred_times_is_the_sum(self):
        """d/dx sum_k k x = 5050, whichever way the hundred parts come together."""

        def loss(params: dict[str, Any]) -> Any:
            total = params["x"]
            for k in range(2, 101):
                total = total + k * params["x"]
            return anp.sum(total)

        _, grads = value_and_grads(loss, {"x": np.zeros(3)})
        np.testing.assert_array_equal(grads["x"], [5050.0] * 3)

    @pytest.mark.parametrize("more_for", ["x", "z"])
    @pytest.mark.parametrize("first", [False, True], ids=["added last", "added first"])
    def test_the_gradients_of_a_dict_change_neither_its_leaves_nor_each_other(
        self, more_for, first
    ):
        """One gradient array goes to two leaves here, and then more is added for one of them."""
        given = {"x": cosines(4, 6), "z": cosines(4, 6)[::-1].copy()}
        before = {path: leaf.copy() for path, leaf in given.items()}
        gain, shift, g = cosines(6), np.ones(6), cosines(4, 6) ** 3

        def loss(params: dict[str, Any]) -> Any:
            normal = fused.add_layer_norm(params["x"], params["z"], gain, shift, EPS)
            parts = [anp.sum(g * normal), anp.sum(3.0 * params[more_for])]
            return parts[first] + parts[not first]

        _, grads = value_and_grads(loss, given)
        dx, _, _ = plain_loops.layer_norm_vjp(g, given["x"] + given["z"], gain, EPS)
        for path, gradient in grads.items():
            more = 3.0 if path == more_for else 0.0
            np.testing.assert_allclose(gradient, dx + more, rtol=0, atol=1e-13, err_msg=path)
            np.testing.assert_array_equal(given[path], before[path])


# ------------------------------------------------------------------------- what is frozen


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most memory that the call held at once beyond what was there before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestFrozen:
    """What is not differentiated gets no gradient, and costs none."""

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("name", ["linear", *NORM, *ATTENTION])
    def test_an_argument_differentiated_alone_gets_the_gradient_that_it_gets_with_the_others(
        self, level, name
    ):
        operation, inputs, rest = make_case(
            name, np.random.default_rng(10), n=4, size=5, out=3, lengths=[3, 4]
        )
        _, together = value_and_gradients(level, operation, inputs, rest)
        for i in range(len(inputs)):
            gradient = gradient_alone(level, operation, inputs, rest, i)
            np.testing.assert_allclose(gradient, together[i], rtol=0, atol=1e-14)

    def test_a_frozen_linear_map_never_forms_its_weights_gradient(self):
        """Frozen weights of 1,000 x 1,000 floats: their gradient would be 4 MB, dx is 16 KB."""
        x, weight = np.ones((4, 1000), np.float32), np.ones((1000, 1000), np.float32)
        bias, g = np.zeros(1000, np.float32), np.ones((4, 1000), np.float32)
        thawed, _ = make_vjp(lambda w: fused.linear(x, w, bias))(weight)
        frozen, _ = make_vjp(lambda v: fused.linear(v, weight, bias))(x)
        assert peak_bytes(lambda: thawed(g)) >= 4_000_000
        assert peak_bytes(lambda: frozen(g)) < 100_000

    def test_attention_without_a_gradient_keeps_no_probabilities(self):
        """16 sequences of 256 tokens with 4 heads have 16.8 MB of them; a run has 1 MB."""
        lengths = [256] * 16
        x = np.random.default_rng(0).standard_normal((4096, 16)).astype(np.float32)
        attend = lambda v: fused.attention(v, v, v, lengths, lengths, 4)  # noqa: E731
        assert peak_bytes(lambda: make_vjp(attend)(x)) > 16_000_000
        assert peak_bytes(lambda: attend(x)) < 6_000_000

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("name", NAMES)
    def test_an_operation_writes_into_neither_its_arguments_nor_a_gradient(self, level, name):
        """Weights are views of a file; a gradient may be shared by two inputs."""
        operation, inputs, rest = make_case(name, np.random.default_rng(11), 4, 5, 3, [3, 1])
        for array in [*inputs, *rest]:
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        function = getattr(level, operation)
        back, value = make_vjp(lambda xs: function(*xs, *rest))(inputs)
        g = cosines(*np.shape(value))
        g.flags.writeable = False
        before = np.array(value)
        first = [np.array(x) for x in back(g)]
        np.testing.assert_array_equal(value, before)
        for mine, again in zip(first, back(g), strict=True):  # backward twice: the same
            np.testing.assert_array_equal(mine, again)


# ------------------------------------------------------------------------- dropout


class EveryDraw:
    """A generator that draws every two-byte number once, four in each of its integers."""

    def integers(self, low: int, high: int, size: int, dtype: type) -> np.ndarray:
        assert (low, high, size, dtype) == (0, 2**64, 65536 // 4, np.uint64)
        return np.arange(65536, dtype=np.uint16).view(np.uint64)


RATES = [0.0, 1 / 65536, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1 - 1 / 65536]


@pytest.mark.parametrize("level", LEVELS)
class TestDropout:
    """Srivastava et al. 2014, section 4; scaled up in training, so that prediction has
    nothing to undo."""

    @pytest.mark.parametrize("rate", RATES)
    def test_dropout_meets_its_rate_to_one_in_65536_and_scales_up_exactly(self, level, rate):
        keep = level.keep_mask(EveryDraw(), 65536, rate)
        assert keep.dtype == bool
        dropped = 65536 - int(keep.sum())
        assert abs(dropped - rate * 65536) <= 0.5
        y = level.dropout(np.ones(65536), keep, rate)
        assert not y[~keep].any()
        # the mean over all draws is x itself; rounding: 65,536 equal terms
        np.testing.assert_allclose(y.sum() / 65536, 1.0, rtol=1e-12)

    @pytest.mark.parametrize("rate", [0.1, 0.5])
    def test_dropout_drops_each_number_at_its_rate_and_independently_of_the_next(self, level, rate):
        keep = level.keep_mask(np.random.default_rng(0), 400_000, rate).reshape(4, -1)
        sigma = math.sqrt(rate * (1 - rate) / 100_000)
        np.testing.assert_allclose(keep.mean(axis=1), 1 - rate, rtol=0, atol=5 * sigma)
        # neighbours are dropped independently of each other
        both = (~keep[:, 1:] & ~keep[:, :-1]).mean()
        assert abs(both - rate * rate) < 5 * math.sqrt(rate * rate / 400_000)

    def test_a_dropout_mask_comes_from_the_generator_alone(self, level):
        masks = [level.keep_mask(np.random.default_rng(seed), 99, 0.5) for seed in (3, 3, 4)]
        np.testing.assert_array_equal(masks[0], masks[1])
        assert (masks[0] != masks[2]).any()
        rng = np.random.default_rng(3)
        level.keep_mask(rng, 99, 0.5)
        assert (level.keep_mask(rng, 99, 0.5) != masks[0]).any()  # and it moves on

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_the_gradient_of_dropout_goes_where_the_value_went_with_the_same_factor(
        self, level, dtype
    ):
        x, keep = cosines(4, 5).astype(dtype), np.arange(20).reshape(4, 5) % 3 > 0
        factor = np.where(keep, 1 / 0.75, 0.0)
        value, [gradient] = value_and_gradients(level, "dropout", [x], (keep, 0.25))
        np.testing.assert_allclose(value, x * factor, rtol=2e-7, atol=0)
        np.testing.assert_allclose(gradient, cosines(4, 5) * factor, rtol=2e-7, atol=0)
        assert value.dtype == gradient.dtype == dtype


# ------------------------------------------------------------------------- float32 everywhere


@pytest.fixture
def types_seen(monkeypatch) -> dict[str, set]:
    """The types of all values and of all gradients that autograd handles from now on: one value at
    each node of its graph, one gradient along each edge."""
    seen: dict[str, set] = {"values": set(), "gradients": set()}
    begin = VJPNode.__init__

    def watch(node: VJPNode, value: Any, *rest: Any) -> None:
        begin(node, value, *rest)
        seen["values"] |= types_in(value)
        backward = node.vjp

        def vjp(g: Any) -> list:
            parts = list(backward(g))
            for part in parts:
                seen["gradients"] |= types_in(part)
            return parts

        node.vjp = vjp

    monkeypatch.setattr(VJPNode, "__init__", watch)
    return seen


def types_in(tree: Any) -> set:
    """The types of the arrays in a structure; a sparse gradient counts as the zeros it adds to."""
    if isinstance(tree, SparseObject):
        return types_in(tree.vs.zeros())
    if isinstance(tree, dict):
        return {kind for value in tree.values() for kind in types_in(value)}
    if isinstance(tree, list | tuple):
        return {kind for value in tree for kind in types_in(value)}
    return {tree.dtype}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("regression", [False, True], ids=["classes", "score"])
def test_nothing_changes_its_type_anywhere_in_a_whole_training_step(
    tiny, types_seen, level, dtype, activation, regression
):
    """All weights trained, dropout on: not one value or gradient is float64 when the weights
    are float32. NumPy widens readily: x / np.sqrt(8) does, and so does a mean's gradient."""
    config = replace(tiny.config, hidden_act=activation)
    rng = np.random.default_rng(0)
    batch = make_batch([Encoded(rng.integers(0, 199, n), np.zeros(n, int)) for n in (5, 2, 9)])
    labels = np.array([0.5, 1, 2], np.float32).astype(dtype) if regression else np.array([0, 2, 1])
    outputs = 1 if regression else 3
    params = {path: leaf.astype(dtype) for path, leaf in leaves(tiny.params)}
    params["head.weight"] = rng.standard_normal((32, outputs)).astype(dtype)
    params["head.bias"] = np.zeros(outputs, dtype)

    def step(flat: Any) -> Any:
        tree = from_leaves({path: flat[path] for path in params})
        states = encode(tree, batch, config, rng=np.random.default_rng(1), ops=level)
        pooled = pool(tree, states[-1], batch, level)
        run = ForwardPass(config, batch.lengths, rng=np.random.default_rng(2), ops=level)
        logits = classify(tree["head"], pooled, run)
        return loss(logits, labels, regression, level)

    value, grads = value_and_grad(step)(params)
    assert types_seen == {"values": {np.dtype(dtype)}, "gradients": {np.dtype(dtype)}}
    assert types_in(value) | types_in(grads) == {np.dtype(dtype)}
    for path, gradient in grads.items():  # the whole model was differentiated
        assert np.abs(gradient).max() > 1e-6 or path.endswith("key.bias"), path
