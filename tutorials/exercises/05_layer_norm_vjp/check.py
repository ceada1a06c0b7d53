"""What `layer_norm_vjp(g, x, weight, eps)` of exercise 5 must do. The oracle uses no
derivative: it moves one number after another by a little, in float64 (central differences)."""

import math

import numpy as np

from adapters.exercises.assertions import Wrong, at_each_size, same, untouched

CALL = "layer_norm_vjp(g, x, weight, eps)"
STEP = 1e-5  # central differences err by about STEP^2 and by 1e-16 / STEP: 1e-10 each
FINE = 1e-10  # for numbers of 1e-5


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


def by_differences(g, x, weight, eps, by=STEP):
    """-> the gradients for x [N, D], weight [D] and bias [D], float64"""
    g, x, weight = (array.astype(np.float64) for array in (g, x, weight))
    arguments = [x, weight, np.zeros(len(weight))]
    gradients = []
    for array in arguments:
        gradient = np.zeros(array.shape)
        for where in np.ndindex(*array.shape):
            kept, ends = array[where], []
            for step in (by, -by):
                array[where] = kept + step
                ends.append(loss(g, *arguments, eps))
            array[where] = kept
            gradient[where] = (ends[0] - ends[1]) / (2 * by)
        gradients.append(gradient)
    return tuple(gradients)


FIRST_ALONE = "That is the first token alone: every token uses the same one, so sum over axis 0"


