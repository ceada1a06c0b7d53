"""The extensions that the paper tried without gain: formulas, sizes, starts, gradients.

Houlsby et al. 2019, arXiv 1902.00751, section 3.6, at the end; batch normalisation as in Ioffe &
Szegedy 2015, arXiv 1502.03167.
"""

import math
import sys
from collections import Counter
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import autograd.numpy as anp
import numpy as np
import plain_loops
import pytest
from bounds import distance_bound, variant_distance_bound
from cases import LEVELS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from toy import SETTINGS, train

import adapters.methods.table as table
from adapters.methods import batch_norm, bottleneck, variants
from adapters.methods.bottleneck import ACTIVATIONS
from adapters.methods.method import Method
from adapters.methods.table import METHODS, adapter_parameters, adapters_of, method_named
from adapters.methods.variants import Variant, variant_parameters
from adapters.predict import predict_texts
from adapters.recipes import RECIPES
from adapters.task_model import new_task_model, settle
from minibert import fused, ops
from minibert.batch import Batch, make_batch
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model import Adapt, encode
from minibert.parameters import cast
from minibert.tokenizer import encode_texts
from minibert.training.gradients import value_and_grads
from minibert.tree import Tree, count, from_leaves, leaves

# Every variant as data; one that differs in nothing is the paper's own adapter.
FORMS = {
    "serial": Variant("serial", "the paper's own"),
    **variants.VARIANTS,
    "batch-norm": batch_norm.VARIANT,
}
NAMES = list(FORMS)
NORMED = ["layer-norm", "batch-norm"]
TEXTS = ["morulan tikora bado", ("zafquin", "bado tikora"), "bado", "tikora zafquin morulan bado"]
PAPERS_OWN = {("bottleneck", name) for name in ("attach", "bottleneck", "branch", "init")}
TINY = BertConfig(hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)


def method_of(name: str, m: int, std: float = 1e-2, activation: str | None = None) -> Method:
    """The tuning method with adapters of this variant."""
    return method_named("adapters", m, activation, name, std)


def attach(
    name: str, adapters: Tree, activation: str = "gelu_tanh", level: ModuleType = fused
) -> Adapt:
    """The hook that the encoder calls where adapters are of this variant."""
    method = method_of(name, 1, activation=activation)
    return adapters_of(method).attach({"adapters": adapters}, TINY, method, level)


def moved_by(
    name: str,
    adapter: Tree,
    z: Any,
    x: Any,
    activation: str = "gelu_tanh",
    level: ModuleType = fused,
) -> Any:
    """What an adapter of this variant makes of a sublayer's output z and input x."""
    return attach(name, {0: {"attention": adapter}}, activation, level)(0, "attention", z, x)


def init(name: str, seed: int, config: BertConfig, m: int, std: float = 1e-2) -> Tree:
    """Fresh adapters of this variant in every layer."""
    method = method_of(name, m, std)
    return adapters_of(method).init(np.random.default_rng(seed), config, method)


def init_one(name: str, seed: int, d: int, m: int, std: float = 1e-2) -> Tree:
    """A single one."""
    one = BertConfig(hidden_size=d, num_hidden_layers=1, num_attention_heads=1)
    return init(name, seed, one, m, std)[0]["attention"]


def some_adapter(rng: np.random.Generator, d: int, m: int, name: str) -> Tree:
    """An adapter far from the identity, biases and gains and all, in float64."""
    adapter = init_one(name, 0, d, m)
    return from_leaves({p: rng.normal(0.1, 0.5, leaf.shape) for p, leaf in leaves(adapter)})


def linear(v: np.ndarray, part: Tree) -> np.ndarray:
    return plain_loops.linear(v, part["weight"], part["bias"])


def plain_branch(name: str, adapter: Tree, v: np.ndarray, activation: str) -> np.ndarray:
    """f(norm(v W_down + b_down)) W_up + b_up in loops, with another layer where it is deep."""
    features = linear(v, adapter["down"])
    if name == "layer-norm":
        norm = adapter["norm"]
        features = plain_loops.layer_norm(features, norm["weight"], norm["bias"], 1e-5)
    if name == "batch-norm":  # each column by itself
        norm, n = adapter["norm"], len(features)
        for j in range(features.shape[1]):
            column = features[:, j].tolist()
            mean = math.fsum(column) / n
            variance = math.fsum((value - mean) ** 2 for value in column) / n
            if "mean" in norm:
                mean, variance = norm["mean"][j], norm["variance"][j]
            for i in range(n):
                normal = (column[i] - mean) / math.sqrt(variance + 1e-5)
                features[i, j] = normal * norm["weight"][j] + norm["bias"][j]
    f = plain_loops.ACTIVATIONS[activation]
    features = plain_loops.each(f, features)
    if name == "deep":
        features = plain_loops.each(f, linear(features, adapter["inner"][1]))
    return linear(features, adapter["up"])


