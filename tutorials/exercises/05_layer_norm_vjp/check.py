"""What `layer_norm_vjp(g, x, weight, eps)` of exercise 5 must do. The oracle uses no
derivative: it moves one number after another by a little, in float64 (central differences)."""

import math

import numpy as np

from adapters.exercises.assertions import same, untouched

CALL = "layer_norm_vjp(g, x, weight, eps)"
STEP = 1e-5  # central differences err by about STEP^2 and by 1e-16 / STEP: 1e-10 each


def draw(tokens=3, size=5, spread=1.0):
    """g [N, D], x [N, D], weight [D], float32, from a fixed seed."""
    rng = np.random.default_rng(10 * tokens + size)
    g, x = rng.normal(size=(tokens, size)), rng.normal(0.4, spread, (tokens, size))
    return [a.astype(np.float32) for a in (g, x, rng.normal(1.0, 0.5, size))]


def loss(g, x, weight, bias, eps):
    """The sum of g * LayerNorm(x), one token at a time. -> float"""
    total = 0.0
    for slopes, row in zip(g.tolist(), x.tolist(), strict=True):
        mean = math.fsum(row) / len(row)
        s = math.sqrt(math.fsum((value - mean) ** 2 for value in row) / len(row) + eps)
        parts = zip(slopes, row, weight.tolist(), bias.tolist(), strict=True)
        total += math.fsum(slope * ((value - mean) / s * w + b) for slope, value, w, b in parts)
    return total


def by_differences(g, x, weight, eps):
    """-> the gradients for x [N, D], weight [D] and bias [D], float64"""
    g, x, weight = (array.astype(np.float64) for array in (g, x, weight))
    arguments = [x, weight, np.zeros(len(weight))]
    gradients = []
    for array in arguments:
        gradient = np.zeros(array.shape)
        for where in np.ndindex(*array.shape):
            kept, ends = array[where], []
            for step in (STEP, -STEP):
                array[where] = kept + step
                ends.append(loss(g, *arguments, eps))
            array[where] = kept
            gradient[where] = (ends[0] - ends[1]) / (2 * STEP)
        gradients.append(gradient)
    return tuple(gradients)


def likely_mistakes(g, x, weight, eps):
    """[(wrong result, what it means)]; None: this gradient may be anything"""
    g, x, weight = (array.astype(np.float64) for array in (g, x, weight))
    s = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    xhat = (x - x.mean(axis=1, keepdims=True)) / s
    h = g * weight

    def project(h):
        along = xhat * (h * xhat).mean(axis=1, keepdims=True)
        return (h - h.mean(axis=1, keepdims=True) - along) / s

    mean, along = h.mean(axis=1, keepdims=True), (h * xhat).mean(axis=1, keepdims=True) * xhat
    return [
        ((h / s, None, None), "That treats the mean and s as constants, but x moves them, too"),
        (((h - mean) / s, None, None), "That treats s as a constant, but x moves it, too"),
        (((h - along) / s, None, None), "That treats the mean as a constant, but x moves it, too"),
        ((project(g), None, None), "weight is missing on the way from g to xhat"),
        ((project(h) * s, None, None), "The division by s is missing at the end"),
        ((None, g * xhat, None), "Every token uses the same weight: sum over the tokens, axis 0"),
        ((None, (g * x).sum(axis=0), None), "What weight multiplies is xhat, not x"),
        ((None, (h * xhat).sum(axis=0), None), "y is linear in weight: no weight in its gradient"),
        ((None, None, g), "Every token uses the same bias: sum over the tokens, axis 0"),
        ((None, None, h.sum(axis=0)), "bias is added after weight: no weight in its gradient"),
    ]


def check_all_three_gradients_are_those_of_small_steps(student):
    """The gradients are what moving each number a little shows; no argument changes."""
    g, x, weight = draw()
    expected, mistakes = by_differences(g, x, weight, 1e-12), likely_mistakes(g, x, weight, 1e-12)
    with untouched(g=g, x=x, weight=weight):
        got = student.layer_norm_vjp(g, x, weight, 1e-12)
    same(got, expected, CALL, meanings=mistakes)


def check_eps_has_its_place(student):
    """A large eps weakens the normalisation, and with it the gradient."""
    g, x, weight = draw(tokens=2, size=4)
    expected = by_differences(g, x, weight, 0.8)
    mistakes = [((by_differences(g, x, weight, 0.0)[0], None, None), "That is without eps")]
    same(student.layer_norm_vjp(g, x, weight, 0.8), expected, f"{CALL}, eps 0.8", meanings=mistakes)


def check_moving_all_features_together_has_no_effect(student):
    """Each row of the gradient for x sums to 0, as LayerNorm removes the mean."""
    g, x, weight = draw(tokens=4, size=7, spread=3.0)
    gradient = student.layer_norm_vjp(g, x, weight, 1e-12)[0]
    same(np.sum(gradient, axis=1), np.zeros(4), "the sum of each row of the gradient for x")
