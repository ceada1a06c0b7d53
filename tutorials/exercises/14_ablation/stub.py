"""Exercise 14: which layers' adapters matter?

The paper (section 3.6, figure 6 left) takes a trained model, removes the adapters of some layers
*without any further training*, and measures the accuracy that remains. It does so for every
contiguous span of layers, from a first to a last one. Where an adapter was removed, the encoder
finds none and continues with z itself.

The adapters are a dict from each layer's number, counted from 0, to that layer's two adapters:

    {0: {"attention": adapter, "feed_forward": adapter}, 1: {...}, ...}
"""


def spans(layers: int) -> list[list[int]]:
    """All contiguous spans in a BERT with this many layers: a list of [first, last] with
    0 <= first <= last < layers, both ends included, sorted by first, then by last."""
    raise NotImplementedError


def without_span(adapters: dict, first: int, last: int) -> dict:
    """The adapters without those of the layers from first to last, both included. A new dict: the
    original must stay as it is, for the next span."""
    raise NotImplementedError


def lost(accuracies: list[float], full: float, layers: int) -> list[list[float]]:
    """The heat map: a list of `layers` rows of `layers` numbers. Row `first`, column `last` holds
    the accuracy that removing this span costs: `full`, the accuracy with all adapters, minus the
    accuracy without the span. `accuracies` lists the latter, in the order of `spans(layers)`.
    Where there is no such span (last < first), the number is 0.0."""
    raise NotImplementedError
