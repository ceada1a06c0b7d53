# says: All rows are one and the same list
def spans(layers: int) -> list[list[int]]:
    return [[first, last] for first in range(layers) for last in range(first, layers)]


def without_span(adapters: dict, first: int, last: int) -> dict:
    return {layer: pair for layer, pair in adapters.items() if not first <= layer <= last}


def lost(accuracies: list[float], full: float, layers: int) -> list[list[float]]:
    rows = [[0.0] * layers] * layers
    for (first, last), accuracy in zip(spans(layers), accuracies, strict=True):
        rows[first][last] = full - accuracy
    return rows
