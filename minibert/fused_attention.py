"""Attention as one primitive that saves the probabilities; notation in `fused`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd.extend import defvjp_argnums, primitive

from minibert import ops
from minibert.ops import Array
from minibert.saving import Saved, saving

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
    return _attention(query, key, value, lengths, heads, keep, rate, saving(query, key, value))


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
