"""Beyond the paper: LoRA, Pfeiffer's adapters and BitFit as tuning methods.

Hu et al. 2021, arXiv 2106.09685; Pfeiffer et al. 2020, arXiv 2005.00247; Ben Zaken et al. 2021,
arXiv 2106.10199. The peer of beyond.npz is AdapterHub's library on torch.
"""

import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import autograd.numpy as anp
import numpy as np
import plain_loops
import pytest
from autograd.extend import Box
from cases import LEVELS
from command_line import ON_TINY, TINY, minibert, works, write_tsv
from conftest import GOLDENS
from parity import PRECISIONS, compare_gradients, golden_batch
from toy import examples, train

from adapters.cached_layers import frozen_layers
from adapters.methods import lora, pfeiffer
from adapters.methods.method import Method, split
from adapters.methods.table import (
    METHODS,
    TABLE,
    VARIANTS,
    adapter_parameters,
    adapters_of,
    layer_span,
    method_named,
    method_rows,
    top_layers,
    trained_parameters,
)
from adapters.predict import predict_texts
from adapters.recipes import RECIPES
from adapters.task_file import load_task
from adapters.task_model import TaskModel, forward, new_task_model
from minibert import fused
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.heads import loss
from minibert.model import encode
from minibert.parameters import cast, parameter_shapes
from minibert.tensors import as_stored
from minibert.tokenizer import Encoded
from minibert.training.gradients import value_and_grads
from minibert.tree import Tree, count, from_leaves, leaves, merge

NEW = [method_named("lora", 4), method_named("pfeiffer", 8), METHODS["biases"]]
EVERY = pytest.mark.parametrize("method", NEW, ids=lambda method: method.name)
ADDING = pytest.mark.parametrize("method", NEW[:2], ids=lambda method: method.name)
PAPER = RECIPES["paper"]
BERT_BASE = BertConfig()
LENGTHS = [4, 7, 2]


@pytest.fixture(scope="module")
def beyond() -> dict[str, np.ndarray]:
    """What AdapterHub computes for the tiny BERT."""
    with np.load(GOLDENS / "beyond.npz") as file:
        return dict(file)


def some_batch() -> Any:
    rng = np.random.default_rng(0)
    return make_batch([Encoded(rng.integers(0, 199, n), np.zeros(n, np.int64)) for n in LENGTHS])


def golden_model(tiny: Base, goldens: dict, beyond: dict, method: Method, dtype: Any) -> TaskModel:
    """The tiny BERT with the goldens' head and the method's adapters, in our layout."""
    named = {f"head.{n}": goldens[f"head.{n}"] for n in ("weight", "bias")}
    start = f"{method.name}/"
    named |= {
        f"adapters.{key.removeprefix(start)}": value
        for key, value in beyond.items()
        if key.startswith(start)
    }
    own = from_leaves({path: as_stored(path, value) for path, value in named.items()})
    return TaskModel(tiny, method, cast(merge({"base": tiny.params}, own), dtype))


def fresh(base: Base, method: Method, outputs: int = 2) -> TaskModel:
    """A task's model before training."""
    return new_task_model(base, method, PAPER, outputs, seed=0)


def start_of(base: Base, method: Method) -> dict[str, np.ndarray]:
    """What the method trains, before training."""
    return dict(leaves(split(fresh(base, method).tree, method)[0]))


# ------------------------------------------------------------------------------------ formulas


def lora_case() -> tuple[dict[str, Any], np.ndarray]:
    """({A, B, z, x}, a gradient g of the output): d = 5, r = 3, 4 rows, float64."""
    rng = np.random.default_rng(1)
    shapes = {"down.weight": (5, 3), "up.weight": (3, 5), "z": (4, 5), "x": (4, 5)}
    return {name: rng.normal(0, 1, shape) for name, shape in shapes.items()}, rng.normal(
        0, 1, (4, 5)
    )


