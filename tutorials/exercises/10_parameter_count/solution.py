"""Exercise 10: what adapters cost."""


def projection_parameters(d: int, m: int) -> dict[str, int]:
    """{"down": number, "up": number}"""
    return {"down": d * m + m, "up": m * d + d}


def adapter_parameters(d: int, m: int, layers: int) -> int:
    """Two adapters in each layer."""
    return layers * 2 * sum(projection_parameters(d, m).values())


def own_parameters(d: int, m: int, layers: int, classes: int) -> int:
    """Adapters, LayerNorms and head."""
    norms = (2 * layers + 1) * 2 * d
    head = d * classes + classes
    return adapter_parameters(d, m, layers) + norms + head


def total(base: int, own: int, tasks: int) -> float:
    """In units of the base."""
    return (base + tasks * own) / base
