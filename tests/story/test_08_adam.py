"""Adam by hand is Adam, and the learning rate rises and falls as in BERT's fine-tuning.

The peers are torch's Adam and AdamW, transformers' schedule, and a plain loop for what no library
has: `tests/goldens/optimiser_goldens.py`.
"""

import math
import re
import tracemalloc
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import plain_loops
import pytest
from cases import SEEDS
from conftest import GOLDENS
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.recipes import RECIPES
from minibert.config import BertConfig
from minibert.parameters import parameter_shapes
from minibert.training.optim import (
    BLOCK,
    Adam,
    _in_blocks,
    adam_start,
    adam_step,
    clip_global_norm,
    global_norm,
    warm_up_then_decay,
)

PAPER, RELEASED = RECIPES["paper"], RECIPES["released-code"]

# The goldens' optimisers in our words. torch decays the weight only; so do we, by its name.
KINDS = {
    "adam": Adam(),
    "adamw": Adam(weight_decay=0.01),
    "adamw_clip": Adam(weight_decay=0.01, clip=1.0),
    "plain_google": Adam(eps=1e-6, bias_correction=False, weight_decay=0.01),
    "plain_google_clip": Adam(eps=1e-6, bias_correction=False, weight_decay=0.01, clip=1.0),
}


@pytest.fixture(scope="module")
def optim() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "optim.npz") as file:
        return dict(file)


def trajectory(optim: dict[str, np.ndarray], adam: Adam, dtype: Any) -> dict[str, np.ndarray]:
    """The parameters after each of the goldens' kept steps: {name: [6, ...]}."""
    params = {name: optim[f"start/{name}"].astype(dtype) for name in ("weight", "bias")}
    state = adam_start(params)
    kept: dict[str, list[np.ndarray]] = {name: [] for name in params}
    for step, rate in enumerate(optim["learning_rates"]):
        grads = {name: optim[f"gradients/{name}"][step].astype(dtype) for name in params}
        grads = clip_global_norm(grads, global_norm(grads), adam.clip)
        params, state = adam_step(params, grads, state, rate, adam)
        if step + 1 in optim["kept_steps"]:
            for name, p in params.items():
                kept[name].append(p)
    assert state["step"] == 200
    return {name: np.stack(values) for name, values in kept.items()}


class TestTwoHundredSteps:
    """Kingma & Ba 2015, arXiv 1412.6980; Loshchilov & Hutter 2019, arXiv 1711.05101."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_two_hundred_steps_of_adam_end_where_the_peers_end(self, optim, kind):
        """Relative to 1e-6, as torch's clipping scales by 1/(norm + 1e-6) and ours by 1/norm;
        without clipping only float64's rounding is left: 1e-13. The released code's optimiser is
        in no library: its peer is a plain loop, which is torch's with bias correction on."""
        tolerance = 1e-6 if kind == "adamw_clip" else 1e-13
        mine = trajectory(optim, KINDS[kind], np.float64)
        for name, values in mine.items():
            expected = optim[f"f64/{kind}/{name}"]
            np.testing.assert_allclose(values, expected, rtol=tolerance, atol=0, err_msg=name)

    @pytest.mark.parametrize("kind", ["adam", "adamw", "adamw_clip"])
    def test_two_hundred_float32_steps_stay_as_near_to_float64_as_torchs(self, optim, kind):
        """200 steps gather 200 roundings: torch's own float32 ends up to 8e-7 from its float64
        (relative to the leaf's largest), and ours must not end further off than 1e-6."""
        mine = trajectory(optim, KINDS[kind], np.float32)
        for name, values in mine.items():
            assert values.dtype == np.float32
            exact, torchs = optim[f"f64/{kind}/{name}"], optim[f"f32/{kind}/{name}"]
            scale = np.abs(exact).max()
            assert np.abs(torchs - exact).max() < 1e-6 * scale
            assert np.abs(values - exact).max() < 1e-6 * scale

    def test_two_hundred_steps_tell_the_goldens_optimisers_apart(self, optim):
        """The goldens would notice a missing correction, decay or clipping: they differ by far more
        than any tolerance above."""
        ends = {kind: optim[f"f64/{kind}/weight"][-1] for kind in KINDS}
        for a in ends:
            for b in ends:
                if a < b:
                    assert np.abs(ends[a] - ends[b]).max() > 1e-4, (a, b)


def test_adams_constants_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Adam().beta1 = 0.5  # type: ignore[misc]