def pfeiffer_case() -> tuple[dict[str, Any], Tree, np.ndarray]:
    """({adapter, z, x}, the layer's LayerNorm, g): d = 5, m = 3, 4 rows, float64."""
    rng = np.random.default_rng(2)
    shapes = {
        "down.weight": (5, 3),
        "down.bias": (3,),
        "up.weight": (3, 5),
        "up.bias": (5,),
        "z": (4, 5),
        "x": (4, 5),
    }
    norm = {"weight": rng.normal(1, 0.3, 5), "bias": rng.normal(0, 0.3, 5)}
    flat = {name: rng.normal(0, 1, shape) for name, shape in shapes.items()}
    return flat, norm, rng.normal(0, 1, (4, 5))


class TestLora:
    """z + (alpha / r) (x A) B, section 4.1."""

    def moved(self, flat: dict[str, Any]) -> Any:
        part = from_leaves({path: leaf for path, leaf in flat.items() if "." in path})
        adapt = lora.attach({"adapters": {3: {"value": part}}}, BERT_BASE, METHODS["lora"])
        return adapt(3, "value", flat["z"], flat["x"])

    def test_lora_is_the_formula_in_plain_loops(self):
        flat, _ = lora_case()
        features = plain_loops.linear(flat["x"], flat["down.weight"], np.zeros(3))
        change = plain_loops.linear(features, flat["up.weight"], np.zeros(5))
        # alpha is 8 and r is 3; float64's rounding in sums of 5 terms
        expected = flat["z"] + 8 / 3 * change
        np.testing.assert_allclose(self.moved(flat), expected, rtol=0, atol=1e-13)

    def test_lora_has_the_gradients_of_plain_loops(self):
        flat, g = lora_case()
        _, grads = value_and_grads(lambda leaves: anp.sum(g * self.moved(leaves)), flat)
        features = plain_loops.linear(flat["x"], flat["down.weight"], np.zeros(3))
        dfeatures, up, _ = plain_loops.linear_vjp(8 / 3 * g, features, flat["up.weight"])
        dx, down, _ = plain_loops.linear_vjp(dfeatures, flat["x"], flat["down.weight"])
        expected = {"down.weight": down, "up.weight": up, "x": dx, "z": g}
        for name, theirs in expected.items():
            np.testing.assert_allclose(grads[name], theirs, rtol=0, atol=1e-12, err_msg=name)

    def test_lora_leaves_every_other_place_and_layer_as_it_is(self):
        part = lora.init_map(np.random.default_rng(0), 5, 5, 3)
        adapt = lora.attach({"adapters": {3: {"value": part}}}, BERT_BASE, METHODS["lora"])
        z = np.ones((2, 5), np.float32)
        for layer, place in ((3, "query"), (3, "key"), (3, "attention"), (2, "value")):
            assert adapt(layer, place, z, z) is z

    def test_lora_starts_with_uniform_a_and_zero_b(self):
        """Kaiming-uniform with slope sqrt(5) has the bound 1 / sqrt(d). Of 32 x 384 draws the
        largest is above 0.99 of it (all below: chance 1e-53), and their variance is bound^2 / 3."""
        part = lora.init_map(np.random.default_rng(0), 384, 384, 32)
        down, up = part["down"]["weight"], part["up"]["weight"]
        assert (down.shape, up.shape) == ((384, 32), (32, 384))
        assert down.dtype == up.dtype == np.float32
        assert all(leaf.T.flags.c_contiguous for leaf in (down, up))  # [out, in] in memory
        assert not up.any()
        bound = 384**-0.5
        assert 0.99 * bound < np.abs(down).max() <= bound * (1 + 1e-6)
        assert np.var(down) == pytest.approx(bound**2 / 3, rel=0.05)  # 12,288 draws: std 0.8 %

    def test_lora_draws_every_a_anew(self, tiny):
        """Of query and value, in every layer: equal ones would learn alike for no reason."""
        tree = lora.init(np.random.default_rng(0), tiny.config, NEW[0])
        drawn = [leaf.tobytes() for path, leaf in leaves(tree) if ".down." in path]
        assert len(drawn) == len(set(drawn)) == 2 * 2

    def test_at_the_start_lora_is_the_base_to_the_bit(self, tiny):
        model = fresh(tiny, NEW[0], 3)
        bare = {"base": model.tree["base"], "head": model.tree["head"]}
        without = replace(model, method=METHODS["head"], tree=bare)
        ours = forward(model, some_batch())
        assert ours.tobytes() == forward(without, some_batch()).tobytes()

    @pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 2e-5)])
    def test_lora_merged_into_the_weights_gives_the_same_logits(
        self, tiny, goldens, beyond, dtype, tolerance
    ):
        """x (W + s A B) for x W + s (x A) B: the same sums in another order."""
        model = golden_model(tiny, goldens, beyond, NEW[0], dtype)
        merged = TaskModel(tiny, METHODS["head"], lora.merge_lora(model.tree))
        assert merged.tree.keys() == {"base", "head"}
        batch = golden_batch(goldens)
        together, apart = (forward(each, batch) for each in (merged, model))
        assert together.dtype == dtype
        np.testing.assert_allclose(together, apart, rtol=0, atol=tolerance)
        plain = forward(replace(model, tree={**model.tree, "adapters": {}}), batch)
        assert np.abs(together - plain).max() > 0.1  # there was something to merge

    def test_merging_lora_makes_adapted_weights_anew_and_nothing_else(self, tiny, goldens, beyond):
        tree = golden_model(tiny, goldens, beyond, NEW[0], np.float32).tree
        before = {path: leaf.tobytes() for path, leaf in leaves(tree)}
        old, new = dict(leaves(tree)), dict(leaves(lora.merge_lora(tree)))
        changed = {path for path, leaf in new.items() if leaf is not old[path]}
        names = [f"{i}.attention.{name}" for i in range(2) for name in ("query", "value")]
        assert changed == {f"base.layers.{name}.weight" for name in names}
        assert all(new[path].T.flags.c_contiguous for path in changed)
        assert {path: leaf.tobytes() for path, leaf in leaves(tree)} == before


