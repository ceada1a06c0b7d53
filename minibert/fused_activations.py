"""The activations as primitives that work block by block, in the cache; notation in `fused`."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from autograd.extend import defvjp, primitive

from minibert import ops
from minibert.ops import Array

BLOCK = 1 << 15  # elements per block: a few temporaries of 128 KB stay in a core's cache


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


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
