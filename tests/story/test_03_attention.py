"""Attention: each token becomes a mean of its own sequence's values, weighted by similarity.

Vaswani et al. 2017, arXiv 1706.03762, eq. 1: softmax(Q K^T / sqrt(D/H)) V for each of H heads.
"""

import math
from itertools import pairwise
from types import ModuleType

import autograd.numpy as anp
import numpy as np
import plain_loops
import pytest
from autograd import grad, make_vjp
from cases import LEVELS, SEEDS, precisions
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import ops
from minibert.batch import make_batch
from minibert.model import encode
from minibert.tokenizer import Encoded, encode_texts

# Against float64 loops: rounding of sums over T and D of numbers of about 1.
PRECISIONS = precisions(1e-13, 3e-6)
LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=7)


def queries_keys_values(count: int, size: int, seed: int, dtype=np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((count, size)).astype(dtype) for _ in range(3)]


def probabilities(
    level: ModuleType, query: np.ndarray, key: np.ndarray, heads: int
) -> list[np.ndarray]:
    """The attention probabilities [T, T] of every head of one sequence, read off the output: with
    the identity as each head's values, the weighted means are the weights. Needs D/H >= T."""
    length, size = query.shape
    per_head = size // heads
    value = np.tile(np.eye(length, per_head, dtype=query.dtype), (1, heads))
    y = level.attention(query, key, value, [length], [length], heads)
    return [y[:, h * per_head : h * per_head + length] for h in range(heads)]


@pytest.mark.parametrize("level", LEVELS)
class TestWeights:
    """softmax(Q K^T / sqrt(D/H))"""

    def test_two_keys_are_weighted_by_the_logistic_function_of_their_score_difference(self, level):
        """D/H = 4, so scores are halved; unscaled attention would give sigmoid(2) = 0.88."""
        query = np.array([[2.0, 0, 0, 0], [0, 0, 0, 0]])
        key = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]])
        [p] = probabilities(level, query, key, heads=1)
        expected = 1 / (1 + math.exp(-(2.0 - 0.0) / math.sqrt(4)))
        np.testing.assert_allclose(p[0], [expected, 1 - expected], rtol=1e-15)
        np.testing.assert_allclose(p[1], [0.5, 0.5], rtol=1e-15)  # no similarity: the plain mean

    def test_attention_scores_are_scaled_by_the_size_of_a_head_not_of_the_model(self, level):
        query = np.ones((2, 8))
        key = np.array([[1.0] * 8, [0.0] * 8])
        p = probabilities(level, query, key, heads=4)[0]
        # each of the 4 heads sees 2 features: a score of 2 / sqrt(2)
        np.testing.assert_allclose(p[0, 0], 1 / (1 + math.exp(-math.sqrt(2))), rtol=1e-15)

    @settings(max_examples=30)
    @given(length=st.integers(1, 16), heads=st.sampled_from([1, 2, 3]), seed=SEEDS)
    def test_every_heads_attention_weights_are_positive_and_sum_to_1(
        self, level, length, heads, seed
    ):
        query, key, _ = queries_keys_values(length, 16 * heads, seed, np.float32)
        for p in probabilities(level, query, key, heads):
            assert (p > 0).all()
            # at most 16 float32 numbers are added
            np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=0, atol=1e-6)

    @settings(max_examples=30)
    @given(seed=SEEDS, shift=st.floats(-1e3, 1e3))
    def test_one_vector_added_to_every_key_changes_nothing_in_attention(self, level, seed, shift):
        """It adds one number to a whole row of scores, which softmax ignores: so the bias of the
        key projection has no effect, and its gradient is 0."""
        query, key, value = queries_keys_values(6, 8, seed)
        y = level.attention(query, key, value, [6], [6], 2)
        moved = level.attention(query, key + shift, value, [6], [6], 2)
        # scores as large as 1e4 are rounded to 2e-12
        np.testing.assert_allclose(moved, y, rtol=0, atol=1e-10)

        def loss(bias):
            return anp.sum(level.attention(query, key + bias, value, [6], [6], 2) * value)

        assert np.abs(grad(loss)(np.zeros(8))).max() < 1e-13

    @pytest.mark.parametrize("size", [1e3, 1e15])
    def test_huge_attention_scores_neither_overflow_nor_warn(self, level, size):
        """exp(89) is beyond float32, so the row's maximum is taken off first."""
        rng = np.random.default_rng(0)
        query, key, value = (rng.standard_normal((5, 8)).astype(np.float32) for _ in range(3))
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            y = level.attention(query * size, key * np.float32(size), value, [5], [5], 1)
        # the largest score takes all the weight
        winners = (query.astype(float) @ key.astype(float).T).argmax(axis=1)
        np.testing.assert_array_equal(y, value[winners])
        assert y.dtype == np.float32


