"""What the loss of exercise 6 and its gradient must do. The oracle is loops in Python floats, with
central differences for the gradient."""

import math

import numpy as np

from adapters.exercises.assertions import same, untouched

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


def check_the_loss_is_the_mean_surprise(student):
    """The loss is the mean of -log p over the texts."""
    logits, labels = draw()
    p = np.exp(logits.astype(np.float64))
    wrong_axis = p / p.sum(0)
    rows = np.arange(len(labels))
    expected = by_loops(logits, labels)
    meanings = [
        (expected * len(labels), "That is the sum over the texts; the loss is their mean"),
        (-expected, "The sign is wrong: p is at most 1, so -log p is at least 0"),
        (
            -np.mean(np.log(wrong_axis[rows, labels])),
            "That is a softmax over the texts: each text's probabilities should sum to 1",
        ),
        (expected / math.log(2), "That is in log2; the loss uses the natural logarithm, np.log"),
        (
            -np.mean(np.log(p / p.sum(1, keepdims=True))),
            "That is the mean over all classes; only p[b, labels[b]] counts",
        ),
    ]
    same(student.cross_entropy(logits, labels), expected, LOSS, meanings=meanings)


def check_the_gradient_is_the_derivative_of_the_loss(student):
    """The gradient is what moving each logit a little does to the loss."""
    logits, labels = draw()
    expected = by_differences(logits, labels)
    p = np.exp(logits.astype(np.float64))
    wrong_axis = p / p.sum(0)
    p = p / p.sum(1, keepdims=True)
    texts = len(labels)
    meanings = [
        (expected * texts, "That is B times too large: the loss is a mean over the B texts"),
        (p / texts, "That is p / B: first subtract 1 from p at the label"),
        (p, "That is p: subtract 1 at the label, then divide everything by B"),
        (-expected, "The sign is wrong: it is p minus 1 at the label"),
        (
            expected + (wrong_axis - p) / texts,
            "That is a softmax over the texts: each text's probabilities should sum to 1",
        ),
    ]
    got = student.cross_entropy_gradient(logits, labels)
    same(got, expected, GRADIENT, meanings=meanings)


def check_large_logits_do_not_overflow(student):
    """Logits of several thousand give a finite loss and a finite gradient."""
    logits = np.array([[3000, 0, -3000], [-2000, 1000, 1000]], np.float32)
    labels = np.array([1, 2])
    # By hand: 3000 - 0 for the first text, log 2 for the second
    loss = student.cross_entropy(logits, labels)
    same(loss, (3000 + math.log(2)) / 2, f"{LOSS} with logits of thousands")
    got = student.cross_entropy_gradient(logits, labels)
    expected = np.array([[0.5, -0.5, 0], [0, 0.25, -0.25]])
    same(got, expected, f"{GRADIENT} with logits of thousands")


def check_the_arguments_stay_as_they_are(student):
    """Your functions leave logits and labels as they are."""
    logits, labels = draw()
    with untouched(logits=logits, labels=labels):
        student.cross_entropy(logits, labels)
        student.cross_entropy_gradient(logits, labels)