@pytest.mark.parametrize("level", LEVELS)
class TestPfeiffer:
    """z + B(LN(x + z)), with the sublayer's own LayerNorm."""

    def moved(self, flat: dict[str, Any], norm: Tree, level: Any, activation: str = "relu") -> Any:
        adapter = from_leaves({path: leaf for path, leaf in flat.items() if "." in path})
        layers = {1: {"feed_forward": {"norm": norm}}}
        tree = {"base": {"layers": layers}, "adapters": {1: {"feed_forward": adapter}}}
        method = method_named("pfeiffer", 3, activation)
        adapt = pfeiffer.attach(tree, BertConfig(layer_norm_eps=1e-3), method, level)
        return adapt(1, "feed_forward", flat["z"], flat["x"])

    def test_a_pfeiffer_adapter_is_the_formula_in_plain_loops(self, level):
        flat, norm, _ = pfeiffer_case()
        u = plain_loops.skip({"norm": norm}, flat["x"], flat["z"], 1e-3)
        inner = plain_loops.linear(u, flat["down.weight"], flat["down.bias"])
        for activation in ("relu", "gelu_tanh"):
            features = plain_loops.each(getattr(plain_loops, activation), inner)
            expected = flat["z"] + plain_loops.linear(features, flat["up.weight"], flat["up.bias"])
            moved = self.moved(flat, norm, level, activation)
            np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-13)

    def test_a_pfeiffer_adapter_has_the_gradients_of_plain_loops(self, level):
        """z has two ways to the output, as itself and through LayerNorm; x has one."""
        flat, norm, g = pfeiffer_case()
        _, grads = value_and_grads(
            lambda leaves: anp.sum(g * self.moved(leaves, norm, level)), flat
        )
        total = flat["x"] + flat["z"]
        u = plain_loops.layer_norm(total, norm["weight"], norm["bias"], 1e-3)
        inner = plain_loops.linear(u, flat["down.weight"], flat["down.bias"])
        features = plain_loops.each(plain_loops.relu, inner)
        dfeatures, up, up_bias = plain_loops.linear_vjp(g, features, flat["up.weight"])
        du, down, down_bias = plain_loops.linear_vjp(
            dfeatures * (inner > 0), u, flat["down.weight"]
        )
        dtotal, _, _ = plain_loops.layer_norm_vjp(du, total, norm["weight"], 1e-3)
        expected = {
            "down.weight": down,
            "down.bias": down_bias,
            "up.weight": up,
            "up.bias": up_bias,
            "x": dtotal,
            "z": g + dtotal,
        }
        for name, theirs in expected.items():
            np.testing.assert_allclose(grads[name], theirs, rtol=0, atol=1e-12, err_msg=name)

    def test_pfeiffer_leaves_attention_and_layers_without_an_adapter_as_they_are(self, level):
        z = np.ones((2, 5))
        adapt = pfeiffer.attach({"adapters": {1: {}}}, BERT_BASE, METHODS["pfeiffer"], level)
        assert adapt(1, "attention", z, z) is z
        assert adapt(0, "feed_forward", z, z) is z

    def test_a_pfeiffer_adapter_takes_its_epsilon_from_the_config(self, tiny, level):
        model = fresh(tiny, NEW[1])
        z, x = np.random.default_rng(0).normal(0, 1e-2, (2, 3, 32)).astype(np.float32)
        rough = replace(tiny, config=replace(tiny.config, layer_norm_eps=0.5))
        one, other = (
            replace(model, base=base).attach(level)(0, "feed_forward", z, x)
            for base in (tiny, rough)
        )
        assert np.abs(one - other).max() > 1e-4


