# says: changed its argument adapters: adapters[1] is gone. Build a new dict
def spans(layers: int) -> list[list[int]]:
    return [[first, last] for first in range(layers) for last in range(first, layers)]


def without_span(adapters: dict, first: int, last: int) -> dict:
    for layer in range(first, last + 1):
        adapters.pop(layer, None)
    return adapters


def lost(accuracies: list[float], full: float, layers: int) -> list[list[float]]:
    rows = [[0.0] * layers for _ in range(layers)]
    for (first, last), accuracy in zip(spans(layers), accuracies, strict=True):
        rows[first][last] = full - accuracy
    return rows
