"""What the counts of exercise 10 must be. The oracles are arrays, created and counted, and the
numbers in the paper's tables."""

import numpy as np

from adapters.exercises.assertions import at_each_size, exactly, same

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
            (
                {"down": d * m + d, "up": m * d + d},
                "There both maps have d biases; the down map has m outputs, so it has m",
            ),
            (
                {"down": d * m + m, "up": m * d + m},
                "There both maps have m biases; the up map has d outputs, so it has d",
            ),
            ({"down": d * m + m, "up": m * d}, "The up map's d biases are missing"),
            ({"down": d * m, "up": m * d + d}, "The down map's m biases are missing"),
            (
                {"down": d * m + 1, "up": m * d + 1},
                "A map has a bias for each output, not a single one",
            ),
            (
                {"down": d * m + d + m, "up": m * d + d + m},
                "A map has a bias for each output, and none for its inputs",
            ),
            ({"down": d * m + d, "up": m * d + m}, "A map has a bias for each output, not input"),
            ({"down": d * m + 1, "up": m * d + d}, "The down map has a bias for each output, m"),
            ({"down": d * m + m, "up": m * d + 1}, "The up map has a bias for each output, d"),
            ({"down": d * m + d, "up": m * d + d}, "The down map has m outputs, so m biases"),
            ({"down": d + m, "up": m + d}, "A map has d times m weights, not d + m"),
            ({"down": d * m * m, "up": m * d * d}, "The biases are added, not multiplied"),
        ]
        what = f"projection_parameters({d}, {m})"
        given = {"d": d, "m": m}
        exactly(student.projection_parameters(d, m), expected, what, meanings, given)


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
            (layers * 2 * (d * m + m), "That is only the down map; an adapter has an up map, too"),
            (layers * 2 * (d * m + d), "That is only the up map; an adapter has a down map, too"),
            (layers * 2 * (d * m + m + d), "An adapter has two weights, 2md: that is one"),
            (layers * 2 * (2 * m * d + d), "The down map's m biases are missing: 2md + d + m"),
            (layers * 2 * (2 * m * d + m), "The up map's d biases are missing: 2md + d + m"),
            (
                (layers + 1) * 2 * one,
                "The embeddings have no adapters: only the `layers` layers do",
            ),
            (layers * 4 * one, "Each layer has two adapters, not four: 2md + d + m has both maps"),
            (layers * 3 * one, "Each layer has two adapters, one for each sublayer"),
            ((layers + 2) * one, "layers *times* two adapters; that adds 2 to the layers"),
            (layers**2 * one, "Each layer has two adapters; that squares the number of layers"),
            (layers * 2 + one, "layers times two times an adapter's; that adds them"),
            (layers + 2 * one, "layers times two times an adapter's; that adds the layers"),
            (
                layers * 4 * m * d + d + m,
                "The biases count in every adapter, too: parentheses around 2md + d + m",
            ),
            (
                2 * layers * (2 * m * d) + d + m,
                "The biases count in every adapter, too: parentheses around 2md + d + m",
            ),
        ]
        what = f"adapter_parameters({d}, {m}, {layers}), {name}'s,"
        got = student.adapter_parameters(d, m, layers)
        given = {"layers": layers, "d": d, "m": m}
        exactly(got, layers * 2 * one, what, meanings, given)


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
            (adapters + norms + d * classes + d, "The head has one bias for each class, not d"),
            (adapters + norms + d * classes + 1, "The head has one bias for each class, not one"),
            (adapters + norms + d + classes, "The head has d times C weights, not d"),
            (
                adapters + norms + 2 * d + 2 if classes != 2 else None,
                "The head has C outputs, one for each class, and not always two",
            ),
            (norms + head, "The adapters are missing"),
            (
                adapters + 2 * layers + 2 * d + head,
                "The number of LayerNorms, 2 layers + 1, times 2d: parentheses",
            ),
            (
                adapters + 2 * layers * 2 * d + d + head,
                "The LayerNorm after the embeddings has d gains and d biases, too",
            ),
            (
                adapters + (2 * layers + 1) * 2 * m + head,
                "A LayerNorm has a gain and a bias for each of d features, not m",
            ),
            (
                adapters + norms + d * classes * classes,
                "The head's biases are added, one for each class, not multiplied",
            ),
            (
                adapters + norms + m * classes + classes,
                "The head reads d numbers, not m: the bottleneck is inside the adapters",
            ),
            (norms, "That is the LayerNorms alone: adapters and head are missing"),
            (adapters // 2 + norms + head, "Each layer has two adapters, one for each sublayer"),
            (
                adapters + (2 * layers + 2) * norm + head,
                "One LayerNorm too many: two in each layer, and one after the embeddings",
            ),
            (
                adapters + layers * norm + head,
                "Each layer has two LayerNorms, and there is one after the embeddings",
            ),
            (adapters + norm + head, "That is a single LayerNorm; each layer has two"),
            (
                adapters + norms + layers * head,
                "There is one head for the task, not one in each layer",
            ),
            (
                adapters + norms + head + d * d + d,
                "The pooler belongs to the frozen base; the task does not train it",
            ),
            (
                layers * (adapters + norms + head),
                "The adapters of all layers are counted already: no further factor",
            ),
        ]
        what = f"own_parameters({d}, {m}, {layers}, {classes}), {name}'s,"
        got = student.own_parameters(d, m, layers, classes)
        given = {
            "all adapters": adapters,
            "one layer's adapters": adapters // layers,
            "every LayerNorm": norms,
            "one LayerNorm": norm,
            "the head": head,
            **{"layers": layers, "d": d, "m": m, "C": classes},
        }
        exactly(got, adapters + norms + head, what, meanings, given)