class TestSoftmax:
    @settings(max_examples=50)
    @given(st.lists(st.floats(-50, 50), min_size=1, max_size=12), st.floats(-1e4, 1e4))
    def test_softmax_is_the_plain_loop_and_ignores_a_shift_of_all_scores(self, scores, shift):
        expected = plain_loops.softmax(scores)
        np.testing.assert_allclose(ops.softmax(np.array(scores)), expected, rtol=1e-12)
        # rounding of score + shift to 2e-12 moves a probability by as much, relatively
        np.testing.assert_allclose(ops.softmax(np.array(scores) + shift), expected, rtol=1e-10)

    def test_softmax_goes_over_the_last_axis(self):
        p = ops.softmax(np.random.default_rng(0).standard_normal((2, 3, 4)))
        np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=1e-15)
        assert np.abs(p.sum(axis=1) - 1.0).max() > 0.1


@pytest.mark.parametrize("level", LEVELS)
class TestAgainstPlainLoops:
    @pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
    @pytest.mark.parametrize("lengths, heads, size", [([1], 1, 1), ([5, 1, 9, 8, 3], 3, 12)])
    def test_attention_is_the_plain_loops(self, level, lengths, heads, size, dtype, tolerance):
        qkv = queries_keys_values(sum(lengths), size, 1, dtype)
        y = level.attention(*qkv, np.array(lengths), np.array(lengths), heads)
        assert y.dtype == dtype
        expected = plain_loops.attention(*qkv, lengths, lengths, heads)
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)

    def test_attention_asks_for_as_many_query_lengths_as_key_lengths(self, level):
        x = np.ones((3, 4))
        with pytest.raises(ValueError, match="zip"):
            level.attention(x, x, x, np.array([1, 2]), np.array([3]), 2)

    def test_attention_with_dropped_probabilities_is_the_plain_loops(self, level):
        """What is left is not renormalised: rows need not sum to 1."""
        lengths, heads, rate = [4, 7, 6], 2, 0.25
        qkv = queries_keys_values(17, 8, 2)
        keep = np.random.default_rng(3).random(heads * sum(n * n for n in lengths)) >= rate
        y = level.attention(*qkv, lengths, lengths, heads, keep, rate)
        expected = plain_loops.attention(*qkv, lengths, lengths, heads, keep, rate)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)

    @settings(max_examples=30)
    @given(lengths=LENGTHS, heads=st.sampled_from([1, 2, 4]), seed=SEEDS)
    def test_attention_is_the_plain_loops_for_any_lengths(self, level, lengths, heads, seed):
        qkv = queries_keys_values(sum(lengths), 8, seed)
        expected = plain_loops.attention(*qkv, lengths, lengths, heads)
        y = level.attention(*qkv, np.array(lengths), np.array(lengths), heads)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)


# How large the scores of a sequence are: (the largest, what is added to all of them). `fused`
# takes a row's maximum off only where a score lies beyond +-40.
SCORES = {
    "small": (3.0, 0.0),
    "just within 40": (39.9, 0.0),
    "all about 200": (3.0, 200.0),
    "all about -200": (3.0, -200.0),
    "up to 250": (250.0, 0.0),
    "just beyond 40": (1.0, 41.0),
    "just beyond -40": (1.0, -41.0),
}


