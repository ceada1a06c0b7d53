"""Every differentiable operation of the encoder, written plainly: the specification.

Each function here is the mathematics and nothing else, in `autograd.numpy`, so that autograd
derives its gradient. `fused` has the same functions under the same names made fast; the tests
hold each pair to equal values, gradients, shapes and dtypes. Read this file; `fused` can wait.

Words: B sequences, N tokens of the whole batch (all real, no padding), T one sequence's
length, D hidden size, H heads, C classes. Everything is float32 in, float32 out. Two habits
keep it so, in the gradients as well: a Python float never widens an array (a NumPy scalar
would), and a mean is written as a sum times 1/n (autograd's gradient of `mean` is float64).
"""

import math
from collections.abc import Sequence

import autograd.numpy as np
import numpy as onp
from autograd.extend import defvjp, primitive
from autograd.tracer import getval

Array = onp.ndarray

# ----------------------------------------------------------------------------- linear and norm


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """x W + b: [N, in], [in, out], [out] -> [N, out]."""
    return x @ weight + bias


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Each row to mean 0 and variance 1, then a learned gain and bias. [N, D], [D], [D] -> [N, D].

    Ba et al. 2016, arXiv 1607.06450, eq. 4; the variance is the biased one (divided by D).
    """
    size = x.shape[-1]
    centred = x - np.sum(x, axis=-1, keepdims=True) * (1.0 / size)  # [N, D]
    variance = np.sum(centred * centred, axis=-1, keepdims=True) * (1.0 / size)  # [N, 1]
    return centred / np.sqrt(variance + eps) * weight + bias


def add_layer_norm(x: Array, z: Array, weight: Array, bias: Array, eps: float) -> Array:
    """LayerNorm(x + z): the skip connection x and the sublayer's output z. [N, D] -> [N, D]."""
    return layer_norm(x + z, weight, bias, eps)


# ----------------------------------------------------------------------------- activations

# The error function of each element. NumPy has none, so each is taken with `math.erf`: exact
# and slow. Its derivative is the bell curve 2/sqrt(pi) exp(-x^2).
_math_erf = onp.vectorize(math.erf, otypes=[float])
erf = primitive(lambda x: onp.asarray(_math_erf(x), dtype=onp.asarray(x).dtype))
defvjp(erf, lambda ans, x: lambda g: g * onp.exp(-x * x) * (2.0 / math.sqrt(math.pi)))


def gelu(x: Array) -> Array:
    """x Phi(x), Phi the normal distribution function. Hendrycks & Gimpel, arXiv 1606.08415.

    The GELU of the public BERT checkpoints (`"hidden_act": "gelu"`). Any shape.
    """
    return x * (0.5 + 0.5 * erf(x * math.sqrt(0.5)))


def gelu_tanh(x: Array) -> Array:
    """The tanh approximation of GELU (`"gelu_new"`): what Google's BERT and the released adapter
    code compute. It differs from `gelu` by up to 4.7e-4, so say which one is meant. Any shape."""
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))