def check_many_tasks_share_one_base(student):
    """The base counts once, and each task's own parameters once for each task."""

    def compare(base, own, tasks, expected):
        share = own / base
        meanings = [
            (tasks * (1 + share), "That is a base for each task; all tasks share one"),
            (1 + share, "That is only one task"),
            (1 - tasks * share, "The tasks' parameters are added to the base, not subtracted"),
            ((base + tasks + own) / base, "tasks times own; that adds them"),
            (tasks * share, "The base itself is missing"),
            (expected * base, "That is in parameters; the total is in units of the base"),
            (base + tasks * share, "Only a part is divided by the base: parentheses"),
            (1 / expected, "That is upside down: the total divided by the base"),
            ((base + tasks * own) // base, "// rounds down to a whole number; / divides"),
            (
                (base + tasks * own) / base / tasks,
                "That is the share of one task; the total is for all of them",
            ),
            ((base + own) * tasks / base - 1, "That is a base for each task; all tasks share one"),
            (1 + (tasks - 1) * share, "Every task has its own parameters, the first one, too"),
            (1 + (tasks + 1) * share, "That counts one task too many"),
            (
                (base + tasks * own) / (base + own),
                "The unit is the base alone, not the base and one task",
            ),
            (
                base / (base + tasks * own),
                "That is upside down: the total divided by the base",
            ),
            (100 * expected, "That is in percent; the total is in units of the base"),
            ((base + tasks * own) / (tasks * base), "The base is divided by once, for all tasks"),
        ]
        got = student.total(base, own, tasks)
        given = {"tasks": tasks}
        same(got, expected, f"total({base}, {own}, {tasks})", 1e-9, meanings, given=given)

    # the paper's 3.6 % (table 1, sizes 8 to 256), 2.1 % (size 64) and 1.14 % (table 2), where the
    # totals are rounded to 1.3, 1.2 and 1.19; and other numbers, one that does not end
    at_each_size(
        compare,
        (1_000_000, 36_000, 9, 1.324),
        (1_000_000, 21_000, 9, 1.189),
        (1_000_000, 11_400, 17, 1.1938),
        (250, 5, 7, 1.14),
        (300, 7, 5, 67 / 60),
    )