def likely_mistakes(g, x, weight, eps):
    """[(wrong result, what it means)]; None: this gradient may be anything"""
    g, x, weight = (array.astype(np.float64) for array in (g, x, weight))
    size = x.shape[1]
    s, s0 = (np.sqrt(x.var(axis=1, keepdims=True) + more) for more in (eps, 0.0))
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
        ((project(g) * weight, None, None), "weight comes first: h = g * weight, then the means"),
        ((project(g + weight), None, None), "h is g times weight, not their sum"),
        (
            ((h - h.mean() - along) / s, None, None),
            "That is the mean of h over all tokens; each row has its own, over axis=-1",
        ),
        (
            ((h - mean - (h * xhat).mean() * xhat) / s, None, None),
            "That is the mean of h * xhat over all tokens; each row has its own, over axis=-1",
        ),
        (
            ((h - h.mean() - (h * xhat).mean() * xhat) / s, None, None),
            "Those are means over all tokens; each row has its own, over axis=-1",
        ),
        (
            ((h - mean - xhat * (h * xhat).mean(axis=0)) / s, None, None),
            "That is the mean of h * xhat over the tokens; each row has its own, over axis=-1",
        ),
        (
            ((h - h.mean(axis=0) - along) / s, None, None),
            "That is the mean of h over the tokens; each row has its own, over axis=-1",
        ),
        (
            ((h - mean - xhat / s * (h * xhat / s).mean(axis=1, keepdims=True)) / s**2, None, None),
            "s is the *root* of variance + eps",
        ),
        ((project(g / weight), None, None), "h is g times weight, not divided by it"),
        (
            (
                (h - mean - along * s * s / (s0 + eps) ** 2) / (s0 + eps) if eps > 1e-6 else None,
                None,
                None,
            ),
            "eps is added to the variance, under the root",
        ),
        ((project(h) * s, None, None), "The division by s is missing at the end"),
        ((project(h) / s, None, None), "It is divided by s only once"),
        ((project(h) * s * s, None, None), "It is divided by s at the end, not multiplied"),
        (((h - mean + along) / s, None, None), "The part along xhat is subtracted, too"),
        (((h + mean - along) / s, None, None), "The mean of h is subtracted, too"),
        (((h + mean + along) / s, None, None), "Both means are subtracted"),
        (((h - mean - along / xhat) / s, None, None), "The mean of h * xhat is multiplied by xhat"),
        (
            ((h - size * mean - size * along) / s, None, None),
            "Those are the sums over the row; it takes the means (a factor 1/D)",
        ),
        (((h - size * mean - along) / s, None, None), "That is the sum of h; it takes the mean"),
        (
            ((h - mean - size * along) / s, None, None),
            "That is the sum of h * xhat; it takes the mean",
        ),
        (
            ((h - h.mean(axis=0) - (h * xhat).mean(axis=0) * xhat) / s, None, None),
            "Those are means over the tokens: mean and s are a row's own, so axis=-1",
        ),
        (
            ((h - mean - xhat * (g * xhat).mean(axis=1, keepdims=True)) / s, None, None),
            "weight is missing in the mean of h * xhat: that one is of g * xhat",
        ),
        (
            ((h - g.mean(axis=1, keepdims=True) - along) / s, None, None),
            "weight is missing in the mean of h: that one is of g",
        ),
        (
            ((h - mean - x * (h * x).mean(axis=1, keepdims=True)) / s, None, None),
            "The part along xhat has xhat twice, not x",
        ),
        (
            ((h - mean - xhat * (h * x).mean(axis=1, keepdims=True)) / s, None, None),
            "That is the mean of h * x; it takes h * xhat",
        ),
        (
            ((h - mean - x * (h * xhat).mean(axis=1, keepdims=True)) / s, None, None),
            "The last mean is multiplied by xhat, not by x",
        ),
        (
            ((h - mean - x / s * (h * x / s).mean(axis=1, keepdims=True)) / s, None, None),
            "xhat is x minus its mean, divided by s: the mean has not been subtracted",
        ),
        ((None, g * xhat, None), "Every token uses the same weight: sum over the tokens, axis 0"),
        ((None, (g * x).sum(axis=0), None), "What weight multiplies is xhat, not x"),
        (
            (None, (g * (xhat * s)).sum(axis=0), None),
            "What weight multiplies is xhat: x - mean, divided by s",
        ),
        ((None, (g * xhat).mean(axis=0), None), "That is a mean over the tokens; it is their sum"),
        ((None, (g * xhat).sum(axis=1), None), "Sum over the tokens, axis 0, not over the row"),
        (
            (None, g.sum(axis=0), None),
            "That is bias's gradient: for weight, g is multiplied by xhat first",
        ),
        ((None, xhat.sum(axis=0), None), "The chain rule is missing: xhat is multiplied by g"),
        ((None, (h * xhat).sum(axis=0), None), "y is linear in weight: no weight in its gradient"),
        ((None, (g * xhat)[0], None), FIRST_ALONE),
        ((None, None, g[0]), FIRST_ALONE),
        ((None, None, g), "Every token uses the same bias: sum over the tokens, axis 0"),
        ((None, None, g.mean(axis=0)), "That is a mean over the tokens; it is their sum"),
        ((None, None, g.sum(axis=1)), "Sum over the tokens, axis 0, not over the row"),
        (
            (None, None, (g * xhat).sum(axis=0)),
            "bias is added as it is, so its gradient is the sum of g alone",
        ),
        ((None, None, h.sum(axis=0)), "bias is added after weight: no weight in its gradient"),
    ]


def terms(g, x, weight, eps):
    """What the gradient for x, and many a wrong one, is a sum of."""
    g, x, weight = (array.astype(np.float64) for array in (g, x, weight))
    s = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    xhat, h = (x - x.mean(axis=1, keepdims=True)) / s, g * weight
    means = h.mean(axis=1, keepdims=True), xhat * (h * xhat).mean(axis=1, keepdims=True)
    parts = {"h / s": h, "mean(h) / s": means[0], "xhat mean(h xhat) / s": means[1]}
    return {"weight": weight, **{name: part / s for name, part in parts.items()}}