def relu(x: Array) -> Array:
    """max(x, 0); the gradient at 0 is 0, as in torch. Any shape."""
    return x * (x > 0)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent. Any shape."""
    return np.tanh(x)


def swish(x: Array) -> Array:
    """x sigmoid(x), also called SiLU; written with tanh, which cannot overflow. Any shape."""
    return x * (0.5 + 0.5 * np.tanh(0.5 * x))


# ----------------------------------------------------------------------------- attention


def softmax(scores: Array) -> Array:
    """exp(s) / sum exp(s) over the last axis. The maximum is subtracted first, so that exp cannot
    overflow; it cancels in the ratio, so it counts as a constant. Any shape."""
    shift = onp.max(getval(scores), axis=-1, keepdims=True)
    weights = np.exp(scores - shift)
    return weights / np.sum(weights, axis=-1, keepdims=True)


def split_heads(x: Array, heads: int) -> Array:
    """[T, D] -> [H, T, D/H]: each head attends with its own slice of the features."""
    length, size = x.shape
    return np.transpose(np.reshape(x, (length, heads, size // heads)), (1, 0, 2))


def join_heads(x: Array) -> Array:
    """[H, T, D/H] -> [T, D], the inverse of `split_heads`."""
    heads, length, size = x.shape
    return np.reshape(np.transpose(x, (1, 0, 2)), (length, heads * size))


def attention(
    query: Array,
    key: Array,
    value: Array,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    heads: int,
    keep: Array | None = None,
    rate: float = 0.0,
) -> Array:
    """Scaled dot-product attention within each sequence. [M, D], [N, D], [N, D] -> [M, D].

    Vaswani et al. 2017, arXiv 1706.03762, eq. 1: softmax(Q K^T / sqrt(D/H)) V for every head.
    A batch is the concatenation of its sequences, so a token sees its own sequence only and no mask
    is needed. Sequence b has `key_lengths[b]` = T keys and values, and `query_lengths[b]` = Q query
    rows: all its tokens in self-attention, or [CLS] alone. M and N are the sums of the two.
    `keep` is dropout's mask for the attention probabilities of the whole batch, flat: H*Q*T entries
    for each sequence in turn, `rate` its rate. (Eight arguments: the formula's symbols, the
    sequence lengths, and dropout's mask and rate.)
    """
    scale = 1.0 / math.sqrt(query.shape[1] / heads)
    outputs, first_query, first_key, first_mask = [], 0, 0, 0
    for queries, length in zip(query_lengths, key_lengths, strict=True):  # Q, T
        q = split_heads(query[first_query : first_query + queries], heads)  # [H, Q, D/H]
        k = split_heads(key[first_key : first_key + length], heads)  # [H, T, D/H]
        v = split_heads(value[first_key : first_key + length], heads)  # [H, T, D/H]
        scores = np.matmul(q, np.transpose(k, (0, 2, 1))) * scale  # [H, Q, T]
        probabilities = softmax(scores)
        if keep is not None:
            size = heads * queries * length
            mask = keep[first_mask : first_mask + size].reshape(heads, queries, length)
            probabilities = dropout(probabilities, mask, rate)
            first_mask += size
        outputs.append(join_heads(np.matmul(probabilities, v)))  # [Q, D]
        first_query += queries
        first_key += length
    return np.concatenate(outputs, axis=0)


# ----------------------------------------------------------------------------- dropout


def keep_mask(rng: onp.random.Generator, size: int, rate: float) -> Array:
    """`size` booleans, each False with probability `rate`. [size]

    Two random bytes per element suffice: the rate is rounded to a multiple of 1/65536, which
    `dropout_scale` takes into account. `ops` and `fused` draw their masks here, so both see the
    same ones. They are drawn eight bytes at a time: these bits are part of every recorded run.
    """
    draws = rng.integers(0, 2**64, size=-(-size // 4), dtype=onp.uint64)  # 8 bytes at a time
    return draws.view(onp.uint16)[:size] >= round(rate * 65536)


def dropout_scale(rate: float) -> float:
    """The factor of what is kept: 1 / (1 - rate), with the rounded rate of `keep_mask`."""
    return 1.0 / (1.0 - round(rate * 65536) / 65536)


def dropout(x: Array, keep: Array, rate: float) -> Array:
    """Zero the elements that are not kept, scale the others so that the expectation stays x.
    Srivastava et al. 2014. Any shape."""
    return x * keep * dropout_scale(rate)


# ----------------------------------------------------------------------------- embedding


def lookup(table: Array, ids: Array) -> Array:
    """Row `ids[n]` of the table for each token: [V, D], [N] -> [N, D]."""
    return table[ids]


# ----------------------------------------------------------------------------- losses


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean of -log softmax(logits)[label] over the rows. [B, C], [B] ints -> scalar."""
    shifted = logits - onp.max(getval(logits), axis=-1, keepdims=True)
    log_normaliser = np.log(np.sum(np.exp(shifted), axis=-1))  # [B]
    picked = shifted[onp.arange(len(labels)), labels]  # [B]
    return np.sum(log_normaliser - picked) * (1.0 / len(labels))


def squared_error(predicted: Array, target: Array) -> Array:
    """Mean of (predicted - target)^2. [B], [B] -> scalar."""
    difference = predicted - target
    return np.sum(difference * difference) * (1.0 / len(target))
