"""Attention as one primitive that saves the probabilities; notation in `fused`."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from autograd.extend import defvjp_argnums, primitive

from minibert.fused.saved import Saved, saving
from minibert.ops import Array, dropout_scale

# A run's scores, at most this many numbers, stay in a core's cache while softmax goes over them.
_RUN_SCORES = 131_072

# For scores within +-_SAFE exp neither overflows nor vanishes, and row sums are accurate. Only
# larger ones need the row's maximum subtracted: two slow passes over S.
_SAFE = 40.0


class _Run(NamedTuple):
    """G neighbouring sequences with the same T keys and Q query rows, attended together by H heads.

    `keys` and `queries` are their rows in the batch, `mask` is their part of its flat dropout mask.
    """

    sequences: int
    heads: int
    keys: slice
    queries: slice
    mask: slice

    def split(self, x: Array, rows: slice) -> Array:
        """Rows of x [N, D] as a view [G, H, T, D/H], or [G, H, Q, D/H]; nothing is copied."""
        shape = (self.sequences, -1, self.heads, x.shape[1] // self.heads)
        return x[rows].reshape(shape).transpose(0, 2, 1, 3)


def _runs(query_lengths: Sequence[int], key_lengths: Sequence[int], heads: int) -> Iterator[_Run]:
    """Cut a batch into runs. Batches sorted by length have few and long ones."""
    sizes = [(int(q), int(k)) for q, k in zip(query_lengths, key_lengths, strict=True)]
    first = key = query = mask = 0
    while first < len(sizes):
        queries, length = sizes[first]
        most = _RUN_SCORES // (heads * queries * length)
        count = 1  # or more, up to `most`
        while count < min(most, len(sizes) - first) and sizes[first + count] == sizes[first]:
            count += 1
        scores = count * heads * queries * length
        ends = key + count * length, query + count * queries, mask + scores
        slices = slice(key, ends[0]), slice(query, ends[1]), slice(mask, ends[2])
        yield _Run(count, heads, *slices)
        key, query, mask = ends
        first += count


def _exp(scores: Array) -> Array:
    """E = exp(S), or exp(S - rowmax S) for large scores, in place: the softmax before its division,
    in which the shift cancels. [G, H, Q, T]"""
    if not (scores.max() < _SAFE and scores.min() > -_SAFE):
        scores -= scores.max(axis=-1, keepdims=True)
    return np.exp(scores, out=scores)


def _scale(x: Array, runs: Sequence[_Run]) -> float:
    return 1.0 / math.sqrt(x.shape[1] / runs[0].heads)


@primitive
def _attention(
    query: Array,
    key: Array,
    value: Array,
    runs: Sequence[_Run],
    keep: Array | None,
    rate: float,
    saved: Saved,
) -> Array:
    # seven arguments: those of `attention`, with lengths and heads as `runs`, and `saved`
    scaled = query * _scale(query, runs)
    y = np.empty(query.shape, query.dtype)
    for run in runs:
        q = run.split(scaled, run.queries)  # [G, H, Q, D/H]
        k, v = (run.split(x, run.keys) for x in (key, value))  # [G, H, T, D/H]
        e = _exp(np.matmul(q, k.swapaxes(2, 3)))  # [G, H, Q, T]
        row_sum = np.matmul(e, np.ones((e.shape[-1], 1), e.dtype))  # faster than e.sum(axis=-1)
        share = 1.0 / row_sum  # [G, H, Q, 1]
        out = run.split(y, run.queries)  # [G, H, Q, D/H]
        if keep is None:
            np.matmul(e, v, out=out)
            out *= share
        else:
            np.matmul(e * keep[run.mask].reshape(e.shape), v, out=out)
            out *= share * dropout_scale(rate)
        if saved is not None:
            saved.append((e, share))
    return y


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
    """Y = M(P) V with P = softmax(S), S = Q K^T / sqrt(D/H), for every sequence and head; M is
    dropout. [M, D], [N, D], [N, D] -> [M, D]; the arguments are those of `ops.attention`.

    Backwards through the three products: dV = M(P)^T g; the gradient of P is dP = M(g V^T), as
    dropout is its own adjoint. Softmax of one row has dp_i/ds_j = p_i (delta_ij - p_j), so
        dS = P (dP - rowsum(dP P)),
    and rowsum(dP P) = rowsum(g Y): sum_j p_j M(g V^T)_j = g . sum_j M(p)_j v_j = g . y.
    Finally dQ = dS K / sqrt(D/H), dK = dS^T Q / sqrt(D/H).

    P = E r is never formed, with E = exp(S) and r = 1 / rowsum(E), one number a row.
    Scaling is applied to the short rows, D/H numbers instead of T: with the mask m and dropout's
    factor c, Y = r c ((m E) V), and for h = r c g: dV = (m E)^T h and
        dS = E (m (h V^T) - r rowsum(g Y)).
    """
    runs = list(_runs(query_lengths, key_lengths, heads))
    return _attention(query, key, value, runs, keep, rate, saving(query, key, value))


def _attention_grads(argnums: Any, ans: Array, args: Any, kwargs: Any) -> Callable[..., Any]:
    query, key, value, runs, keep, rate, saved = args

    def vjp(g_all: Array) -> tuple[Array, ...]:
        grads = tuple(np.empty(x.shape, x.dtype) for x in (query, key, value))
        for run, (e, share) in zip(runs, saved, strict=True):
            q, g, y, dq = (run.split(x, run.queries) for x in (query, g_all, ans, grads[0]))
            k, v, dk, dv = (run.split(x, run.keys) for x in (key, value, *grads[1:]))
            row_term = np.einsum("ghqd,ghqd->ghq", g, y)[..., None] * share  # [G, H, Q, 1]
            if keep is None:
                h = g * share  # [G, H, Q, D/H]
                np.matmul(e.swapaxes(2, 3), h, out=dv)
                ds = np.matmul(h, v.swapaxes(2, 3))  # [G, H, Q, T]
            else:
                h = g * (share * dropout_scale(rate))
                mask = keep[run.mask].reshape(e.shape)
                np.matmul((e * mask).swapaxes(2, 3), h, out=dv)
                ds = np.matmul(h, v.swapaxes(2, 3))
                ds *= mask
            ds -= row_term
            ds *= e
            np.matmul(ds, k, out=dq)
            np.matmul(ds.swapaxes(2, 3), q, out=dk)
        for grad in grads[:2]:
            grad *= _scale(query, runs)
        return tuple(grads[argnum] for argnum in argnums)

    return vjp


defvjp_argnums(_attention, _attention_grads)
