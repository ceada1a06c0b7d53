"""What `layer_norm(x, weight, bias, eps)` of exercise 2 must do. The oracle is plain loops in
float64."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same, untouched

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
    xhat = centred / np.sqrt(variance + eps)
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
        (xhat, "weight and bias are missing"),
        (xhat * weight, "bias is missing"),
        (xhat + bias, "weight is missing"),
        (xhat * bias + weight, "weight and bias are swapped: weight multiplies, bias is added"),
        (
            (xhat + bias) * weight,
            "That is (x + bias) * weight: weight multiplies first, and bias is added last",
        ),
        (xhat * (1 + weight) + bias, "The factor is weight itself, not 1 + weight"),
        (xhat * weight - bias, "bias is added, not subtracted"),
        (xhat / weight + bias, "weight multiplies; that is a division by it"),
        (
            x / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps) * weight + bias,
            "That is RMSNorm, which divides by the root of the mean square and never subtracts the "
            "mean: LayerNorm does",
        ),
        (
            centred / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps) * weight + bias,
            "The variance is the mean of (x - mean)^2; that is the mean of x^2",
        ),
        (
            centred / np.sqrt((centred * centred).sum(axis=1, keepdims=True) + eps) * weight + bias,
            "That is the sum of the squared distances; the variance is their mean",
        ),
        (
            centred / np.sqrt(x.var() + eps) * weight + bias,
            "That is the variance of all numbers together: each token, one row, has its own",
        ),
        (
            (x - x.mean()) / np.sqrt(x.var() + eps) * weight + bias,
            "That is mean and variance of all numbers together: each token, one row, has its own",
        ),
        (
            centred / np.abs(centred).mean(axis=1, keepdims=True) * weight + bias,
            "That is the mean distance from the mean: the variance is that of the squares, and its "
            "root divides",
        ),
        (
            (x - np.median(x, axis=1, keepdims=True)) / np.sqrt(variance + eps) * weight + bias,
            "That is the median, not the mean",
        ),
        (centred * np.sqrt(variance + eps) * weight + bias, "That multiplies by the root; divide"),
        (
            centred / np.sqrt(variance + eps**2) * weight + bias,
            "eps is added as it is, not its square",
        ),
        (centred / np.sqrt(variance) * weight + bias + eps, "eps belongs under the root"),
        (
            centred / np.sqrt(np.maximum(variance, eps)) * weight + bias,
            "eps is added to the variance; that is the larger of the two",
        ),
        (
            x - x.mean(axis=1, keepdims=True) / np.sqrt(variance + eps) * weight + bias,
            "Parentheses are missing: (x - mean) is divided, not the mean alone",
        ),
        *(
            ((x - mean) / np.sqrt(square + eps) * weight + bias, text)
            for mean, text in (
                (x.mean(), "That is the mean of all numbers: each token, one row, has its own"),
                (x.mean(axis=0), "That is the mean over the tokens: each row has its own"),
            )
            for square in (variance, ((x - mean) ** 2).mean(axis=1, keepdims=True))
        ),
        (
            centred / np.sqrt(x.var(axis=0) + eps) * weight + bias,
            "That is the variance over the tokens: each token, one row, has its own",
        ),
        (
            (centred * weight + bias) / np.sqrt(variance + eps),
            "The division comes first; then weight multiplies and bias is added: parentheses",
        ),
        (
            centred / np.abs(centred).max(axis=1, keepdims=True) * weight + bias,
            "That is a division by the largest distance; the root of the variance divides",
        ),
        (
            (x - x.min(axis=1, keepdims=True)) / np.ptp(x, axis=1, keepdims=True) * weight + bias,
            "That is scaled from minimum to maximum; LayerNorm has mean and variance",
        ),
        (
            centred / (variance + eps) ** 2 * weight + bias,
            "That is a division by the square; the square *root* of the variance divides",
        ),
        *(
            (
                (x + x.mean(axis=1, keepdims=True)) / np.sqrt(square + eps) * weight + bias,
                "The mean is subtracted from x, not added",
            )
            for square in (
                variance,
                ((x + x.mean(axis=1, keepdims=True)) ** 2).mean(axis=1, keepdims=True),
            )
        ),
        (x + xhat * weight + bias, "x itself is added there; LayerNorm has no skip connection"),
        *(
            (
                (x - x.sum(axis=1, keepdims=True)) / np.sqrt(square + eps) * weight + bias,
                "That is the sum of the row; its mean is subtracted",
            )
            for square in (
                variance,
                ((x - x.sum(axis=1, keepdims=True)) ** 2).mean(axis=1, keepdims=True),
            )
        ),
        (
            centred / np.sqrt((centred**4).mean(axis=1, keepdims=True) + eps) * weight + bias,
            "The variance is the mean of the squares; that is the mean of the fourth powers",
        ),
        (
            centred / np.sqrt((centred * centred).mean() + eps) * weight + bias,
            "That is the variance of all numbers together: each token, one row, has its own",
        ),
        (xhat * weight[::-1] + bias, "weight is in reverse order: weight d belongs to feature d"),
        (xhat * weight + bias[::-1], "bias is in reverse order: bias d belongs to feature d"),
        (xhat * weight.mean() + bias, "Each feature has its own weight; that takes their mean"),
        (xhat * (weight + bias), "bias is added after the multiplication, not to weight"),
        (centred * weight + bias, "The division by the standard deviation is missing"),
        (x / np.sqrt(variance + eps) * weight + bias, "The mean has not been subtracted from x"),
    ]


def terms(x, weight, bias, eps):
    """What the result, and many a wrong one, is a sum of."""
    xhat = by_loops(x, weight / weight, 0 * bias, eps)
    return {"bias": bias, "xhat * weight": xhat * weight, "xhat": xhat, "weight": weight}


def check_each_token_is_normalised_as_the_equation_says(student):
    """Each row is normalised, scaled and shifted, and the arguments stay as they are."""

    def compare(tokens, size, eps):
        x, weight, bias = draw(tokens, size)
        expected, mistakes = by_loops(x, weight, bias, eps), likely_mistakes(x, weight, bias, eps)
        given = {"D": size, "N": tokens, **terms(x, weight, bias, eps)}
        with untouched(x=x, weight=weight, bias=bias):
            got = student.layer_norm(x, weight, bias, eps)
        same(got, expected, CALL, meanings=mistakes, given=given)

    at_each_size(compare, (4, 6, EPS), (3, 9, 1e-9))


def check_eps_is_added_to_the_variance(student):
    """A large eps counts as much as the variance does."""

    def compare(tokens, size, eps):
        x, weight, bias = draw(tokens, size)
        expected, mistakes = by_loops(x, weight, bias, eps), likely_mistakes(x, weight, bias, eps)
        given = {"D": size, "N": tokens, **terms(x, weight, bias, eps)}
        got = student.layer_norm(x, weight, bias, eps)
        same(got, expected, f"{CALL}, eps {eps:g}", meanings=mistakes, given=given)

    at_each_size(compare, (3, 5, 0.7), (2, 8, 2.5))


def check_small_numbers_are_normalised_as_any_others(student):
    """A variance of 1e-10 is far above an eps of 1e-12: nothing else is added to it."""

    def compare(tokens, size, eps):
        x, weight, bias = draw(tokens, size, mean=0.0, spread=1e-5)
        expected = by_loops(x, weight, bias, eps)
        meanings = [
            (by_loops(x, weight, bias, more), f"That is with an eps of {more:g}: it is an argument")
            for more in (1e-5, 1e-6, 1e-8)
        ]
        got = student.layer_norm(x, weight, bias, eps)
        same(got, expected, f"{CALL}, variance 1e-10, eps {eps:g}", meanings=meanings)

    at_each_size(compare, (3, 6, 1e-12), (2, 9, 1e-11))


def check_a_row_of_equal_numbers_gives_the_bias(student):
    """A token whose features are all equal has variance 0; eps prevents the division by 0."""

    def compare(tokens, size, eps):
        x, weight, bias = draw(tokens, size)
        x[1] = 4.0
        expected = by_loops(x, weight, bias, eps)
        got = student.layer_norm(x, weight, bias, eps)
        same(got, expected, f"{CALL}, all x[1] equal", given={"weight": weight, "bias": bias})

    at_each_size(compare, (2, 8, EPS), (3, 4, 1e-9))


def check_a_mean_far_from_0_loses_no_digits(student):
    """A mean of a thousand standard deviations is no problem."""

    def compare(tokens, size, eps):
        x, weight, bias = draw(tokens, size, mean=1000.0, spread=1.0)
        expected = by_loops(x, weight, bias, eps)
        got = student.layer_norm(x, weight, bias, eps)
        # a float32 mean of 1000 is known to 3e-5, and with it each centred x of size 1
        same(got, expected, f"{CALL}, mean 1000", tolerance=3e-4)

    at_each_size(compare, (3, 64, EPS), (2, 32, 1e-9))
