"""What is trained and what is frozen: visible, countable, and exactly what the paper says.

Houlsby et al. 2019, arXiv 1902.00751, sections 2.1 and 3.1. In other implementations this is
hidden in the optimiser, and users keep asking where the freezing is.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from cases import PARAMETERS, RECIPE_TABLE
from conftest import GOLDENS

from adapters.methods.method import parameter_table, split
from adapters.methods.table import METHODS, TABLE, method_named, method_rows
from adapters.recipes import (
    DEFAULTS,
    RECIPES,
    TASK_DEFAULTS,
    default_rate_epochs,
    recipe_named,
)
from adapters.task_model import new_task_model
from minibert.checkpoint import load_base
from minibert.data.tasks import GLUE
from minibert.errors import InputError
from minibert.parameters import parameter_shapes
from minibert.training.optim import warm_up_then_decay
from minibert.tree import Tree, count, leaves, merge

PAPER, RELEASED = RECIPES["paper"], RECIPES["released-code"]
PLACES = ("attention", "feed_forward")


def norm_paths(layers: int) -> set[str]:
    """Every LayerNorm of an encoder, spelt out: the embedding's, and two a layer."""
    norms = ["embeddings.norm"]
    norms += [f"layers.{i}.{place}.norm" for i in range(layers) for place in PLACES]
    return {f"base.{norm}.{leaf}" for norm in norms for leaf in ("weight", "bias")}


def adapter_paths(layers: int) -> set[str]:
    return {
        f"adapters.{i}.{place}.{part}.{leaf}"
        for i in range(layers)
        for place in PLACES
        for part in ("down", "up")
        for leaf in ("weight", "bias")
    }


HEAD = {"head.weight", "head.bias"}


@pytest.fixture(scope="module")
def tree(tiny) -> Tree:
    """The tiny BERT's combined tree, ready for a task of three classes."""
    return new_task_model(tiny, method_named("adapters", 4), PAPER, 3, seed=0).tree


def split_paths(tree: Tree, method: str) -> tuple[set[str], set[str]]:
    trained, frozen = split(tree, METHODS[method])
    return {path for path, _ in leaves(trained)}, {path for path, _ in leaves(frozen)}


class TestTheTrainedSet:
    def test_the_paper_trains_adapters_every_layernorm_and_the_head(self, tree):
        """Section 2.1: "we also train new layer normalization parameters per task"; the embedding's
        LayerNorm too, as in the released code."""
        trained, _ = split_paths(tree, "adapters")
        assert trained == adapter_paths(2) | norm_paths(2) | HEAD

    def test_the_paper_freezes_embeddings_attention_feed_forward_and_pooler(self, tree):
        """The pooler is used and stays as it was pretrained, as in the released code."""
        _, frozen = split_paths(tree, "adapters")
        linear = [
            f"base.layers.{i}.attention.{n}"
            for i in range(2)
            for n in ("query", "key", "value", "output")
        ]
        linear += [
            f"base.layers.{i}.feed_forward.{n}" for i in range(2) for n in ("inner", "output")
        ]
        linear += ["base.pooler"]
        tables = {f"base.embeddings.{name}" for name in ("word", "position", "segment")}
        assert frozen == tables | {f"{n}.{leaf}" for n in linear for leaf in ("weight", "bias")}

    @pytest.mark.parametrize("method", METHODS)
    def test_every_leaf_is_either_trained_or_frozen_and_none_is_copied(self, tree, method):
        trained, frozen = split(tree, METHODS[method])
        everything = dict(leaves(tree))
        parts = dict(leaves(trained)), dict(leaves(frozen))
        assert not parts[0].keys() & parts[1].keys()
        assert parts[0].keys() | parts[1].keys() == everything.keys()
        for part in parts:
            for path, leaf in part.items():
                assert leaf is everything[path], f"{path} was copied"
        assert merge(frozen, trained).keys() == tree.keys()

    @pytest.mark.parametrize(
        "method, of_the_base",
        [
            ("full", lambda paths: paths),  # section 3: fine-tuning, the peer
            ("norms", lambda paths: norm_paths(2)),  # figure 4: "LayerNorm only"
            ("head", lambda paths: set()),  # features of a frozen BERT
        ],
    )
    def test_full_norms_and_head_train_what_their_names_say(self, tree, method, of_the_base):
        base = {path for path, _ in leaves(tree) if path.startswith("base.")}
        without_adapters = {"base": tree["base"], "head": tree["head"]}
        trained, _ = split_paths(without_adapters, method)
        assert trained == of_the_base(base) | HEAD

    def test_a_masked_token_head_in_the_checkpoint_is_never_trained(self):
        """bert-base-uncased has one, LayerNorm included; no task ever runs through it, so it is
        neither trained nor counted nor saved."""
        base = load_base(GOLDENS / "tiny_mlm", pooler=False)
        assert "masked_tokens" in base.params
        whole = new_task_model(base, METHODS["adapters"], PAPER, 2, seed=0).tree
        for method in METHODS:
            trained, _ = split_paths(whole, method)
            assert not [path for path in trained if "masked_tokens" in path], method
        norms = split_paths(whole, "norms")[0]
        assert norms == norm_paths(2) | HEAD

    @pytest.mark.parametrize("leaf", ["mean", "variance"])
    def test_the_population_statistics_of_batch_normalisation_are_never_trained(self, leaf):
        """Population statistics come from a pass over texts, not from a gradient."""
        method = method_named("adapters", variant="batch-norm")
        assert method.trains("adapters.0.attention.norm.weight")
        assert not method.trains(f"adapters.0.attention.norm.{leaf}")