def plain_variant(
    name: str, adapter: Tree, z: np.ndarray, x: np.ndarray, activation: str
) -> np.ndarray:
    """What each variant does to z, by its name."""
    if name == "parallel":
        return z + plain_branch(name, adapter, x, activation)
    if name == "multiplicative":
        return z * (1 + plain_branch(name, adapter, x, activation))
    return z + plain_branch(name, adapter, z, activation)


def settled(adapter: Tree, rng: np.random.Generator) -> Tree:
    """The adapter with some population statistics, where it can have them."""
    m = len(adapter["norm"]["weight"])
    statistics = {"mean": rng.normal(0, 1, m), "variance": rng.uniform(0.5, 2, m)}
    return {**adapter, "norm": {**adapter["norm"], **statistics}}


class TestTable:
    def test_the_table_has_every_extension_of_section_3_6_but_the_activations(self):
        assert list(table.VARIANTS) == NAMES
        assert sorted(NAMES) == sorted(
            [
                "serial",
                "layer-norm",
                "batch-norm",
                "deep",
                "attention-only",
                "parallel",
                "multiplicative",
            ]
        )
        assert all(form.name == name for name, form in FORMS.items())

    def test_the_table_says_which_file_has_each_variant(self):
        files = dict.fromkeys(NAMES, variants) | {"serial": bottleneck, "batch-norm": batch_norm}
        assert {name: adapters_of(method_of(name, 4)) for name in NAMES} == files
        assert adapters_of(Method("mine", (r"adapters\.",), size=4)) is bottleneck

    @pytest.mark.parametrize(
        "use",
        [
            lambda name: method_named("adapters", variant=name),
            lambda name: adapters_of(replace(METHODS["adapters"], variant=name)),
        ],
        ids=["by name", "in a method"],
    )
    def test_an_unknown_variant_is_refused_with_the_names_of_the_known(self, use):
        with pytest.raises(InputError, match=r"^unknown variant 'wide'; known: serial, layer-norm"):
            use("wide")

    @pytest.mark.parametrize("name", NAMES)
    def test_an_unknown_activation_is_refused(self, name):
        method = replace(method_of(name, 4), activation="mish")
        with pytest.raises(InputError, match=r"^unknown activation 'mish'; known: gelu_tanh, "):
            adapters_of(method).attach({"adapters": {}}, TINY, method)


class TestWhatRuns:
    """The file that one reads is the file that runs."""

    @staticmethod
    def calls(tiny: Base, name: str) -> Counter[tuple[str, str]]:
        """How often each function of `adapters/methods` is called, from training to predicting:
        {(file, function): times}. With one thread: this one, which is watched."""
        method, found = method_of(name, 4), Counter[tuple[str, str]]()

        def note(frame: Any, event: str, _: Any) -> None:
            path = Path(frame.f_code.co_filename)
            if event == "call" and path.parent.name == "methods":
                found[path.stem, frame.f_code.co_name] += 1

        sys.setprofile(note)
        try:
            run = train(tiny, method=method, settings=replace(SETTINGS, epochs=1), threads=1)
            predict_texts(run.task, tiny, ["morulan tikora bado", "bado"], threads=1)
        finally:
            sys.setprofile(None)
        return found

    def test_the_papers_adapters_run_bottleneck_alone(self, tiny):
        found = self.calls(tiny, "serial")
        assert found["bottleneck", "attach"] > 0
        # the hook is called at eight places a layer, and finds an adapter at two of them
        assert 8 * found["bottleneck", "bottleneck"] == 2 * found["bottleneck", "adapt"] > 0
        assert {file for file, _ in found} == {"bottleneck", "method", "table"}

    @pytest.mark.parametrize("name", NAMES[1:])
    def test_every_variant_but_serial_runs_its_own_formula(self, tiny, name):
        found = self.calls(tiny, name)
        assert found["variants", "apply"] > 0
        assert not {key for key in found if key in PAPERS_OWN}
        assert (found["batch_norm", "settle"] > 0) == (name == "batch-norm")
        assert not {file for file, _ in found} & {"lora", "pfeiffer"}


