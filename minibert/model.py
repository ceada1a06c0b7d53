"""The BERT encoder: embed -> layers -> pooler. Pure functions over nested dicts.

Devlin et al. 2018, arXiv 1810.04805, section 3, on the encoder of Vaswani et al. 2017. One layer is
two sublayers, attention and feed-forward, each followed by a skip connection and a LayerNorm:

    x = LayerNorm(x + adapt(dropout(attention(x))))
    x = LayerNorm(x + adapt(dropout(feed_forward(x))))

`adapt(layer, place, z, x)` is where adapters come in without the encoder knowing them. The encoder
calls it on each sublayer's output z (place ATTENTION or FEED_FORWARD), after its projection and
dropout and before the skip connection; x is the sublayer's input (Houlsby et al. 2019, figure 2).
It also calls it on the output z = x W + b of each of a layer's six linear maps (place QUERY, KEY,
VALUE, ATTENTION_OUTPUT, INNER or OUTER), with x the map's input. It returns what takes z's place;
the default returns z.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from minibert import fused
from minibert.batch import Batch
from minibert.config import ACTIVATIONS, BertConfig
from minibert.ops import Array
from minibert.tree import Tree

Adapt = Callable[[int, str, Array, Array], Array]

ATTENTION, FEED_FORWARD = PLACES = ("attention", "feed_forward")
QUERY, KEY, VALUE, ATTENTION_OUTPUT = "query", "key", "value", "attention_output"
INNER, OUTER = "feed_forward_inner", "feed_forward_output"


def no_adapters(layer: int, place: str, z: Array, x: Array) -> Array:
    """The `adapt` of a BERT without adapters."""
    return z


@dataclass(frozen=True)
class ForwardPass:
    """What stays the same throughout one forward pass, and the small steps that need it.

    lengths: the tokens of each text [B]; rng: switches dropout on, for training; ops: `fused`, or
    the plain specification `minibert.ops`; first_only: the last layer computes each text's first
    token alone, which is all that a classifier needs.
    """

    config: BertConfig
    lengths: Array
    adapt: Adapt = no_adapters
    rng: np.random.Generator | None = None
    ops: ModuleType = fused
    first_only: bool = False

    def affine(self, x: Array, p: Tree) -> Array:
        """x W + b. [N, in] -> [N, out]"""
        return self.ops.linear(x, p["weight"], p["bias"])

    def adapted(self, number: int, place: str, x: Array, p: Tree) -> Array:
        """x W + b, one of a layer's linear maps, as `adapt` changes it. [N, in] -> [N, out]"""
        return self.adapt(number, place, self.affine(x, p), x)

    def add_norm(self, x: Array, z: Array, p: Tree) -> Array:
        """LayerNorm(x + z), the skip connection x and the sublayer's output z. [N, D] -> [N, D]"""
        return self.ops.add_layer_norm(x, z, p["weight"], p["bias"], self.config.layer_norm_eps)

    def drop(self, x: Array) -> Array:
        """Dropout of hidden states while training; x itself otherwise. Any shape."""
        keep = self.keep_mask(x.size, self.config.hidden_dropout_prob)
        if keep is None:
            return x
        return self.ops.dropout(x, keep.reshape(x.shape), self.config.hidden_dropout_prob)

    def keep_mask(self, size: int, rate: float) -> Array | None:
        """Which of `size` numbers dropout keeps [size]; None when it is off."""
        return None if self.rng is None or rate == 0 else self.ops.keep_mask(self.rng, size, rate)

    def first_tokens(self, x: Array) -> Array:
        """The row of each text's first token, [CLS]. [N, D] -> [B, D]"""
        return self.ops.lookup(x, np.cumsum(self.lengths) - self.lengths)


def embed(params: Tree, batch: Batch, run: ForwardPass) -> Array:
    """Token + position + segment embedding, LayerNorm, dropout. -> [N, D]"""
    tables, ops = params["embeddings"], run.ops
    x = (
        ops.lookup(tables["word"], batch.ids)
        + ops.lookup(tables["position"], batch.positions)
        + ops.lookup(tables["segment"], batch.segments)
    )  # [N, D]
    norm = tables["norm"]
    return run.drop(ops.layer_norm(x, norm["weight"], norm["bias"], run.config.layer_norm_eps))


