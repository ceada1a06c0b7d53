"""What the GELUs of exercise 3 must do. The oracle is Python's math module, element by element,
and its derivatives are central differences."""

import math

import numpy as np

from adapters.exercises.assertions import same, untouched

ROOT = math.sqrt(2 / math.pi)
X = np.linspace(3, -5, 48, dtype=np.float32).reshape(6, 8)


def each(function, x=X):
    """The function applied to every element. -> float64 of x's shape"""
    return np.array([function(value) for value in x.ravel().tolist()]).reshape(x.shape)


def phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def exact(x):
    return x * phi(x)


def approximate(x, factor=ROOT, cubic=0.044715, power=3):
    return 0.5 * x * (1 + math.tanh(factor * (x + cubic * x**power)))


def slope(function, step=1e-4):
    """The function's derivative, to about step^2 = 1e-8."""
    return lambda x: (function(x + step) - function(x - step)) / (2 * step)


def tanh_slope(x, du):
    """The product rule with another inner derivative."""
    t = math.tanh(ROOT * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du(x)


OTHER = "That is the other kind, {}: the two differ by up to 4.7e-4, and a model uses one of them"


def check_gelu_is_x_times_the_normal_distribution(student):
    """The function gelu is x Phi(x)."""
    meanings = [
        (each(approximate), OTHER.format("the tanh approximation")),
        (each(phi), "That is Phi(x): the factor x is missing"),
        (
            each(lambda x: x * 0.5 * (1 + math.erf(x))),
            "That is what erf(x) gives: Phi needs erf(x / sqrt(2))",
        ),
        (each(lambda x: x * math.erf(x / math.sqrt(2))), "That is x erf(x / sqrt(2)), not x Phi"),
    ]
    same(student.gelu(X.copy()), each(exact), "gelu(x)", meanings=meanings)


def check_its_slope_is_its_own_derivative(student):
    """The slope of gelu is its own derivative."""

    def bell(x):
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    meanings = [
        (each(slope(approximate)), OTHER.format("the derivative of the tanh approximation")),
        (each(phi), "That is Phi(x): the product rule has a second term, x times Phi's derivative"),
        (each(lambda x: phi(x) + bell(x)), "The second term lacks its factor x"),
        (each(lambda x: x * bell(x)), "The first term of the product rule, Phi(x), is missing"),
        (
            each(lambda x: phi(x) + x * math.exp(-x * x) / math.sqrt(2 * math.pi)),
            "The bell curve is exp(-x^2 / 2): the / 2 is missing",
        ),
    ]
    same(student.gelu_slope(X.copy()), each(slope(exact)), "gelu_slope(x)", meanings=meanings)


def check_gelu_tanh_is_the_approximation(student):
    """The function gelu_tanh is the formula with tanh."""
    meanings = [
        (each(exact), OTHER.format("the exact one")),
        (
            each(lambda x: approximate(x, math.sqrt(math.pi / 2))),
            "The constant is upside down: sqrt(2 / pi), not sqrt(pi / 2)",
        ),
        (each(lambda x: approximate(x, 2 / math.pi)), "The root is missing: sqrt(2 / pi)"),
        (each(lambda x: approximate(x, 1.0)), "The factor sqrt(2 / pi) is missing"),
        (each(lambda x: approximate(x, cubic=0.44715)), "0.044715 has a 0 after the point"),
        (each(lambda x: approximate(x, power=2)), "x is cubed, not squared"),
    ]
    same(student.gelu_tanh(X.copy()), each(approximate), "gelu_tanh(x)", meanings=meanings)


def check_its_slope_is_its_own_derivative_too(student):
    """The slope of gelu_tanh is its own derivative, not that of gelu."""
    meanings = [
        (each(slope(exact)), OTHER.format("the derivative of the exact one")),
        (
            each(lambda x: tanh_slope(x, lambda x: 1.0)),
            "The chain rule is missing: tanh(u)' is (1 - tanh(u)^2) du/dx",
        ),
        (
            each(lambda x: tanh_slope(x, lambda x: ROOT)),
            "du/dx lacks the part from the cubic term: (x^3)' = 3 x^2",
        ),
        (
            each(lambda x: tanh_slope(x, lambda x: ROOT * (1 + 0.044715 * x * x))),
            "du/dx lacks a factor: (x^3)' = 3 x^2",
        ),
        (
            each(lambda x: tanh_slope(x, lambda x: 1 + 3 * 0.044715 * x * x)),
            "du/dx lacks the factor sqrt(2 / pi)",
        ),
    ]
    expected = each(slope(approximate))
    same(student.gelu_tanh_slope(X.copy()), expected, "gelu_tanh_slope(x)", meanings=meanings)


def check_far_out_it_is_x_or_0(student):
    """Far from 0, both kinds are x on the right and 0 on the left, with slopes 1 and 0."""
    x = np.array([-1000, -30, 30, 1000], np.float32)
    for name in ("gelu", "gelu_tanh"):
        expected = np.maximum(x, 0).astype(float)
        same(getattr(student, name)(x.copy()), expected, f"{name} far from 0")
    for name in ("gelu_slope", "gelu_tanh_slope"):
        same(getattr(student, name)(x.copy()), (x > 0).astype(float), f"{name} far from 0")


def check_x_stays_as_it_is(student):
    """Your functions leave x as it is."""
    x = X.copy()
    with untouched(x=x):
        for name in ("gelu", "gelu_slope", "gelu_tanh", "gelu_tanh_slope"):
            getattr(student, name)(x)