@pytest.mark.parametrize("level", LEVELS)
class TestFormula:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("name", NAMES)
    def test_each_variant_computes_the_formula_that_its_name_says(self, name, activation, level):
        rng = np.random.default_rng(0)
        for d, m, n in ((6, 3, 5), (3, 6, 2), (2, 2, 1)):
            adapter = some_adapter(rng, d, m, name)
            z, x = rng.normal(0, 2, (2, n, d))
            adapt = attach(name, {4: {"attention": adapter}}, activation, level)
            expected = plain_variant(name, adapter, z, x, activation)
            # float64's rounding in sums of d + m terms; a normalisation magnifies it by up to
            # 1 / sqrt(1e-5) = 316 where a feature hardly varies
            np.testing.assert_allclose(adapt(4, "attention", z, x), expected, rtol=0, atol=1e-11)

    def test_with_population_statistics_batch_norm_uses_those(self, level):
        rng = np.random.default_rng(1)
        adapter = settled(some_adapter(rng, 6, 3, "batch-norm"), rng)
        z = rng.normal(0, 2, (5, 6))
        expected = plain_variant("batch-norm", adapter, z, z, "gelu_tanh")
        moved = moved_by("batch-norm", adapter, z, z, level=level)
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-12)

    @given(data=st.data(), d=st.integers(1, 9), m=st.integers(1, 9), seed=st.integers(0, 99))
    @settings(max_examples=25)
    def test_the_serial_variant_is_the_papers_adapter_to_the_bit(self, level, data, d, m, seed):
        activation = data.draw(st.sampled_from(sorted(ACTIVATIONS)), "activation")
        numbers = st.floats(-1e3, 1e3, width=32)
        z, x = (data.draw(hnp.arrays(np.float32, (3, d), elements=numbers)) for _ in "zx")
        tree = {"adapters": {0: {"attention": init_one("serial", seed, d, m, 0.5)}}}
        ours = variants.attach_variant(tree, FORMS["serial"], activation, level)
        papers = bottleneck.attach(tree, TINY, method_of("serial", m, 0.5, activation), level)
        assert ours(0, "attention", z, x).tobytes() == papers(0, "attention", z, x).tobytes()

    def test_attention_only_leaves_the_feed_forwards_output_untouched(self, level):
        adapters = init("attention-only", 2, TINY, 4, 0.5)
        assert [list(places) for places in adapters.values()] == [["attention"]] * 3
        z, x = np.random.default_rng(2).standard_normal((2, 3, 8), np.float32)
        adapt = attach("attention-only", adapters, level=level)
        assert adapt(1, "feed_forward", z, x) is z
        both = init("serial", 3, TINY, 4, 0.5)
        serial = attach("serial", {1: {**both[1], **adapters[1]}}, level=level)
        expected = serial(1, "attention", z, x)
        assert adapt(1, "attention", z, x).tobytes() == expected.tobytes()

    def test_parallel_adds_what_it_makes_of_x_whatever_z_is(self, level):
        rng = np.random.default_rng(3)
        adapter = some_adapter(rng, 6, 3, "parallel")
        x = rng.normal(0, 2, (4, 6))
        added = moved_by("parallel", adapter, np.zeros((4, 6)), x, level=level)
        for z in rng.normal(0, 2, (3, 4, 6)):
            moved = moved_by("parallel", adapter, z, x, level=level)
            np.testing.assert_array_equal(moved, z + added)
        other = moved_by("parallel", adapter, np.zeros((4, 6)), 2 * x, level=level)
        assert np.abs(other - added).max() > 1

    def test_multiplicative_scales_z_by_what_it_makes_of_x(self, level):
        rng = np.random.default_rng(4)
        adapter = some_adapter(rng, 6, 3, "multiplicative")
        x = rng.normal(0, 2, (4, 6))
        factor = moved_by("multiplicative", adapter, np.ones((4, 6)), x, level=level)
        for z in rng.normal(0, 2, (3, 4, 6)):
            moved = moved_by("multiplicative", adapter, z, x, level=level)
            np.testing.assert_array_equal(moved, z * factor)
        still = moved_by("multiplicative", adapter, np.zeros((4, 6)), x, level=level)
        assert not still.any()

    @pytest.mark.parametrize("name", [n for n in NAMES if not FORMS[n].parallel])
    def test_a_variant_that_is_not_parallel_does_not_read_x(self, name, level):
        rng = np.random.default_rng(5)
        adapter = some_adapter(rng, 6, 3, name)
        z, x = rng.normal(0, 2, (2, 4, 6))
        one, other = (
            moved_by(name, adapter, z, v, level=level) for v in (x, np.full((4, 6), np.nan))
        )
        np.testing.assert_array_equal(one, other)

    def test_any_number_of_hidden_layers_is_applied_in_order(self, level):
        """Also after a file, which sorts its paths: 1, 10, 11, 2, ..."""
        rng = np.random.default_rng(6)
        variant = replace(FORMS["deep"], hidden=12)
        fresh = variants.init_adapter(rng, 5, 3, 1.0, variant)
        loud = {p: rng.normal(0.1, 0.5, leaf.shape) for p, leaf in leaves(fresh)}
        adapter = from_leaves(dict(sorted(loud.items())))
        assert list(adapter["inner"])[:2] == [1, 10]
        z = rng.normal(0, 2, (4, 5))
        features = plain_loops.each(math.tanh, linear(z, adapter["down"]))
        for number in range(1, 12):
            features = plain_loops.each(math.tanh, linear(features, adapter["inner"][number]))
        expected = z + linear(features, adapter["up"])
        moved = variants.apply(adapter, z, z, "tanh", variant, level)
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-12)