class TestPfeifferByName:
    """What `method_named` is asked for reaches the adapters."""

    @pytest.mark.parametrize("asked, std", [(None, 1e-2), (0.05, 0.05), (1e-3, 1e-3)])
    def test_pfeiffer_starts_with_the_std_asked_for_or_the_recipes(self, tiny, asked, std):
        """Truncated at two std. Of each 512 weights the largest is above 1.8 std, but for a chance
        of (1 - 0.0276)^512 = 6e-7 that all lie below; biases are 0."""
        model = fresh(tiny, method_named("pfeiffer", 16, std=asked))
        for path, leaf in leaves(model.tree["adapters"]):
            if path.endswith("bias"):
                assert not leaf.any(), path
            else:
                assert leaf.size == 16 * 32, path
                assert 1.8 * std < np.abs(leaf).max() <= 2 * std * (1 + 1e-6), path

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    def test_pfeiffer_uses_its_activation_and_the_operations_it_is_given(self, tiny, activation):
        called: list[str] = []

        def watched(name: str) -> Any:
            def operation(*inputs: Any) -> Any:
                called.append(name)
                return getattr(fused, name)(*inputs)

            return operation

        names = ("add_layer_norm", "linear", "relu", "tanh", "gelu_tanh")
        level: Any = SimpleNamespace(**{name: watched(name) for name in names})
        z = np.ones((3, 32), np.float32)
        fresh(tiny, method_named("pfeiffer", 8, activation)).attach(level)(1, "feed_forward", z, z)
        assert called == ["add_layer_norm", "linear", activation, "linear"]

    def test_an_unknown_activation_is_refused_for_pfeiffer(self):
        with pytest.raises(InputError, match=r"^unknown activation 'sine'; known: "):
            method = replace(METHODS["pfeiffer"], activation="sine")
            pfeiffer.attach({"adapters": {}}, BERT_BASE, method)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("prefix, dtype, tolerance", PRECISIONS)
@ADDING
class TestParity:
    def test_logits_and_every_gradient_are_adapterhubs(
        self, tiny, goldens, beyond, method, prefix, dtype, tolerance, level
    ):
        model = golden_model(tiny, goldens, beyond, method, dtype)
        trained, frozen = split(model.tree, method)
        batch, start = golden_batch(goldens), f"{prefix}/{method.name}/"
        logits = forward(model, batch, ops=level)
        assert logits.dtype == dtype
        np.testing.assert_allclose(logits, beyond[f"{start}logits"], rtol=0, atol=tolerance)

        def batch_loss(flat: dict) -> Any:
            whole = merge(frozen, from_leaves(dict(flat)))
            logits = forward(replace(model, tree=whole), batch, ops=level)
            return loss(logits, goldens["labels"], False, level)

        value, grads = value_and_grads(batch_loss, dict(leaves(trained)))
        assert abs(value - beyond[f"{start}loss"]) < tolerance
        start += "grad/"
        theirs = {
            name if name.startswith("head.") else f"adapters.{name}": gradient
            for name, gradient in (
                (key.removeprefix(start), value)
                for key, value in beyond.items()
                if key.startswith(start)
            )
        }
        compare_gradients(grads, theirs, dtype, tolerance)


