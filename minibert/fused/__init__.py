"""The operations of `ops` made fast: same names, same arguments, same values and gradients.

`ops.X` is the mathematics; `fused.X` computes the same function as one autograd *primitive*
whose vector-Jacobian product (VJP: from dLoss/d(output) to dLoss/d(input)) is derived by hand
in its docstring. That saves time in three ways: no temporary array per elementary operation,
work in blocks that stay in the processor's cache, and nothing is computed for an input that
nobody differentiates (a frozen weight costs no gradient).

Notation in the derivations: g is dLoss/d(output); every gradient has the shape of its input.
A forward function keeps what its VJP needs in the list `saved`, which is None when nothing is
being differentiated. First derivatives only: differentiate `ops` for second ones.

The linear operations are here; the others are in `norm`, `activations` and `multi_head`, one idea
each.
"""

from collections.abc import Callable

import numpy as np
from autograd.extend import defvjp, primitive

from minibert import ops
from minibert.fused.activations import gelu, gelu_tanh, relu, swish, tanh
from minibert.fused.multi_head import attention
from minibert.fused.norm import add_layer_norm, layer_norm
from minibert.machine.memory import keep_freed_memory
from minibert.ops import Array, cross_entropy, keep_mask, squared_error

__all__ = [
    "add_layer_norm",
    "attention",
    "cross_entropy",
    "dropout",
    "gelu",
    "gelu_tanh",
    "keep_mask",
    "layer_norm",
    "linear",
    "lookup",
    "relu",
    "squared_error",
    "swish",
    "tanh",
]

keep_freed_memory()  # before the first large array


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
    # (g^T x)^T rather than x^T g: weights lie in memory as [out, in], so the gradient does too
    lambda ans, x, weight, bias: lambda g: (g.T @ x).T,
    lambda ans, x, weight, bias: lambda g: np.ones(len(g), g.dtype) @ g,  # faster than g.sum(0)
)


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
