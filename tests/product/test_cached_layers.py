"""The frozen layers: what lies below the lowest trained parameter never changes, so it is computed
once, without dropout, and cached.

`--top-layers K` trains the upper part only (Houlsby et al. 2019, section 3.6: the lower layers'
adapters matter least). On a random BERT of four layers, and the tiny one on the command line.
"""

import math
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import value_and_grad
from cases import LEVELS
from command_line import ON_TINY, files, minibert, works
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import bits, contents, ctrl_c, stop_at, without_dropout
from toy import MAX_LENGTH, METHOD_LIST, SETTINGS, examples, toy_data, train

import adapters.finetune as finetune
import minibert.batch as batching
from adapters.cached_layers import LIMIT, cache_states, frozen_layers, states_bytes
from adapters.methods.method import Method, parameter_table, split
from adapters.methods.table import METHODS, method_named, top_layers
from adapters.predict import encode_examples, predict_logits, predict_texts
from adapters.recipes import RECIPES
from adapters.task_file import load_task, on_base
from adapters.task_model import TaskModel, forward, frozen_states, new_task_model
from minibert import fused
from minibert.batch import Batch, make_batch
from minibert.checkpoint import Base
from minibert.errors import InputError, Interrupted
from minibert.model import encode
from minibert.parameters import cast, random_params
from minibert.tensors import read_safetensors
from minibert.tokenizer import Encoded
from minibert.tree import from_leaves, leaves

LAYERS = 4
TOPS = [1, 2, 3, 4]
TUNING = METHOD_LIST[:3]  # all but the head alone
EVERY_TUNING = pytest.mark.parametrize("method", TUNING, ids=lambda method: method.name)
EVERY_TOP = pytest.mark.parametrize("top", TOPS)
# The states of a text are computed in one batch here, in another there: float32 sums in another
# order, and logits and losses below 1.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def deep(tiny) -> Base:
    """A random BERT of four layers whose sublayers have much to say."""
    config = replace(tiny.config, num_hidden_layers=LAYERS, initializer_range=0.2)
    params = random_params(config, seed=3)
    return replace(tiny, name="deep", config=config, params=params, sha256="d" * 64)


@pytest.fixture(scope="module")
def encoded(deep) -> list[Encoded]:
    """Texts of 4 to 10 tokens, not sorted."""
    return encode_examples(deep, examples(30, seed=5), MAX_LENGTH)


def model_for(base: Base, method: Method, dtype: Any = np.float32) -> TaskModel:
    """The whole model, its trained leaves moved away from where they begin: new adapters are near
    the identity, so that nearly everything would look frozen."""
    model = new_task_model(base, method, RECIPES["paper"], 2, seed=1)
    rng = np.random.default_rng(2)
    moved = {
        path: leaf + 0.1 * rng.standard_normal(leaf.shape) if method.trains(path) else leaf
        for path, leaf in leaves(model.tree)
    }
    return replace(model, tree=cast(from_leaves(moved), dtype))


def tops_of(method: Method) -> list[Method]:
    config = SimpleNamespace(num_hidden_layers=LAYERS)
    return [top_layers(method, top, config) for top in TOPS]  # type: ignore[arg-type]


EVERY_METHOD = pytest.mark.parametrize(
    "method", [m for method in TUNING for m in tops_of(method)[:3]] + [METHODS["head"]], ids=str
)


# ----------------------------------------------------------------------------- which are frozen