# ------------------------------------------------------------------------------------- the hook


ORDER = ("query", "key", "value", "attention_output", "attention", "feed_forward_inner",
         "feed_forward_output", "feed_forward")  # fmt: skip


class TestWhereTheHookIsCalled:
    def calls(self, tiny: Base, **named: Any) -> list[tuple]:
        found = []

        def adapt(layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
            found.append((layer, place, len(z), len(x)))
            return z

        encode(tiny.params, some_batch(), tiny.config, adapt=adapt, **named)
        return found

    def test_the_hook_is_called_eight_times_a_layer_in_the_order_of_computation(self, tiny):
        n = sum(LENGTHS)
        places = [(layer, place, n, n) for layer in range(2) for place in ORDER]
        assert self.calls(tiny) == places

    def test_in_the_last_layer_only_the_texts_first_tokens_have_queries(self, tiny):
        n, b = sum(LENGTHS), len(LENGTHS)
        rows = {place: n if place in ("key", "value") else b for place in ORDER}
        found = self.calls(tiny, first_only=True)
        assert found[8:] == [(1, place, r, r) for place, r in rows.items()]

    def test_the_hook_gets_each_linear_map_and_the_rows_that_it_is_of(self, tiny):
        own = cast(tiny.params, np.float64)
        seen: list[str] = []

        def adapt(layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
            if place in lora.MAPS:
                sublayer, name = lora.MAPS[place].split(".")
                part = own["layers"][layer][sublayer][name]
                expected = plain_loops.linear(x, part["weight"], part["bias"])
                np.testing.assert_allclose(z, expected, rtol=0, atol=1e-12)
                seen.append(place)
            return z

        batch = some_batch()
        encode(own, batch, tiny.config, adapt=adapt, first_only=True)
        assert seen == [place for place in ORDER if place in lora.MAPS] * 2

    def test_what_the_hook_returns_is_what_attention_computes_with(self, tiny):
        """All keys the same: every token attends to all others alike, whatever it asks."""

        def adapt(layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
            return 0 * z if place == "key" else z

        silenced = {}
        for i, layer in tiny.params["layers"].items():
            key = {name: 0 * leaf for name, leaf in layer["attention"]["key"].items()}
            silenced[i] = {"attention": {"key": key}}
        zero = merge(tiny.params, {"layers": silenced})
        batch = some_batch()
        by_hook = encode(tiny.params, batch, tiny.config, adapt=adapt)[-1]
        np.testing.assert_array_equal(by_hook, encode(zero, batch, tiny.config)[-1])


# --------------------------------------------------------------------------- what is trained


def base_biases(layers: int) -> set[str]:
    attention = [f"attention.{name}" for name in ("query", "key", "value", "output", "norm")]
    parts = [*attention, *(f"feed_forward.{name}" for name in ("inner", "output", "norm"))]
    inside = {f"base.layers.{i}.{part}.bias" for i in range(layers) for part in parts}
    return inside | {"base.embeddings.norm.bias", "base.pooler.bias"}


class TestTrainedSet:
    def test_lora_trains_a_and_b_beside_query_and_value_and_the_head(self, tiny):
        expected = {
            f"adapters.{i}.{name}.{way}.weight"
            for i in range(2)
            for name in ("query", "value")
            for way in ("down", "up")
        }
        assert start_of(tiny, NEW[0]).keys() == expected | {"head.weight", "head.bias"}

    def test_pfeiffer_trains_one_adapter_a_layer_and_the_head(self, tiny):
        expected = {
            f"adapters.{i}.feed_forward.{way}.{leaf}"
            for i in range(2)
            for way in ("down", "up")
            for leaf in ("weight", "bias")
        }
        assert start_of(tiny, NEW[1]).keys() == expected | {"head.weight", "head.bias"}

    def test_biases_trains_every_bias_even_the_poolers_and_the_head(self, tiny):
        assert start_of(tiny, NEW[2]).keys() == base_biases(2) | {"head.weight", "head.bias"}

    def test_biases_trains_nothing_of_the_masked_token_head_which_no_task_uses(self):
        for name in ("transform.bias", "norm.bias", "bias"):
            assert not METHODS["biases"].trains(f"base.masked_tokens.{name}"), name

    @EVERY
    def test_only_what_a_method_trains_is_ever_differentiated(self, tiny, method):
        """A frozen weight that met autograd's boxes would cost a d x d gradient."""
        model = fresh(tiny, method)
        trained, frozen = split(model.tree, method)
        boxed: list[bool] = []

        def linear(x: Any, weight: Any, bias: Any) -> Any:
            if weight.shape[0] in (32, 64) and weight.shape[1] in (32, 64):  # the base's own
                boxed.append(isinstance(weight, Box))
            return fused.linear(x, weight, bias)

        watched = SimpleNamespace(**{**vars(fused), "linear": linear})

        def batch_loss(flat: dict) -> Any:
            whole = merge(frozen, from_leaves(dict(flat)))
            logits = forward(replace(model, tree=whole), some_batch(), ops=watched)
            return loss(logits, np.array([0, 1, 0]), False)

        _, grads = value_and_grads(batch_loss, dict(leaves(trained)))
        assert boxed == [False] * (2 * 6 + 1)  # six linear maps a layer, and the pooler
        for path, leaf in leaves(trained):
            assert grads[path].shape == leaf.shape, path
            assert grads[path].dtype == np.float32, path
            # while B is 0, A has no gradient yet
            zero = method.name == "lora" and ".down." in path
            assert grads[path].any() != zero, path

    @EVERY
    def test_what_a_method_trains_moves_and_the_base_keeps_its_bits(self, tiny, method):
        before = {path: leaf.tobytes() for path, leaf in leaves(tiny.params)}
        trained = train(tiny, method=method).task.trained
        start = start_of(tiny, method)
        assert {path for path, _ in leaves(trained)} == start.keys()
        assert all((leaf != start[path]).any() for path, leaf in leaves(trained))
        assert {path: leaf.tobytes() for path, leaf in leaves(tiny.params)} == before

    @ADDING
    def test_adapters_in_some_layers_only_leave_those_below_frozen(self, tiny, method):
        """What the frozen layers compute is cached; predicting from the file, nothing is."""
        for chosen in (top_layers(method, 1, tiny.config), layer_span(method, 1, 1, tiny.config)):
            model = fresh(tiny, chosen)
            assert list(model.tree["adapters"]) == [1]
            assert frozen_layers(model) == 1
            cached, anew = (train(tiny, method=chosen, cache=cache) for cache in (True, False))
            # the first loss, as Adam later magnifies the rounding of gradients near 0; texts that
            # are computed together otherwise are float32's rounding apart, of a loss near 1
            assert cached.losses[0] == pytest.approx(anew.losses[0], abs=1e-5)
        below = layer_span(method, 0, 0, tiny.config)
        assert list(fresh(tiny, below).tree["adapters"]) == [0]

    def test_biases_in_the_top_layer_leaves_the_embeddings_alone(self, tiny):
        top = top_layers(METHODS["biases"], 1, tiny.config)
        assert frozen_layers(fresh(tiny, top)) == 1
        expected = {p for p in base_biases(2) if "layers.0" not in p and "embeddings" not in p}
        assert start_of(tiny, top).keys() == expected | {"head.weight", "head.bias"}


WITH_ADAPTERS = [
    *(entry.method for entry in TABLE.values() if entry.adapters),
    *(method_named("adapters", variant=name) for name in VARIANTS),
]


class TestCounts:
    def test_lora_in_bert_base_has_294_912_parameters(self):
        """2rd of each of two projections in twelve layers; PEFT's number for its defaults."""
        shapes = leaves(lora.init(np.random.default_rng(0), BERT_BASE, METHODS["lora"]))
        assert sum(leaf.size for _, leaf in shapes) == 294_912
        by_formula = adapter_parameters(BERT_BASE, METHODS["lora"])
        assert by_formula == 294_912 == 12 * 2 * 2 * 8 * 768

    def test_pfeiffer_in_bert_base_at_m_48_has_894_528_parameters(self):
        """12 (2md + d + m): half of what Houlsby's adapters of that size have."""
        method = method_named("pfeiffer", std=1e-2)
        adapters = pfeiffer.init(np.random.default_rng(0), BERT_BASE, method)
        assert count(adapters) == 894_528 == 12 * (2 * 48 * 768 + 768 + 48)
        assert adapter_parameters(BERT_BASE, method) == 894_528

    @pytest.mark.parametrize(
        "config, number, share",
        [
            (BERT_BASE, 102_912, "0.09"),
            (
                BertConfig(
                    hidden_size=1024,
                    num_hidden_layers=24,
                    num_attention_heads=16,
                    intermediate_size=4096,
                ),
                272_384,
                "0.08",
            ),
        ],
        ids=["BERT-base", "BERT-large"],
    )
    def test_the_share_of_biases_in_bert_is_the_papers(self, config, number, share):
        """Its tables say 0.09 % of BERT-base and 0.08 % of BERT-large. A layer has 7d + F, the
        embeddings' LayerNorm d and the pooler d."""
        shapes = parameter_shapes(config)
        chosen = {p: s for p, s in shapes.items() if METHODS["biases"].trains(f"base.{p}")}
        assert {f"base.{path}" for path in chosen} == base_biases(config.num_hidden_layers)
        d, f = config.hidden_size, config.intermediate_size
        found = sum(int(np.prod(shape)) for shape in chosen.values())
        assert found == number == config.num_hidden_layers * (7 * d + f) + 2 * d
        everything = sum(int(np.prod(shape)) for shape in shapes.values())
        assert f"{100 * found / everything:.2f}" == share

    @pytest.mark.parametrize("size", [2, 5])
    @pytest.mark.parametrize("method", WITH_ADAPTERS, ids=str)
    def test_each_files_formula_counts_the_trained_leaves_of_a_layer(self, tiny, method, size):
        chosen = replace(method, size=size, std=1e-2)
        adapters = adapters_of(chosen).init(np.random.default_rng(0), tiny.config, chosen)
        for number, layer in adapters.items():
            of_layer = leaves({"adapters": {number: layer}})
            trained = sum(leaf.size for path, leaf in of_layer if chosen.trains(path))
            assert adapters_of(chosen).layer_parameters(tiny.config, chosen) == trained > 0

    @pytest.mark.parametrize("outputs", [1, 3])
    @pytest.mark.parametrize(
        "method", [*METHODS.values(), *WITH_ADAPTERS[-len(VARIANTS) :]], ids=str
    )
    def test_the_count_of_all_that_is_trained_is_that_of_the_tree(self, tiny, method, outputs):
        """In all layers and in some, without a tree having been made."""
        kinds = [method]
        if method.name != "head":
            kinds += [top_layers(method, 1, tiny.config), layer_span(method, 0, 0, tiny.config)]
        for kind in kinds:
            tree = fresh(tiny, kind, outputs).tree
            trained = {path: leaf for path, leaf in leaves(tree) if kind.trains(path)}
            by_formula = trained_parameters(tiny.config, kind, outputs)
            assert by_formula == sum(leaf.size for leaf in trained.values())
            adapters = sum(leaf.size for p, leaf in trained.items() if p.startswith("adapters"))
            assert adapter_parameters(tiny.config, kind) == adapters

    def test_the_table_of_methods_has_the_counts_by_hand(self, tiny):
        """The tiny BERT: d = 32, F = 64, 2 layers; a head of two classes has 66."""
        rows = {method.name: number for method, _, number in method_rows(tiny.config)}
        assert rows["lora"] == 2 * 2 * 2 * 8 * 32 + 66
        assert rows["pfeiffer"] == 2 * (2 * 48 * 32 + 32 + 48) + 66
        assert rows["biases"] == 2 * (7 * 32 + 64) + 64 + 66


# ------------------------------------------------------------------------------- by name


class TestNames:
    def test_a_methods_name_says_its_rank_or_size(self):
        assert str(METHODS["lora"]) == "lora, r = 8"
        assert str(method_named("pfeiffer", 4)) == "pfeiffer, m = 4"
        assert str(METHODS["biases"]) == "biases"

    def test_each_method_has_its_own_defaults(self):
        assert method_named("lora").size == 8
        assert (method_named("pfeiffer").size, method_named("pfeiffer").activation) == (48, "relu")
        assert method_named("pfeiffer", activation="gelu_tanh").activation == "gelu_tanh"

    @pytest.mark.parametrize(
        "name, asked, message",
        [
            ("lora", {"activation": "relu"}, "method 'lora' takes no activation"),
            ("lora", {"variant": "parallel"}, "method 'lora' takes no variant"),
            ("lora", {"std": 1e-2}, "method 'lora' takes no std"),
            ("pfeiffer", {"variant": "deep"}, "method 'pfeiffer' takes no variant"),
            ("biases", {"size": 8}, "method 'biases' has no adapters, so it takes no size"),
        ],
    )
    def test_a_method_refuses_what_it_has_no_use_for(self, name, asked, message):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            method_named(name, **asked)

    @pytest.mark.parametrize(
        "method, message",
        [
            ("lora", "the rank must be at least 1, not 0"),
            ("pfeiffer", "adapter size must be at least 1, not 0"),
        ],
    )
    def test_a_rank_or_size_of_0_is_refused(self, tiny, method, message):
        with pytest.raises(InputError, match=f"^{message}$"):
            fresh(tiny, method_named(method, 0))


class TestCommandLine:
    @EVERY
    def test_every_method_trains_saves_describes_and_predicts(self, tiny, tmp_path, method):
        rows = [(e.text, e.label) for e in examples(24, 1)]
        data = write_tsv(tmp_path / "mine.tsv", "text label", rows)
        size = ("--size", method.size) if method.size else ()
        out, texts = tmp_path / "run", [text for text, _ in rows[:3]]
        said = works(
            "train",
            "--train",
            data,
            "--dev",
            data,
            *ON_TINY,
            "--method",
            method.name,
            *size,
            "--epochs",
            1,
            "--out",
            out,
        ).out
        assert f"method    {method}; recipe paper" in said
        path = out / "task.safetensors"
        task = load_task(path)
        assert task.method == method
        activation = ", activation relu" if method.name == "pfeiffer" else ""
        assert f"{method}{activation}; recipe paper\n" in works("info", path).out
        lines = works("predict", path, "--base", TINY, "--json", *texts).out.splitlines()
        logits = predict_texts(task, tiny, texts).astype(np.float64)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for line, share in zip(lines, shares, strict=True):
            found = list(json.loads(line)["probabilities"].values())
            np.testing.assert_allclose(found, share, rtol=0, atol=1e-6)  # six decimals

    def test_info_lists_the_methods_with_their_parameters(self):
        said = works("info", TINY, "--method", "lora", "--size", 2).out
        assert "With method lora, r = 2, for a task of two classes:" in said
        for name in ("adapters, m = 64", "lora, r = 2", "pfeiffer, m = 48", "biases"):
            assert re.search(rf"^{name}  ", said, re.M), name

    def test_an_option_without_meaning_is_refused_before_anything_is_read(self, tmp_path):
        result = minibert(
            "train",
            "--task",
            "rte",
            "--method",
            "lora",
            "--activation",
            "relu",
            "--out",
            tmp_path / "run",
        )
        assert result.code == 2
        assert "method 'lora' takes no activation" in result.err
        assert not (tmp_path / "run").exists()
