"""One encoder layer: attention, then feed-forward, each with dropout, adapter, skip, LayerNorm.

    x = LayerNorm(x + adapt(dropout(attention(x))))
    x = LayerNorm(x + adapt(dropout(feed_forward(x))))

Vaswani et al. 2017, section 3.1; Devlin et al. 2018, section 3; where `adapt` sits: Houlsby et al.
2019, arXiv 1902.00751, section 2.1 and figure 2.
"""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import plain_loops
import pytest
from autograd import elementwise_grad
from cases import LEVELS, SEEDS, precisions
from conftest import GOLDENS
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import fused, ops
from minibert.batch import Batch, make_batch
from minibert.config import BertConfig
from minibert.model import PLACES, ForwardPass, encode, encoder_layer, feed_forward
from minibert.parameters import cast, random_params
from minibert.tokenizer import Encoded

# Two sublayers' rounding, values of about 1 to 10.
PRECISIONS = precisions(1e-12, 1e-5)
EPS = 1e-12


@pytest.fixture(scope="module")
def activations() -> dict[str, np.ndarray]:
    """What torch computes, in float64, at 416 points."""
    with np.load(GOLDENS / "activations.npz") as file:
        return dict(file)


@pytest.mark.parametrize("level", LEVELS)
class TestLayerNorm:
    """Ba et al. 2016, arXiv 1607.06450."""

    @pytest.mark.parametrize("dtype, tolerance", precisions(1e-13, 3e-6))
    @pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.5])
    def test_layer_norm_is_the_plain_loop(self, level, dtype, tolerance, eps):
        rng = np.random.default_rng(0)
        x, weight, bias = (rng.standard_normal(s).astype(dtype) for s in ((7, 48), 48, 48))
        y = level.layer_norm(x, weight, bias, eps)
        assert y.dtype == dtype
        expected = plain_loops.layer_norm(x, weight, bias, eps)
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)

    @settings(max_examples=30)
    @given(seed=SEEDS, size=st.integers(2, 40))
    def test_layer_norm_gives_every_row_mean_0_and_variance_1(self, level, seed, size):
        """The biased variance, divided by D: with D - 1 a row of two would get 1/2."""
        x = np.random.default_rng(seed).standard_normal((5, size)) * 3 + 1
        y = level.layer_norm(x, np.ones(size), np.zeros(size), 0.0)
        np.testing.assert_allclose(y.sum(axis=1) / size, 0, rtol=0, atol=1e-11)
        np.testing.assert_allclose((y * y).sum(axis=1) / size, 1, rtol=1e-10)

    def test_layer_norm_turns_a_row_of_two_into_plus_and_minus_one(self, level):
        y = level.layer_norm(np.array([[3.0, 7.0]]), np.ones(2), np.zeros(2), 0.0)
        np.testing.assert_allclose(y, [[-1.0, 1.0]], rtol=1e-15)

    @settings(max_examples=30)
    @given(seed=SEEDS, shift=st.floats(-100, 100))
    def test_layer_norm_ignores_a_number_added_to_a_whole_row(self, level, seed, shift):
        rng = np.random.default_rng(seed)
        x, weight, bias = rng.standard_normal((4, 16)), rng.standard_normal(16), np.ones(16)
        y = level.layer_norm(x, weight, bias, EPS)
        moved = level.layer_norm(x + shift, weight, bias, EPS)
        # x + 100 is rounded to 1.4e-14, and divided by a deviation of not less than about 0.3
        np.testing.assert_allclose(moved, y, rtol=0, atol=1e-12)

    @settings(max_examples=30)
    @given(seed=SEEDS, scale=st.floats(0.01, 100), eps=st.sampled_from([0.0, 1e-12, 1e-5, 1.0]))
    def test_layer_norm_ignores_a_rows_scale_but_for_eps(self, level, seed, scale, eps):
        """LN(s x; s^2 eps) = LN(x; eps) exactly: eps is compared with the row's variance."""
        rng = np.random.default_rng(seed)
        x, weight, bias = rng.standard_normal((4, 16)), rng.standard_normal(16), np.ones(16)
        y = level.layer_norm(x, weight, bias, eps)
        scaled = level.layer_norm(scale * x, weight, bias, scale * scale * eps)
        np.testing.assert_allclose(scaled, y, rtol=0, atol=1e-12)

    def test_eps_keeps_the_layer_norm_of_a_constant_row_finite(self, level):
        y = level.layer_norm(np.full((1, 8), 5.0), np.ones(8), np.arange(8.0), 1e-12)
        np.testing.assert_array_equal(y, [np.arange(8.0)])

    def test_layer_norms_gain_and_bias_act_on_each_feature_after_normalising(self, level):
        rng = np.random.default_rng(1)
        x, weight, bias = (
            rng.standard_normal((6, 8)),
            rng.standard_normal(8),
            rng.standard_normal(8),
        )
        plain = level.layer_norm(x, np.ones(8), np.zeros(8), EPS)
        y = level.layer_norm(x, weight, bias, EPS)
        np.testing.assert_allclose(y, plain * weight + bias, rtol=0, atol=1e-14)

    def test_layer_norm_normalises_each_row_by_itself(self, level):
        rng = np.random.default_rng(2)
        x = rng.standard_normal((6, 8))
        y = level.layer_norm(x, np.ones(8), np.zeros(8), EPS)
        x[1:] = 1e3 * rng.standard_normal((5, 8))
        other = level.layer_norm(x, np.ones(8), np.zeros(8), EPS)
        np.testing.assert_array_equal(other[0], y[0])

    def test_add_layer_norm_adds_the_skip_connection_before_normalising(self, level):
        rng = np.random.default_rng(3)
        x, z, weight, bias = (rng.standard_normal(s) for s in ((4, 8), (4, 8), 8, 8))
        total = [[float(x[n, i]) + float(z[n, i]) for i in range(8)] for n in range(4)]
        expected = plain_loops.layer_norm(total, weight, bias, EPS)
        y = level.add_layer_norm(x, z, weight, bias, EPS)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)