class TestSize:
    @given(d=st.integers(1, 48), m=st.integers(2, 48), name=st.sampled_from(NAMES))
    @settings(max_examples=60)
    def test_an_adapter_has_as_many_parameters_as_the_closed_form(self, d, m, name):
        expected = (d * m + m) + (m * d + d)
        expected += {"layer-norm": 2 * m, "batch-norm": 2 * m, "deep": m * m + m}.get(name, 0)
        assert count(init_one(name, 0, d, m)) == expected
        assert variant_parameters(d, m, FORMS[name]) == expected
        method, places = method_of(name, m), 1 if name == "attention-only" else 2
        config = BertConfig(hidden_size=d, num_attention_heads=1)
        assert adapters_of(method).layer_parameters(config, method) == places * expected

    def test_each_further_hidden_layer_has_m_squared_plus_m(self):
        for hidden in (1, 2, 3, 5):
            variant = replace(FORMS["layer-norm"], hidden=hidden)
            expected = 2 * 7 * 4 + 7 + 4 + (hidden - 1) * (16 + 4) + 2 * 4
            assert variant_parameters(7, 4, variant) == expected
            rng = np.random.default_rng(0)
            assert count(variants.init_adapter(rng, 7, 4, 1e-2, variant)) == expected

    @pytest.mark.parametrize(
        "name, expected",
        [
            ("serial", 2_379_264),
            ("layer-norm", 2_382_336),
            ("batch-norm", 2_382_336),
            ("deep", 2_479_104),
            ("attention-only", 1_189_632),
            ("parallel", 2_379_264),
            ("multiplicative", 2_379_264),
        ],
    )
    def test_adapters_in_bert_base_at_m_64_have_the_counts_by_hand(self, name, expected):
        """2,379,264 with the paper's own; the others by arithmetic from it."""
        assert count(init(name, 0, BertConfig(), 64)) == expected
        assert adapter_parameters(BertConfig(), method_of(name, 64)) == expected

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("size", [0, -1])
    def test_an_adapter_size_below_1_is_refused(self, name, size):
        with pytest.raises(InputError, match=rf"^adapter size must be at least \d.*, not {size}$"):
            init(name, 0, TINY, size)

    def test_an_adapter_size_of_1_is_refused_with_layer_norm_alone(self):
        """A single feature less its own mean is 0, whatever the text."""
        message = "^adapter size must be at least 2 for variant 'layer-norm', not 1$"
        for name in NAMES:
            if name != "layer-norm":
                init(name, 0, TINY, 1)
        with pytest.raises(InputError, match=message):
            init("layer-norm", 0, TINY, 1)


class TestInitialisation:
    def test_the_serial_variant_starts_as_the_papers_adapter_to_the_bit(self):
        method, rng = method_of("serial", 4), np.random.default_rng(7)
        ours = variants.init_variant(rng, TINY, method, FORMS["serial"])
        papers = bottleneck.init(np.random.default_rng(7), TINY, method)
        pairs = list(zip(leaves(ours), leaves(papers), strict=True))
        for (path, one), (papers_path, other) in pairs:
            assert path == papers_path
            assert one.tobytes() == other.tobytes()
            assert one.strides == other.strides

    @pytest.mark.parametrize("name", NAMES)
    def test_adapters_start_in_float32_with_small_weights_no_bias_and_gains_of_1(self, name):
        adapters = init(name, 8, TINY, 4)
        drawn = set()
        for path, leaf in leaves(adapters):
            assert leaf.dtype == np.float32
            if path.endswith("bias"):
                assert not leaf.any()
            elif path.endswith("norm.weight"):
                assert (leaf == 1).all()
            else:
                assert leaf.all()
                assert np.abs(leaf).max() <= 2 * np.float32(1e-2)
                drawn.add(leaf.tobytes())
        projections = 3 if name == "deep" else 2
        places = 1 if name == "attention-only" else 2
        assert len(drawn) == 3 * places * projections  # 3 layers, every one drawn anew