class TestWhichLayersAreFrozen:
    @EVERY_TUNING
    def test_no_layer_is_frozen_where_an_embedding_parameter_is_trained(self, deep, method):
        """The paper's method too: the embedding's LayerNorm is the lowest of all parameters."""
        assert frozen_layers(model_for(deep, method)) is None

    def test_all_layers_below_a_head_alone_are_frozen(self, deep):
        assert frozen_layers(model_for(deep, METHODS["head"])) == LAYERS

    @EVERY_TUNING
    def test_all_layers_below_the_top_k_are_frozen(self, deep, method):
        """The top four of four layers are all, and the embeddings with them."""
        found = [frozen_layers(model_for(deep, m)) for m in tops_of(method)]
        assert found == [3, 2, 1, None]

    @EVERY_TUNING
    def test_nothing_in_or_below_the_frozen_layers_is_trained(self, deep, method):
        for top, chosen in zip(TOPS, tops_of(method), strict=True):
            trained = {path for path, _ in leaves(split(model_for(deep, chosen).tree, chosen)[0])}
            whole = {path for path, _ in leaves(split(model_for(deep, method).tree, method)[0])}
            number = re.compile(r"(?:base\.layers|adapters)\.(\d+)\.")

            def lies_in_the_top(path: str, top: int = top, number: Any = number) -> bool:
                if path.startswith("base.embeddings."):
                    return top == LAYERS
                layer = number.match(path)
                return layer is None or int(layer[1]) >= LAYERS - top

            assert trained == {path for path in whole if lies_in_the_top(path)}

    @pytest.mark.parametrize("top", [0, -1, 5])
    def test_an_impossible_number_of_top_layers_is_refused(self, deep, top):
        with pytest.raises(InputError, match=f"^top layers must be from 1 to 4, not {top}$"):
            top_layers(METHODS["full"], top, deep.config)

    def test_a_head_has_no_layers_to_choose_from(self, deep):
        message = "^method 'head' trains no layer, so it takes no number of top layers$"
        with pytest.raises(InputError, match=message):
            top_layers(METHODS["head"], 1, deep.config)


class TestParameterCounts:
    """Closed forms in the top k layers: d = 32, F = 64, m = 4, two classes."""

    @EVERY_TOP
    @EVERY_TUNING
    def test_each_method_trains_as_many_parameters_as_the_closed_form(self, deep, method, top):
        d, f, m = 32, 64, 4
        chosen = tops_of(method)[top - 1]
        config = deep.config
        everything = top == LAYERS
        norms = top * 2 * 2 * d + everything * 2 * d
        tables = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size) * d
        expected = {
            "adapters": {
                "LayerNorms": norms,
                "adapters": top * 2 * (2 * m * d + d + m),
                "task head": 2 * d + 2,
            },
            "norms": {"LayerNorms": norms, "task head": 2 * d + 2},
            "full": {
                "LayerNorms": norms,
                "embeddings": everything * tables,
                "attention": top * 4 * (d * d + d),
                "feed-forward": top * (2 * d * f + d + f),
                "pooler": d * d + d,
                "task head": 2 * d + 2,
            },
        }[method.name]
        table = parameter_table(model_for(deep, chosen).tree, chosen)
        assert {group: trained for group, trained, _ in table if trained} == {
            group: number for group, number in expected.items() if number
        }

    def test_adapters_are_made_for_the_layers_that_are_trained_only(self, deep):
        for chosen, first in zip(tops_of(TUNING[0]), (3, 2, 1, 0), strict=True):
            assert sorted(model_for(deep, chosen).tree["adapters"]) == list(range(first, LAYERS))

    def test_the_upper_adapters_begin_as_those_of_all_layers_do(self, deep):
        """One seed, one adapter for each layer, whichever of them are used."""
        whole = bits(new_task_model(deep, TUNING[0], RECIPES["paper"], 2, seed=1).tree)
        for chosen in tops_of(TUNING[0]):
            part = bits(new_task_model(deep, chosen, RECIPES["paper"], 2, seed=1).tree)
            assert part.items() <= whole.items()


# ----------------------------------------------------------------------------- their states


