"""Heads on the encoder: for a class, a score, a span of the text, or a word for a masked token.

A head is {"weight": [D, C], "bias": [C]}: C classes, C = 1 for regression, C = 2 for a span.
"""

from collections.abc import Callable
from types import ModuleType

import autograd.numpy as anp
import numpy as np
from autograd.extend import defvjp, primitive
from autograd.tracer import getval

from minibert import fused
from minibert.config import ACTIVATIONS, BertConfig
from minibert.model import ForwardPass
from minibert.ops import Array
from minibert.tree import Tree


@primitive
def mean_pool(states: Array, lengths: Array) -> Array:
    """The mean of each text's own rows, [CLS] and [SEP] among them. [N, D], [B] -> [B, D]

    The vector that sentence embeddings are trained as (Reimers & Gurevych 2019, arXiv 1908.10084,
    section 3). Each text is added up by itself, so that no text's bits depend on its neighbours.
    """
    parts = np.split(states, np.cumsum(lengths)[:-1])  # B times [T, D]
    return np.stack([part.sum(axis=0) * (1.0 / len(part)) for part in parts])


# A row counts 1/T in its own text's mean, and not at all in the others. [B, D] -> [N, D]
def _mean_pool_vjp(mean: Array, states: Array, lengths: Array) -> Callable[[Array], Array]:
    share = (1.0 / np.asarray(lengths)).astype(mean.dtype)[:, None]  # [B, 1]
    return lambda g: np.repeat(g * share, lengths, axis=0)


defvjp(mean_pool, _mean_pool_vjp, argnums=(0,))


def classify(head: Tree, pooled: Array, run: ForwardPass) -> Array:
    """Class scores (or the regression's value) from the pooled text. [B, D] -> [B, C]

    While training the pooled vector goes through dropout first, as in BERT.
    """
    return run.affine(run.drop(pooled), head)


def loss(logits: Array, labels: Array, regression: bool, ops: ModuleType = fused) -> Array:
    """Cross-entropy for class numbers [B], mean squared error for scores [B]. -> scalar"""
    if regression:
        return ops.squared_error(logits[:, 0], labels)
    return ops.cross_entropy(logits, labels)


def weighted_loss(logits: Array, labels: Array, weights: Array) -> Array:
    """Cross-entropy in which an example of class c counts `weights[c]` times: the mean over the
    batch of weights[y] (-log p[y]). [B, C], [B], [C] -> scalar

    """
    log_p = _log_softmax(logits, axis=1)[np.arange(len(labels)), labels]  # [B]
    return anp.sum(log_p * weights[labels]) * (-1 / len(labels))


def _log_softmax(x: Array, axis: int) -> Array:
    """Log-softmax along one of two axes. Any [A, B] -> [A, B]

    The maximum is subtracted first, so that exp cannot overflow; it cancels in the ratio, so it
    counts as a constant.
    """
    shifted = x - np.max(getval(x), axis=axis, keepdims=True)
    return shifted - anp.log(anp.sum(anp.exp(shifted), axis=axis, keepdims=True))


def probabilities(logits: Array) -> Array:
    """Softmax over the classes. [B, C] -> [B, C]"""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def span_logits(head: Tree, states: Array, ops: ModuleType = fused) -> Array:
    """How well each token begins an answer, and how well it ends one. [N, D] -> [N, 2]

    Devlin et al. 2018, section 4.2: a product with a start vector and with an end vector. There is
    no dropout, as in their released code.
    """
    return ops.linear(states, head["weight"], head["bias"])


def span_log_probabilities(logits: Array, lengths: Array) -> Array:
    """Log-softmax of each column over each text's own tokens. [N, 2], [B] -> [N, 2]"""
    parts, begin = [], 0
    for length in lengths:
        parts.append(_log_softmax(logits[begin : begin + length], axis=0))  # [T, 2]
        begin += length
    return anp.concatenate(parts)


def span_loss(logits: Array, lengths: Array, starts: Array, ends: Array) -> Array:
    """For each text, the mean of two cross-entropies, of the answer's first and of its last token;
    then the mean over texts. [N, 2], [B], [B], [B] -> scalar

    `starts` and `ends` count from each text's own first row; 0 is [CLS].
    """
    log_p = span_log_probabilities(logits, lengths)
    first = np.cumsum(lengths) - lengths  # [B] the row of each text's first token
    picked = log_p[first + starts, 0] + log_p[first + ends, 1]  # [B]
    return anp.sum(picked) * (-0.5 / len(lengths))


LONGEST_ANSWER = 30  # tokens, as in BERT's released code


def best_span(scores: Array, longest: int = LONGEST_ANSWER) -> tuple[float, int, int]:
    """The span of at most `longest` tokens with the highest sum of its first token's start score
    and its last token's end score. [C, 2] -> (sum, first, last)

    `scores` are of the context's tokens only, at least one. Ties go to the shortest span,
    then to the leftmost.
    """
    best = (-np.inf, 0, 0)
    for more in range(min(longest, len(scores))):  # tokens after the first
        sums = scores[: len(scores) - more, 0] + scores[more:, 1]  # [C - more]
        first = int(np.argmax(sums))
        if sums[first] > best[0]:
            best = (float(sums[first]), first, first + more)
    return best


def masked_tokens(
    params: Tree, hidden: Array, rows: Array, config: BertConfig, ops: ModuleType = fused
) -> Array:
    """Scores of every vocabulary entry at the given rows. [N, D], [R] -> [R, V]

    BERT's masked-language-model head (Devlin et al. 2018, section 3.1): linear, activation,
    LayerNorm, then the product with the word embeddings themselves plus one bias per word.
    Needs a checkpoint with that head: params["masked_tokens"].
    """
    head = params["masked_tokens"]
    x = ops.linear(hidden[rows], head["transform"]["weight"], head["transform"]["bias"])  # [R, D]
    x = getattr(ops, ACTIVATIONS[config.hidden_act])(x)
    x = ops.layer_norm(x, head["norm"]["weight"], head["norm"]["bias"], config.layer_norm_eps)
    return ops.linear(x, params["embeddings"]["word"].T, head["bias"])