def self_attention(
    p: Tree, number: int, queries: Array, x: Array, query_lengths: Array, run: ForwardPass
) -> Array:
    """Multi-head self-attention, projected back to D. [M, D], [N, D] -> [M, D]

    `queries` has `query_lengths[b]` rows of text b; each attends to every row of x of its own text.
    """
    heads, rate = run.config.num_attention_heads, run.config.attention_probs_dropout_prob
    query = run.adapted(number, QUERY, queries, p["query"])  # [M, D]
    key = run.adapted(number, KEY, x, p["key"])  # [N, D]
    value = run.adapted(number, VALUE, x, p["value"])  # [N, D]
    keep = run.keep_mask(heads * int(query_lengths @ run.lengths), rate)
    mixed = run.ops.attention(query, key, value, query_lengths, run.lengths, heads, keep, rate)
    return run.adapted(number, ATTENTION_OUTPUT, mixed, p["output"])  # [M, D]


def feed_forward(p: Tree, number: int, x: Array, run: ForwardPass) -> Array:
    """Two linear maps with the activation between them. [N, D] -> [N, F] -> [N, D]"""
    activation = getattr(run.ops, ACTIVATIONS[run.config.hidden_act])
    inner = activation(run.adapted(number, INNER, x, p["inner"]))  # [N, F]
    return run.adapted(number, OUTER, inner, p["output"])


def encoder_layer(params: Tree, number: int, x: Array, run: ForwardPass) -> Array:
    """One layer: two sublayers, each with dropout, adapter, skip and LayerNorm. [N, D] -> [N, D]

    With `run.first_only`, the last layer gives each text's first token alone, [N, D] -> [B, D]; its
    keys and values still come from every token.
    """
    attention, feed = params[ATTENTION], params[FEED_FORWARD]
    queries, query_lengths = x, run.lengths  # [M, D], [B]
    if run.first_only and number == run.config.num_hidden_layers - 1:
        queries, query_lengths = run.first_tokens(x), np.ones_like(run.lengths)
    z = run.drop(self_attention(attention, number, queries, x, query_lengths, run))
    x = run.add_norm(queries, run.adapt(number, ATTENTION, z, queries), attention["norm"])
    z = run.drop(feed_forward(feed, number, x, run))
    return run.add_norm(x, run.adapt(number, FEED_FORWARD, z, x), feed["norm"])


def encoder_layers(params: Tree, numbers: range, x: Array, run: ForwardPass) -> list[Array]:
    """The states entering each of these layers, then those leaving the last."""
    states = [x]
    for number in numbers:
        states.append(encoder_layer(params["layers"][number], number, states[-1], run))
    return states


def encode(
    params: Tree,
    batch: Batch,
    config: BertConfig,
    *,
    adapt: Adapt = no_adapters,
    rng: np.random.Generator | None = None,
    ops: ModuleType = fused,
    first_only: bool = False,
) -> list[Array]:
    """Every layer's hidden states: L + 1 arrays [N, D], the embedding's first.

    The last four arguments (seven in all) are those of `ForwardPass`, which this function makes.
    With `first_only` the last array is [B, D], the [CLS] states.
    """
    run = ForwardPass(config, batch.lengths, adapt, rng, ops, first_only)
    numbers = range(config.num_hidden_layers)
    return encoder_layers(params, numbers, embed(params, batch, run), run)


def pooler(params: Tree, first: Array, ops: ModuleType = fused) -> Array:
    """tanh of a linear map of the [CLS] states. [B, D] -> [B, D]"""
    p = params["pooler"]
    return ops.tanh(ops.linear(first, p["weight"], p["bias"]))


def pool(params: Tree, hidden: Array, batch: Batch, ops: ModuleType = fused) -> Array:
    """The pooled vector of each text, from all tokens' last hidden states. [N, D] -> [B, D]"""
    return pooler(params, ops.lookup(hidden, batch.starts), ops)
