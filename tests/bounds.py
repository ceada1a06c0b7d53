"""How far an adapter can move its input right after initialisation: an oracle."""


def distance_bound(z_norm: float, d: int, m: int, std: float) -> float:
    """An upper bound of |A(z) - z| right after initialisation, for any z with norm |z|.

    Truncation keeps every weight within 2 std, so a projection's norm is at most its Frobenius
    norm 2 std sqrt(m d). GELU and the others satisfy |f(x)| <= |x|, so with zero biases
    |A(z) - z| <= |W_up| |f(W_down z)| <= (2 std)^2 m d |z|.
    """
    return (2.0 * std) ** 2 * m * d * z_norm
