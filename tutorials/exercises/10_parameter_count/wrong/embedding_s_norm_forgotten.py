# says: that after the embeddings
def projection_parameters(d: int, m: int) -> dict[str, int]:
    return {"down": d * m + m, "up": m * d + d}


def adapter_parameters(d: int, m: int, layers: int) -> int:
    return layers * 2 * sum(projection_parameters(d, m).values())


def own_parameters(d: int, m: int, layers: int, classes: int) -> int:
    norms = (2 * layers) * 2 * d
    head = d * classes + classes
    return adapter_parameters(d, m, layers) + norms + head


def total(base: int, own: int, tasks: int) -> float:
    return (base + tasks * own) / base