class TestCounts:
    @pytest.mark.parametrize("config, everything, norms", PARAMETERS)
    def test_full_trains_every_parameter_and_norms_every_layernorm(self, config, everything, norms):
        """A LayerNorm has 2d parameters and there are 2L + 1 of them."""
        shapes = {f"base.{path}": shape for path, shape in parameter_shapes(config).items()}
        assert sum(math.prod(shape) for shape in shapes.values()) == everything
        chosen = {path for path in shapes if METHODS["norms"].trains(path)}
        assert chosen == norm_paths(config.num_hidden_layers)
        assert sum(math.prod(shapes[path]) for path in chosen) == norms
        assert norms == (2 * config.num_hidden_layers + 1) * 2 * config.hidden_size
        full = {path for path in shapes if METHODS["full"].trains(path)}
        assert full == shapes.keys()

    def test_minilms_trained_and_frozen_parameters_are_counted_to_the_last_one(self, minilm):
        tree = new_task_model(
            minilm, method_named("adapters", 64), PAPER, 2, seed=0, pooling="pooler"
        ).tree
        trained, frozen = split(tree, METHODS["adapters"])
        assert count(trained) == 595_200 + 9_984 + 2 * (384 + 1)
        assert count(frozen) == 22_713_216 - 9_984


class TestTheTable:
    """What `minibert train` prints: each group, how much of it is trained, how much frozen."""

    @pytest.mark.parametrize("method", METHODS)
    def test_the_parameter_table_sums_to_the_trained_and_the_frozen_parameters(self, tree, method):
        rows = parameter_table(tree, METHODS[method])
        trained, frozen = split(tree, METHODS[method])
        assert sum(row[1] for row in rows) == count(trained)
        assert sum(row[2] for row in rows) == count(frozen)
        assert all(row[1] + row[2] for row in rows)

    def test_the_parameter_table_of_the_papers_method_is_the_one_counted_by_hand(self, tiny, tree):
        """d = 32, F = 64, L = 2, V = 199, m = 4, C = 3."""
        assert parameter_table(tree, METHODS["adapters"]) == [
            ("LayerNorms", 5 * 64, 0),
            ("embeddings", 0, (199 + 64 + 2) * 32),
            ("attention", 0, 2 * 4 * (32 * 32 + 32)),
            ("feed-forward", 0, 2 * (32 * 64 + 64 + 64 * 32 + 32)),
            ("pooler", 0, 32 * 32 + 32),
            ("adapters", 2 * 2 * (2 * 4 * 32 + 32 + 4), 0),
            ("task head", 3 * 32 + 3, 0),
        ]

    def test_the_parameter_table_has_a_row_for_an_unused_masked_token_head(self):
        base = load_base(GOLDENS / "tiny_mlm", pooler=False)
        tree = new_task_model(base, METHODS["head"], PAPER, 2, seed=0).tree
        rows = {name: rest for name, *rest in parameter_table(tree, METHODS["adapters"])}
        assert rows["masked-token head"] == [0, 32 * 32 + 32 + 64 + 199]
        assert rows["LayerNorms"] == [5 * 64, 0]


