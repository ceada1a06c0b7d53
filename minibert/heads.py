"""What sits on the encoder: a class, a score, or a word for a masked token.

A head is {"weight": [D, C], "bias": [C]}: C classes, or C = 1 for regression.
"""

from types import ModuleType

import numpy as np

from minibert import fused
from minibert.config import BertConfig
from minibert.model import ACTIVATION_NAMES, drop
from minibert.ops import Array
from minibert.tree import Tree


def classify(
    head: Tree,
    pooled: Array,
    rate: float = 0.0,
    rng: np.random.Generator | None = None,
    ops: ModuleType = fused,
) -> Array:
    """Class scores (or the regression's value) from the pooled [CLS]. [B, D] -> [B, C]

    While training (`rng` given) the pooled vector goes through dropout first, as in BERT.
    """
    return ops.linear(drop(pooled, rate, rng, ops), head["weight"], head["bias"])


def loss(logits: Array, labels: Array, regression: bool, ops: ModuleType = fused) -> Array:
    """Cross-entropy for class numbers [B], mean squared error for scores [B]. -> scalar"""
    if regression:
        return ops.squared_error(logits[:, 0], labels)
    return ops.cross_entropy(logits, labels)


def probabilities(logits: Array) -> Array:
    """Softmax over the classes. [B, C] -> [B, C]"""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def masked_tokens(
    params: Tree, hidden: Array, rows: Array, config: BertConfig, ops: ModuleType = fused
) -> Array:
    """Scores of every vocabulary entry at the given rows. [N, D], [R] -> [R, V]

    BERT's masked-language-model head (Devlin et al. 2018, section 3.1): linear, activation,
    LayerNorm, then the product with the word embeddings themselves plus a bias a word.
    Needs a checkpoint with that head: params["masked_tokens"].
    """
    head = params["masked_tokens"]
    x = ops.linear(hidden[rows], head["transform"]["weight"], head["transform"]["bias"])  # [R, D]
    x = getattr(ops, ACTIVATION_NAMES[config.hidden_act])(x)
    x = ops.layer_norm(x, head["norm"]["weight"], head["norm"]["bias"], config.layer_norm_eps)
    return ops.linear(x, params["embeddings"]["word"].T, head["bias"])