class TestOneStep:
    """Small enough to do on paper."""

    PARAMS = {"w": np.array([1.0, -2.0]), "bias": np.array([0.5])}  # noqa: RUF012
    GRADS = {"w": np.array([0.3, -40.0]), "bias": np.array([1e-3])}  # noqa: RUF012

    def step(self, adam: Adam, rate: float = 0.1, steps: int = 1) -> dict[str, np.ndarray]:
        params, state = self.PARAMS, adam_start(self.PARAMS)
        for _ in range(steps):
            params, state = adam_step(params, self.GRADS, state, rate, adam)
        return params

    def test_with_bias_correction_the_first_step_is_the_rate_in_the_gradients_direction(self):
        """m' = g and v' = g^2, so the step is rate g / (|g| + eps): 1412.6980 section 2.1."""
        new = self.step(Adam(eps=0.0))
        np.testing.assert_allclose(new["w"], [1.0 - 0.1, -2.0 + 0.1], rtol=1e-15)
        np.testing.assert_allclose(new["bias"], [0.5 - 0.1], rtol=1e-15)

    def test_without_bias_correction_the_first_step_is_over_three_times_as_long(self):
        """m = 0.1 g and v = 0.001 g^2: the step is 0.1 / sqrt(0.001) = sqrt(10) rates."""
        new = self.step(Adam(eps=0.0, bias_correction=False))
        np.testing.assert_allclose(new["w"], [1 - 0.1 * math.sqrt(10), -2 + 0.1 * math.sqrt(10)])

    def test_adams_epsilon_is_added_outside_the_root(self):
        """g / (sqrt(g^2) + eps), not g / sqrt(g^2 + eps). At g = 0.001 and eps = 0.001 that is
        1/2, the other 0.03."""
        new = self.step(Adam(eps=1e-3))
        np.testing.assert_allclose(new["bias"], [0.5 - 0.1 * 0.5], rtol=1e-12)

    def test_equal_gradients_give_equal_steps_of_adam_forever(self):
        """Bias correction undoes the start from 0 exactly, so 50 steps are 50 rates."""
        new = self.step(Adam(eps=0.0), rate=0.01, steps=50)
        np.testing.assert_allclose(new["w"], [1.0 - 0.5, -2.0 + 0.5], rtol=1e-12)

    def test_weight_decay_is_decoupled_from_the_gradients_size(self):
        """p loses rate * decay * p, however large the gradient: arXiv 1711.05101, algorithm 2."""
        plain, decayed = self.step(Adam()), self.step(Adam(weight_decay=0.01))
        np.testing.assert_allclose(
            plain["w"] - decayed["w"], 0.1 * 0.01 * self.PARAMS["w"], rtol=1e-10
        )

    def test_a_step_of_adam_leaves_its_arguments_as_they_are(self):
        params = {name: p.copy() for name, p in self.PARAMS.items()}
        grads = {name: g.copy() for name, g in self.GRADS.items()}
        state = adam_start(params)
        new, after = adam_step(params, grads, state, 0.1, KINDS["plain_google_clip"])
        for name in params:
            np.testing.assert_array_equal(params[name], self.PARAMS[name])
            np.testing.assert_array_equal(grads[name], self.GRADS[name])
            assert not state["first"][name].any()
            assert not state["second"][name].any()
            assert not np.shares_memory(new[name], params[name])
            assert after["first"][name].any()
        assert (state["step"], after["step"]) == (0, 1)

    def test_a_step_of_adam_keeps_a_parameters_layout_whatever_the_gradients(self):
        """A matrix product's rounding depends on it: weights lie as [out, in] and are seen as
        [in, out], before and after a step, and so after resuming too."""
        weight = np.ones((3, 2), np.float32).T
        for gradient in (np.ones((2, 3), np.float32), np.ones((3, 2), np.float32).T):
            params = {"w": weight}
            new, _ = adam_step(params, {"w": gradient}, adam_start(params), 0.1, Adam())
            assert new["w"].strides == weight.strides

    @pytest.mark.parametrize("turned", [False, True], ids=["as drawn", "transposed"])
    @pytest.mark.parametrize("turned_gradient", [False, True], ids=["alike", "the other way"])
    def test_a_step_of_adam_goes_element_by_element_whatever_the_size_and_layout(
        self, turned, turned_gradient
    ):
        """21,003 elements are more than one block. With eps = 1 the first step is
        rate g / (|g| + 1), different for every g; to a few roundings of float64."""
        rng = np.random.default_rng(0)
        values, slopes = rng.standard_normal((2, 3, 7001))
        weight = np.asfortranarray(values) if turned else values
        gradient = np.asfortranarray(slopes) if turned != turned_gradient else slopes
        start = {"w": weight}
        new, state = adam_step(start, {"w": gradient}, adam_start(start), 0.1, Adam(eps=1.0))
        expected = plain_loops.adam_first_step(values, slopes, 0.1, eps=1.0)
        np.testing.assert_allclose(new["w"], expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(state["first"]["w"], 0.1 * slopes, rtol=1e-14)
        np.testing.assert_allclose(state["second"]["w"], 0.001 * slopes**2, rtol=1e-12)

    def test_a_step_of_adam_takes_every_element_once_in_blocks_that_a_cache_holds(self):
        """Never more than BLOCK of them at once: that is what the blocks are for."""
        sizes = []

        def update(*rows: np.ndarray) -> tuple[np.ndarray, ...]:
            sizes.append([row.size for row in rows])
            return rows[:3]

        many = np.arange(2.0 * BLOCK + 4).reshape(4, -1)
        for kept in _in_blocks(update, (many,) * 4):
            np.testing.assert_array_equal(kept, many)
        assert sizes == [[BLOCK] * 4, [BLOCK] * 4, [4] * 4]

    def test_a_float32_parameter_stays_float32_under_a_float64_gradient(self):
        params = {"w": np.ones(3, np.float32)}
        new, state = adam_step(params, {"w": np.ones(3)}, adam_start(params), 0.1, Adam())
        assert {new["w"].dtype, state["first"]["w"].dtype, state["second"]["w"].dtype} == {
            np.dtype(np.float32)
        }

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("rate", [1e-3, np.float64(1e-3)], ids=["float", "NumPy float64"])
    def test_adam_and_clipping_stay_in_float32_even_under_a_numpy_rate(self, kind, rate):
        params = {name: p.astype(np.float32) for name, p in self.PARAMS.items()}
        grads = {name: g.astype(np.float32) for name, g in self.GRADS.items()}
        grads = clip_global_norm(grads, global_norm(grads), KINDS[kind].clip)
        new, state = adam_step(params, grads, adam_start(params), rate, KINDS[kind])
        for name in params:
            assert grads[name].dtype == new[name].dtype == np.float32
            assert state["first"][name].dtype == state["second"][name].dtype == np.float32


class TestWeightDecay:
    def test_weight_decay_spares_biases_and_layernorms_and_nothing_else(self):
        """Released code: `exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"]`."""
        own = [
            "adapters.0.attention.down.weight",
            "adapters.0.attention.down.bias",
            "adapters.5.feed_forward.up.weight",
            "adapters.5.feed_forward.up.bias",
            "head.weight",
            "head.bias",
        ]
        paths = [f"base.{path}" for path in parameter_shapes(BertConfig())] + own
        assert any(path.endswith("norm.weight") for path in paths)
        ones = {path: np.ones(1) for path in paths}
        nothing = {path: np.zeros(1) for path in paths}
        new, _ = adam_step(ones, nothing, adam_start(ones), 1.0, RELEASED.adam)
        for path, p in new.items():
            spared = path.endswith(".bias") or "norm" in path.split(".")
            assert p[0] == (1.0 if spared else 1.0 - 0.01), path

    def test_the_papers_recipe_has_no_weight_decay(self):
        ones = {"head.weight": np.ones(3)}
        new, _ = adam_step(ones, {"head.weight": np.zeros(3)}, adam_start(ones), 1.0, PAPER.adam)
        np.testing.assert_array_equal(new["head.weight"], 1.0)

    def test_weight_decay_does_not_spare_names_that_only_resemble_norm_or_bias(self):
        for path in ("normal.weight", "biased", "transform.weight"):
            assert not re.search(Adam().no_decay, path), path


class TestClipping:
    """Pascanu et al. 2013, arXiv 1211.5063: all gradients shrink together."""

    def test_clipping_scales_as_torchs_clip_grad_norm(self, optim):
        """torch divides by norm + 1e-6, we by norm, so the results differ by 1e-6 / norm (the
        smallest norm that is clipped is 1), and only torch clips norms from 1 - 1e-6 to 1."""
        for i, norm in enumerate(optim["clip/norm"]):
            before = {n: optim[f"clip/before/{n}"][i] for n in ("weight", "bias")}
            np.testing.assert_allclose(global_norm(before), norm, rtol=1e-14, atol=0)
            after = clip_global_norm(before, global_norm(before), 1.0)
            for name, g in after.items():
                np.testing.assert_allclose(
                    g, optim[f"clip/after/{name}"][i], rtol=1.1e-6, err_msg=f"norm {norm}"
                )

    @given(
        seed=SEEDS,
        scale=st.floats(1e-6, 1e6),
        largest=st.floats(1e-3, 1e3),
    )
    @settings(max_examples=40)
    def test_clipping_limits_the_norm_and_keeps_the_direction(self, seed, scale, largest):
        rng = np.random.default_rng(seed)
        grads = {"a": scale * rng.standard_normal((3, 2)), "b": scale * rng.standard_normal(4)}
        flat = np.concatenate([g.ravel() for g in grads.values()])
        clipped = clip_global_norm(grads, global_norm(grads), largest)
        result = np.concatenate([g.ravel() for g in clipped.values()])
        length = math.sqrt(math.fsum(float(x) ** 2 for x in flat))
        # one rounding of the scale and one of each product: a few 1e-16
        np.testing.assert_allclose(result, flat * min(1.0, largest / length), rtol=1e-14)

    def test_clipping_without_a_largest_norm_changes_nothing(self):
        grads = {"a": np.array([3e9, 4e9])}
        assert clip_global_norm(grads, global_norm(grads), None) is grads

    def test_the_global_norm_of_float32_gradients_is_summed_in_float64(self):
        """A million squares of 1e-4 added one by one in float32 would lose digits; squares of 1e20
        would overflow."""
        assert global_norm({"a": np.full(10_000, 1e20, np.float32)}) == pytest.approx(1e22)
        small = np.full(1_000_000, 1e-4, np.float32)
        expected = float(np.float32(1e-4)) * 1000
        assert global_norm({"a": small}) == pytest.approx(expected, rel=1e-12)

    def test_the_global_norm_does_not_depend_on_how_a_leaf_lies_in_memory(self):
        g = np.arange(12.0).reshape(3, 4)
        for leaf in (g, g.T, np.asfortranarray(g), g[::-1]):
            assert global_norm({"g": leaf}) == pytest.approx(math.sqrt(506), rel=1e-15)

    def test_the_global_norm_needs_no_copy_of_a_leaf_however_it_lies_in_memory(self):
        """A copy would take 8 MB; NumPy tells tracemalloc of every array."""
        leaf = np.ones((1000, 1000))
        for grads in ({"w": leaf}, {"w": leaf.T}):
            tracemalloc.start()
            norm = global_norm(grads)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert norm == 1000.0
            assert peak < 1e6


class TestLearningRate:
    """Section 3.1: linear warm-up over the first 10 % of the steps, then linear decay to 0."""

    def test_the_learning_rate_follows_the_schedule_of_transformers(self, optim):
        """MRPC: 573 steps, 57 of them warm-up. Fractions of equal integers: 1e-15."""
        mine = [warm_up_then_decay(step, 573, 57) for step in range(573)]
        np.testing.assert_allclose(mine, optim["schedule/573_57"], rtol=1e-15)

    @given(total=st.integers(1, 3000), data=st.data())
    @settings(max_examples=30)
    def test_the_learning_rate_is_two_straight_lines(self, total, data):
        warm_up = data.draw(st.integers(0, total - 1))
        factors = np.array([warm_up_then_decay(s, total, warm_up) for s in range(total)])
        corners = [0, warm_up, total], [0.0, 1.0, 0.0]
        if warm_up == 0:
            corners = [0, total], [1.0, 0.0]
        np.testing.assert_allclose(factors, np.interp(range(total), *corners), atol=1e-15)
        assert factors.argmax() == warm_up
        assert factors.max() == 1.0

    def test_the_released_codes_learning_rate_drops_to_nine_tenths_after_the_warm_up(self):
        """Its decay runs from step 0 and is not rebased: rate * (1 - step/total), hence 516/573."""
        factors = [warm_up_then_decay(step, 573, 57, rebased=False) for step in range(573)]
        rebased = [warm_up_then_decay(step, 573, 57) for step in range(573)]
        assert factors[:57] == rebased[:57]
        assert factors[56] == pytest.approx(56 / 57)
        assert factors[57] == pytest.approx(516 / 573)
        assert 0.89 < factors[57] < 0.91
        np.testing.assert_allclose(factors[57:], 1 - np.arange(57, 573) / 573, rtol=1e-12)
        assert RELEASED.rebased is False
        assert PAPER.rebased is True

    def test_the_learning_rate_never_divides_by_zero_however_few_the_steps(self):
        assert warm_up_then_decay(0, 1, 0) == 1.0
        assert warm_up_then_decay(0, 1, 1) == 0.0
        assert [warm_up_then_decay(s, 2, 2) for s in range(2)] == [0.0, 0.5]