def with_scores(
    kinds: list[str], length: int, seed: int = 0
) -> tuple[list[np.ndarray], list[tuple[float, float]]]:
    """Queries, keys and values of a sequence of each kind, with two heads of D/H = 4, and the least
    and largest score of each sequence."""
    rng = np.random.default_rng(seed)
    parts, bounds = [], []
    for kind in kinds:
        largest, shift = SCORES[kind]
        query, key, value = (rng.standard_normal((length, 8)) for _ in range(3))
        query[:, ::4] = 1.0  # with the key's first feature, 2 * shift / sqrt(4) in every score
        key[:, ::4] = 0.0
        scores = [query[:, own] @ key[:, own].T / 2 for own in (slice(0, 4), slice(4, 8))]
        key *= largest / np.abs(scores).max()
        key[:, ::4] = 2 * shift
        scores = [query[:, own] @ key[:, own].T / 2 for own in (slice(0, 4), slice(4, 8))]
        bounds.append((float(np.min(scores)), float(np.max(scores))))
        parts.append((query, key, value))
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)], bounds


class TestLargeScores:
    """exp(89) overflows float32 and exp(-104) is 0 in it; real models can have such scores."""

    def test_the_scores_that_these_tests_draw_are_as_large_as_they_are_called(self):
        _, bounds = with_scores(list(SCORES), 5)
        found = dict(zip(SCORES, bounds, strict=True))
        assert max(map(abs, found["small"])) < 4
        assert 39 < max(map(abs, found["just within 40"])) < 40
        assert 190 < found["all about 200"][0] < found["all about 200"][1] < 210
        assert -210 < found["all about -200"][0] < found["all about -200"][1] < -190
        assert max(map(abs, found["up to 250"])) > 200
        assert 40 < found["just beyond 40"][1] < 45
        assert -45 < found["just beyond -40"][0] < -40

    # A score of 200 is rounded to 1e-5 in float32, a few times in a sum of four; a probability
    # moves by as much, relatively. In a gradient it is multiplied by keys of up to 400.
    @pytest.mark.parametrize("dtype, tolerance", precisions(2e-13, 1e-4))
    @pytest.mark.parametrize("length", [1, 5])
    @pytest.mark.parametrize(
        "kinds",
        [
            *([kind] for kind in SCORES),
            list(SCORES),
            ["small", "all about -200", "small"],
            ["all about 200", "just within 40", "all about -200"],
        ],
        ids=", ".join,
    )
    @pytest.mark.parametrize("rate", [0.0, 0.25])
    @pytest.mark.parametrize("level", LEVELS)
    def test_attention_and_its_gradients_are_the_plain_loops_however_large_the_scores(
        self, level, rate, kinds, length, dtype, tolerance
    ):
        """Alone, and beside others of the same length, which `fused` takes in one run."""
        qkv, _ = with_scores(kinds, length)
        lengths = [length] * len(kinds)
        keep = np.random.default_rng(1).random(2 * length * length * len(kinds)) >= rate
        rest = (lengths, lengths, 2, *((keep, rate) if rate else ()))
        g = np.cos(np.arange(8.0 * sum(lengths))).reshape(-1, 8)
        given = [x.astype(dtype) for x in qkv]
        exact = [x.astype(np.float64) for x in given]  # the same numbers
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            back, y = make_vjp(lambda xs: level.attention(*xs, *rest))(given)
            gradients = back(g.astype(dtype))
        expected = plain_loops.attention(*exact, *rest)
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)
        for mine, theirs in zip(
            gradients, plain_loops.attention_vjp(g, *exact, *rest), strict=True
        ):
            assert mine.dtype == dtype
            scale = max(1.0, float(np.abs(theirs).max()), float(np.abs(exact[1]).max()))
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * scale)

    @pytest.mark.parametrize("level", LEVELS)
    def test_a_nan_in_a_query_shows_in_its_own_row_alone(self, level):
        qkv, _ = with_scores(["small", "small", "small"], 4)
        y = level.attention(*qkv, [4, 4, 4], [4, 4, 4], 2)
        qkv[0][5] = np.nan  # a query affects its own row only
        with np.errstate(invalid="ignore"):
            broken = level.attention(*qkv, [4, 4, 4], [4, 4, 4], 2)
        rows = np.isnan(broken).any(axis=1)
        assert np.flatnonzero(rows).tolist() == [5]
        np.testing.assert_allclose(broken[~rows], y[~rows], rtol=0, atol=1e-14)