class TestNearIdentity:
    """Section 2: "a near-identity initialization is required for stable training"."""

    @given(data=st.data(), d=st.integers(1, 12), m=st.integers(2, 12), seed=st.integers(0, 99))
    @settings(max_examples=120)
    def test_every_variant_stays_within_its_bound_for_any_input(self, data, d, m, seed):
        """Granted are the weights' rounding to float32 (1.2e-7 a projection, up to three) and
        float64's in the sums of z + ... and of A(z) - z."""
        name = data.draw(st.sampled_from(NAMES), "name")
        std = data.draw(st.floats(1e-7, 1.0), "std")
        activation = data.draw(st.sampled_from(sorted(ACTIVATIONS)), "activation")
        z, x = (
            data.draw(hnp.arrays(np.float64, (3, d), elements=st.floats(-1e3, 1e3))) for _ in "zx"
        )
        adapter = cast(init_one(name, seed, d, m, std), np.float64)
        moved = np.linalg.norm(moved_by(name, adapter, z, x, activation) - z, axis=1)
        z_norms, x_norms = np.linalg.norm(z, axis=1), np.linalg.norm(x, axis=1)
        norms = zip(z_norms, x_norms, strict=True)
        bounds = np.array([variant_distance_bound(FORMS[name], d, m, std, *norm) for norm in norms])
        rounding = 4 * 2.0**-52 * (z_norms + bounds)
        if name == "batch-norm":  # its bound is of the root mean square of the rows
            moved, bounds, rounding = (
                math.sqrt(np.mean(each**2)) for each in (moved, bounds, rounding)
            )
        assert np.all(moved <= bounds * (1 + 1e-6) + rounding)

    @given(d=st.integers(1, 64), m=st.integers(1, 64), std=st.floats(1e-7, 1), z=st.floats(0, 1e3))
    @settings(max_examples=25)
    def test_serials_bound_is_the_papers_adapters(self, d, m, std, z):
        ours = variant_distance_bound(FORMS["serial"], d, m, std, z, math.nan)
        assert ours == pytest.approx(distance_bound(z, d, m, std), rel=1e-12)

    @pytest.mark.parametrize(
        "name, adapter",
        [("parallel", {}), ("multiplicative", {}), ("deep", {"inner": {1: (4, 4)}})],
    )
    def test_no_smaller_bound_holds_where_nothing_is_normalised(self, name, adapter):
        """All weights at 2 std, a ReLU, and a z and x of ones. The multiplicative bound is for
        whatever |z|; there it is attained too, as every feature of z is scaled alike."""
        d, m, std = 6, 4, 0.03
        worst: Tree = {
            part: {"weight": np.full(shape, 2 * std), "bias": np.zeros(shape[1])}
            for part, shape in (("down", (d, m)), ("up", (m, d)))
        }
        for number, shape in adapter.get("inner", {}).items():
            worst["inner"] = {number: {"weight": np.full(shape, 2 * std), "bias": np.zeros(m)}}
        one = np.ones((1, d))
        moved = np.linalg.norm(moved_by(name, worst, one, one, "relu") - one)
        norm = math.sqrt(d)
        bound = variant_distance_bound(FORMS[name], d, m, std, norm, norm)
        assert moved == pytest.approx(bound, rel=1e-12)

    @pytest.mark.parametrize("name", NAMES)
    def test_half_the_std_halves_the_distance_for_each_unnormalised_projection(self, name):
        """ReLU is homogeneous and halving is exact, so the distance is halved to float64's
        rounding in z + ..., 1e-16 |z| = 1e-12 beside distances above 1e-3; a normalisation lets
        1e-5 / (2 variance) of the scale through, the variances being above 0.5."""
        d, m = 32, 16
        z, x = np.random.default_rng(9).normal(0, 1e3, (2, 20, d))
        distances = []
        for std in (1e-2, 5e-3):
            adapter = cast(init_one(name, 10, d, m, std), np.float64)
            moved = moved_by(name, adapter, z, x, "relu") - z
            distances.append(np.linalg.norm(moved))
        expected = 2 ** {"layer-norm": 1, "batch-norm": 1, "deep": 3}.get(name, 2)
        assert distances[0] / distances[1] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("name", NORMED)
    def test_normalised_features_move_a_small_z_as_far_as_a_large_one(self, name):
        """Where the variance is far above 1e-5, the size of z no longer counts."""
        z = np.random.default_rng(11).normal(0, 1e3, (20, 32))
        adapter = cast(init_one(name, 12, 32, 16), np.float64)
        one, other = (moved_by(name, adapter, v, v) - v for v in (z, 10 * z))
        assert np.linalg.norm(other) == pytest.approx(np.linalg.norm(one), rel=1e-5)


