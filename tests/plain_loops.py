"""The mathematics in plain Python loops: the oracle that shares nothing with minibert.

Every function takes arrays and returns float64 arrays; in between there are only Python floats,
lists and the `math` module. Slow and obvious on purpose. A gradient here sums, over all outputs,
g times the derivative, one entry of the Jacobian at a time.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Rows = list[list[float]]


def rows(x: Any) -> Any:
    """An array as (nested) lists of Python floats."""
    return np.asarray(x, np.float64).tolist()


# ------------------------------------------------------------------------------- linear, LayerNorm


def linear(x: Any, weight: Any, bias: Any) -> np.ndarray:
    x, weight, bias = rows(x), rows(weight), rows(bias)
    y = np.zeros((len(x), len(bias)))
    for n in range(len(x)):
        for o in range(len(bias)):
            y[n, o] = sum(x[n][i] * weight[i][o] for i in range(len(weight))) + bias[o]
    return y


def linear_vjp(g: Any, x: Any, weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dx, dweight, dbias): y[n][o] depends on x[n][i] by weight[i][o], and so on."""
    g, x, weight = rows(g), rows(x), rows(weight)
    dx = np.zeros((len(x), len(weight)))
    dweight = np.zeros((len(weight), len(weight[0])))
    dbias = np.zeros(len(weight[0]))
    for n in range(len(x)):
        for o in range(len(weight[0])):
            dbias[o] += g[n][o]
            for i in range(len(weight)):
                dx[n, i] += g[n][o] * weight[i][o]
                dweight[i, o] += g[n][o] * x[n][i]
    return dx, dweight, dbias


def normalise(row: list[float], eps: float) -> tuple[list[float], float]:
    """(the row with mean 0 and variance 1, what it was multiplied by)."""
    mean = math.fsum(row) / len(row)
    variance = math.fsum((value - mean) ** 2 for value in row) / len(row)
    factor = 1 / math.sqrt(variance + eps)
    return [(value - mean) * factor for value in row], factor


def layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> np.ndarray:
    weight, bias = rows(weight), rows(bias)
    out = []
    for row in rows(x):
        normal, _ = normalise(row, eps)
        out.append([normal[i] * weight[i] + bias[i] for i in range(len(row))])
    return np.array(out)


def layer_norm_vjp(
    g: Any, x: Any, weight: Any, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dx, dweight, dbias), dx by the whole D x D Jacobian of each row."""
    g, x, weight = rows(g), rows(x), rows(weight)
    size = len(weight)
    dx, dweight, dbias = np.zeros((len(x), size)), np.zeros(size), np.zeros(size)
    for n, row in enumerate(x):
        normal, factor = normalise(row, eps)
        for i in range(size):
            dbias[i] += g[n][i]
            dweight[i] += g[n][i] * normal[i]
            for j in range(size):
                slope = factor * ((i == j) - 1 / size - normal[i] * normal[j] / size)
                dx[n, j] += g[n][i] * weight[i] * slope
    return dx, dweight, dbias


# ------------------------------------------------------------------------------- activations


def normal_cdf(x: float) -> float:
    """Phi(x); with erfc, which loses nothing in the far left tail."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def gelu(x: float) -> float:
    return x * normal_cdf(x)


def gelu_slope(x: float) -> float:
    return normal_cdf(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def relu(x: float) -> float:
    return x if x > 0 else 0.0


def swish(x: float) -> float:
    return x / (1 + math.exp(-x))


ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "gelu_tanh": gelu_tanh,
    "gelu": gelu,
    "relu": relu,
    "tanh": math.tanh,
    "swish": swish,
}


def each(function: Any, x: Any) -> np.ndarray:
    """The function of every element, in float64."""
    flat = [function(value) for value in np.asarray(x, np.float64).ravel().tolist()]
    return np.array(flat).reshape(np.shape(x))


# ------------------------------------------------------------------------------- attention


def softmax(scores: list[float]) -> list[float]:
    """exp(s) / sum exp(s); the largest score is taken off, or exp would overflow."""
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def softmax_vjp(g: list[float], probabilities: list[float]) -> list[float]:
    """By the whole Jacobian: dp_i/ds_j = p_i ((i == j) - p_j)."""
    size = len(g)
    return [
        sum(g[i] * probabilities[i] * ((i == j) - probabilities[j]) for i in range(size))
        for j in range(size)
    ]


def factors(keep: Any, count: int, rate: float) -> list[float]:
    """What dropout multiplies each of `count` probabilities by."""
    if keep is None:
        return [1.0] * count
    return [1 / (1 - rate) if kept else 0.0 for kept in np.asarray(keep).tolist()]


def attention(
    query: Any,
    key: Any,
    value: Any,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    heads: int,
    keep: Any = None,
    rate: float = 0.0,
) -> np.ndarray:
    """For every sequence, head and token: the values' mean, weighted by softmax(q . k / sqrt).

    Sequence b has query_lengths[b] query rows, and key_lengths[b] keys and values."""
    lengths = (query_lengths, key_lengths)
    return _attention(query, key, value, lengths, heads, keep, rate, None)[0]


