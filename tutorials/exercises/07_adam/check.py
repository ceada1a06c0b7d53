"""What the step of exercise 7 must do. The oracle is the equations in Python floats, one parameter
at a time, and a closed form for the first step."""

import math

import numpy as np

from adapters.exercises.assertions import same, untouched

RATE = 0.5  # large, so that a mistake in the step shows


def draw(step=3):
    """p, g, m, v [2, 3] float32 as they might be before that step."""
    rng = np.random.default_rng(step)
    p, g, m = (scale * rng.normal(size=(2, 3)) for scale in (1.0, 4.0, 2.0))
    v = rng.uniform(0.5, 4.0, size=(2, 3))
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


def compare(got, expected, what, meanings=()):
    """Compare each of the three on its own, under its own name."""
    if not isinstance(got, list | tuple) or len(got) != 3:
        same(got, expected, what)
    for i, name in enumerate("pmv"):
        parts = [(other[i], text) for other, text in meanings]
        same(got[i], expected[i], f"the new {name} of {what}", 2e-6, parts)


def check_a_step_is_that_of_the_equations(student):
    """A step moves p, m and v as the equations say."""
    state, step = draw(), 3
    p, g, m, v = state
    expected = by_floats(*state, step, RATE)
    swapped = by_floats(*state, step, RATE, betas=(0.999, 0.9))
    mean, square = expected[1] / (1 - 0.9**step), expected[2] / (1 - 0.999**step)
    zero = by_floats(*state, step + 1, RATE)
    meanings = [
        (
            by_floats(*state, step, RATE, correct=(False, False)),
            "That is Adam without bias correction: m' = m / (1 - beta1^t), v' = v / (1 - beta2^t)",
        ),
        (by_floats(*state, step, RATE, correct=(True, False)), "v is not corrected: v' is missing"),
        (by_floats(*state, step, RATE, correct=(False, True)), "m is not corrected: m' is missing"),
        (
            [expected[0], mean, square],
            "Those are the corrected m' and v'; m and v are what is kept for the next step",
        ),
        (swapped, "beta1 and beta2 are swapped: m has 0.9, v has 0.999"),
        ([2 * p - expected[0], expected[1], expected[2]], "That goes uphill: p *minus* the step"),
        (
            [p - RATE * mean / (square + 1e-8), expected[1], expected[2]],
            "The root is missing: the step is divided by sqrt(v')",
        ),
        (zero, "That is the bias correction of the next step: t is `step` itself"),
        (
            [expected[0], m + (1 - 0.9) * g, v],
            "The old mean should shrink too: m = beta1 m + (1 - beta1) g",
        ),
    ]
    got = student.adam_step(*state, step, RATE)
    compare(got, expected, f"adam_step(p, g, m, v, {step}, {RATE})", meanings)


def check_the_first_step_is_as_long_as_the_rate(student):
    """The first step moves each p by the rate, however large its gradient is: m' = g, v' = g^2."""
    g = np.array([-1000, -1, -0.1, 0.1, 1, 1000], np.float32)
    expected = [-RATE * np.sign(g) / (1 + 1e-8 / np.abs(g)), 0.1 * g, 0.001 * g.astype(float) ** 2]
    uncorrected = [-RATE * np.sign(g) * 0.1 / math.sqrt(0.001), *expected[1:]]
    meanings = [(uncorrected, "That is the first step without bias correction")]
    got = student.adam_step(zeros(6), g, zeros(6), zeros(6), 1, RATE)
    compare(got, expected, "the first step, adam_step(p, g, 0, 0, 1, rate)", meanings)


def check_eps_is_outside_the_root(student):
    """Tiny gradients show that eps is added to the root, not under it."""
    state = zeros(3), np.array([1e-8, 1e-6, 1e-4], np.float32), zeros(3), zeros(3)
    expected = by_floats(*state, 1, RATE)
    meanings = [
        (by_floats(*state, 1, RATE, inside=True), "That is sqrt(v' + eps); it is sqrt(v') + eps"),
        ([np.full(3, -RATE), *expected[1:]], "That is the result without eps"),
    ]
    got = student.adam_step(*state, 1, RATE)
    compare(got, expected, "adam_step with tiny gradients", meanings)


def check_without_a_gradient_nothing_moves(student):
    """A parameter that never had a gradient does not move."""
    p = np.array([1, -2], np.float32)
    got = student.adam_step(p.copy(), zeros(2), zeros(2), zeros(2), 1, RATE)
    compare(got, [p, zeros(2), zeros(2)], "adam_step(p, 0, 0, 0, 1, rate)")


def check_many_steps_reach_the_valley(student):
    """Ten steps on (p - 3)^2, each from the results of the one before, go the right way."""
    adam_step = student.adam_step
    got, expected = ([zeros(1) for _ in range(3)] for _ in range(2))
    for step in range(1, 11):
        p, m, v = expected
        expected = by_floats(p, 2 * (p - 3), m, v, step, 0.1)
        p, m, v = got
        got = adam_step(p, 2 * (p - 3), m, v, step, 0.1)
    same(got[0], expected[0], "p after 10 steps on (p - 3)^2", 1e-4)


def check_the_arguments_stay_as_they_are(student):
    """Your function leaves p, g, m and v as they are."""
    p, g, m, v = draw()
    with untouched(p=p, g=g, m=m, v=v):
        student.adam_step(p, g, m, v, 3, RATE)