def check_all_three_gradients_are_those_of_small_steps(student):
    """The gradients are what moving each number a little shows; no argument changes."""

    def compare(tokens, size, eps):
        g, x, weight = draw(tokens, size)
        expected, mistakes = by_differences(g, x, weight, eps), likely_mistakes(g, x, weight, eps)
        with untouched(g=g, x=x, weight=weight):
            got = student.layer_norm_vjp(g, x, weight, eps)
        given = {"N": tokens, "D": size, **terms(g, x, weight, eps)}
        same(got, expected, CALL, meanings=mistakes, given=given)

    at_each_size(compare, (3, 5, 1e-12), (4, 7, 1e-9))


def check_eps_has_its_place(student):
    """A large eps weakens the normalisation, and with it the gradient."""

    def compare(tokens, size, eps):
        g, x, weight = draw(tokens, size)
        expected = by_differences(g, x, weight, eps)
        without = by_differences(g, x, weight, 0.0)
        mistakes = [
            ((without[0], None, None), "That is without eps"),
            ((None, without[1], None), "That is without eps"),
            *likely_mistakes(g, x, weight, eps),
        ]
        got = student.layer_norm_vjp(g, x, weight, eps)
        given = {"N": tokens, "D": size, **terms(g, x, weight, eps)}
        same(got, expected, f"{CALL}, eps {eps:g}", meanings=mistakes, given=given)

    at_each_size(compare, (2, 4, 0.8), (3, 6, 1.7))


def check_small_numbers_have_the_gradients_of_any_others(student):
    """A variance of 1e-10 is far above an eps of 1e-12: nothing else is added to it."""

    def compare(tokens, size, eps):
        g, x, weight = draw(tokens, size)
        g, x = (array * np.float32(1e-5) for array in (g, x))
        expected = by_differences(g, x, weight, eps, FINE)
        meanings = [
            ((by_differences(g, x, weight, more, FINE)[0], None, None), f"That is with eps {more}")
            for more in (1e-5, 1e-6, 1e-8)
        ]
        got = student.layer_norm_vjp(g, x, weight, eps)
        same(got, expected, f"{CALL}, variance 1e-10, eps {eps:g}", meanings=meanings)

    at_each_size(compare, (3, 5, 1e-12), (2, 6, 1e-11))


def check_moving_all_features_together_has_no_effect(student):
    """Each row of the gradient for x sums to 0, as LayerNorm removes the mean."""

    def compare(tokens, size, eps):
        g, x, weight = draw(tokens, size, spread=3.0)
        gradient = student.layer_norm_vjp(g, x, weight, eps)[0]
        if not np.any(gradient):
            raise Wrong(f"{CALL}: the gradient for x is 0 everywhere")
        what = "the sum of each row of the gradient for x"
        same(np.sum(gradient, axis=1), np.zeros(tokens), what)

    at_each_size(compare, (4, 7, 1e-12), (3, 5, 1e-9))


def check_no_jacobian_is_built(student):
    """30,000 features are no matter: their Jacobian would take 3.6 GB for a single token."""
    # the judge lets a student's process have 2 GB, where the operating system can be told so

    def compare(tokens, size, eps):
        g, x, weight = draw(tokens, size)
        # a few features, moved by a little: what each does to the loss of its own token
        expected = {}
        for token, feature in ((0, 0), (1, size - 1), (1, 7)):
            ends = []
            for step in (STEP, -STEP):
                moved = x[token].astype(np.float64)
                moved[feature] += step
                xhat = (moved - moved.mean()) / np.sqrt(moved.var() + eps)
                ends.append(math.fsum(g[token] * weight.astype(np.float64) * xhat))
            expected[token, feature] = (ends[0] - ends[1]) / (2 * STEP)
        gradient = student.layer_norm_vjp(g, x, weight, eps)[0]
        for (token, feature), right in expected.items():
            what = f"the gradient for x[{token}, {feature}] of {size:,} features"
            same(gradient[token, feature], right, what, 1e-4)

    at_each_size(compare, (2, 30_000, 1e-12), (3, 20_000, 1e-9))
