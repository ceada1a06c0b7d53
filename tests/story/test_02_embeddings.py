"""Embeddings: a token is the sum of three rows, for its word, position and segment, normalised.

Devlin et al. 2018, arXiv 1810.04805, figure 2.
"""

from dataclasses import FrozenInstanceError
from types import ModuleType
from typing import Any

import autograd.numpy as anp
import numpy as np
import plain_loops
import pytest
from autograd import grad
from cases import LEVELS, SEEDS, precisions
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.batch import Batch, make_batch
from minibert.config import BertConfig
from minibert.model import ForwardPass, embed
from minibert.parameters import cast, random_params
from minibert.tokenizer import Encoded

# Against plain loops in float64: rounding of a few operations on numbers of about 1. In float32
# the same with an epsilon of 1.2e-7; LayerNorm's gain is at most 2 or so.
PRECISIONS = precisions(1e-13, 3e-6)


def forward_pass(config: BertConfig, level: ModuleType, rng: Any = None) -> ForwardPass:
    """The pass of an embedding, which needs no lengths."""
    return ForwardPass(config, np.array([]), rng=rng, ops=level)


def batch_of(lengths: list[int], vocabulary: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return make_batch(
        [Encoded(rng.integers(0, vocabulary, n), rng.integers(0, 2, n)) for n in lengths]
    )


@pytest.mark.parametrize("level", LEVELS)
class TestEmbedding:
    @pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
    def test_an_embedding_is_layernorm_of_word_plus_position_plus_segment(
        self, tiny, level, dtype, tolerance
    ):
        batch = batch_of([7, 1, 12], tiny.config.vocab_size)
        expected = plain_loops.embed(
            tiny.params["embeddings"],
            batch.ids,
            batch.positions,
            batch.segments,
            tiny.config.layer_norm_eps,
        )
        x = embed(cast(tiny.params, dtype), batch, forward_pass(tiny.config, level))
        assert x.dtype == dtype
        assert x.shape == (20, tiny.config.hidden_size)
        np.testing.assert_allclose(x, expected, rtol=0, atol=tolerance)

    def test_the_same_word_is_embedded_differently_by_position_and_segment_alone(self, tiny, level):
        word = np.array([9, 9, 9, 9])
        batch = make_batch(
            [Encoded(word[:3], np.array([0, 0, 1])), Encoded(word[:1], word[:1] * 0)]
        )
        x = embed(tiny.params, batch, forward_pass(tiny.config, level))
        np.testing.assert_array_equal(x[0], x[3])  # both the first of their text, in segment 0
        for a, b in ((0, 1), (1, 2), (0, 2)):
            assert np.abs(x[a] - x[b]).max() > 0.1

    def test_without_the_position_table_the_order_of_the_words_is_lost(self, tiny, level):
        """This is why there is one: Vaswani et al. 2017, section 3.5."""
        tables = {**tiny.params["embeddings"]}
        tables["position"] = np.zeros_like(tables["position"])
        words, order = np.array([5, 6, 7, 8]), np.array([2, 0, 3, 1])
        run = forward_pass(tiny.config, level)
        one, other = (
            embed({"embeddings": tables}, make_batch([Encoded(w, 0 * w)]), run)
            for w in (words, words[order])
        )
        np.testing.assert_array_equal(one[order], other)
        real = [
            embed(tiny.params, make_batch([Encoded(w, 0 * w)]), forward_pass(tiny.config, level))
            for w in (words, words[order])
        ]
        assert np.abs(real[0][order] - real[1]).max() > 0.1

    def test_dropout_comes_after_the_embeddings_layernorm_in_training(self, level):
        """Zeros appear in the normalised rows; what is kept is 1 / (1 - rate) times as large."""
        config = BertConfig(
            vocab_size=50, hidden_size=64, num_attention_heads=4, hidden_dropout_prob=0.25
        )
        params = {"embeddings": random_params(config)["embeddings"]}
        batch = batch_of([40, 60], 50)
        plain = embed(params, batch, forward_pass(config, level))
        dropped = embed(params, batch, forward_pass(config, level, np.random.default_rng(0)))
        kept = dropped != 0
        # 6,400 draws: a standard deviation is 0.0054
        assert abs(kept.mean() - 0.75) < 0.02
        np.testing.assert_allclose(dropped[kept], plain[kept] / 0.75, rtol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
class TestLookup:
    def test_the_gradient_of_a_words_row_counts_the_words_tokens(self, level):
        table, ids = np.zeros((6, 2)), np.array([3, 0, 3, 3, 5, 0])
        gradient = grad(lambda t: anp.sum(level.lookup(t, ids)))(table)
        np.testing.assert_array_equal(gradient[:, 0], [2, 0, 0, 3, 0, 1])
        np.testing.assert_array_equal(gradient[:, 1], gradient[:, 0])

    @settings(max_examples=30)
    @given(st.lists(st.integers(0, 9), min_size=1, max_size=40), SEEDS)
    def test_the_gradient_of_a_words_row_is_the_sum_over_the_words_tokens(self, level, ids, seed):
        rng = np.random.default_rng(seed)
        table, g = rng.standard_normal((10, 3)), rng.standard_normal((len(ids), 3))
        rows = level.lookup(table, np.array(ids))
        np.testing.assert_array_equal(rows, [table[i] for i in ids])
        gradient = grad(lambda t: anp.sum(level.lookup(t, np.array(ids)) * g))(table)
        expected = np.zeros((10, 3))
        for token, word in enumerate(ids):
            for i in range(3):
                expected[word, i] += g[token, i]
        # sums of at most 40 numbers of about 1, in another order
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-13)
        unused = [word for word in range(10) if word not in ids]
        assert not gradient[unused].any()


def test_what_is_the_same_throughout_a_forward_pass_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        ForwardPass(BertConfig(), np.array([1])).rng = None  # type: ignore[misc]
