"""The BERT encoder: embed -> layers -> pooler. Pure functions over nested dicts.

Devlin et al. 2018, arXiv 1810.04805, section 3, on the encoder of Vaswani et al. 2017. One
layer is two sublayers, attention and feed-forward, each followed by a skip connection and a
LayerNorm:

    x = LayerNorm(x + adapt(attention(x)))
    x = LayerNorm(x + adapt(feed_forward(x)))

`adapt(layer, place, z, x)` is where adapters come in without the encoder knowing them: it gets
each sublayer's output z, projected back to D and after dropout, just before the skip
connection (Houlsby et al. 2019, figure 2), with x, the sublayer's input. The default returns z.
A hook marked by `at_projections` is called inside attention too, with the query, the key and the
value, in this order, and the rows that each is projected from.

Every function takes `ops`: the plain specification `minibert.ops`, or its fast twin
`minibert.fused`.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minibert import fused
from minibert.config import BertConfig
from minibert.ops import Array
from minibert.tokenizer import Batch
from minibert.tree import Tree

Adapt = Callable[[int, str, Array, Array], Array]

ATTENTION, FEED_FORWARD = PLACES = ("attention", "feed_forward")
QUERY, KEY, VALUE = PROJECTIONS = ("query", "key", "value")

# The names that config.json uses for the feed-forward activation, and ours.
ACTIVATION_NAMES = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu"}


def identity(layer: int, place: str, z: Array, x: Array) -> Array:
    """The `adapt` of a BERT without adapters."""
    return z


def at_projections(adapt: Adapt) -> Adapt:
    """The hook, marked to be called at PROJECTIONS too, before PLACES. (A hook around it is not
    marked by itself; `functools.wraps` hands the mark on.)"""
    adapt.at_projections = True  # type: ignore[attr-defined]
    return adapt


def drop(x: Array, rate: float, rng: np.random.Generator | None, ops: ModuleType) -> Array:
    """Dropout while training (`rng` given); x itself otherwise. Any shape."""
    if rng is None or rate == 0:
        return x
    return ops.dropout(x, ops.keep_mask(rng, x.size, rate).reshape(x.shape), rate)


def embed(
    params: Tree,
    batch: Batch,
    config: BertConfig,
    rng: np.random.Generator | None = None,
    ops: ModuleType = fused,
) -> Array:
    """Token + position + segment embedding, LayerNorm, dropout. -> [N, D]"""
    tables = params["embeddings"]
    x = (
        ops.lookup(tables["word"], batch.ids)
        + ops.lookup(tables["position"], batch.positions)
        + ops.lookup(tables["segment"], batch.segments)
    )  # [N, D]
    norm = tables["norm"]
    x = ops.layer_norm(x, norm["weight"], norm["bias"], config.layer_norm_eps)
    return drop(x, config.hidden_dropout_prob, rng, ops)


def self_attention(
    params: Tree,
    asking: Array,
    x: Array,
    lengths: Array,
    config: BertConfig,
    rng: np.random.Generator | None,
    ops: ModuleType,
    adapt: Adapt,
    number: int,
) -> Array:
    """Multi-head self-attention, projected back to D. [M, D], [N, D] -> [M, D]

    The rows of `asking` attend to those of x: all N rows of x, or each text's first one (M = B).
    `adapt(number, name, z, rows)` gets each of the three projections z, with the layer's number.
    """
    query, key, value = (
        adapt(number, name, ops.linear(rows, params[name]["weight"], params[name]["bias"]), rows)
        for name, rows in zip(PROJECTIONS, (asking, x, x), strict=True)
    )  # [M, D], [N, D], [N, D]
    heads, rate = config.num_attention_heads, config.attention_probs_dropout_prob
    keep = None
    if rng is not None and rate > 0:
        queries = lengths if len(asking) == len(x) else 1  # of each text
        keep = ops.keep_mask(rng, heads * int(np.sum(queries * lengths)), rate)
    mixed = ops.attention(query, key, value, lengths, heads, keep, rate)  # [M, D]
    return ops.linear(mixed, params["output"]["weight"], params["output"]["bias"])


def feed_forward(params: Tree, x: Array, config: BertConfig, ops: ModuleType = fused) -> Array:
    """Two linear maps with the activation between them. [N, D] -> [N, F] -> [N, D]"""
    activation = getattr(ops, ACTIVATION_NAMES[config.hidden_act])
    inner = activation(ops.linear(x, params["inner"]["weight"], params["inner"]["bias"]))  # [N, F]
    return ops.linear(inner, params["output"]["weight"], params["output"]["bias"])


def encoder_layer(
    params: Tree,
    number: int,
    x: Array,
    lengths: Array,
    config: BertConfig,
    adapt: Adapt = identity,
    rng: np.random.Generator | None = None,
    ops: ModuleType = fused,
    first_only: bool = False,
) -> Array:
    """One layer: two sublayers, each with dropout, adapter, skip and LayerNorm. [N, D] -> [N, D]

    With `first_only`, the new states of each text's first token alone: [N, D] -> [B, D].
    """
    for place in PLACES:
        sublayer = params[place]
        if place == ATTENTION:
            context = x
            if first_only:
                x = ops.lookup(x, np.cumsum(lengths) - lengths)  # [B, D]
            inside = adapt if getattr(adapt, "at_projections", False) else identity
            z = self_attention(sublayer, x, context, lengths, config, rng, ops, inside, number)
        else:
            z = feed_forward(sublayer, x, config, ops)
        z = drop(z, config.hidden_dropout_prob, rng, ops)
        z = adapt(number, place, z, x)
        norm = sublayer["norm"]
        x = ops.add_layer_norm(x, z, norm["weight"], norm["bias"], config.layer_norm_eps)
    return x


def encoder_layers(
    params: Tree,
    numbers: range,
    x: Array,
    lengths: Array,
    config: BertConfig,
    *,
    adapt: Adapt = identity,
    rng: np.random.Generator | None = None,
    ops: ModuleType = fused,
    first_only: bool,
) -> list[Array]:
    """The states that enter the layers of these numbers and, last, those that leave them."""
    states = [x]
    for number in numbers:
        layer, last = params["layers"][number], number == config.num_hidden_layers - 1
        states.append(
            encoder_layer(
                layer, number, states[-1], lengths, config, adapt, rng, ops, first_only and last
            )
        )
    return states


def encode(
    params: Tree,
    batch: Batch,
    config: BertConfig,
    *,
    adapt: Adapt = identity,
    rng: np.random.Generator | None = None,
    ops: ModuleType = fused,
    first_only: bool = False,
) -> list[Array]:
    """Every layer's hidden states: L + 1 arrays [N, D], the embedding's first.

    `rng` is the training's random generator and switches dropout on. With `first_only` the last
    array is [B, D], the [CLS] states: all that a classifier needs, and the last layer's work for
    the other tokens is saved.
    """
    x = embed(params, batch, config, rng, ops)
    numbers = range(config.num_hidden_layers)
    return encoder_layers(
        params, numbers, x, batch.lengths, config,
        adapt=adapt, rng=rng, ops=ops, first_only=first_only,
    )  # fmt: skip


def pool(params: Tree, hidden: Array, batch: Batch, ops: ModuleType = fused) -> Array:
    """tanh of a linear map of each text's [CLS] state. [N, D] or only those [B, D] -> [B, D]"""
    first = hidden if len(hidden) == len(batch.lengths) else hidden[batch.starts]  # [B, D]
    pooler = params["pooler"]
    return ops.tanh(ops.linear(first, pooler["weight"], pooler["bias"]))


