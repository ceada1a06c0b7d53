"""What the loss of exercise 6 and its gradient must do. The oracle is loops in Python floats, with
central differences for the gradient."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same, untouched

LOSS, GRADIENT = "cross_entropy(logits, labels)", "cross_entropy_gradient(logits, labels)"


def draw(texts=5, classes=3, spread=2.0):
    """logits [B, C] float32 and labels [B], from a fixed seed; not every class is a label."""
    rng = np.random.default_rng(texts)
    logits = (spread * rng.normal(size=(texts, classes))).astype(np.float32)
    return logits, rng.integers(0, classes, size=texts)


def surprise(row, label):
    """-log p[label] of one text, from a list of logits."""
    top = max(row)
    return top + math.log(sum(math.exp(logit - top) for logit in row)) - row[label]


def by_loops(logits, labels):
    """The mean of -log p, in float64."""
    rows, labels = logits.astype(np.float64).tolist(), labels.tolist()
    surprises = [surprise(row, label) for row, label in zip(rows, labels, strict=True)]
    return math.fsum(surprises) / len(surprises)


def by_differences(logits, labels, step=1e-4):
    """The gradient, each logit moved up and down a little. -> [B, C] float64"""
    gradient = np.zeros(logits.shape)
    for place in np.ndindex(logits.shape):
        moved = np.zeros(logits.shape)
        moved[place] = step
        up, down = (by_loops(logits + sign * moved, labels) for sign in (1, -1))
        gradient[place] = (up - down) / (2 * step)
    return gradient


SIZES = (5, 3), (7, 4)  # (B, C)
ALL_COLUMNS = (
    "logits[:, labels] takes these columns in *every* row, [B, B]; logits[np.arange(B), labels] "
    "takes one entry in each"
)


def other_labels(labels, classes):
    """[(other labels, what it means to have used them)]"""
    return [
        ((labels - 1) % classes, "The labels are off by one: they count from 0, as columns do"),
        ((labels + 1) % classes, "The labels are off by one: they count from 0, as columns do"),
        (labels[::-1], "The labels are in reverse order: label b belongs to row b"),
        (0 * labels + labels[0], "That takes the first text's label for every text"),
    ]


def losses(logits, labels):
    """[(wrong result, what it means)] for the loss"""
    texts, classes = logits.shape
    logits = logits.astype(np.float64)
    expected, rows = by_loops(logits, labels), np.arange(texts)
    p = np.exp(logits)
    wrong_axis = p / p.sum(0)
    p = p / p.sum(1, keepdims=True)
    return [
        (expected * texts, "That is the sum over the texts; the loss is their mean"),
        (-expected, "The sign is wrong: p is at most 1, so -log p is at least 0"),
        (
            -np.mean(np.log(wrong_axis[rows, labels])),
            "That is a softmax over the texts: each text's probabilities should sum to 1",
        ),
        (expected / math.log(2), "That is in log2; the loss uses the natural logarithm, np.log"),
        (expected / math.log(10), "That is in log10; the loss uses the natural logarithm, np.log"),
        (
            -np.mean(np.log(p)),
            "That is the mean over all classes; only p[b, labels[b]] counts",
        ),
        (-np.sum(np.log(p)) / texts, "Only p[b, labels[b]] counts; that sums over all classes"),
        (expected / classes, "That is divided by B C; the mean is over the B texts alone"),
        (expected * texts / classes, "That is divided by C, the classes; the mean is over B texts"),
        (-np.mean(np.log(p)[:, labels]), ALL_COLUMNS),
        (-np.log(p)[rows, labels], "Those are the losses of the texts, before their mean"),
        (
            -np.mean(logits[rows, labels]),
            "Those are the logits themselves: log p, log softmax, is missing",
        ),
        *(
            (-np.mean(np.log(p)[rows, other]), text)
            for other, text in other_labels(labels, classes)
        ),
        (
            -np.mean(np.log(p)[0, labels[0]]),
            "That is the loss of the first text alone; it is the mean over all B texts",
        ),
        *(
            (
                -np.mean(shifted[rows, labels] + np.log(np.exp(shifted).sum(1))),
                "The logarithm of the sum is subtracted from the logit, not added to it",
            )
            for shifted in (logits, logits - logits.max(1, keepdims=True))
        ),
        *(
            (
                np.mean(np.log(np.exp(shifted).sum(0))[labels] - shifted[rows, labels]),
                "The sum of exp is that of each text, one row: over axis 1, the classes",
            )
            for shifted in (logits, logits - logits.max(1, keepdims=True))
        ),
        (-np.mean(p[rows, labels]), "That is the mean of -p: the logarithm is missing"),
        (np.mean(1 - p[rows, labels]), "That is the mean of 1 - p; the loss is that of -log p"),
        (-np.log(np.mean(p[rows, labels])), "That is the log of the mean; it is a mean of logs"),
        *(
            (
                -np.mean(np.log(p[:, label])),
                f"That is -log p of class {label} for every text; it should be at the label",
            )
            for label in range(classes)
        ),
        (-np.mean(np.log(p.max(axis=1))), "That is at the largest p; it should be at the label"),
        (-np.mean(np.log(1 - p[rows, labels])), "That is -log(1 - p); the loss is -log p"),
        (
            -np.sum(p * np.log(p)) / texts,
            "That is the entropy of p, without the labels; the loss is -log p at the label",
        ),
        (
            np.mean((p - np.eye(classes)[labels]) ** 2),
            "That is a mean of squares; the loss is the mean of -log p",
        ),
        *(
            (
                np.log(np.exp(moved).sum()) - np.mean(moved[rows, labels]),
                "That is a softmax over all logits at once: each text, one row, has its own sum",
            )
            for moved in (logits, logits - logits.max(axis=1, keepdims=True))
        ),
        (
            np.mean(p.argmax(axis=1) != labels),
            "That is the share of wrong answers, which has no gradient; the loss is of -log p",
        ),
        *(
            (-chosen(np.log(p[rows, labels])), "That is a single text's loss, not the mean of all")
            for chosen in (np.max, np.min)
        ),
        (
            -np.median(np.log(p[rows, labels])),
            "That is the median over the texts; the loss is their mean",
        ),
        (-np.mean(np.log2(p[rows, labels])), "The loss uses the natural logarithm, np.log"),
        (
            -np.mean(np.log(p).sum(axis=1)),
            "That sums over all classes; only p[b, labels[b]] counts",
        ),
    ]


def gradients(logits, labels):
    """[(wrong result, what it means)] for the gradient"""
    texts, classes = logits.shape
    logits = logits.astype(np.float64)
    expected = by_differences(logits, labels)
    p = np.exp(logits)
    wrong_axis = p / p.sum(0)
    p = p / p.sum(1, keepdims=True)
    hot = np.eye(classes)[labels]
    columns = p.copy()
    columns[:, labels] -= 1
    return [
        (expected * texts, "That is B times too large: the loss is a mean over the B texts"),
        (p / texts, "That is p / B: first subtract 1 from p at the label"),
        (p, "That is p: subtract 1 at the label, then divide everything by B"),
        (-expected, "The sign is wrong: it is p minus 1 at the label"),
        (-expected * texts, "The sign is wrong, and the division by B missing: (p - one-hot) / B"),
        (
            expected + (wrong_axis - p) / texts,
            "That is a softmax over the texts: each text's probabilities should sum to 1",
        ),
        (columns / texts, ALL_COLUMNS),
        (columns, ALL_COLUMNS),
        (expected * texts / classes, "That is divided by C, the classes; the mean is over B texts"),
        (expected / classes, "That is divided by B C; the mean is over the B texts alone"),
        (p - hot / texts, "B divides all of it, (p - one-hot) / B: parentheses"),
        (p / texts - hot, "B divides all of it, (p - one-hot) / B: subtract 1 first"),
        ((p + hot) / texts, "At the label, 1 is subtracted, not added"),
        *(
            ((p - np.eye(classes)[other]) / texts, text)
            for other, text in other_labels(labels, classes)
        ),
        (hot / texts, "That is the one-hot part alone: p is missing"),
        (-hot / texts, "That is the one-hot part alone: p is missing"),
        ((np.log(p) - hot) / texts, "That is log p minus one-hot; it is p: exp is missing"),
        ((logits - hot) / texts, "Those are the logits minus one-hot; it is p: softmax is missing"),
        (
            (hot * (p - 1)) / texts,
            "The other classes count, too: p everywhere, minus 1 at the label",
        ),
        (p * (hot - p) / texts, "That has a factor p too much, as for a loss of p, not of log p"),
        (-hot / p / texts, "That is the derivative by p; one by the logits is asked for"),
        ((np.exp(logits) - hot) / texts, "exp is not yet p: the division by each row's sum"),
    ]


def check_the_loss_is_the_mean_surprise(student):
    """The loss is the mean of -log p over the texts."""

    def compare(texts, classes):
        logits, labels = draw(texts, classes)
        expected, mistakes = by_loops(logits, labels), losses(logits, labels)
        given = {"B": texts, "C": classes}
        same(student.cross_entropy(logits, labels), expected, LOSS, 1e-5, mistakes, given=given)

    at_each_size(compare, *SIZES)


def check_the_gradient_is_the_derivative_of_the_loss(student):
    """The gradient is what moving each logit a little does to the loss."""

    def compare(texts, classes):
        logits, labels = draw(texts, classes)
        expected, mistakes = by_differences(logits, labels), gradients(logits, labels)
        got = student.cross_entropy_gradient(logits, labels)
        p = np.exp(logits.astype(np.float64))
        parts = {"p": p / p.sum(1, keepdims=True), "one-hot": np.eye(classes)[labels]}
        given = {"B": texts, "C": classes, **parts}
        same(got, expected, GRADIENT, 1e-5, mistakes, given=given)

    at_each_size(compare, *SIZES)


# By hand: 3000 - 0 for the first text, log 2 for the second; 4000 for the only text
LARGE = [
    (
        [[3000, 0, -3000], [-2000, 1000, 1000]],
        [1, 2],
        (3000 + math.log(2)) / 2,
        [[0.5, -0.5, 0], [0, 0.25, -0.25]],
    ),
    ([[-4000, 0, -3000, -5000]], [0], 4000.0, [[-1, 1, 0, 0]]),
]


def check_large_logits_do_not_overflow(student):
    """Logits of several thousand give a finite loss and a finite gradient."""

    def compare(logits, labels, loss, gradient):
        logits, labels = np.array(logits, np.float32), np.array(labels)
        given = {"B": len(logits), "C": len(logits[0])}
        got = student.cross_entropy(logits.copy(), labels.copy())
        same(got, loss, f"{LOSS} with logits of thousands", given=given)
        got = student.cross_entropy_gradient(logits, labels)
        expected = np.array(gradient, float)
        same(got, expected, f"{GRADIENT} with logits of thousands", given=given)

    at_each_size(compare, *LARGE)


def check_the_arguments_stay_as_they_are(student):
    """Your functions leave logits and labels as they are."""
    for texts, classes in SIZES:
        logits, labels = draw(texts, classes)
        loss, gradient = by_loops(logits, labels), by_differences(logits, labels)
        with untouched(logits=logits, labels=labels):
            got = student.cross_entropy(logits, labels)
            by_logits = student.cross_entropy_gradient(logits, labels)
        same(got, loss, LOSS)
        same(by_logits, gradient, GRADIENT)