def attention_vjp(
    g: Any,
    query: Any,
    key: Any,
    value: Any,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    heads: int,
    keep: Any = None,
    rate: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dquery, dkey, dvalue)."""
    lengths = (query_lengths, key_lengths)
    return _attention(query, key, value, lengths, heads, keep, rate, rows(g))[1:]


def _attention(
    query: Any, key: Any, value: Any, lengths: Any, heads: int, keep: Any, rate: float, g: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    query, key, value = rows(query), rows(key), rows(value)
    size = len(query[0]) // heads
    out, dquery = np.zeros((2, len(query), size * heads))
    dkey, dvalue = np.zeros((2, len(key), size * heads))
    pairs = [(int(q), int(t)) for q, t in zip(*lengths, strict=True)]
    mask = factors(keep, heads * sum(q * t for q, t in pairs), rate)
    start = first = used = 0
    for queries, length in pairs:
        tokens = range(start, start + length)
        asking = range(first, first + queries)
        for head in range(heads):
            features = range(head * size, (head + 1) * size)
            for n in asking:
                scores = [
                    sum(query[n][i] * key[m][i] for i in features) / math.sqrt(size) for m in tokens
                ]
                probabilities = softmax(scores)
                factor = mask[used : used + length]
                used += length
                for m, p, f in zip(tokens, probabilities, factor, strict=True):
                    for i in features:
                        out[n, i] += p * f * value[m][i]
                if g is None:
                    continue
                for m, p, f in zip(tokens, probabilities, factor, strict=True):
                    for i in features:
                        dvalue[m, i] += p * f * g[n][i]
                dprobabilities = [
                    f * sum(g[n][i] * value[m][i] for i in features)
                    for m, f in zip(tokens, factor, strict=True)
                ]
                dscores = softmax_vjp(dprobabilities, probabilities)
                for m, dscore in zip(tokens, dscores, strict=True):
                    for i in features:
                        dquery[n, i] += dscore * key[m][i] / math.sqrt(size)
                        dkey[m, i] += dscore * query[n][i] / math.sqrt(size)
        start += length
        first += queries
    return out, dquery, dkey, dvalue


# ------------------------------------------------------------------------------- the encoder


def embed(tables: dict, ids: Any, positions: Any, segments: Any, eps: float) -> np.ndarray:
    """LayerNorm of the sum of each token's three rows. Devlin et al. 2018, figure 2."""
    words, places, kinds = (rows(tables[name]) for name in ("word", "position", "segment"))
    sums = [
        [a + b + c for a, b, c in zip(words[i], places[n], kinds[s], strict=True)]
        for i, n, s in zip(ids, positions, segments, strict=True)
    ]
    return layer_norm(sums, tables["norm"]["weight"], tables["norm"]["bias"], eps)


def self_attention(params: dict, x: Any, lengths: Sequence[int], heads: int) -> np.ndarray:
    query, key, value = (
        linear(x, params[name]["weight"], params[name]["bias"])
        for name in ("query", "key", "value")
    )
    mixed = attention(query, key, value, lengths, lengths, heads)
    return linear(mixed, params["output"]["weight"], params["output"]["bias"])


def feed_forward(params: dict, x: Any, activation: Any = gelu) -> np.ndarray:
    inner = each(activation, linear(x, params["inner"]["weight"], params["inner"]["bias"]))
    return linear(inner, params["output"]["weight"], params["output"]["bias"])


def add(x: Any, z: Any) -> np.ndarray:
    return np.array(
        [
            [a + b for a, b in zip(row, other, strict=True)]
            for row, other in zip(rows(x), rows(z), strict=True)
        ]
    )


def skip(params: dict, x: Any, z: Any, eps: float) -> np.ndarray:
    """LayerNorm(x + z), with a sublayer's own LayerNorm."""
    return layer_norm(add(x, z), params["norm"]["weight"], params["norm"]["bias"], eps)


def encoder_layer(
    params: dict,
    x: Any,
    lengths: Sequence[int],
    heads: int,
    eps: float,
    activation: Any = gelu,
    adapt: Any = lambda place, z: z,
) -> np.ndarray:
    """Devlin et al. 2018 on Vaswani et al. 2017: attention, then feed-forward, each followed by
    what Houlsby et al. 2019 put there (`adapt`), the skip connection and LayerNorm."""
    z = adapt("attention", self_attention(params["attention"], x, lengths, heads))
    x = skip(params["attention"], x, z, eps)
    z = adapt("feed_forward", feed_forward(params["feed_forward"], x, activation))
    return skip(params["feed_forward"], x, z, eps)


# ------------------------------------------------------------------------------- adapters, Adam


def bottleneck(adapter: dict, z: Any, activation: Any) -> np.ndarray:
    """Houlsby et al. 2019, section 2.1: z + f(z W_down + b_down) W_up + b_up. [N, d] -> [N, d]"""
    down, up = adapter["down"], adapter["up"]
    inner = each(activation, linear(z, down["weight"], down["bias"]))
    return add(z, linear(inner, up["weight"], up["bias"]))


def adam_first_step(
    p: Any, g: Any, rate: float, eps: float, bias_correction: bool = True, decay: float = 0.0
) -> np.ndarray:
    """Where Adam's first step takes the parameters p with the gradients g.

    Kingma & Ba 2015, algorithm 1, from m = v = 0 with betas of 0.9 and 0.999: m' = 0.1 g and
    v' = 0.001 g^2, and bias correction makes them g and g^2. The decay is Loshchilov & Hutter's.
    """
    new = []
    for weight, slope in zip(rows(np.ravel(p)), rows(np.ravel(g)), strict=True):
        m, v = (slope, slope**2) if bias_correction else (0.1 * slope, 0.001 * slope**2)
        new.append(weight - rate * (m / (math.sqrt(v) + eps) + decay * weight))
    return np.array(new).reshape(np.shape(p))