def parameter_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """The encoder's parameters by path, with their shapes: what a checkpoint must hold.

    A linear map's weight is [in, out].
    """
    d, f = config.hidden_size, config.intermediate_size

    def linear(path: str, size_in: int, size_out: int) -> dict[str, tuple[int, ...]]:
        return {f"{path}.weight": (size_in, size_out), f"{path}.bias": (size_out,)}

    def norm(path: str) -> dict[str, tuple[int, ...]]:
        return {f"{path}.weight": (d,), f"{path}.bias": (d,)}

    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word": (config.vocab_size, d),
        "embeddings.position": (config.max_position_embeddings, d),
        "embeddings.segment": (config.type_vocab_size, d),
        **norm("embeddings.norm"),
    }
    for i in range(config.num_hidden_layers):
        for name in ("query", "key", "value", "output"):
            shapes |= linear(f"layers.{i}.attention.{name}", d, d)
        shapes |= norm(f"layers.{i}.attention.norm")
        shapes |= linear(f"layers.{i}.feed_forward.inner", d, f)
        shapes |= linear(f"layers.{i}.feed_forward.output", f, d)
        shapes |= norm(f"layers.{i}.feed_forward.norm")
    return shapes | linear("pooler", d, d)


def random_params(config: BertConfig, seed: int = 0, dtype: Any = np.float32) -> Tree:
    """An untrained BERT: weights N(0, initializer_range), biases 0, LayerNorm gains 1."""
    from minibert.tree import from_leaves

    rng = np.random.default_rng(seed)

    def leaf(path: str, shape: tuple[int, ...]) -> Array:
        if path.endswith("norm.weight"):
            return np.ones(shape, dtype)
        if path.endswith("bias"):
            return np.zeros(shape, dtype)
        # drawn as [out, in] and seen as [in, out], the way a checkpoint lies in memory
        drawn = rng.standard_normal(shape[::-1], np.float32) * config.initializer_range
        return drawn.astype(dtype, copy=False).T

    return from_leaves({p: leaf(p, shape) for p, shape in parameter_shapes(config).items()})