@pytest.mark.parametrize("level", LEVELS)
class TestFirstRowsOnly:
    """One query row for each sequence: enough for [CLS] in the last layer."""

    @settings(max_examples=30)
    @given(
        lengths=LENGTHS,
        heads=st.sampled_from([1, 2, 4]),
        seed=SEEDS,
        rate=st.sampled_from([0.0, 0.25]),
    )
    def test_a_first_query_row_alone_gets_what_it_gets_among_all_query_rows(
        self, level, lengths, heads, seed, rate
    ):
        query, key, value = queries_keys_values(sum(lengths), 8, seed)
        starts, ones = np.cumsum(lengths) - lengths, [1] * len(lengths)
        masks = [np.random.default_rng(seed).random((heads, n, n)) >= rate for n in lengths]
        every = np.concatenate([mask.ravel() for mask in masks])
        first = np.concatenate([mask[:, 0].ravel() for mask in masks])
        dropped = (lambda keep: (keep, rate)) if rate else (lambda keep: ())
        qkv = (query, key, value)
        expected = plain_loops.attention(*qkv, lengths, lengths, heads, *dropped(every))
        y = level.attention(query[starts], key, value, ones, lengths, heads, *dropped(first))
        assert y.shape == (len(lengths), 8)
        np.testing.assert_allclose(y, expected[starts], rtol=0, atol=1e-13)

    @settings(max_examples=20)
    @given(lengths=LENGTHS, seed=SEEDS)
    def test_the_gradients_of_first_query_rows_alone_are_those_of_all_with_zeros_for_the_others(
        self, level, lengths, seed
    ):
        qkv = queries_keys_values(sum(lengths), 8, seed)
        starts, ones = np.cumsum(lengths) - lengths, [1] * len(lengths)
        g = np.zeros((sum(lengths), 8))
        g[starts] = np.random.default_rng(seed).standard_normal((len(lengths), 8))
        dquery, dkey, dvalue = plain_loops.attention_vjp(g, *qkv, lengths, lengths, 2)
        back, _ = make_vjp(lambda xs: level.attention(*xs, ones, lengths, 2))(
            [qkv[0][starts], *qkv[1:]]
        )
        for mine, theirs in zip(back(g[starts]), (dquery[starts], dkey, dvalue), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("level", LEVELS)
class TestHeads:
    def test_each_head_reads_and_writes_its_own_slice_of_the_features(self, level):
        query, key, value = queries_keys_values(6, 12, 4)
        y = level.attention(query, key, value, [6], [6], 3)
        for head in range(3):
            own = slice(4 * head, 4 * head + 4)
            alone = level.attention(query[:, own], key[:, own], value[:, own], [6], [6], 1)
            np.testing.assert_allclose(y[:, own], alone, rtol=0, atol=1e-14)

    def test_attention_itself_does_not_know_the_order_of_its_tokens(self, level):
        """Permuted tokens give permuted outputs: only the position embedding knows the order."""
        qkv = queries_keys_values(9, 8, 5)
        order = np.random.default_rng(6).permutation(9)
        y = level.attention(*qkv, [9], [9], 2)
        permuted = level.attention(*(x[order] for x in qkv), [9], [9], 2)
        np.testing.assert_allclose(permuted, y[order], rtol=0, atol=1e-14)


class TestSplittingHeads:
    def test_split_heads_gives_each_head_its_slice_and_join_heads_undoes_it(self):
        x = np.arange(3 * 8).reshape(3, 8)
        split = ops.split_heads(x, 2)
        assert split.shape == (2, 3, 4)
        for head in range(2):
            for token in range(3):
                for i in range(4):
                    assert split[head, token, i] == x[token, 4 * head + i]
        np.testing.assert_array_equal(ops.join_heads(split), x)


@pytest.mark.parametrize("level", LEVELS)
class TestOwnSequenceOnly:
    """No padding and no mask: a token sees the tokens of its own sequence and no others."""

    @settings(max_examples=30)
    @given(lengths=st.lists(st.integers(1, 20), min_size=2, max_size=6), seed=SEEDS)
    def test_other_sequences_do_not_change_one_bit_of_a_sequences_attention(
        self, level, lengths, seed
    ):
        qkv = queries_keys_values(sum(lengths), 8, seed, np.float32)
        y = level.attention(*qkv, np.array(lengths), np.array(lengths), 2)
        first = slice(0, lengths[0])
        for x in qkv:
            x[lengths[0] :] = np.random.default_rng(seed + 1).standard_normal(x[first.stop :].shape)
        other = level.attention(*qkv, np.array(lengths), np.array(lengths), 2)
        np.testing.assert_array_equal(other[first], y[first])
        if lengths[1] > 1:  # a sequence of one token is its own value, and that did change too
            assert (other[first.stop :] != y[first.stop :]).any()

    def test_no_gradient_of_attention_flows_into_other_sequences(self, level):
        lengths = np.array([3, 5, 4, 7])
        query, key, value = queries_keys_values(19, 8, 7)
        own = slice(3, 8)

        def loss(parts):
            return anp.sum(level.attention(*parts, lengths, lengths, 2)[own] ** 2)

        for gradient in grad(loss)((query, key, value)):
            assert not gradient[:3].any()
            assert not gradient[8:].any()
            assert gradient[own].all()

    @settings(max_examples=30)
    @given(lengths=LENGTHS, seed=SEEDS)
    def test_a_sequences_attention_is_the_same_in_any_batch_as_alone(self, level, lengths, seed):
        qkv = queries_keys_values(sum(lengths), 8, seed, np.float32)
        y = level.attention(*qkv, np.array(lengths), np.array(lengths), 2)
        for stop, length in zip(np.cumsum(lengths), lengths, strict=True):
            own = slice(stop - length, stop)
            alone = level.attention(*(x[own] for x in qkv), [length], [length], 2)
            # float32 sums of up to 20 terms, which a longer neighbour may put in another order
            np.testing.assert_allclose(y[own], alone, rtol=0, atol=2e-6)

    @settings(max_examples=30)
    @given(lengths=LENGTHS, seed=SEEDS)
    def test_permuting_the_sequences_of_a_batch_permutes_their_attention(
        self, level, lengths, seed
    ):
        qkv = queries_keys_values(sum(lengths), 8, seed, np.float32)
        bounds = [0, *np.cumsum(lengths)]
        pieces = [np.arange(start, stop) for start, stop in pairwise(bounds)]
        order = np.random.default_rng(seed).permutation(len(lengths))
        rows = np.concatenate([pieces[i] for i in order])
        y = level.attention(*qkv, np.array(lengths), np.array(lengths), 2)
        own = np.array(lengths)[order]
        permuted = level.attention(*(x[rows] for x in qkv), own, own, 2)
        np.testing.assert_allclose(permuted, y[rows], rtol=0, atol=2e-6)


@pytest.mark.parametrize("level", LEVELS)
class TestWholeEncoder:
    """What attention keeps apart the whole encoder keeps apart: all else goes token by token."""

    @settings(max_examples=20)
    @given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=SEEDS)
    def test_a_texts_states_do_not_depend_on_its_neighbours_or_place_in_the_batch(
        self, tiny, level, lengths, seed
    ):
        rng = np.random.default_rng(seed)
        texts = [Encoded(rng.integers(0, 199, n), rng.integers(0, 2, n)) for n in lengths]
        order = rng.permutation(len(texts))
        batch = make_batch([texts[i] for i in order])
        states = encode(tiny.params, batch, tiny.config, ops=level)[-1]
        for place, i in enumerate(order):
            alone = encode(tiny.params, make_batch([texts[i]]), tiny.config, ops=level)[-1]
            start = batch.starts[place]
            # float32 rounding through two layers, LayerNorms included
            np.testing.assert_allclose(states[start : start + lengths[i]], alone, rtol=0, atol=1e-5)

    def test_minilms_states_of_a_text_do_not_depend_on_its_neighbours(self, minilm, level):
        texts = ["It rains.", "", "The quick brown fox jumps over the lazy dog. " * 9, "Yes?"]
        encoded = encode_texts(minilm.tokenizer, texts, 128)
        batch = make_batch(encoded)
        states = encode(minilm.params, batch, minilm.config, ops=level)[-1]
        for start, own in zip(batch.starts, encoded, strict=True):
            alone = encode(minilm.params, make_batch([own]), minilm.config, ops=level)[-1]
            # six layers of float32; the states are as large as 3
            np.testing.assert_allclose(
                states[start : start + len(own.ids)], alone, rtol=0, atol=2e-5
            )
