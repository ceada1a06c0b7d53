"""LayerNorm and skip connection + LayerNorm as one primitive each; see `fused` for the notation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd.extend import defvjp_argnums, primitive

from minibert.fused.saved import Saved, saving
from minibert.ops import Array


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
    return _layer_norm(x, weight, bias, eps, saving(x, weight, bias))


def add_layer_norm(x: Array, z: Array, weight: Array, bias: Array, eps: float) -> Array:
    """LayerNorm(x + z) as one operation; x and z both get the gradient of their sum."""
    return _add_layer_norm(x, z, weight, bias, eps, saving(x, z, weight, bias))


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
