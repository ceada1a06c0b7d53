"""How far an adapter can move its input right after initialisation: an oracle."""

import math

from adapters.methods.variants import Variant


def distance_bound(z_norm: float, d: int, m: int, std: float) -> float:
    """An upper bound of |A(z) - z| right after initialisation, for any z with norm |z|.

    Truncation keeps every weight within 2 std, so a projection's norm is at most its Frobenius
    norm 2 std sqrt(m d). GELU and the others satisfy |f(x)| <= |x|, so with zero biases
    |A(z) - z| <= |W_up| |f(W_down z)| <= (2 std)^2 m d |z|.
    """
    return (2.0 * std) ** 2 * m * d * z_norm


def variant_distance_bound(
    variant: Variant, d: int, m: int, std: float, z_norm: float, x_norm: float
) -> float:
    """An upper bound of how far an adapter moves z right after initialisation, for any z and x of
    these norms; with batch normalisation, of the root mean square distance of the batch's rows.

    As in `distance_bound`: a projection's norm is at most 2 std sqrt(m d) (from m to m features
    2 std m), |f(v)| <= |v| and all biases are 0, so one hidden layer gives
    |B(v)| <= (2 std)^2 m d |v|. Normalised features have a mean square of at most 1, however small
    W_down is, so there |B| <= (2 std sqrt(m d)) sqrt(m): it falls with std, no longer with std^2,
    and does not fall with |v|. For the product, |z B| <= |z| max |B_i|, and a single output's
    weights have a norm of at most 2 std sqrt(m).
    """
    projection = 2.0 * std * math.sqrt(m * d)
    features = projection * (x_norm if variant.parallel else z_norm)
    if variant.norm:
        features = math.sqrt(m)
    features *= (2.0 * std * m) ** (variant.hidden - 1)
    if variant.multiply:
        return 2.0 * std * math.sqrt(m) * features * z_norm
    return projection * features