class TestMethods:
    def test_the_methods_are_these_and_an_unknown_one_is_refused_with_their_names(self):
        paper, beyond = ["adapters", "full", "norms", "head"], ["lora", "pfeiffer", "biases"]
        assert list(METHODS) == paper + beyond
        with pytest.raises(InputError, match=r"^unknown method 'magic'; known: adapters, full, no"):
            method_named("magic")

    def test_methods_with_adapters_take_a_size_and_say_it(self):
        assert method_named("adapters").size == 64
        assert method_named("adapters", 8).size == 8
        assert str(method_named("adapters", 8)) == "adapters, m = 8"
        assert METHODS["adapters"].size == 64  # the table itself stays as it is

    @pytest.mark.parametrize("method", ["full", "norms", "head"])
    def test_methods_without_adapters_take_no_size(self, method):
        assert str(method_named(method)) == method
        with pytest.raises(InputError, match=f"^method '{method}' has no adapters, so it takes no"):
            method_named(method, 8)

    def test_adapters_compute_the_released_codes_gelu_unless_told_otherwise(self):
        """Pfeiffer's adapters come from another paper, and so does their max(x, 0)."""
        assert METHODS["adapters"].activation == method_named("adapters", 8).activation
        assert METHODS["adapters"].activation == "gelu_tanh"
        assert METHODS["pfeiffer"].activation == "relu"
        assert method_named("adapters", activation="swish").activation == "swish"

    def test_a_method_refuses_an_unknown_activation(self):
        with pytest.raises(InputError, match=r"^unknown activation 'mish'; known: gelu_tanh, "):
            method_named("adapters", 8, "mish")

    @pytest.mark.parametrize("std", [0.0, -0.5, float("inf"), float("nan")])
    def test_a_method_refuses_an_initial_std_that_is_not_a_positive_number(self, std):
        with pytest.raises(
            InputError, match=f"^the adapters' initial std must be positive, not {std}"
        ):
            method_named("adapters", std=std)
        assert method_named("adapters", std=1e-7).std == 1e-7

    def test_a_method_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            METHODS["adapters"].size = 8  # type: ignore[misc]

    @pytest.mark.parametrize("layers, upper, lower", [(1, 0, 0), (4, 2, 1), (5, 3, 1)])
    def test_methods_of_half_the_layers_part_in_the_middle(self, tiny, layers, upper, lower):
        """The table of all methods: adapters from layer `upper` on, and up to layer `lower`."""
        config = dataclasses.replace(tiny.config, num_hidden_layers=layers)
        methods = [method for method, _, _ in method_rows(config)]
        spans = [method for method in methods if method.name == "adapters"][1:]
        held = [[n for n in range(layers) if method.has_layer(n)] for method in spans]
        assert held == [list(range(upper, layers)), list(range(lower + 1))]


class TestTheStart:
    """The tree before the first step."""

    def test_a_new_task_model_holds_the_bases_own_arrays(self, tiny, tree):
        for path, leaf in leaves(tree["base"]):
            assert leaf is dict(leaves(tiny.params))[path], f"{path} was copied"

    @pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
    def test_adapters_and_head_are_drawn_with_the_recipes_std(self, tiny, recipe):
        """Section 3.6: 1e-2; released code: 1e-3. Head: 0.02 in both, as in BERT. Of a thousand
        draws the largest is between 1.9 and 2 std (all 1,024 below 1.9: chance 3e-6)."""
        tree = new_task_model(tiny, method_named("adapters", 32), recipe, 32, seed=0).tree
        std = {"paper": 1e-2, "released-code": 1e-3}[recipe.name]
        for path, leaf in leaves({"adapters": tree["adapters"], "head": tree["head"]}):
            assert leaf.dtype == np.float32
            if path.endswith("bias"):
                assert not leaf.any(), path
            else:
                expected = 0.02 if path.startswith("head") else std
                assert 1.9 < np.abs(leaf).max() / expected <= 2 * (1 + 1e-6), path

    def test_the_head_for_a_score_has_one_output(self, tiny):
        """STS-B, the regression among GLUE's tasks."""
        outputs = GLUE["sts-b"].outputs
        head = new_task_model(tiny, METHODS["head"], PAPER, outputs, seed=0).tree["head"]
        assert head["weight"].shape == (32, 1)
        assert head["bias"].shape == (1,)

    def test_a_new_task_model_refuses_adapters_of_no_size(self, tiny):
        with pytest.raises(InputError, match=r"^adapter size must be at least 1, not 0$"):
            method = dataclasses.replace(METHODS["adapters"], size=0)
            new_task_model(tiny, method, PAPER, 2, seed=0)

    @pytest.mark.parametrize("method", ["full", "norms", "head"])
    def test_methods_without_adapters_start_with_base_and_head_alone(self, tiny, method):
        assert new_task_model(tiny, METHODS[method], PAPER, 2, seed=0).tree.keys() == {
            "base",
            "head",
        }

    def test_a_new_task_model_is_the_same_for_the_same_seed_and_another_for_another(self, tiny):
        def drawn(seed: int) -> dict[str, Any]:
            tree = new_task_model(tiny, METHODS["adapters"], PAPER, 2, seed).tree
            return {p: leaf.tobytes() for p, leaf in leaves(tree) if not p.startswith("base")}

        one, same, other = drawn(1), drawn(1), drawn(2)
        assert one == same
        assert all(one[path] != other[path] for path in one if path.endswith("weight"))