class CountedOps(ModuleType):
    """`fused`, and how often each of its functions is called."""

    def __init__(self) -> None:
        super().__init__("counted")
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        real = getattr(fused, name)

        def call(*args: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return real(*args, **named)

        return call


class TestStates:
    """What leaves the frozen layers."""

    @EVERY_TOP
    @EVERY_TUNING
    def test_frozen_states_are_the_encoders_without_dropout(self, deep, encoded, method, top):
        chosen, frozen = tops_of(method)[top - 1], LAYERS - top
        model, batch = model_for(deep, chosen), make_batch(encoded)
        states = frozen_states(model, batch, frozen)
        below = encode(model.tree["base"], batch, deep.config)[frozen]
        np.testing.assert_array_equal(states, below)  # no adapter lies below

    def test_states_are_the_cls_rows_where_all_layers_are_frozen(self, deep, encoded):
        model, batch = model_for(deep, METHODS["head"], np.float64), make_batch(encoded)
        states = frozen_states(model, batch, LAYERS)
        whole = encode(model.tree["base"], batch, deep.config)[-1]
        assert states.shape == (len(encoded), 32)
        np.testing.assert_allclose(states, whole[batch.starts], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("frozen", [0, 1, 3, 4])
    def test_states_are_cached_text_by_text_in_order(self, deep, encoded, monkeypatch, frozen):
        monkeypatch.setattr(batching, "GROUP_TOKENS", 40)
        model = model_for(deep, METHODS["head"])
        bottom = cache_states(model, encoded, frozen, threads=1)
        assert bottom.layers == frozen
        assert len(bottom.states) == len(encoded)
        for text, states in zip(encoded, bottom.states, strict=True):
            alone = encode(deep.params, make_batch([text]), deep.config)[frozen]
            expected = alone if frozen < LAYERS else alone[:1]
            assert states.shape == expected.shape
            assert states.dtype == np.float32
            np.testing.assert_allclose(states, expected, rtol=0, atol=2e-5)  # states up to 4
        again = cache_states(model, encoded, frozen, threads=3)
        assert [s.tobytes() for s in again.states] == [s.tobytes() for s in bottom.states]
        promised = states_bytes(model, encoded, frozen)
        assert promised == sum(states.nbytes for states in bottom.states)

    @pytest.mark.parametrize("training", [False, True], ids=["prediction", "training"])
    @EVERY_METHOD
    def test_states_given_to_the_forward_pass_change_nothing(self, deep, encoded, method, training):
        """Not one bit: without them it computes them, and the dropout above draws the same."""
        model, batch = model_for(deep, method), make_batch(encoded)
        frozen = frozen_layers(model)
        states = frozen_states(model, batch, frozen)

        def logits(**named: Any) -> np.ndarray:
            rng = np.random.default_rng(4) if training else None
            return forward(model, batch, rng, **named)

        computed = logits(frozen=frozen)
        np.testing.assert_array_equal(logits(frozen=frozen, states=states), computed)
        if not training:  # and without dropout a frozen layer is a layer like any other
            np.testing.assert_array_equal(logits(), computed)
        assert (logits(frozen=frozen, states=states[::-1]) != computed).any()  # they are used

    @EVERY_METHOD
    def test_frozen_states_have_no_dropout_and_all_above_has(self, deep, encoded, method):
        """Three masks a layer (the attention's, two of hidden states), one of the pooled vector;
        without frozen layers one of the embeddings too."""
        model, batch = model_for(deep, method), make_batch(encoded)
        frozen = frozen_layers(model)
        for number, masks in ((frozen, 3 * (LAYERS - frozen) + 1), (None, 3 * LAYERS + 2)):
            counted = CountedOps()
            forward(model, batch, np.random.default_rng(0), number, ops=counted)
            assert counted.calls["keep_mask"] == masks
            assert counted.calls["attention"] == LAYERS
        counted = CountedOps()
        frozen_states(model, batch, frozen, ops=counted)
        assert counted.calls["keep_mask"] == counted.calls["dropout"] == 0

    @EVERY_METHOD
    def test_known_states_spare_the_layers_below(self, deep, encoded, method):
        model, batch = model_for(deep, method), make_batch(encoded)
        frozen = frozen_layers(model)
        states = frozen_states(model, batch, frozen)
        counted = CountedOps()
        forward(model, batch, frozen=frozen, states=states, ops=counted)
        assert counted.calls["attention"] == LAYERS - frozen
        assert counted.calls["lookup"] == (0 if frozen == LAYERS else 1)  # the last layer's [CLS]

    def test_predictions_from_cached_states_give_the_same_logits(self, deep, encoded, monkeypatch):
        monkeypatch.setattr(batching, "GROUP_TOKENS", 40)
        model = model_for(deep, METHODS["head"])
        for frozen in (1, 4):
            bottom = cache_states(model, encoded, frozen, threads=2)
            cached = predict_logits(model, encoded, 2, bottom)
            logits = predict_logits(model, encoded, 2)
            np.testing.assert_array_equal(cached, logits)  # the same groups, so the same bits


# ----------------------------------------------------------------------------- [CLS] only


def float64_base(deep: Base) -> Base:
    return replace(deep, params=cast(deep.params, np.float64))


@pytest.mark.parametrize("level", LEVELS)
class TestOnlyTheFirstTokens:
    """A classifier reads [CLS] alone, so the last layer computes nothing else."""

    @settings(max_examples=20)
    @given(
        lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6), seed=st.integers(0, 2**32 - 1)
    )
    def test_first_tokens_end_as_they_do_in_the_whole_encoder(self, deep, level, lengths, seed):
        rng, base = np.random.default_rng(seed), float64_base(deep)
        batch = make_batch([Encoded(rng.integers(0, 199, n), np.zeros(n, int)) for n in lengths])
        whole = encode(base.params, batch, base.config, ops=level)
        first = encode(base.params, batch, base.config, ops=level, first_only=True)
        assert len(first) == len(whole) == LAYERS + 1
        for number in range(LAYERS):
            np.testing.assert_array_equal(first[number], whole[number])
        assert first[-1].shape == (len(lengths), 32)
        # float64 rounding through one layer, in sums of another order
        np.testing.assert_allclose(first[-1], whole[-1][batch.starts], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("lengths", [[7], [1], [1, 1, 1], [5, 1, 9, 3], [4, 4, 4]], ids=str)
    def test_a_loss_of_first_tokens_alone_has_the_same_gradients(self, deep, level, lengths):
        """Of every parameter of the encoder. What the last layer does for the other tokens has no
        influence on the loss, hence no gradient."""
        rng, base = np.random.default_rng(6), float64_base(deep)
        texts = [Encoded(rng.integers(0, 199, n), np.zeros(n, int)) for n in lengths]
        batch, g = make_batch(texts), np.cos(np.arange(32.0 * len(lengths))).reshape(-1, 32)
        flat = dict(leaves(base.params))

        def value(params: dict[str, Any], first_only: bool) -> Any:
            tree = from_leaves({path: params[path] for path in flat})
            last = encode(tree, batch, base.config, ops=level, first_only=first_only)[-1]
            return anp.sum(g * (last if first_only else last[batch.starts]))

        one, grads = value_and_grad(value)(flat, True)
        two, expected = value_and_grad(value)(flat, False)
        assert one == pytest.approx(two, abs=1e-11)
        largest = max(float(np.abs(gradient).max()) for gradient in expected.values())
        assert largest > 0.1
        for path, gradient in grads.items():
            np.testing.assert_allclose(
                gradient, expected[path], rtol=0, atol=1e-12 * largest, err_msg=path
            )

    def test_dropout_in_the_last_layer_draws_for_first_tokens_alone(self, deep, level, encoded):
        """One row of the last layer's attention for each text: H x T numbers, not H x T x T."""
        asked: list[int] = []

        class Level(ModuleType):
            def __getattr__(self, name: str) -> Any:
                return getattr(level, name)

            @staticmethod
            def keep_mask(rng: Any, size: int, rate: float) -> np.ndarray:
                asked.append(size)
                return level.keep_mask(rng, size, rate)

        batch, heads, d = make_batch(encoded), 4, 32
        encode(
            deep.params,
            batch,
            deep.config,
            rng=np.random.default_rng(0),
            first_only=True,
            ops=Level("level"),
        )
        n, b, lengths = len(batch.ids), len(encoded), [int(length) for length in batch.lengths]
        layer = [heads * sum(t * t for t in lengths), n * d, n * d]
        assert asked == [n * d, *layer * (LAYERS - 1), heads * sum(lengths), b * d, b * d]


def test_batches_of_one_token_texts_are_first_tokens_only(deep):
    """[N, D] and [B, D] look alike then, and are."""
    batch: Batch = make_batch([Encoded(np.array([i]), np.array([0])) for i in (3, 9, 4)])
    model = model_for(deep, METHODS["head"])
    logits = forward(model, batch, frozen=2)
    for i in range(3):
        alone = make_batch([Encoded(batch.ids[i : i + 1], np.array([0]))])
        expected = forward(model, alone)
        np.testing.assert_allclose(logits[i : i + 1], expected, rtol=0, atol=ROUNDING)


# ----------------------------------------------------------------------------- runs


class TestRuns:
    @EVERY_METHOD
    def test_runs_with_cached_states_are_the_runs_without(self, deep, method):
        """Losses, scores and logits, to the rounding of float32."""
        cached, fresh = (train(deep, method=method, cache=cache) for cache in (True, False))
        np.testing.assert_allclose(cached.losses, fresh.losses, rtol=0, atol=ROUNDING)
        assert cached.epochs == fresh.epochs
        texts = [example.text for example in toy_data().dev]
        logits = [predict_texts(run.task, deep, texts) for run in (cached, fresh)]
        np.testing.assert_allclose(*logits, rtol=0, atol=ROUNDING)
        assert np.ptp(cached.losses) > 1e-3

    @EVERY_METHOD
    def test_a_run_keeps_the_frozen_layers_bits_and_moves_all_above(self, deep, method):
        before = bits(deep.params)
        result = train(deep, method=method)
        assert bits(deep.params) == before
        fresh = new_task_model(deep, method, RECIPES["paper"], 2, 0)
        start = dict(leaves(split(fresh.tree, method)[0]))
        trained = dict(leaves(result.task.trained))
        assert trained.keys() == start.keys()
        for path, leaf in trained.items():
            # a key's bias adds one number to all scores of a query, which softmax does not see
            assert path.endswith("key.bias") or (leaf != start[path]).any(), f"{path} did not move"
        model = on_base(result.task, deep)
        whole = bits(model.tree["base"])
        frozen = frozen_layers(model)
        assert frozen
        lower = [p for p in before if re.match(rf"embeddings\.|layers\.[0-{frozen - 1}]\.", p)]
        assert len(lower) == 5 + 16 * frozen
        assert all(whole[path] == before[path] for path in lower)

    def test_a_run_has_dropout_above_the_frozen_layers_only(self, deep):
        """The same batch, the same weights, six times: losses differ by dropout alone. With all
        layers frozen, only the pooled vector has any."""
        still = replace(SETTINGS, rate=1e-30, epochs=6, batch_size=44)
        for method in (METHODS["head"], tops_of(METHODS["full"])[0]):
            assert np.ptp(train(deep, method=method, settings=still).losses) > 1e-4
            calm = train(without_dropout(deep), method=method, settings=still)
            assert np.ptp(calm.losses) < ROUNDING

    def test_a_run_says_how_far_the_computing_of_states_is(self, deep, monkeypatch):
        monkeypatch.setattr(batching, "GROUP_TOKENS", 40)
        told: list[tuple[int, int]] = []
        train(deep, method=METHODS["head"], on_cache=lambda *so_far: told.append(so_far))
        assert {total for _, total in told} == {44 + 24}
        done = [number for number, _ in told]
        assert len(done) > 5
        assert all(a < b for a, b in pairwise([0, *done]))
        assert done[-1] == 44 + 24

    @pytest.mark.parametrize("method", [METHODS["head"], tops_of(TUNING[0])[1]], ids=str)
    def test_states_are_cached_up_to_a_limit_of_memory_only(self, deep, monkeypatch, method):
        data = toy_data()
        texts = encode_examples(deep, data.train + data.dev, MAX_LENGTH)
        rows = len(texts) if method.name == "head" else sum(len(text.ids) for text in texts)
        told: list[tuple[int, int]] = []
        losses = []
        for limit, cached in ((rows * 32 * 4, True), (rows * 32 * 4 - 1, False)):
            monkeypatch.setattr(finetune, "LIMIT", limit)
            told.clear()
            losses.append(
                train(deep, method=method, on_cache=lambda *so_far: told.append(so_far)).losses
            )
            assert bool(told) is cached
        np.testing.assert_allclose(*losses, rtol=0, atol=ROUNDING)
        assert LIMIT == 2 * 1024**3

    def test_nothing_is_cached_without_frozen_layers_or_if_unwanted(self, deep):
        def told(*so_far: int) -> None:
            pytest.fail("states were cached")

        for method in TUNING:
            train(deep, method=method, on_cache=told)
        train(deep, method=METHODS["head"], cache=False, on_cache=told)

    def test_frozen_layers_compute_each_text_once_where_states_are_cached(self, deep, monkeypatch):
        """All training steps and evaluations run the layers above alone."""
        rows: Counter[int] = Counter()
        real = fused.attention

        def counted(query: Any, key: Any, *rest: Any) -> Any:
            rows[len(key)] += 1
            return real(query, key, *rest)

        monkeypatch.setattr(fused, "attention", counted)
        train(deep, method=METHODS["head"])
        assert sum(rows.values()) == LAYERS  # all texts are one group here
        rows.clear()
        train(deep, method=METHODS["head"], cache=False)
        steps, evaluations = 3 * 3 * 2, 3  # two shards a batch
        assert sum(rows.values()) == LAYERS * (steps + evaluations)

    @pytest.mark.parametrize("step", [2, 3, 7])
    @pytest.mark.parametrize("method", [METHODS["head"], tops_of(METHODS["full"])[1]], ids=str)
    def test_a_run_with_frozen_layers_resumes_to_the_same_bits(self, deep, tmp_path, method, step):
        train(deep, tmp_path / "whole", method=method)
        with pytest.raises(Interrupted):
            train(deep, tmp_path / "parts", method=method, on_report=stop_at(step, ctrl_c))
        train(deep, tmp_path / "parts", method=method, resume=True)
        assert contents(tmp_path / "parts") == contents(tmp_path / "whole")

    def test_a_run_of_another_number_of_top_layers_is_not_resumed(self, deep, tmp_path):
        one, two = tops_of(METHODS["norms"])[:2]
        with pytest.raises(Interrupted):
            train(deep, tmp_path, method=one, on_report=stop_at(2, ctrl_c))
        for other, number in ((two, 2), (METHODS["norms"], 0)):
            with pytest.raises(InputError, match=f"was made with first_layer 3, not {number};"):
                train(deep, tmp_path, method=other, resume=True)


# ----------------------------------------------------------------------------- task files


class TestTaskFiles:
    @EVERY_METHOD
    def test_a_file_of_the_top_layers_holds_only_those_and_gives_identical_logits(
        self, deep, tmp_path, method
    ):
        short = replace(SETTINGS, epochs=1)
        run = train(deep, tmp_path, method=method, settings=short)
        assert run.path is not None
        tensors, _ = read_safetensors(run.path)
        layers = {
            int(found[1])
            for path in tensors
            if (found := re.match(r"(?:base\.layers|adapters)\.(\d+)\.", path))
        }
        assert layers == set(range(method.first_layer, LAYERS)) - (
            set(range(LAYERS)) if method.name == "head" else set()
        )
        assert not any(path.startswith("base.embeddings") for path in tensors)
        table = parameter_table(model_for(deep, method).tree, method)
        numbers = sum(trained for _, trained, _ in table)
        assert sum(math.prod(array.shape) for array in tensors.values()) == numbers
        again = load_task(run.path)
        assert again.method == method
        texts = [example.text for example in examples(20, seed=9)]
        logits = predict_texts(again, deep, texts)
        assert logits.tobytes() == predict_texts(run.task, deep, texts).tobytes()

    def test_a_methods_name_says_from_which_layer_on_it_trains(self, deep):
        assert [str(m) for m in tops_of(method_named("adapters", 4))] == [
            "adapters, m = 4, from layer 3",
            "adapters, m = 4, from layer 2",
            "adapters, m = 4, from layer 1",
            "adapters, m = 4",
        ]


class TestCommandLine:
    def test_the_command_line_trains_the_top_layer_of_two(self, tmp_path):
        """Of d = 32: an adapter layer of m = 8, its two LayerNorms, a head."""
        out = tmp_path / "run"
        result = works(
            "train",
            "--task",
            "sst-2",
            "--sample",
            *ON_TINY,
            "--train-examples",
            40,
            "--size",
            8,
            "--top-layers",
            1,
            "--epochs",
            1,
            "--out",
            out,
        )
        d, m = 32, 8
        trained = {
            "LayerNorms": 2 * 2 * d,
            "adapters": 2 * (2 * m * d + d + m),
            "task head": 2 * d + 2,
        }
        for group, number in trained.items():
            assert re.search(rf"^{group} +{number:,} ", result.out, re.M), group
        assert re.search(rf"^all +{sum(trained.values()):,} ", result.out, re.M)
        assert "adapters, m = 8, from layer 1" in result.out
        assert "from layer 1" in works("info", out / "task.safetensors").out
        said = works("predict", out / "task.safetensors", "well", *ON_TINY[:2]).out
        assert said.endswith("\twell\n")

    @pytest.mark.parametrize(
        "words, message",
        [
            (("--top-layers", 0), "top layers must be from 1 to 2, not 0"),
            (("--top-layers=-1",), "top layers must be from 1 to 2, not -1"),
            (("--top-layers", 3), "top layers must be from 1 to 2, not 3"),
            (
                ("--top-layers", 1, "--method", "head"),
                "method 'head' trains no layer, so it takes no number of top layers",
            ),
        ],
        ids=str,
    )
    def test_a_bad_number_of_top_layers_is_refused_in_one_line(self, tmp_path, words, message):
        out = tmp_path / "run"
        result = minibert("train", "--task", "sst-2", "--sample", *ON_TINY, *words, "--out", out)
        assert result == (2, "", f"minibert: error: {message}\n")
        assert files(tmp_path) == {}
        assert not out.exists()
