"""What the step of exercise 7 must do. The oracle is the equations in Python floats, one parameter
at a time, and a closed form for the first step."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same, untouched

# (shape, step, rate): large rates, so that a mistake in the step shows
CASES = ((2, 3), 3, 0.5), ((4, 2), 5, 0.25)


def draw(shape, step):
    """p, g, m, v float32 of this shape as they might be before that step."""
    rng = np.random.default_rng(step)
    p, g, m = (scale * rng.normal(size=shape) for scale in (1.0, 4.0, 2.0))
    v = rng.uniform(0.5, 4.0, size=shape)
    return [x.astype(np.float32) for x in (p, g, m, v)]


def zeros(n):
    """-> [n] float32"""
    return np.zeros(n, np.float32)


def by_floats(p, g, m, v, step, rate, betas=(0.9, 0.999), correct=(True, True), inside=False):
    """The equations for each number. -> [p, m, v] float64. The last three arguments introduce
    mistakes: swapped betas, a mean without correction, eps under the root."""
    new = np.zeros((3, p.size))
    numbers = zip(*(x.astype(np.float64).ravel().tolist() for x in (p, g, m, v)), strict=True)
    for i, (p0, g0, m0, v0) in enumerate(numbers):
        m1 = betas[0] * m0 + (1 - betas[0]) * g0
        v1 = betas[1] * v0 + (1 - betas[1]) * g0**2
        mean = m1 / (1 - betas[0] ** step) if correct[0] else m1
        square = v1 / (1 - betas[1] ** step) if correct[1] else v1
        root = math.sqrt(square + 1e-8) if inside else math.sqrt(square) + 1e-8
        new[:, i] = p0 - rate * mean / root, m1, v1
    return [x.reshape(p.shape) for x in new]


def compare(got, expected, what, meanings=(), terms=None):
    """Compare each of the three on its own, under its own name: first the means m and v, from which
    p is computed."""
    if not isinstance(got, list | tuple) or len(got) != 3:
        same(got, expected, what)
    for name in "mvp":
        i = "pmv".index(name)
        parts = [(other[i], text) for other, text in meanings]
        given = terms[name] if terms else {}
        same(got[i], expected[i], f"the new {name} of {what}", 2e-6, parts, given=given)


def terms_of(p, g, m, v, step, rate):
    """What each of the three, and many a wrong one, is a sum of."""
    new = by_floats(p, g, m, v, step, rate)
    g2 = g.astype(np.float64) ** 2
    return {
        "m": {"m": m, "g": g},
        "v": {"v": v, "g^2": g2},
        "p": {"p": p, "rate m' / (sqrt(v') + eps)": p - new[0]},
    }


def mistakes_in_means(p, g, m, v, step, rate):
    """[(wrong result, what it means)]; None: that part may be anything"""
    expected = by_floats(p, g, m, v, step, rate)
    mean, square = expected[1] / (1 - 0.9**step), expected[2] / (1 - 0.999**step)
    order = "The three come back in the order p, m, v"
    return [
        (by_floats(p, g, m, v, step, rate, betas=(0.999, 0.9)), BETAS_SWAPPED),
        (
            [None, mean, square],
            "Those are the corrected m' and v'; m and v are what is kept for the next step",
        ),
        (
            [None, m + (1 - 0.9) * g, v + (1 - 0.999) * g * g],
            "The old mean should shrink too: m = beta1 m + (1 - beta1) g",
        ),
        (
            [None, 0.9 * m + g, 0.999 * v + g * g],
            "The new part lacks its factor, 1 - beta: m = beta1 m + (1 - beta1) g",
        ),
        (
            [None, 0.1 * m + 0.9 * g, 0.001 * v + 0.999 * g * g],
            "beta and 1 - beta are swapped: the old mean has the factor beta, and g has 1 - beta",
        ),
        (
            [None, 0.9 * m + 0.1 * g * g, None],
            "m is the running mean of g itself, not of its square",
        ),
        (
            [None, 0.9 * m - 0.1 * g, None],
            "(1 - beta1) g is added; only p goes against the gradient",
        ),
        ([None, m, v], "That is the old one: it takes in the new gradient before p is moved"),
        ([None, 0.9 * m, 0.999 * v], "The new gradient is missing: + (1 - beta) g, or g^2"),
        ([None, expected[2], expected[1]], f"m and v are swapped. {order}"),
        ([None, expected[0], expected[0]], f"That is the new p. {order}"),
        ([None, g, g * g], "That is the gradient of this step alone, without the old mean"),
        (
            [None, None, 0.999 * v + 0.001 * g],
            "v is the running mean of the gradient's square, g^2: that is g",
        ),
        ([None, None, 0.999 * v + 0.001 * abs(g)], "v is the mean of g^2; that is |g|"),
        (
            [None, None, 0.999 * v + (0.001 * g) ** 2],
            "Only g is squared, not 1 - beta2: (1 - beta2) * g**2",
        ),
        (
            [None, None, 0.999 * v + 0.001 * expected[1] ** 2],
            "v takes in the square of g, not of m",
        ),
        (
            [None, None, 0.999 * v + 0.001 * (g * g).mean()],
            "Each parameter has its own v; that is a mean over all of them",
        ),
        ([None, None, 0.9 * v + 0.1 * g * g], "v has beta2 = 0.999; that is beta1"),
        ([None, 0.999 * m + 0.001 * g, None], "m has beta1 = 0.9; that is beta2"),
    ]


BETAS_SWAPPED = "beta1 and beta2 are swapped: m has 0.9, v has 0.999"


def mistakes_in_p(p, g, m, v, step, rate):
    """[([p, None, None], what it means)], where m and v are right."""
    _, m1, v1 = by_floats(p, g, m, v, step, rate)
    bias1, bias2 = 1 - 0.9**step, 1 - 0.999**step
    mean, square = m1 / bias1, v1 / bias2
    p, g, m, v = (x.astype(np.float64) for x in (p, g, m, v))

    def moved(mean, square, eps=1e-8):
        with np.errstate(all="ignore"):  # a wrong square may be negative
            return p - rate * mean / (np.sqrt(square) + eps)

    wrong = [
        (
            moved(m1, v1),
            "That is Adam without bias correction: m' = m / (1 - beta1^t), v' = v / (1 - beta2^t)",
        ),
        (moved(mean, v1), "v is not corrected: v' is missing"),
        (moved(m1, square), "m is not corrected: m' is missing"),
        (2 * p - moved(mean, square), "That goes uphill: p *minus* the step"),
        (
            p - rate * mean / (square + 1e-8),
            "The root is missing: the step is divided by sqrt(v')",
        ),
        (
            moved(m1 / (1 - 0.9 ** (step + 1)), v1 / (1 - 0.999 ** (step + 1))),
            "That is the bias correction of the next step: t is `step` itself",
        ),
        (
            moved(m1 / max(1e-30, 1 - 0.9 ** (step - 1)), v1 / max(1e-30, 1 - 0.999 ** (step - 1))),
            "That is the bias correction of the step before: t is `step` itself, from 1",
        ),
        (
            moved(m1 / bias2, v1 / bias1),
            "The two bias corrections are swapped: m' has beta1, v' has beta2",
        ),
        (moved(m1 / bias1, v1 / bias1), "v' is corrected with beta1; it has beta2"),
        (moved(m1 / bias2, v1 / bias2), "m' is corrected with beta2; it has beta1"),
        (
            moved(m1 / (1 - 0.9), v1 / (1 - 0.999)),
            "That is the bias correction of step 1: beta is taken to the power t",
        ),
        (
            moved(m1 / (1 - 0.9 * step), v1 / (1 - 0.999 * step)),
            "The correction has beta to the power t, beta**step; that is beta times t",
        ),
        (
            moved(m1 / (1 - 0.9 * step), square),
            "The correction has beta1 to the power t, BETA1**step; that is beta1 times t",
        ),
        (
            moved(mean, v1 / (1 - 0.999 * step)),
            "The correction has beta2 to the power t, BETA2**step; that is beta2 times t",
        ),
        (moved(m1 * bias1, v1 * bias2), "The correction divides by 1 - beta^t; that multiplies"),
        (moved(m1 / 0.9**step, v1 / 0.999**step), "It is 1 - beta^t that divides, not beta^t"),
        (moved(mean / bias1, square / bias2), "The means are corrected twice"),
        (moved(g, square), "The step is m', the mean, over the root; that has g itself"),
        (p - rate * g, "That is plain gradient descent; Adam moves by m' / (sqrt(v') + eps)"),
        (p - rate * mean, "The division by sqrt(v') + eps is missing"),
        (p - mean / (np.sqrt(square) + 1e-8), "The rate is missing"),
        (rate * mean / (np.sqrt(square) + 1e-8), "That is the step alone: p minus it is asked for"),
        (-rate * mean / (np.sqrt(square) + 1e-8), "That is the step alone, to be added to p"),
        (moved(mean, square * square), "The step is divided by sqrt(v'), not by v'"),
        (p - rate * mean * np.sqrt(square), "The step is divided by sqrt(v'), not multiplied"),
        (p - rate * np.sign(mean), "Those are the signs alone; m' is divided by sqrt(v')"),
        (moved(m / bias1, v / bias2), "That uses the old m and v; the new ones come first"),
        (moved(m, v), "That uses the old m and v; the new ones come first"),
        (moved(mean, v / bias2), "That uses the old v; the new one comes first"),
        (moved(m / bias1, square), "That uses the old m; the new one comes first"),
        (m1, "That is the new m; p comes first: p, m, v"),
        (p, "p has not moved"),
    ]
    return [([result, None, None], text) for result, text in wrong]


def check_a_step_is_that_of_the_equations(student):
    """A step moves m, v and p as the equations say."""

    def at(shape, step, rate):
        state = draw(shape, step)
        expected = by_floats(*state, step, rate)
        mistakes = mistakes_in_means(*state, step, rate) + mistakes_in_p(*state, step, rate)
        terms = terms_of(*state, step, rate)
        got = student.adam_step(*state, step, rate)
        compare(got, expected, f"adam_step(p, g, m, v, {step}, {rate})", mistakes, terms)

    at_each_size(at, *CASES)


def check_the_first_step_is_as_long_as_the_rate(student):
    """The first step moves each p by the rate, however large its gradient is: m' = g, v' = g^2."""

    def at(rate, *gradient):
        g = np.array(gradient, np.float32)
        start = zeros(len(g))
        expected = [
            -rate * np.sign(g) / (1 + 1e-8 / np.abs(g)),
            0.1 * g,
            0.001 * g.astype(float) ** 2,
        ]
        uncorrected = [-rate * np.sign(g) * 0.1 / math.sqrt(0.001), *expected[1:]]
        length = np.abs(expected[1]) / 0.1  # |g|
        short = float(1 - np.float32(0.999))  # 0.00100005: of 0.999, float32 keeps 7 digits
        digits = "1 - np.float32(0.999) has lost digits: keep the betas as Python's numbers"
        meanings = [
            (uncorrected, "That is the first step without bias correction"),
            ([None, None, short * length**2], digits),
            ([-rate * np.sign(g) * math.sqrt(short / 0.001), None, None], digits),
            *(
                (
                    [-rate * np.sign(g) * length / (length + eps), *expected[1:]],
                    f"That has eps = {eps:g}; it is 1e-8",
                )
                for eps in (1e-4, 1e-5, 1e-6, 1e-7)
            ),
        ]
        got = student.adam_step(start, g, start.copy(), start.copy(), 1, rate)
        compare(got, expected, "the first step, adam_step(p, g, 0, 0, 1, rate)", meanings)

    at_each_size(at, (0.5, -1000, -1, -0.1, 0.1, 1, 1000), (0.25, -30, 0.5, 2))


def check_eps_is_outside_the_root(student):
    """Tiny gradients show that eps is added to the root, not under it."""

    def at(step, rate, *gradient):
        start = zeros(len(gradient))
        state = start, np.array(gradient, np.float32), start.copy(), start.copy()
        expected = by_floats(*state, step, rate)
        mean, square = expected[1] / (1 - 0.9**step), expected[2] / (1 - 0.999**step)
        meanings = [
            (
                by_floats(*state, step, rate, inside=True),
                "That is sqrt(v' + eps); it is sqrt(v') + eps",
            ),
            ([-rate * mean / np.sqrt(square), *expected[1:]], "That is the result without eps"),
            (
                [-rate * (mean / np.sqrt(square) + 1e-8), *expected[1:]],
                "eps is added to sqrt(v') before the division, not to the step",
            ),
            (
                [-rate * mean / np.maximum(np.sqrt(square), 1e-8), *expected[1:]],
                "eps is added to sqrt(v'); that is the larger of the two",
            ),
            (
                [
                    -rate * mean / (np.sqrt(expected[2]) + 1e-8) * math.sqrt(1 - 0.999**step),
                    *expected[1:],
                ],
                "eps is added to the root of the corrected v'; that adds it before the correction",
            ),
        ]
        got = student.adam_step(*state, step, rate)
        compare(got, expected, "adam_step with tiny gradients", meanings)

    at_each_size(at, (1, 0.5, 1e-8, 1e-6, 1e-4), (2, 0.25, 3e-8, 1e-5))


def check_without_a_gradient_nothing_moves(student):
    """A parameter that never had a gradient does not move."""
    for values, step, rate in (((1, -2), 1, 0.5), ((3, 0, 5), 4, 0.25)):
        p, n = np.array(values, np.float32), len(values)
        got = student.adam_step(p.copy(), zeros(n), zeros(n), zeros(n), step, rate)
        what = f"adam_step(p, 0, 0, 0, {step}, rate)"
        compare(got, [p, zeros(n), zeros(n)], what)


def check_many_steps_reach_the_valley(student):
    """Ten steps on (p - 3)^2, each from the results of the one before, go the right way."""
    adam_step = student.adam_step
    for n, rate in ((1, 0.1), (2, 0.3)):
        got, expected = ([zeros(n) for _ in range(3)] for _ in range(2))
        for step in range(1, 11):
            p, m, v = expected
            expected = by_floats(p, 2 * (p - 3), m, v, step, rate)
            p, m, v = got
            got = adam_step(p, 2 * (p - 3), m, v, step, rate)
        same(got[0], expected[0], "p after 10 steps on (p - 3)^2", 1e-4)


def check_the_correction_changes_with_every_step(student):
    """At step 500 a mean with beta2 still has to be corrected, by another factor than before."""

    def at(shape, step, rate):
        state = draw(shape, step)
        expected, meanings = by_floats(*state, step, rate), mistakes_in_p(*state, step, rate)
        got = student.adam_step(*state, step, rate)
        compare(got, expected, f"adam_step at step {step}", meanings)

    at_each_size(at, ((2, 3), 500, 0.5), ((4, 2), 2000, 0.25))


def check_the_arguments_stay_as_they_are(student):
    """Your function leaves p, g, m and v as they are."""
    for shape, step, rate in CASES:
        p, g, m, v = draw(shape, step)
        expected = by_floats(p, g, m, v, step, rate)
        with untouched(p=p, g=g, m=m, v=v):
            got = student.adam_step(p, g, m, v, step, rate)
        compare(got, expected, f"adam_step(p, g, m, v, {step}, {rate})")