# ------------------------------------------------------------------------------------- gradients

CASES = [*NAMES, "batch-norm, settled"]


def gradient_case(case: str) -> tuple[str, dict[str, Any], Tree]:
    """(the variant's name, what is differentiated: the trained leaves, z and x, and the frozen
    statistics)."""
    rng = np.random.default_rng(13)
    name = case.partition(",")[0]
    adapter = some_adapter(rng, 5, 3, name)
    statistics = dict(leaves(settled(adapter, rng)["norm"])) if case != name else {}
    frozen = {p: statistics[p] for p in ("mean", "variance") if p in statistics}
    z, x = rng.normal(0, 1, (2, 4, 5))
    return name, {**dict(leaves(adapter)), "z": z, "x": x}, frozen


def gradient_loss(name: str, frozen: Tree, level: Any, dtype: Any = np.float64) -> Any:
    """A sum of the outputs with weights that no symmetry cancels."""
    g = np.cos(np.arange(20.0) * 0.7 + 0.3).reshape(4, 5).astype(dtype)

    def loss(flat: dict[str, Any]) -> Any:
        adapter = from_leaves({p: leaf for p, leaf in flat.items() if p not in ("z", "x")})
        if frozen:
            adapter["norm"] |= {p: leaf.astype(dtype) for p, leaf in frozen.items()}
        return anp.sum(g * moved_by(name, adapter, flat["z"], flat["x"], level=level))

    return loss


