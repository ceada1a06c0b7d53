"""What the counts of exercise 10 must be. The oracles are arrays, created and counted, and the
numbers in the paper's tables."""

import numpy as np

from adapters.exercises.assertions import exactly, same

# (layers, d) of MiniLM, BERT-base and BERT-large
BASES = {"MiniLM": (6, 384), "BERT-base": (12, 768), "BERT-large": (24, 1024)}


def made(*shapes):
    """The number of entries of arrays of these shapes, which are really created."""
    return sum(np.zeros(shape, np.int8).size for shape in shapes)


def check_a_projection_is_a_weight_and_a_bias(student):
    """Each of the two linear maps has its weight and its bias."""
    for d, m in ((5, 2), (384, 64)):
        expected = {"down": made((d, m), m), "up": made((m, d), d)}
        meanings = [
            (
                {"down": expected["up"], "up": expected["down"]},
                "down and up are swapped: the down map has m outputs, so it has m biases",
            ),
            ({"down": d * m, "up": m * d}, "The biases are missing: one for each output"),
        ]
        what = f"projection_parameters({d}, {m})"
        exactly(student.projection_parameters(d, m), expected, what, meanings)


def check_each_layer_has_two_adapters(student):
    """All adapters: 2md + d + m, twice in each layer."""
    for name, m in (("MiniLM", 64), ("BERT-base", 64), ("BERT-large", 256)):
        layers, d = BASES[name]
        one = made((d, m), m, (m, d), d)
        meanings = [
            (
                layers * one,
                "That is one adapter in each layer; there are two, one for each sublayer",
            ),
            (one, "That is only one adapter"),
            (2 * one, "That is only one layer"),
            (layers * 4 * d * m, "The biases are missing: 2md + d + m"),
            (
                layers * 2 * (2 * m * d + 2 * d),
                "There both biases have d numbers; the down map has m",
            ),
            (
                layers * 2 * (2 * m * d + 2 * m),
                "There both biases have m numbers; the up map has d",
            ),
        ]
        what = f"adapter_parameters({d}, {m}, {layers}), {name}'s,"
        got = student.adapter_parameters(d, m, layers)
        exactly(got, layers * 2 * one, what, meanings)


def check_a_task_has_adapters_norms_and_head(student):
    """A task's own parameters are all adapters, every LayerNorm and its head."""
    for name, m, classes in (("MiniLM", 8, 2), ("BERT-base", 64, 3)):
        layers, d = BASES[name]
        adapters = 2 * layers * made((d, m), m, (m, d), d)
        norm, head = made(d, d), made((d, classes), classes)
        norms = (2 * layers + 1) * norm
        meanings = [
            (adapters + norms, "The head is missing: a linear map from d numbers to C"),
            (adapters + norms + d * classes, "The head's biases are missing, one for each class"),
            (adapters + head, "The LayerNorms are missing"),
            (
                adapters + norms - norm + head,
                "One LayerNorm is missing: the one after the embeddings",
            ),
            (
                adapters + (layers + 1) * norm + head,
                "Each layer has two LayerNorms, one after each sublayer",
            ),
            (
                adapters + norms // 2 + head,
                "A LayerNorm has d gains and d biases, so 2d parameters",
            ),
        ]
        what = f"own_parameters({d}, {m}, {layers}, {classes}), {name}'s,"
        got = student.own_parameters(d, m, layers, classes)
        exactly(got, adapters + norms + head, what, meanings)


def check_many_tasks_share_one_base(student):
    """The base counts once, and each task's own parameters once for each task."""
    # the paper's 3.6 % (table 1, sizes 8 to 256), 2.1 % (size 64) and 1.14 % (table 2), where the
    # totals are rounded to 1.3, 1.2 and 1.19
    for own, tasks, expected in ((36_000, 9, 1.324), (21_000, 9, 1.189), (11_400, 17, 1.1938)):
        share = own / 1e6
        meanings = [
            (tasks * (1 + share), "That is a base for each task; all tasks share one"),
            (1 + share, "That is only one task"),
            (tasks * share, "The base itself is missing"),
            (expected * 1e6, "That is in parameters; the total is in units of the base"),
        ]
        got = student.total(1_000_000, own, tasks)
        same(got, expected, f"total(1000000, {own}, {tasks})", 1e-9, meanings)
