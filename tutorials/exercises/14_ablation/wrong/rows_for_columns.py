# says: Rows are first, columns last
def spans(layers: int) -> list[list[int]]:
    return [[first, last] for first in range(layers) for last in range(first, layers)]


def without_span(adapters: dict, first: int, last: int) -> dict:
    return {layer: pair for layer, pair in adapters.items() if not first <= layer <= last}


def lost(accuracies: list[float], full: float, layers: int) -> list[list[float]]:
    rows = [[0.0] * layers for _ in range(layers)]
    for (first, last), accuracy in zip(spans(layers), accuracies, strict=True):
        rows[last][first] = full - accuracy
    return rows
