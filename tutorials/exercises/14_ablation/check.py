"""What the ablation of exercise 14 must do. The oracles are triangles written out by hand, and
adapters that contain their layer's number."""

import numpy as np

from adapters.exercises.assertions import at_each_size, exactly, same, untouched

SPANS = {
    3: [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]],
    1: [[0, 0]],
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
                [[a, b] for a in range(layers) for b in range(layers) if a != b],
                "first may equal last, and last is not below first",
            ),
            (
                [[a, b] for a in range(layers) for b in range(layers)],
                "A span's last layer is not below its first",
            ),
            ([[a, b] for b in range(layers) for a in range(b + 1)], "Sort by first, then by last"),
            (
                [[b, a] for a in range(layers) for b in range(a, layers)],
                "first comes before last, [first, last]",
            ),
            (
                [[a, b] for a in range(1, layers + 1) for b in range(a, layers + 1)],
                "Layers count from 0; those count from 1",
            ),
            (
                [[a, b] for a in range(layers) for b in range(a, layers + 1)],
                "last is too large by one: it is included, so it is at most layers - 1",
            ),
            (
                [[a, b] for a in range(layers) for b in range(a, layers - 1)],
                "Spans up to the last layer, layers - 1, are missing: range(n) ends before n",
            ),
            (
                [[a, b - a + 1] for a in range(layers) for b in range(a, layers)],
                "The second number is the span's last layer, not its length",
            ),
            (
                [[a, b] for a in range(layers) for b in range(a, a + 2)],
                "A span can have any length: last goes from first to layers - 1",
            ),
            (
                [[0, b] for b in range(layers)],
                "Those are the spans from the first layer on; a span can begin anywhere",
            ),
            (
                [list(range(a, b + 1)) for a in range(layers) for b in range(a, layers)],
                "Each span is given by its first and last layer, not by all of its layers",
            ),
        ]
        got = student.spans(layers)
        got = [list(s) if isinstance(s, tuple) else s for s in got] if got else got
        exactly(got, expected, f"spans({layers})", meanings, given={})
    exactly(len(student.spans(12)), 78, "the number of spans of 12 layers, 12 * 13 / 2,")