class TestRecipes:
    """What the paper's text says, and what its code does (github.com/google-research/adapter-bert):
    `optimization.py`, `modeling.py`, `run_classifier.py`."""

    def test_the_papers_recipe_is_that_of_its_text(self):
        """Sections 3.1 (Adam, 10 % warm-up, decay to 0) and 3.6 (std 1e-2)."""
        adam = PAPER.adam
        assert (adam.beta1, adam.beta2, adam.eps) == (0.9, 0.999, 1e-8)
        assert (adam.bias_correction, adam.weight_decay, adam.clip) == (True, 0.0, None)
        assert (PAPER.adapter_std, PAPER.head_std) == (1e-2, 0.02)
        assert (PAPER.warm_up, PAPER.rebased) == (0.1, True)

    def test_the_released_codes_recipe_is_that_of_its_source(self):
        adam = RELEASED.adam
        assert (adam.beta1, adam.beta2, adam.eps) == (0.9, 0.999, 1e-6)
        assert (adam.bias_correction, adam.weight_decay, adam.clip) == (False, 0.01, 1.0)
        assert (RELEASED.adapter_std, RELEASED.head_std) == (1e-3, 0.02)
        assert (RELEASED.warm_up, RELEASED.rebased) == (0.1, False)

    def test_the_recipes_differ_in_what_their_table_says_and_in_nothing_else(self):
        """Each row of the table against the data, and no difference in the data without a row."""
        rows = {setting: (paper, code) for setting, paper, code in RECIPE_TABLE}
        assert len(rows) == len(RECIPE_TABLE)

        def rate(recipe: Any) -> float:  # where the warm-up has just ended
            return warm_up_then_decay(100, 1000, 100, recipe.rebased)

        stated = {
            "adapter initialisation, std": lambda r: float(r.adapter_std),
            "Adam's bias correction": lambda r: "yes" if r.adam.bias_correction else "no",
            "Adam's epsilon": lambda r: float(r.adam.eps),
            "weight decay (not on LayerNorms and biases)": lambda r: (
                f"{r.adam.weight_decay:g}, decoupled" if r.adam.weight_decay else "none"
            ),
            "largest global gradient norm": lambda r: str(r.adam.clip or "none").lower(),
            "learning rate after the warm-up": lambda r: (
                "falls from its peak" if rate(r) == 1 else f"falls from {rate(r):g} of its peak"
            ),
        }
        assert rows.keys() == stated.keys()
        for setting, value in stated.items():
            for recipe, text in zip((PAPER, RELEASED), rows[setting], strict=True):
                found = value(recipe)
                assert (float(text) if isinstance(found, float) else text) == found, setting

        def flat(recipe: Any) -> dict[str, Any]:
            values = dataclasses.asdict(recipe)
            return {**values.pop("adam"), **values}

        one, other = flat(PAPER), flat(RELEASED)
        assert {name for name in one if one[name] != other[name]} == {
            "name",
            "adapter_std",
            "bias_correction",
            "eps",
            "weight_decay",
            "clip",
            "rebased",
        }

    def test_an_unknown_recipe_is_refused_with_the_names_of_the_known(self):
        assert recipe_named("paper") is PAPER
        with pytest.raises(InputError, match=r"^unknown recipe 'mine'; known: paper, released-"):
            recipe_named("mine")

    def test_every_method_and_task_has_a_default_rate_and_number_of_epochs(self):
        for method in METHODS:
            for task in (*GLUE, "anybody's own"):
                rate, epochs = default_rate_epochs(method, task)
                assert 0 < rate <= 0.1  # the head alone has the highest
                assert epochs >= 1
        assert DEFAULTS.keys() == METHODS.keys()
        assert all(method in METHODS and task in GLUE for method, task in TASK_DEFAULTS)


def test_a_task_model_and_the_table_of_methods_cannot_be_changed(tiny):
    model = new_task_model(tiny, METHODS["head"], RECIPES["paper"], 2, 0)
    for value, name in ((model, "tree"), (TABLE["adapters"], "choices")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
