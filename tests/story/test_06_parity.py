"""The encoder computes what Hugging Face's transformers and AdapterHub compute.

The goldens are made by `tests/goldens/make_goldens.py` with torch; nothing here needs it. In
float64 the two differ by summation order alone: 1e-9. In float32: 2e-5.
"""

import json
from typing import Any

import numpy as np
import pytest
from autograd import value_and_grad
from cases import LEVELS
from conftest import GOLDENS
from parity import (
    PRECISIONS,
    compare_gradients,
    golden_batch,
    golden_gradients,
    golden_tree,
)

from adapters.methods.bottleneck import attach
from adapters.methods.method import split
from adapters.methods.table import METHODS, method_named
from adapters.task_model import TaskModel, forward
from minibert.batch import make_batch
from minibert.checkpoint import Base, load_base
from minibert.config import BertConfig
from minibert.heads import loss, masked_tokens
from minibert.model import encode, pool
from minibert.parameters import cast
from minibert.tokenizer import encode_texts
from minibert.tree import from_leaves, leaves, merge


def gradients(tree: dict, method: str, goldens: dict, base: Base, level: Any) -> tuple:
    """(loss, {path: gradient}) of the method's trained leaves, differentiated by autograd."""
    trained, frozen = split(tree, method_named(method))
    flat = dict(leaves(trained))
    batch = golden_batch(goldens)

    def batch_loss(params: dict) -> Any:
        whole = merge(frozen, from_leaves({path: params[path] for path in flat}))
        logits = forward(TaskModel(base, METHODS["adapters"], whole), batch, ops=level)
        return loss(logits, goldens["labels"], False, level)

    return value_and_grad(batch_loss)(flat)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("prefix, dtype, tolerance", PRECISIONS)
class TestTinyBert:
    """A random BERT of 2 layers, on six texts and pairs of 2 to 40 tokens."""

    def test_every_layers_hidden_states_and_the_pooler_are_those_of_transformers(
        self, tiny, goldens, prefix, dtype, tolerance, level
    ):
        batch, params = golden_batch(goldens), cast(tiny.params, dtype)
        states = encode(params, batch, tiny.config, ops=level)
        expected = goldens[f"{prefix}/states"]
        assert len(states) == len(expected) == tiny.config.num_hidden_layers + 1
        for mine, theirs in zip(states, expected, strict=True):
            assert mine.dtype == dtype
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)
        pooled = pool(params, states[-1], batch, level)
        np.testing.assert_allclose(pooled, goldens[f"{prefix}/pooled"], rtol=0, atol=tolerance)

    def test_every_gradient_of_full_fine_tuning_is_that_of_transformers(
        self, tiny, goldens, prefix, dtype, tolerance, level
    ):
        tree = golden_tree(tiny, goldens, adapters=False, dtype=dtype)
        value, grads = gradients(tree, "full", goldens, tiny, level)
        np.testing.assert_allclose(value, goldens[f"{prefix}/full/loss"], rtol=0, atol=tolerance)
        theirs = golden_gradients(goldens, prefix, "full")
        compare_gradients(grads, theirs, dtype, tolerance)

    def test_every_gradient_of_adapter_tuning_is_that_of_adapterhub(
        self, tiny, goldens, prefix, dtype, tolerance, level
    ):
        """Section 2.1: adapters, every LayerNorm and the head are trained. Peer: AdapterHub."""
        tree = golden_tree(tiny, goldens, adapters=True, dtype=dtype)
        value, grads = gradients(tree, "adapters", goldens, tiny, level)
        np.testing.assert_allclose(
            value, goldens[f"{prefix}/adapters/loss"], rtol=0, atol=tolerance
        )
        theirs = golden_gradients(goldens, prefix, "adapters")
        compare_gradients(grads, theirs, dtype, tolerance)

    def test_hidden_states_and_logits_with_adapters_are_those_of_adapterhub(
        self, tiny, goldens, prefix, dtype, tolerance, level
    ):
        tree, batch = golden_tree(tiny, goldens, True, dtype), golden_batch(goldens)
        adapt = attach(tree, tiny.config, METHODS["adapters"], level)
        last = encode(tree["base"], batch, tiny.config, adapt=adapt, ops=level)[-1]
        np.testing.assert_allclose(last, goldens[f"{prefix}/adapters/last"], rtol=0, atol=tolerance)
        model = TaskModel(tiny, METHODS["adapters"], tree)
        logits = forward(model, batch, ops=level)
        np.testing.assert_allclose(
            logits, goldens[f"{prefix}/adapters/logits"], rtol=0, atol=tolerance
        )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("prefix, dtype, tolerance", PRECISIONS)
class TestVariants:
    """The same weights with another activation, and a checkpoint with the masked-token head."""

    @pytest.mark.parametrize("activation", ["gelu_new", "relu"])
    def test_hidden_states_with_other_activations_are_those_of_transformers(
        self, tiny, goldens, prefix, dtype, tolerance, level, activation
    ):
        config = BertConfig(**{**vars(tiny.config), "hidden_act": activation})
        last = encode(cast(tiny.params, dtype), golden_batch(goldens), config, ops=level)[-1]
        expected = goldens[f"{prefix}/hidden_act/{activation}/last"]
        np.testing.assert_allclose(last, expected, rtol=0, atol=tolerance)

    def test_the_scores_of_masked_words_are_those_of_transformers(
        self, goldens, prefix, dtype, tolerance, level
    ):
        """The file has the `bert.` prefix, gamma/beta in layer 0, and tensors that are left out."""
        base = load_base(GOLDENS / "tiny_mlm", pooler=False)
        assert any("seq_relationship" in name for name in base.extra)
        batch = golden_batch({**goldens, "ids": goldens["mlm/ids"]})
        params = cast(base.params, dtype)
        last = encode(params, batch, base.config, ops=level)[-1]
        scores = masked_tokens(params, last, goldens["mlm/rows"], base.config, level)
        np.testing.assert_allclose(scores, goldens[f"{prefix}/mlm/logits"], rtol=0, atol=tolerance)


class TestRealMiniLM:
    """all-MiniLM-L6-v2 on 32 texts and pairs of 2 to 512 tokens, some of them odd."""

    def test_minilms_tokens_and_hidden_states_are_those_of_transformers(self, minilm):
        texts = json.loads((GOLDENS / "minilm_texts.json").read_text("utf-8"))
        assert len(texts) >= 20
        with np.load(GOLDENS / "minilm.npz") as file:
            golden = dict(file)
        encoded = []
        for entry in texts:
            text = entry["text"] if isinstance(entry["text"], str) else tuple(entry["text"])
            encoded += encode_texts(minilm.tokenizer, [text], entry["max_length"])
        batch = make_batch(encoded)
        np.testing.assert_array_equal(batch.ids, golden["ids"])
        np.testing.assert_array_equal(batch.segments, golden["segments"])
        np.testing.assert_array_equal(batch.lengths, golden["lengths"])
        assert batch.lengths.max() == 512
        states = encode(minilm.params, batch, minilm.config)
        for mine, theirs in zip(states, golden["states"], strict=True):
            assert mine.dtype == np.float32
            np.testing.assert_allclose(mine[golden["rows"]], theirs, rtol=0, atol=2e-5)
        pooled = pool(minilm.params, states[-1], batch)
        np.testing.assert_allclose(pooled, golden["pooled"], rtol=0, atol=2e-5)
