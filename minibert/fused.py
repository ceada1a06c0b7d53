"""The operations of `ops` made fast: same names, same arguments, same values and gradients.

`ops.X` is the mathematics; `fused.X` computes the same function as one autograd *primitive*
whose vector-Jacobian product (VJP: from dLoss/d(output) to dLoss/d(input)) is derived by hand
in its docstring. That saves time in three ways: no temporary array per elementary operation,
work in blocks that stay in the processor's cache, and nothing is computed for an input that
nobody differentiates (a frozen weight costs no gradient).

Notation in the derivations: g is dLoss/d(output); every gradient has the shape of its input.
A forward function keeps what its VJP needs in the list `saved`, which is None when nothing is
being differentiated. First derivatives only: differentiate `ops` for second ones.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from autograd.extend import defvjp, defvjp_argnums, primitive
from autograd.tracer import isbox

from minibert import ops
from minibert.ops import Array, cross_entropy, keep_mask, squared_error

__all__ = [
    "add_layer_norm", "attention", "cross_entropy", "dropout", "gelu", "gelu_tanh", "keep_mask",
    "layer_norm", "linear", "lookup", "relu", "squared_error", "swish", "tanh",
]  # fmt: skip

BLOCK = 1 << 15  # elements per block: a few temporaries of 128 KB stay in a core's cache

Saved = list[Any] | None


def _saving(*arrays: Any) -> Saved:
    """A fresh list to save into when any argument is being differentiated, else None."""
    return [] if any(isbox(array) for array in arrays) else None


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


# ----------------------------------------------------------------------------- linear


@primitive
def linear(x: Array, weight: Array, bias: Array) -> Array:
    """y = x W + b: [N, in], [in, out], [out] -> [N, out].

    y_no = sum_i x_ni W_io + b_o, so dx = g W^T, dW = x^T g, db = sum_n g_n.
    """
    y = x @ weight
    y += bias
    return y


defvjp(
    linear,
    lambda ans, x, weight, bias: lambda g: g @ weight.T,
    # (g^T x)^T rather than x^T g: the weights lie in memory as [out, in], and so does this
    lambda ans, x, weight, bias: lambda g: (g.T @ x).T,
    lambda ans, x, weight, bias: lambda g: g.sum(axis=0),
)

# ----------------------------------------------------------------------------- LayerNorm


def _normalise(x: Array, weight: Array, bias: Array, eps: float, saved: Saved) -> Array:
    size = x.shape[-1]
    mean_of_rows = np.full(size, 1.0 / size, x.dtype)
    normal = x - (x @ mean_of_rows)[:, None]  # [N, D]
    variance = np.einsum("nd,nd->n", normal, normal) * (1.0 / size)  # [N]
    inverse_std = (1.0 / np.sqrt(variance + eps))[:, None]  # [N, 1]
    normal *= inverse_std
    y = normal * weight
    y += bias
    if saved is not None:
        saved += [normal, inverse_std]
    return y


def _normalise_vjp(g: Array, weight: Array, normal: Array, inverse_std: Array) -> Array:
    size = g.shape[-1]
    mean_of_rows = np.full(size, 1.0 / size, g.dtype)
    gw = g * weight  # [N, D]
    mean_gw = gw @ mean_of_rows  # [N]
    mean_gwn = np.einsum("nd,nd->n", gw, normal) * (1.0 / size)  # [N]
    gw -= mean_gw[:, None]
    gw -= normal * mean_gwn[:, None]
    gw *= inverse_std
    return gw


@primitive
def _layer_norm(x: Array, weight: Array, bias: Array, eps: float, saved: Saved) -> Array:
    return _normalise(x, weight, bias, eps, saved)


@primitive
def _add_layer_norm(
    x: Array, z: Array, weight: Array, bias: Array, eps: float, saved: Saved
) -> Array:
    return _normalise(x + z, weight, bias, eps, saved)


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """y = n w + b with n = (x - mean) r, r = 1 / sqrt(variance + eps). [N, D] -> [N, D].

    Of one row: db = g and dw = g n (summed over rows). With h = g w (the gradient of n):
    mean and variance both depend on every x_j, and
        dn_i/dx_j = r (delta_ij - 1/D - n_i n_j / D),
    hence dx = r (h - mean(h) - n mean(h n)).
    """
    return _layer_norm(x, weight, bias, eps, _saving(x, weight, bias))


def add_layer_norm(x: Array, z: Array, weight: Array, bias: Array, eps: float) -> Array:
    """LayerNorm(x + z) as one operation; x and z both get the gradient of their sum."""
    return _add_layer_norm(x, z, weight, bias, eps, _saving(x, z, weight, bias))


def _layer_norm_grads(inputs: int) -> Callable[..., Any]:
    """The VJP for `inputs` summed inputs, then weight, then bias."""

    def make(argnums: Sequence[int], ans: Array, args: Any, kwargs: Any) -> Callable[..., Any]:
        weight, saved = args[inputs], args[-1]

        def vjp(g: Array) -> tuple[Array, ...]:
            normal, inverse_std = saved
            dx = None
            grads = []
            for argnum in argnums:
                if argnum < inputs:
                    if dx is None:
                        dx = _normalise_vjp(g, weight, normal, inverse_std)
                    grads.append(dx)
                elif argnum == inputs:
                    grads.append(np.einsum("nd,nd->d", g, normal))
                else:
                    grads.append(g.sum(axis=0))
            return tuple(grads)

        return vjp

    return make


defvjp_argnums(_layer_norm, _layer_norm_grads(1))
defvjp_argnums(_add_layer_norm, _layer_norm_grads(2))

# ----------------------------------------------------------------------------- activations

# Phi(x) = 0.5 + 0.5 tanh(x P(x^2)) exactly, for the function P(t) = atanh(erf(x/sqrt 2))/x.
# P is smooth, so a polynomial of degree 6 in t stands in for it where it matters: minimax on
# |x| <= 5.8 (weighted by how much an error in P moves x Phi); beyond, tanh is 1 in float32
# and t is held at 5.8^2. The result is within 6e-7 of the exact gelu for |x| < 12 and within
# 2e-7 |x| everywhere; tanh and multiplication are SIMD in NumPy, erf is nowhere.
_P = (0.7978844643, 0.03633391112, -3.295472561e-05, -5.527795292e-05, 3.973114872e-06,
      -1.336469779e-07, 1.809365657e-09)  # fmt: skip
_T_MAX = 5.8**2
_BELL = 1.0 / math.sqrt(2.0 * math.pi)


def _normal_cdf(x: Array) -> Array:
    """Phi(x) of a block, fresh array."""
    if x.dtype != np.float32:
        return 0.5 + 0.5 * ops.erf(x * math.sqrt(0.5))
    t = x * x
    np.minimum(t, _T_MAX, out=t)
    p = t * _P[-1]
    for coefficient in _P[-2:0:-1]:
        p += coefficient
        p *= t
    p += _P[0]
    p *= x
    np.tanh(p, out=p)
    p *= 0.5
    p += 0.5
    return p


def _gelu_block(x: Array) -> Array:
    y = _normal_cdf(x)
    y *= x
    return y


def _gelu_slope(x: Array) -> Array:
    # d/dx x Phi(x) = Phi(x) + x phi(x), phi = Phi' the bell curve
    bell = x * x
    bell *= -0.5
    np.exp(bell, out=bell)
    bell *= x
    bell *= _BELL
    bell += _normal_cdf(x)
    return bell


_A, _B = math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715


def _gelu_tanh_inner(x: Array) -> Array:
    """tanh(A x + B x^3), and the two polynomials cost one multiplication each by Horner."""
    u = x * x
    u *= _B
    u += _A
    u *= x
    return np.tanh(u, out=u)


def _gelu_tanh_block(x: Array) -> Array:
    y = _gelu_tanh_inner(x)
    y += 1.0
    y *= x
    y *= 0.5
    return y


def _gelu_tanh_slope(x: Array) -> Array:
    # with u = A x + B x^3: d/dx x/2 (1 + tanh u) = (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u'
    tanh_u = _gelu_tanh_inner(x)
    du = x * x
    du *= 3.0 * _B
    du += _A
    du *= x
    du *= 1.0 - tanh_u * tanh_u
    du += tanh_u
    du += 1.0
    du *= 0.5
    return du


def _swish_block(x: Array) -> Array:
    y = np.tanh(0.5 * x)
    y += 1.0
    y *= 0.5
    y *= x
    return y


def _swish_slope(x: Array) -> Array:
    # with s = sigmoid(x): d/dx x s = s + x s (1 - s)
    s = np.tanh(0.5 * x)
    s *= 0.5
    s += 0.5
    slope = 1.0 - s
    slope *= x
    slope += 1.0
    slope *= s
    return slope


def _elementwise(
    name: str, value: Callable[[Array], Array], slope: Callable[[Array], Array]
) -> Any:
    """The primitive y = value(x), dx = g slope(x), worked off block by block. Any shape."""

    def run(x: Array) -> Array:
        y = np.empty(x.shape, x.dtype)
        flat_x, flat_y = x.reshape(-1), y.reshape(-1)
        for block in _blocks(x.size):
            flat_y[block] = value(flat_x[block])
        return y

    def vjp(ans: Array, x: Array) -> Callable[[Array], Array]:
        def backward(g: Array) -> Array:
            dx = np.empty(x.shape, x.dtype)
            flat_x, flat_g, flat_dx = x.reshape(-1), g.reshape(-1), dx.reshape(-1)
            for block in _blocks(x.size):
                np.multiply(flat_g[block], slope(flat_x[block]), out=flat_dx[block])
            return dx

        return backward

    run.__name__, run.__doc__ = name, getattr(ops, name).__doc__
    function = primitive(run)
    defvjp(function, vjp)
    return function


gelu = _elementwise("gelu", _gelu_block, _gelu_slope)
gelu_tanh = _elementwise("gelu_tanh", _gelu_tanh_block, _gelu_tanh_slope)
relu = _elementwise("relu", lambda x: np.maximum(x, 0), lambda x: x > 0)
tanh = _elementwise("tanh", np.tanh, lambda x: 1.0 - np.tanh(x) ** 2)
swish = _elementwise("swish", _swish_block, _swish_slope)

# ----------------------------------------------------------------------------- attention

# Sequences of similar length are attended together. A chunk's scores, at most this many
# numbers, stay in a core's cache while softmax goes over them several times.
_CHUNK_SCORES = 1 << 18
_PAD_TO = 8


class _Chunk:
    """Some sequences of similar length T: where their rows are, and what is padding.

    rows [G, T]: row numbers in the batch (padding points to row 0); real [G, T]: which of them
    are tokens, or None when all are; keep: where the chunk's dropout mask lies, one (start,
    length) a sequence.
    """

    def __init__(self, starts: Array, lengths: Array, keep_starts: Array) -> None:
        self.length = int(lengths.max())
        self.sizes = lengths
        self.keep_starts = keep_starts
        columns = np.arange(self.length)
        self.real = columns < lengths[:, None] if lengths.min() < self.length else None  # [G, T]
        rows = starts[:, None] + columns
        self.rows = rows if self.real is None else np.where(self.real, rows, 0)

    def gather(self, x: Array, heads: int) -> Array:
        """[N, D] -> [G, H, T, D/H]"""
        picked = x[self.rows]  # [G, T, D]
        group, length, size = picked.shape
        return picked.reshape(group, length, heads, size // heads).transpose(0, 2, 1, 3)

    def scatter(self, x: Array, out: Array) -> None:
        """[G, H, T, D/H] -> its rows of out [N, D]"""
        group, heads, length, size = x.shape
        joined = x.transpose(0, 2, 1, 3).reshape(group, length, heads * size)
        if self.real is None:
            out[self.rows] = joined
        else:
            out[self.rows[self.real]] = joined[self.real]

    def keep(self, flat: Array, heads: int) -> Array:
        """This chunk's part of the batch's flat mask, as [G, H, T, T]; padding is not kept."""
        mask = np.zeros((len(self.sizes), heads, self.length, self.length), bool)
        for g, (size, start) in enumerate(zip(self.sizes, self.keep_starts, strict=True)):
            own = flat[start : start + heads * size * size]
            mask[g, :, :size, :size] = own.reshape(heads, size, size)
        return mask


def _chunks(lengths: Sequence[int], heads: int) -> list[_Chunk]:
    sizes = np.asarray(lengths)
    starts = np.cumsum(sizes) - sizes
    squares = heads * sizes * sizes
    keep_starts = np.cumsum(squares) - squares
    padded = -(-sizes // _PAD_TO) * _PAD_TO
    chunks = []
    for length in np.unique(padded):
        members = np.flatnonzero(padded == length)
        at_once = max(1, int(_CHUNK_SCORES // (heads * length * length)))
        for first in range(0, len(members), at_once):
            chosen = members[first : first + at_once]
            chunks.append(_Chunk(starts[chosen], sizes[chosen], keep_starts[chosen]))
    return chunks


@primitive
def _attention(
    query: Array,
    key: Array,
    value: Array,
    lengths: Sequence[int],
    heads: int,
    keep: Array | None,
    rate: float,
    saved: Saved,
) -> Array:
    scale = 1.0 / math.sqrt(query.shape[1] / heads)
    y = np.empty(query.shape, query.dtype)
    for chunk in _chunks(lengths, heads):
        q, k, v = (chunk.gather(x, heads) for x in (query, key, value))  # [G, H, T, D/H]
        p = np.matmul(q, k.swapaxes(-1, -2))  # [G, H, T, T]
        p *= scale
        if chunk.real is not None:
            np.copyto(p, -np.inf, where=~chunk.real[:, None, None, :])
        p -= p.max(axis=-1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=-1, keepdims=True)
        mask = None if keep is None else chunk.keep(keep, heads)
        if saved is not None:
            saved.append((chunk, p, mask))
        chunk.scatter(np.matmul(p if mask is None else ops.dropout(p, mask, rate), v), y)
    return y


def attention(
    query: Array,
    key: Array,
    value: Array,
    lengths: Sequence[int],
    heads: int,
    keep: Array | None = None,
    rate: float = 0.0,
) -> Array:
    """Y = M(P) V with P = softmax(S), S = Q K^T / sqrt(D/H), for every sequence and head; M is
    dropout. [N, D] x 3 -> [N, D]; `keep` as in `ops.attention`.

    Backwards through the three products: dV = M(P)^T g; the gradient of P is dP = M(g V^T), as
    dropout is its own adjoint. Softmax of one row has dp_i/ds_j = p_i (delta_ij - p_j), so
        dS = P (dP - rowsum(dP P)),
    and rowsum(dP P) = rowsum(g Y): sum_j p_j M(g V^T)_j = g . sum_j M(p)_j v_j = g . y.
    At last dQ = dS K / sqrt(D/H), dK = dS^T Q / sqrt(D/H).
    """
    return _attention(query, key, value, lengths, heads, keep, rate, _saving(query, key, value))


def _attention_grads(argnums: Any, ans: Array, args: Any, kwargs: Any) -> Callable[..., Any]:
    query, key, value, _, heads, _, rate, saved = args
    scale = 1.0 / math.sqrt(query.shape[1] / heads)

    def vjp(g_all: Array) -> tuple[Array, ...]:
        grads = [np.empty(query.shape, query.dtype) for _ in range(3)]
        for chunk, p, mask in saved:
            q, k, v, g, y = (chunk.gather(x, heads) for x in (query, key, value, g_all, ans))
            if chunk.real is not None:
                g = g * chunk.real[:, None, :, None]  # padded queries have no say
            kept = p if mask is None else ops.dropout(p, mask, rate)
            chunk.scatter(np.matmul(kept.swapaxes(-1, -2), g), grads[2])
            ds = np.matmul(g, v.swapaxes(-1, -2))  # [G, H, T, T]
            if mask is not None:
                ds = ops.dropout(ds, mask, rate)
            ds -= np.einsum("ghtd,ghtd->ght", g, y)[..., None]
            ds *= p
            ds *= scale
            chunk.scatter(np.matmul(ds, k), grads[0])
            chunk.scatter(np.matmul(ds.swapaxes(-1, -2), q), grads[1])
        return tuple(grads[argnum] for argnum in argnums)

    return vjp


defvjp_argnums(_attention, _attention_grads)

# ----------------------------------------------------------------------------- dropout, lookup


@primitive
def dropout(x: Array, keep: Array, rate: float) -> Array:
    """y = x m with m = keep / (1 - rate): linear in x, so dx = g m. Any shape."""
    return ops.dropout(x, keep, rate)


defvjp(dropout, lambda ans, x, keep, rate: lambda g: ops.dropout(g, keep, rate))


@primitive
def lookup(table: Array, ids: Array) -> Array:
    """y_n = table[ids_n]: [V, D], [N] -> [N, D].

    Row v of the table was used by all n with ids_n = v: d(table)_v is the sum of their g_n.
    Sorting the tokens by id turns those sums into runs, which `reduceat` adds up.
    """
    return table[ids]


def _lookup_vjp(ans: Array, table: Array, ids: Array) -> Callable[[Array], Array]:
    def backward(g: Array) -> Array:
        order = np.argsort(ids, kind="stable")
        used, first = np.unique(ids[order], return_index=True)
        grad = np.zeros(table.shape, g.dtype)
        grad[used] = np.add.reduceat(g[order], first, axis=0)
        return grad

    return backward


defvjp(lookup, _lookup_vjp)