class TestGradients:
    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("case", CASES)
    def test_gradients_agree_with_finite_differences_in_every_coordinate(self, case, level):
        """(L(v + h) - L(v - h)) / 2h in float64, h = 1e-5: h^2/6 times third derivatives below
        100 is 2e-9, and rounding 2e-16 |L| / h with |L| below 50 is 1e-9."""
        name, flat, frozen = gradient_case(case)
        loss = gradient_loss(name, frozen, level)
        _, grads = value_and_grads(loss, flat)
        for path, leaf in flat.items():
            for place in np.ndindex(leaf.shape):
                sides = []
                for step in (1e-5, -1e-5):
                    moved = leaf.copy()
                    moved[place] += step
                    sides.append(float(loss({**flat, path: moved})))
                slope = (sides[0] - sides[1]) / 2e-5
                assert abs(grads[path][place] - slope) < 3e-9, f"{path} at {place}"

    @pytest.mark.parametrize("case", CASES)
    def test_gradients_are_the_same_plain_and_fused(self, case):
        name, flat, frozen = gradient_case(case)
        (value, plain), (other, fast) = (
            value_and_grads(gradient_loss(name, frozen, level), flat) for level in (ops, fused)
        )
        assert value == pytest.approx(other, rel=1e-12)
        for path in flat:  # two orders of adding up the same terms, of size 10 at most
            np.testing.assert_allclose(plain[path], fast[path], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("case", CASES)
    def test_gradients_are_float32_for_float32_and_so_is_the_value(self, case, level):
        name, flat, frozen = gradient_case(case)
        narrow = {path: leaf.astype(np.float32) for path, leaf in flat.items()}
        loss = gradient_loss(name, frozen, level, np.float32)
        assert loss(narrow).dtype == np.float32
        _, grads = value_and_grads(loss, narrow)
        assert {path: g.dtype for path, g in grads.items()} == dict.fromkeys(flat, np.float32)
        _, exact = value_and_grads(gradient_loss(name, frozen, level), flat)
        for path in flat:
            # some ten roundings of 6e-8 in a row, of numbers up to 10
            np.testing.assert_allclose(grads[path], exact[path], rtol=0, atol=3e-5)

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("name", NORMED)
    @pytest.mark.parametrize("rows", [1, 3])
    def test_a_feature_that_does_not_vary_gives_no_nan(self, name, rows, level):
        """W_down = 0: all features are b_down's one value, the variance is 0 and what is left is
        z + f(bias) W_up + b_up."""
        rng = np.random.default_rng(14)
        adapter = cast(some_adapter(rng, 5, 3, name), np.float32)
        adapter["down"] = {
            "weight": np.zeros((5, 3), np.float32),
            "bias": np.full(3, np.float32(2)),
        }
        z = rng.standard_normal((rows, 5), np.float32)

        def loss(flat: dict[str, Any]) -> Any:
            tree = from_leaves(flat)
            return anp.sum(moved_by(name, tree, z, z, "tanh", level))

        _, grads = value_and_grads(loss, dict(leaves(adapter)))
        assert all(np.isfinite(g).all() for g in grads.values())
        moved = moved_by(name, adapter, z, z, "tanh", level)
        up = adapter["up"]
        expected = (
            z + np.tanh(adapter["norm"]["bias"].astype(np.float64)) @ up["weight"] + up["bias"]
        )
        # the rows' mean is good to 1e-7 and magnified by 316 at most
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------- batch normalisation


@pytest.fixture(scope="module")
def model(tiny) -> tuple[Tree, Tree]:
    """The tiny BERT and large adapters with batch normalisation, in float64."""
    rng = np.random.default_rng(15)
    adapters = {
        layer: {p: some_adapter(rng, 32, 3, "batch-norm") for p in ("attention", "feed_forward")}
        for layer in range(tiny.config.num_hidden_layers)
    }
    return cast(tiny.params, np.float64), adapters


class TestPopulationStatistics:
    METHOD = method_of("batch-norm", 3)

    def batch(self, tiny, texts: list) -> Batch:
        return make_batch(encode_texts(tiny.tokenizer, texts, 64))

    def cls(self, tiny, params: Tree, adapters: Tree, texts: list, ops: Any = fused) -> np.ndarray:
        """The texts' [CLS] states. [B, D]"""
        adapt = attach("batch-norm", adapters, level=ops)
        batch = self.batch(tiny, texts)
        return encode(params, batch, tiny.config, adapt=adapt, ops=ops, first_only=True)[-1]

    def settle(self, tiny, params: Tree, adapters: Tree, texts: list = TEXTS) -> Tree:
        def run(adapt: Any) -> Any:
            batch = self.batch(tiny, texts)
            return encode(params, batch, tiny.config, adapt=adapt, first_only=True)

        return batch_norm.settle(adapters, self.METHOD, run)

    def test_a_classifier_is_settled_with_cls_alone_in_its_last_layer(self, tiny):
        fresh = new_task_model(tiny, self.METHOD, RECIPES["paper"], 2, seed=0)
        ready = settle(fresh, self.batch(tiny, TEXTS)).tree["adapters"]
        expected = self.settle(tiny, tiny.params, fresh.tree["adapters"])
        assert {path: leaf.tobytes() for path, leaf in leaves(ready)} == {
            path: leaf.tobytes() for path, leaf in leaves(expected)
        }

    @pytest.mark.parametrize("level", LEVELS)
    def test_once_settled_a_texts_output_ignores_its_neighbours(self, tiny, model, level):
        params, adapters = model
        ready = self.settle(tiny, params, adapters)
        together = self.cls(tiny, params, ready, TEXTS, level)
        alone = [self.cls(tiny, params, ready, [text], level)[0] for text in TEXTS]
        reversed_ = self.cls(tiny, params, ready, TEXTS[::-1], level)[::-1]
        # float64; the matrix products of other numbers of rows add up in other orders
        np.testing.assert_allclose(alone, together, rtol=0, atol=1e-11)
        np.testing.assert_allclose(reversed_, together, rtol=0, atol=1e-11)

    def test_before_settling_a_texts_output_depends_on_its_neighbours(self, tiny, model):
        params, adapters = model
        together = self.cls(tiny, params, adapters, TEXTS)
        for number, text in enumerate(TEXTS):
            alone = self.cls(tiny, params, adapters, [text])[0]
            assert np.abs(alone - together[number]).max() > 0.1

    def test_settling_leaves_the_samples_own_outputs_as_they_were(self, tiny, model):
        params, adapters = model
        ready = self.settle(tiny, params, adapters)
        before, after = (self.cls(tiny, params, tree, TEXTS) for tree in (adapters, ready))
        np.testing.assert_array_equal(before, after)

    def test_settling_finds_mean_and_variance_of_what_reaches_each_adapter(self, tiny, model):
        params, adapters = model
        ready = self.settle(tiny, params, adapters)
        adapt = attach("batch-norm", ready)
        rows = []

        def watched(layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
            if place not in ready[layer]:  # one of the attention's projections
                return adapt(layer, place, z, x)
            features = linear(z, ready[layer][place]["down"])
            norm = ready[layer][place]["norm"]
            np.testing.assert_allclose(norm["mean"], np.mean(features, axis=0), atol=1e-12)
            np.testing.assert_allclose(norm["variance"], np.var(features, axis=0), atol=1e-12)
            rows.append(len(z))
            return adapt(layer, place, z, x)

        batch = self.batch(tiny, TEXTS)
        encode(params, batch, tiny.config, adapt=watched, first_only=True)
        layers = tiny.config.num_hidden_layers
        # every token, but in the last layer the texts' first ones
        assert rows == [len(batch.ids)] * 2 * (layers - 1) + [len(TEXTS)] * 2

    def test_settling_gives_each_adapter_two_leaves_that_no_gradient_trains(self, tiny, model):
        params, adapters = model
        ready = self.settle(tiny, params, adapters)
        before, after = (dict(leaves({"adapters": tree})) for tree in (adapters, ready))
        added = after.keys() - before.keys()
        assert added == {p for p in after if not self.METHOD.trains(p)}
        assert added == {
            f"adapters.{layer}.{place}.norm.{name}"
            for layer in range(tiny.config.num_hidden_layers)
            for place in ("attention", "feed_forward")
            for name in ("mean", "variance")
        }
        assert all(after[path] is before[path] for path in before)

    def test_population_statistics_are_float32_for_float32(self, tiny, model):
        params, adapters = (cast(tree, np.float32) for tree in model)
        ready = self.settle(tiny, params, adapters)
        assert {leaf.dtype for _, leaf in leaves(ready)} == {np.dtype(np.float32)}
        assert self.cls(tiny, params, ready, TEXTS).dtype == np.float32

    def test_population_statistics_replace_older_ones(self, tiny, model):
        params, adapters = model
        old = self.settle(tiny, params, adapters, TEXTS[:2])
        new, fresh = (self.settle(tiny, params, tree) for tree in (old, adapters))
        for (path, one), (_, other), (_, older) in zip(
            *(leaves(tree) for tree in (new, fresh, old)), strict=True
        ):
            np.testing.assert_array_equal(one, other)
            if path.endswith(("mean", "variance")):
                assert (one != older).any()

    def test_settling_leaves_a_layer_without_adapters_alone(self, tiny, model):
        params, adapters = model
        top = {1: adapters[1]}
        assert list(self.settle(tiny, params, top)) == [1]

    @pytest.mark.parametrize("name", [n for n in NAMES if n != "batch-norm"])
    def test_no_variant_but_batch_norm_has_population_statistics(self, tiny, name):
        method = method_of(name, 4)
        assert not hasattr(adapters_of(method), "settle")
        fresh = new_task_model(tiny, method, RECIPES["paper"], 2, seed=0)
        assert settle(fresh, self.batch(tiny, TEXTS)) is fresh

    def test_population_statistics_come_from_one_batch_only(self, tiny, model):
        """Of two, the second would silently replace the first's."""
        params, adapters = model

        def run(adapt: Any) -> Any:
            for text in TEXTS:
                encode(params, self.batch(tiny, [text]), tiny.config, adapt=adapt)

        with pytest.raises(ValueError, match="must be one batch: layer 0 came twice"):
            batch_norm.settle(adapters, self.METHOD, run)


class TestOneText:
    """While training, batch normalisation sees the shard's texts, whatever their number."""

    def test_batch_norm_in_the_last_layer_adds_the_same_to_any_single_text(self, tiny, model):
        """Its only row is [CLS], which is its own mean: the adapter adds the same to any text."""
        params, adapters = model
        adapt = attach("batch-norm", adapters)
        last, added = tiny.config.num_hidden_layers - 1, []

        def watched(layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
            moved = adapt(layer, place, z, x)
            if (layer, place) == (last, "attention"):
                added.append(moved - z)
            return moved

        for text in TEXTS:
            batch = make_batch(encode_texts(tiny.tokenizer, [text], 64))
            encode(params, batch, tiny.config, adapt=watched, first_only=True)
        for one, other in pairwise(added):
            assert one.shape == (1, 32)
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_variant_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        next(iter(variants.VARIANTS.values())).hidden = 2  # type: ignore[misc]