def check_the_span_s_adapters_are_gone_and_the_others_there(student):
    """The span's adapters are gone; the others are as they were, under their own numbers."""
    for count, first, last in ((6, 1, 3), (4, 0, 0), (6, 4, 5), (4, 0, 3)):
        layers = range(count)
        adapters = adapters_of(layers)
        kept = [n for n in layers if n < first or n > last]
        meanings = [
            (
                [n for n in layers if n < first or n >= last],
                f"Layer {last} is still there: the span includes its last layer",
            ),
            (
                [n for n in layers if n <= first or n > last],
                f"Layer {first} is still there: the span includes its first layer",
            ),
            (
                [n for n in layers if n <= first or n >= last],
                "The span includes its first and its last layer",
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
            ([n for n in layers if n < first], "The layers after the span are missing"),
            ([n for n in layers if n > last], "The layers before the span are missing"),
            (
                [n for n in layers if n not in (first, last)],
                "All layers from first to last are removed, those between them, too",
            ),
            ([n for n in layers if n != first], "The whole span is removed, not only its first"),
            ([n for n in layers if n != last], "The whole span is removed, not only its last"),
        ]
        got = student.without_span(adapters, first, last)
        what = f"without_span(adapters, {first}, {last})"
        if isinstance(got, dict):
            exactly(list(got), kept, f"list({what}), its layers,", meanings, given={})
        same(got, adapters_of(kept), what, 0.0, given={})


def check_the_trained_adapters_stay_for_the_next_span(student):
    """The trained adapters are not changed, so that the next span can be removed."""
    for count, first, last in ((4, 1, 2), (6, 0, 3)):
        adapters = adapters_of(range(count))
        with untouched(adapters=adapters):
            got = student.without_span(adapters, first, last)
        kept = [n for n in range(count) if n < first or n > last]
        same(got, adapters_of(kept), f"without_span(adapters, {first}, {last})", 0.0, given={})


def check_adapters_may_be_missing_already(student):
    """A model may have adapters in some layers only."""
    for layers, first, last, kept in (([1, 4, 5], 2, 4, [1, 5]), ([0, 3, 5, 9], 3, 8, [0, 9])):
        got = student.without_span(adapters_of(layers), first, last)
        what = f"without_span(adapters of layers {layers}, {first}, {last})"
        same(got, adapters_of(kept), what, 0.0, given={})


# (accuracies, full, the heat map), exact in binary but for the last
HEAT_MAPS = (
    (
        [0.75, 0.5, 0.375, 0.625, 0.25, 0.125],
        0.875,
        [[0.125, 0.375, 0.5], [0.0, 0.25, 0.625], [0.0, 0.0, 0.75]],
    ),
    ([0.5, 0.75, 0.25], 1.0, [[0.5, 0.25], [0.0, 0.75]]),
    # without some adapters it is better
    ([0.75, 0.25, 0.5], 0.5, [[-0.25, 0.25], [0.0, 0.0]]),
    ([1 / 3, 0.25, 0.5], 2 / 3, [[2 / 3 - 1 / 3, 2 / 3 - 0.25], [0.0, 2 / 3 - 0.5]]),
)


def wrong_maps(accuracies, full, expected):
    """[(wrong result, what it means)]"""
    layers = len(expected)
    places = [(a, b) for a in range(layers) for b in range(a, layers)]

    def filled(values, where=lambda first, last: (first, last), empty=0.0):
        rows = [[empty] * layers for _ in range(layers)]
        for place, value in zip(places, values, strict=True):
            row, column = where(*place)
            rows[row][column] = value
        return rows

    lost = [full - accuracy for accuracy in accuracies]
    last_column = [expected[first][-1] for first in range(layers)]
    return [
        (filled([-loss for loss in lost]), "That is the gain; the loss is full minus accuracy"),
        (
            filled([1 - accuracy for accuracy in accuracies]) if full != 1 else None,
            "That is 1 - accuracy; the loss is full - accuracy, with `full` that of all adapters",
        ),
        (
            filled([loss / full for loss in lost]) if full != 1 else None,
            "That is the share that is lost, divided by full; the loss is full - accuracy",
        ),
        (
            filled([accuracy / full for accuracy in accuracies]),
            "That is the share that is left; the loss is full - accuracy",
        ),
        (
            filled([max(accuracies) - accuracy for accuracy in accuracies]),
            "That is the difference from the best span; the loss is full - accuracy",
        ),
        (
            filled([full / accuracy for accuracy in accuracies]),
            "The loss is full minus accuracy, not divided by it",
        ),
        (
            filled([loss / (b - a + 1) for loss, (a, b) in zip(lost, places, strict=True)]),
            "That is the loss for each layer of the span; all of it is asked for",
        ),
        (
            filled([full + accuracy for accuracy in accuracies]),
            "The loss is full minus accuracy, not plus",
        ),
        (
            filled([full * accuracy for accuracy in accuracies]) if full != 1 else None,
            "The loss is full minus accuracy, not times",
        ),
        (
            filled([max(loss, 0.0) for loss in lost]),
            "A loss may be negative, where it is better without the adapters: nothing is cut off",
        ),
        (
            filled([abs(loss) for loss in lost]),
            "A loss may be negative, where it is better without the adapters: without abs",
        ),
        (filled([100 * loss for loss in lost]), "That is in percent; the loss is full - accuracy"),
        (filled(lost, lambda first, last: (last, first)), "Rows are first, columns last"),
        (
            filled(lost, lambda first, last: (first, last - first)),
            "Column `last` is the span's last layer, not its length",
        ),
        (
            filled(accuracies),
            "Those are the accuracies, not the losses",
        ),
        (filled(lost, empty=full), "Where there is no span, the number is 0.0, not full"),
        (filled(lost, empty=1.0), "Where there is no span, the number is 0.0"),
        (
            [[expected[min(i, j)][max(i, j)] for j in range(layers)] for i in range(layers)],
            "Below the diagonal there is no span, so the number is 0.0: that is mirrored",
        ),
        (
            [[expected[column][column] for column in range(layers)]] * layers,
            ONE_LIST,
        ),
        (
            [[row[i] if i == j else 0.0 for j in range(layers)] for i, row in enumerate(expected)],
            "Those are the single layers alone: the longer spans are missing",
        ),
        ([last_column[:] for _ in range(layers)], ONE_LIST),
    ]


ONE_LIST = (
    "All rows are one and the same list: [[0.0] * n] * n repeats it, while a list comprehension "
    "makes new ones"
)


def check_the_heat_map_has_each_loss_in_its_place(student):
    """The heat map has each loss in row first, column last, and 0.0 elsewhere."""

    def compare(accuracies, full, expected):
        layers = len(expected)
        got = student.lost(accuracies, full, layers)
        got = got.tolist() if isinstance(got, np.ndarray) else got
        what, meanings = (
            f"lost(accuracies, {full}, {layers})",
            wrong_maps(accuracies, full, expected),
        )
        same(got, expected, what, 1e-9, meanings, given={"full": full})

    at_each_size(compare, *HEAT_MAPS)