TORCH_NAMES = {"swish": "silu"}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", plain_loops.ACTIVATIONS)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # autograd's cosh, then 1 / inf = 0
class TestActivations:
    # A few roundings of numbers up to 12, and of 1 - tanh^2 times up to 12 in the slopes.
    @pytest.mark.parametrize("dtype, tolerance", precisions(8e-15, 2e-6))
    def test_activations_and_their_slopes_are_torchs(
        self, activations, level, name, dtype, tolerance
    ):
        x = activations["x"].astype(dtype)
        same = (x == 0) == (activations["x"] == 0)  # 1e-300 is no float32
        function, torchs = getattr(level, name), TORCH_NAMES.get(name, name)
        y, slope = function(x), elementwise_grad(function)(x)
        for got, key in ((y, f"value/{torchs}"), (slope, f"grad/{torchs}")):
            assert got.dtype == dtype
            expected = activations[key][same]
            np.testing.assert_allclose(got[same], expected, rtol=0, atol=tolerance, err_msg=key)

    @settings(max_examples=50)
    @given(st.lists(st.floats(-30, 30), min_size=1, max_size=9))
    def test_activations_are_their_closed_forms(self, level, name, x):
        expected = plain_loops.each(plain_loops.ACTIVATIONS[name], x)
        y = getattr(level, name)(np.array(x))
        np.testing.assert_allclose(y, expected, rtol=4e-15, atol=1e-14)

    def test_activations_go_element_by_element_whatever_the_shape(self, level, name):
        x = np.random.default_rng(0).standard_normal((2, 3, 5))
        y = getattr(level, name)(x)
        assert y.shape == x.shape
        np.testing.assert_array_equal(y.ravel(), getattr(level, name)(x.ravel()))
        assert getattr(level, name)(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", plain_loops.ACTIVATIONS)
class TestFarOut:
    """Where an activation has become a straight line, and x * x may overflow."""

    def test_fast_activations_far_out_are_straight_lines_without_a_warning(self, name, dtype):
        # the slope of the tanh form has 3 * 0.036 x^3 in it, which overflows earlier
        largest = 1e12 if name == "gelu_tanh" else float(np.finfo(dtype).max) / 2
        size = np.geomspace(20, largest, 400).astype(dtype)
        function = getattr(fused, name)
        left, right = (0.0, size) if name != "tanh" else (-1.0, 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for x, value, slope in ((-size, left, 0.0), (size, right, float(name != "tanh"))):
                # sigmoid(-20) is 2e-9, times 20
                np.testing.assert_allclose(function(x), value, rtol=3e-7, atol=5e-8)
                np.testing.assert_allclose(elementwise_grad(function)(x), slope, atol=5e-8)

    def test_fast_activations_of_nan_are_nan(self, name, dtype):
        """A NaN must show: training stops at it."""
        x = np.array([np.nan, 1.0, np.nan], dtype)
        np.testing.assert_array_equal(np.isnan(getattr(fused, name)(x)), [True, False, True])


class TestTwoGelus:
    """The public BERTs compute x Phi(x), with erf; Google's code and the released adapters the
    tanh form. They are close but not the same, so each has a name of its own."""

    GRID = np.linspace(-8, 8, 160_001)

    @pytest.mark.parametrize("level", LEVELS)
    def test_the_two_gelus_differ_by_up_to_473_millionths_near_2_7(self, level):
        difference = np.abs(level.gelu(self.GRID) - level.gelu_tanh(self.GRID))
        assert 4.73e-4 <= difference.max() < 4.74e-4
        assert abs(abs(self.GRID[difference.argmax()]) - 2.699) < 0.001

    def test_gelu_is_x_times_the_normal_distribution_function(self):
        """gelu(x) + gelu(-x) = x (2 Phi(x) - 1) = x erf(x / sqrt 2)."""
        for x in (0.1, 1.0, 2.5, 4.0):
            pair = ops.gelu(np.array([x, -x]))
            np.testing.assert_allclose(pair.sum(), x * math.erf(x / math.sqrt(2)), rtol=1e-14)
            np.testing.assert_allclose(pair[0] - x, pair[1], rtol=0, atol=1e-15)


class TestFastGelu:
    """`fused.gelu` has no erf in float32: a polynomial inside tanh stands in for it."""

    @staticmethod
    def floats(exponents: range, mantissas: int) -> np.ndarray:
        """float32s of both signs: so many of each binary exponent, evenly spaced, its first and
        last among them. Exponent 0 has the subnormal numbers, 127 those from 1 to 2."""
        mantissa = np.linspace(0, 2**23 - 1, mantissas).astype(np.uint32)
        bits = np.array(exponents, np.uint32)[:, None] << 23 | mantissa
        positive = bits.ravel().view(np.float32)
        return np.concatenate([-positive[::-1], positive])

    @pytest.mark.parametrize(
        "exponents, mantissas",
        [
            pytest.param(range(255), 1024, id="every exponent"),
            pytest.param(range(122, 132), 1 << 14, id="densely from 1/32 to 32"),
        ],
    )
    def test_fast_gelu_is_within_two_ten_millionths_of_x_of_the_exact_value(
        self, exponents, mantissas
    ):
        """For every float32, whose own spacing is up to 1.2e-7 of it. The slope is within 3e-7.
        There is no warning, though x * x overflows."""
        x = self.floats(exponents, mantissas)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y, slope = fused.gelu(x), elementwise_grad(fused.gelu)(x)
        assert y.dtype == slope.dtype == np.float32
        error = np.abs(y - plain_loops.each(plain_loops.gelu, x))
        allowed = 2e-7 * np.abs(x.astype(np.float64)) + 7.1e-46  # + half the smallest float32
        worst = (error / allowed).argmax()
        assert error[worst] <= allowed[worst], f"at {x[worst]!r}"
        assert error[np.abs(x) < 12].max() < 6e-7  # farther out, 2e-7 of x is more
        assert np.abs(slope - plain_loops.each(plain_loops.gelu_slope, x)).max() < 3e-7

    def test_fast_gelu_of_zero_is_zero_with_a_slope_of_a_half(self):
        x = np.array([0.0, -0.0], np.float32)
        assert not fused.gelu(x).any()
        np.testing.assert_array_equal(elementwise_grad(fused.gelu)(x), [0.5, 0.5])


def layer_params(tiny, dtype: Any) -> dict:
    return cast(tiny.params["layers"][1], dtype)


def states_for(lengths: list[int], size: int, dtype: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((sum(lengths), size)).astype(dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
class TestFeedForward:
    @pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
    def test_feed_forward_is_two_linear_maps_with_the_activation_between(
        self, tiny, level, dtype, tolerance, activation
    ):
        config = replace(tiny.config, hidden_act=activation)
        params = layer_params(tiny, dtype)["feed_forward"]
        x = states_for([6], 32, dtype)
        between = plain_loops.ACTIVATIONS[activation.replace("gelu_new", "gelu_tanh")]
        y = feed_forward(params, 0, x, ForwardPass(config, np.array([6]), ops=level))
        assert y.dtype == dtype
        expected = plain_loops.feed_forward(params, x, between)
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)

    def test_each_token_goes_through_feed_forward_alone(self, tiny, level, dtype, tolerance):
        params, x = layer_params(tiny, dtype)["feed_forward"], states_for([6], 32, dtype)
        run = ForwardPass(tiny.config, np.array([6]), ops=level)
        y = feed_forward(params, 0, x, run)
        for n in range(6):
            alone = feed_forward(params, 0, x[n : n + 1], run)
            np.testing.assert_allclose(alone, y[n : n + 1], rtol=0, atol=tolerance)


@pytest.mark.parametrize("level", LEVELS)
class TestWholeLayer:
    @pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
    def test_an_encoder_layer_is_the_plain_loops(self, tiny, level, dtype, tolerance):
        lengths = [5, 1, 4]
        params, x = layer_params(tiny, dtype), states_for(lengths, 32, dtype)
        y = encoder_layer(params, 1, x, ForwardPass(tiny.config, np.array(lengths), ops=level))
        assert y.dtype == dtype
        expected = plain_loops.encoder_layer(
            params, x, lengths, tiny.config.num_attention_heads, tiny.config.layer_norm_eps
        )
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)

    @pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
    def test_a_layer_with_adapters_is_the_plain_loops_with_each_before_its_skip(
        self, tiny, level, dtype, tolerance
    ):
        """Houlsby et al. 2019, section 2.1: directly on the projected output, before the skip."""
        lengths = [3, 4]
        params, x = layer_params(tiny, dtype), states_for(lengths, 32, dtype)
        factor = {"attention": 0.5, "feed_forward": -2.0}

        def adapt(layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
            return z * factor[place] + 1.0 if place in PLACES else z

        run = ForwardPass(tiny.config, np.array(lengths), adapt, ops=level)
        y = encoder_layer(params, 1, x, run)
        expected = plain_loops.encoder_layer(
            params,
            x,
            lengths,
            tiny.config.num_attention_heads,
            tiny.config.layer_norm_eps,
            adapt=lambda place, z: z * factor[place] + 1.0,
        )
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)

    def test_a_sublayer_that_gives_zeros_leaves_the_normalised_input(self, tiny, level):
        """The skip connection: information passes through a layer whose sublayers are silent."""
        params, x = layer_params(tiny, np.float64), states_for([6], 32, np.float64)
        silent = lambda layer, place, z, x: 0.0 * z if place in PLACES else z  # noqa: E731
        y = encoder_layer(params, 0, x, ForwardPass(tiny.config, np.array([6]), silent, ops=level))
        expected = x
        for place in ("attention", "feed_forward"):
            norm = params[place]["norm"]
            expected = plain_loops.layer_norm(expected, norm["weight"], norm["bias"], EPS)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)

    def test_a_sublayer_that_cancels_the_skip_leaves_the_layernorms_bias_alone(self, tiny, level):
        """So the skip is the sublayer's own input, and LayerNorm sees their sum."""
        params, x = layer_params(tiny, np.float64), states_for([6], 32, np.float64)
        opposite = lambda layer, place, z, x: -x if place in PLACES else z  # noqa: E731
        y = encoder_layer(
            params, 0, x, ForwardPass(tiny.config, np.array([6]), opposite, ops=level)
        )
        bias = params["feed_forward"]["norm"]["bias"]
        np.testing.assert_array_equal(y, np.tile(bias, (6, 1)))


def small_batch(lengths: list[int]) -> Batch:
    rng = np.random.default_rng(0)
    return make_batch([Encoded(rng.integers(0, 199, n), np.zeros(n, np.int64)) for n in lengths])


class Recorder:
    """An `adapt` that changes nothing and notes its calls after the sublayers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, np.ndarray, np.ndarray]] = []

    def __call__(self, layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
        if place in PLACES:
            self.calls.append((layer, place, z, x))
        return z


@pytest.mark.parametrize("level", LEVELS)
class TestWhereAdaptersComeIn:
    """Houlsby et al. 2019, figure 2: twice a layer, "after the projection back to the input
    dimension", before the skip connection is added."""

    def test_adapt_is_called_after_each_sublayer_in_order(self, tiny, level):
        seen = Recorder()
        encode(tiny.params, small_batch([4, 3]), tiny.config, adapt=seen, ops=level)
        places = [(layer, place) for layer, place, _, _ in seen.calls]
        assert places == [
            (0, "attention"),
            (0, "feed_forward"),
            (1, "attention"),
            (1, "feed_forward"),
        ]

    def test_adapt_gets_the_sublayers_projected_output_and_the_sublayers_input(self, tiny, level):
        seen, lengths = Recorder(), [4, 3]
        params = cast(tiny.params, np.float64)
        states = encode(params, small_batch(lengths), tiny.config, adapt=seen, ops=level)
        for layer in range(2):
            own = params["layers"][layer]
            attention, feed_forward = seen.calls[2 * layer], seen.calls[2 * layer + 1]
            _, _, z, x = attention
            np.testing.assert_array_equal(x, states[layer])
            expected = plain_loops.self_attention(own["attention"], x, lengths, 4)
            np.testing.assert_allclose(z, expected, rtol=0, atol=1e-12)
            _, _, z, x = feed_forward
            middle = plain_loops.skip(own["attention"], states[layer], expected, EPS)
            np.testing.assert_allclose(x, middle, rtol=0, atol=1e-12)
            expected = plain_loops.feed_forward(own["feed_forward"], x)
            np.testing.assert_allclose(z, expected, rtol=0, atol=1e-12)
            last = plain_loops.skip(own["feed_forward"], x, z, EPS)
            np.testing.assert_allclose(states[layer + 1], last, rtol=0, atol=1e-12)

    def test_dropout_comes_before_adapt_in_training(self, level):
        config = BertConfig(
            vocab_size=199,
            hidden_size=64,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=64,
            hidden_dropout_prob=0.25,
            attention_probs_dropout_prob=0.0,
        )
        params = cast(random_params(replace(config, initializer_range=0.1)), np.float64)
        seen, lengths = Recorder(), [40, 24]
        encode(
            params,
            small_batch(lengths),
            config,
            adapt=seen,
            rng=np.random.default_rng(1),
            ops=level,
        )
        (_, _, z, x), (_, _, z_forward, x_forward) = seen.calls
        own = params["layers"][0]
        undropped = plain_loops.self_attention(own["attention"], x, lengths, 4)
        undropped_forward = plain_loops.feed_forward(own["feed_forward"], x_forward)
        for got, whole in ((z, undropped), (z_forward, undropped_forward)):
            kept = got != 0
            assert abs(kept.mean() - 0.75) < 0.03  # 4,096 draws: a standard deviation is 0.007
            np.testing.assert_allclose(got[kept], whole[kept] / 0.75, rtol=1e-9)
        assert ((z != 0) != (z_forward != 0)).any()  # each with a mask of its own

    def test_dropout_of_attention_probabilities_has_a_rate_of_its_own(self, level):
        """With only that one on, z has no zeros and differs from z without dropout."""
        config = BertConfig(
            vocab_size=199,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.5,
        )
        params, batch = random_params(config), small_batch([9, 5])
        calm, trained = Recorder(), Recorder()
        encode(params, batch, config, adapt=calm, ops=level)
        encode(params, batch, config, adapt=trained, rng=np.random.default_rng(1), ops=level)
        np.testing.assert_array_equal(calm.calls[0][3], trained.calls[0][3])
        assert (trained.calls[0][2] != calm.calls[0][2]).mean() > 0.9
        assert (trained.calls[0][2] != 0).all()

    def test_dropout_at_a_rate_of_0_draws_nothing_from_the_generator(self, tiny, level):
        config = replace(tiny.config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        batch, rng = small_batch([9, 5]), np.random.default_rng(1)
        trained = encode(tiny.params, batch, config, rng=rng, ops=level)[-1]
        np.testing.assert_array_equal(trained, encode(tiny.params, batch, config, ops=level)[-1])
        assert rng.bit_generator.state == np.random.default_rng(1).bit_generator.state

    def test_the_same_seed_gives_the_same_dropout_and_no_generator_gives_none(self, tiny, level):
        batch = small_batch([9, 5])
        runs = [
            encode(tiny.params, batch, tiny.config, rng=np.random.default_rng(seed), ops=level)[-1]
            for seed in (7, 7, 8)
        ]
        np.testing.assert_array_equal(runs[0], runs[1])
        assert np.abs(runs[0] - runs[2]).max() > 0.1
        calm = [encode(tiny.params, batch, tiny.config, ops=level)[-1] for _ in range(2)]
        np.testing.assert_array_equal(calm[0], calm[1])
