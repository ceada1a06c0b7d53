"""What `layer_norm(x, weight, bias, eps)` of exercise 2 must do. The oracle is plain loops in
float64."""

import math

import numpy as np

from adapters.exercises.assertions import same, untouched

CALL = "layer_norm(x, weight, bias, eps)"
EPS = 1e-12


def draw(tokens=4, size=6, mean=0.5, spread=2.0):
    """x [N, D], weight [D], bias [D], float32, from a fixed seed."""
    rng = np.random.default_rng(tokens * size)
    x = rng.normal(mean, spread, (tokens, size))
    weight, bias = rng.normal(1.0, 0.3, size), rng.normal(0.0, 0.3, size)
    return [array.astype(np.float32) for array in (x, weight, bias)]


def by_loops(x, weight, bias, eps, less=0):
    """The equation, one token at a time, the variance divided by D - less. -> [N, D] float64"""
    weight, bias = weight.tolist(), bias.tolist()
    rows = []
    for row in x.astype(np.float64).tolist():
        mean = math.fsum(row) / len(row)
        variance = math.fsum((value - mean) ** 2 for value in row) / (len(row) - less)
        scale = 1 / math.sqrt(variance + eps)
        parts = zip(row, weight, bias, strict=True)
        rows.append([(value - mean) * scale * w + b for value, w, b in parts])
    return np.array(rows)


def likely_mistakes(x, weight, bias, eps):
    """[(wrong result, what it means)]"""
    x, weight, bias = (array.astype(np.float64) for array in (x, weight, bias))
    centred = x - x.mean(axis=1, keepdims=True)
    by_token = x - x.mean(axis=0)
    variance = x.var(axis=1, keepdims=True)
    return [
        (
            by_token / np.sqrt(x.var(axis=0) + eps) * weight + bias,
            "That is what mean and variance over the tokens give (batch normalisation): here each "
            "token, one row, has its own mean and variance, over the last axis",
        ),
        (
            by_loops(x, weight, bias, eps, less=1),
            "That is the variance divided by D - 1; BERT's is divided by D",
        ),
        (
            centred / (np.sqrt(variance) + eps) * weight + bias,
            "That is eps added to the standard deviation: it belongs to the variance, inside the "
            "square root",
        ),
        (by_loops(x, weight, bias, 0.0), "That is the result without eps"),
        (centred / (variance + eps) * weight + bias, "That is a division without the square root"),
        (centred / np.sqrt(variance + eps), "weight and bias are missing"),
        (centred / np.sqrt(variance + eps) * weight, "bias is missing"),
        (x / np.sqrt(variance + eps) * weight + bias, "The mean has not been subtracted from x"),
    ]


def check_each_token_is_normalised_as_the_equation_says(student):
    """Each row is normalised, scaled and shifted, and the arguments stay as they are."""
    x, weight, bias = draw()
    expected, mistakes = by_loops(x, weight, bias, EPS), likely_mistakes(x, weight, bias, EPS)
    with untouched(x=x, weight=weight, bias=bias):
        got = student.layer_norm(x, weight, bias, EPS)
    same(got, expected, CALL, meanings=mistakes)


def check_eps_is_added_to_the_variance(student):
    """A large eps counts as much as the variance does."""
    x, weight, bias = draw(tokens=3, size=5)
    expected, mistakes = by_loops(x, weight, bias, 0.7), likely_mistakes(x, weight, bias, 0.7)
    same(student.layer_norm(x, weight, bias, 0.7), expected, f"{CALL}, eps 0.7", meanings=mistakes)


def check_a_row_of_equal_numbers_gives_the_bias(student):
    """A token whose features are all equal has variance 0; eps prevents the division by 0."""
    x, weight, bias = draw(tokens=2, size=8)
    x[1] = 4.0
    expected = by_loops(x, weight, bias, EPS)
    same(student.layer_norm(x, weight, bias, EPS), expected, f"{CALL}, all x[1] equal")


def check_a_mean_far_from_0_loses_no_digits(student):
    """A mean of a thousand standard deviations is no problem."""
    x, weight, bias = draw(tokens=3, size=64, mean=1000.0, spread=1.0)
    expected = by_loops(x, weight, bias, EPS)
    # a float32 mean of 1000 is known to 3e-5, and with it each centred x of size 1
    same(student.layer_norm(x, weight, bias, EPS), expected, f"{CALL}, mean 1000", tolerance=3e-4)
