"""The activations as primitives that work block by block, in the cache; notation in `fused`."""

import math
from collections.abc import Callable

import numpy as np
from autograd.extend import defvjp, primitive

from minibert import ops
from minibert.fused.saved import Saved, saving
from minibert.ops import Array

BLOCK = 1 << 16  # elements per block: four arrays of 256 KB stay in most cores' caches

# Phi(x) = 0.5 + 0.5 tanh(x P(x^2)) exactly, for the function P(t) = atanh(erf(x/sqrt 2))/x.
# P is smooth, so a polynomial of degree 6 in t stands in for it where it matters: minimax on
# |x| <= 5.8 (weighted by how much an error in P moves x Phi). Beyond, |x P| only grows and tanh is
# 1 in float32. The result is within 6e-7 of the exact gelu for |x| < 12 and within 2e-7 |x|
# everywhere; tanh and multiplication are SIMD in NumPy, erf is nowhere.
_P = (0.7978844643, 0.03633391112, -3.295472561e-05, -5.527795292e-05, 3.973114872e-06,
      -1.336469779e-07, 1.809365657e-09)  # fmt: skip
_LOG_BELL = -0.5 * math.log(2.0 * math.pi)

# Each function below works on one block x: f(x) goes to `y` and, when it is to be differentiated,
# f'(x) to `slope`, which shares most of its computation; `t` is scratch of the block's size.
Block = Callable[[Array, Array, Array | None, Array], None]


def _normal_cdf(x: Array, y: Array, t: Array) -> None:
    """Phi(x) to y, and x^2 to t."""
    np.multiply(x, x, out=t)
    if x.dtype != np.float32:
        y[...] = 0.5 + 0.5 * ops.erf(x * math.sqrt(0.5))
        return
    np.multiply(t, _P[6], out=y)
    for coefficient in _P[5:0:-1]:
        y += coefficient
        y *= t
    y += _P[0]
    y *= x
    np.tanh(y, out=y)
    y *= 0.5
    y += 0.5


def _gelu(x: Array, y: Array, slope: Array | None, t: Array) -> None:
    """(x Phi(x))' = Phi(x) + x phi(x), with the bell curve phi = exp(-x^2/2 - log sqrt(2 pi))."""
    _normal_cdf(x, y, t)
    if slope is not None:
        t *= -0.5
        t += _LOG_BELL
        np.exp(t, out=t)
        t *= x
        np.add(y, t, out=slope)
    y *= x


_A, _B = math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715


def _gelu_tanh(x: Array, y: Array, slope: Array | None, t: Array) -> None:
    """With u = A x + B x^3, u' = A + 3 B x^2:
    (x/2 (1 + tanh u))' = (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u'."""
    np.multiply(x, x, out=t)
    np.multiply(t, _B, out=y)
    y += _A
    y *= x
    np.tanh(y, out=y)
    y += 1.0
    if slope is not None:
        t *= 3.0 * _B
        t += _A
        np.subtract(2.0, y, out=slope)
        slope *= y  # (1 - tanh u)(1 + tanh u), which is 0 before x u' overflows
        slope *= x
        slope *= t
        slope += y
        slope *= 0.5
    y *= 0.5
    y *= x


def _relu(x: Array, y: Array, slope: Array | None, t: Array) -> None:
    """max(x, 0)' = 1 where x > 0, else 0."""
    np.maximum(x, 0.0, out=y)
    if slope is not None:
        slope[...] = x > 0


def _tanh(x: Array, y: Array, slope: Array | None, t: Array) -> None:
    """tanh(x)' = 1 - tanh^2(x)."""
    np.tanh(x, out=y)
    if slope is not None:
        np.multiply(y, y, out=slope)
        np.subtract(1.0, slope, out=slope)


def _swish(x: Array, y: Array, slope: Array | None, t: Array) -> None:
    """With s = sigmoid(x) = (1 + tanh(x/2))/2, s' = s (1 - s): (x s)' = s + x s (1 - s)."""
    np.multiply(x, 0.5, out=t)
    np.tanh(t, out=t)
    t += 1.0
    t *= 0.5
    np.multiply(x, t, out=y)
    if slope is not None:
        np.subtract(1.0, t, out=slope)
        slope *= y
        slope += t


def _in_blocks(block: Block, x: Array, saved: Saved) -> Array:
    y = np.empty(x.shape, x.dtype)
    slope = None if saved is None else np.empty(x.shape, x.dtype)
    flat_x, flat_y = x.ravel(), y.ravel()
    flat_slope = None if slope is None else slope.ravel()
    scratch = np.empty(min(BLOCK, x.size), x.dtype)
    with np.errstate(over="ignore"):  # x^2 of a huge x, whose tanh is 1 anyway
        for start in range(0, x.size, BLOCK):
            part = slice(start, start + BLOCK)
            own_slope = None if flat_slope is None else flat_slope[part]
            block(flat_x[part], flat_y[part], own_slope, scratch[: x.size - start])
    if saved is not None:
        saved.append(slope)
    return y


def _elementwise(name: str, block: Block) -> Callable[[Array], Array]:
    """y = f(x) with dx = g f'(x), computed block by block; only f'(x) is saved."""

    @primitive
    def run(x: Array, saved: Saved) -> Array:
        return _in_blocks(block, x, saved)

    defvjp(run, lambda ans, x, saved: lambda g: g * saved[0], argnums=(0,))

    def function(x: Array) -> Array:
        return run(x, saving(x))

    function.__name__ = name
    function.__doc__ = f"{getattr(ops, name).__doc__}\n    Its derivative: {block.__doc__}"
    return function


gelu = _elementwise("gelu", _gelu)
gelu_tanh = _elementwise("gelu_tanh", _gelu_tanh)
relu = _elementwise("relu", _relu)
tanh = _elementwise("tanh", _tanh)
swish = _elementwise("swish", _swish)
