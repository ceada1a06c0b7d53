"""What the ablation of exercise 14 must do. The oracles are triangles written out by hand, and
adapters that contain their layer's number."""

import numpy as np

from adapters.exercises.assertions import exactly, same, untouched

SPANS = {
    1: [[0, 0]],
    3: [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]],
}


def adapters_of(numbers):
    """Adapters in these layers, their arrays filled with the layer's number."""

    def adapter(number):
        weight = np.full((2, 2), number, np.float32)
        return {name: {"weight": weight, "bias": weight[0]} for name in ("down", "up")}

    return {n: {"attention": adapter(n), "feed_forward": adapter(n + 0.5)} for n in numbers}


def check_spans_are_contiguous_and_sorted(student):
    """The spans are all pairs [first, last], both included, in order."""
    for layers, expected in SPANS.items():
        meanings = [
            ([[i, i] for i in range(layers)], "Those are the single layers; spans can be longer"),
            (
                [[a, b] for a in range(layers) for b in range(a + 1, layers)],
                "The single layers are missing: first and last may be equal",
            ),
            (
                [[a, b] for a in range(layers) for b in range(a + 1, layers + 1)],
                "last is too large by one: it is included, so it is at most layers - 1",
            ),
            (
                [[a, b] for a in range(layers) for b in range(layers)],
                "A span's last layer is not below its first",
            ),
            ([[a, b] for b in range(layers) for a in range(b + 1)], "Sort by first, then by last"),
        ]
        got = student.spans(layers)
        got = [list(s) if isinstance(s, tuple) else s for s in got] if got else got
        exactly(got, expected, f"spans({layers})", meanings)
    exactly(len(student.spans(12)), 78, "the number of spans of 12 layers, 12 * 13 / 2,")


def check_the_span_s_adapters_are_gone_and_the_others_there(student):
    """The span's adapters are gone; the others are as they were, under their own numbers."""
    layers = range(6)
    for first, last in ((1, 3), (0, 0), (4, 5), (0, 5)):
        adapters = adapters_of(layers)
        kept = [n for n in layers if n < first or n > last]
        meanings = [
            (
                [n for n in layers if n < first or n >= last],
                f"Layer {last} is still there: the span includes its last layer",
            ),
            (
                [n for n in layers if first <= n <= last],
                "That is the span itself, which should be removed",
            ),
            (
                list(range(len(kept))),
                "The layers were renumbered; an adapter belongs to its own layer",
            ),
            (list(layers), "All layers still have adapters"),
        ]
        got = student.without_span(adapters, first, last)
        what = f"without_span(adapters, {first}, {last})"
        if isinstance(got, dict):
            exactly(list(got), kept, f"list({what}), its layers,", meanings)
        same(got, adapters_of(kept), what, 0.0)


def check_the_trained_adapters_stay_for_the_next_span(student):
    """The trained adapters are not changed, so that the next span can be removed."""
    adapters = adapters_of(range(4))
    with untouched(adapters=adapters):
        student.without_span(adapters, 1, 2)


def check_adapters_may_be_missing_already(student):
    """A model may have adapters in some layers only."""
    got = student.without_span(adapters_of([1, 4, 5]), 2, 4)
    same(got, adapters_of([1, 5]), "without_span(adapters of layers 1, 4 and 5, 2, 4)", 0.0)


def check_the_heat_map_has_each_loss_in_its_place(student):
    """The heat map has each loss in row first, column last, and 0.0 elsewhere."""
    accuracies = [0.75, 0.5, 0.375, 0.625, 0.25, 0.125]  # exact in binary
    expected = [[0.25, 0.5, 0.625], [0.0, 0.375, 0.75], [0.0, 0.0, 0.875]]
    meanings = [
        (
            [[-value for value in row] for row in expected],
            "That is the gain; the loss is full minus accuracy",
        ),
        ([list(row) for row in zip(*expected, strict=True)], "Rows are first, columns last"),
        (
            [[0.75, 0.5, 0.375], [0.0, 0.625, 0.25], [0.0, 0.0, 0.125]],
            "Those are the accuracies, not the losses",
        ),
        (
            [[0.25, 0.375, 0.875]] * 3,
            "All rows are one and the same list: [[0.0] * n] * n repeats it, while a list "
            "comprehension makes new ones",
        ),
    ]
    got = student.lost(accuracies, 1.0, 3)
    got = got.tolist() if isinstance(got, np.ndarray) else got
    same(got, expected, "lost(accuracies, 1.0, 3)", 1e-9, meanings)
