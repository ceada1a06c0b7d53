"""What the GELUs of exercise 3 must do. The oracle is Python's math module, element by element,
and its derivatives are central differences."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same, untouched

ROOT = math.sqrt(2 / math.pi)
SHAPES = (6, 8), (3, 5), (2, 3, 4), (3, 4, 2)
TOLERANCE = 2e-6  # float32 is known to 6e-8 of each part; the constant 0.0447 errs by 1e-5


def draw(*shape):
    """x float32 of this shape, from 3 down to -5."""
    return np.linspace(3, -5, math.prod(shape), dtype=np.float32).reshape(shape)


def each(function, x):
    """The function applied to every element. -> float64 of x's shape"""
    return np.array([function(value) for value in x.ravel().tolist()]).reshape(x.shape)


def phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def bell(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def exact(x):
    return x * phi(x)


def approximate(x, factor=ROOT, cubic=0.044715, power=3):
    return 0.5 * x * (1 + math.tanh(factor * (x + cubic * x**power)))


def slope(function, step=1e-4):
    """The function's derivative, to about step^2 = 1e-8."""
    return lambda x: (function(x + step) - function(x - step)) / (2 * step)


def inner(x):
    return math.tanh(ROOT * (x + 0.044715 * x**3))


def inner_slope(x):
    return ROOT * (1 + 3 * 0.044715 * x * x)


def tanh_slope(x, du):
    """The product rule with another inner derivative."""
    t = inner(x)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du(x)


def compare_each(student, name, right, mistakes, terms):
    """Compare student.name(x) with `right` of each element, at each size. `mistakes`: [(a wrong
    function of one number, what it means)]. `terms`: {in words: a function whose multiples `right`
    is a sum of}."""

    def compare(*shape):
        x = draw(*shape)
        meanings = [(each(wrong, x), text) for wrong, text in mistakes]
        given = {words: each(term, x) for words, term in terms.items()}
        got = getattr(student, name)(x.copy())
        same(got, each(right, x), f"{name}(x)", TOLERANCE, meanings, given=given)

    at_each_size(compare, *SHAPES)


OTHER = "That is the other kind, {}: the two differ by up to 4.7e-4, and a model uses one of them"
SIGMOID = (
    "That is the sigmoid kind, x sigmoid(1.702 x), a rougher approximation that BERT does not use"
)
SILU = "That is x sigmoid(x), known as SiLU or swish"
RELU = "That is ReLU, max(x, 0)"


def check_gelu_is_x_times_the_normal_distribution(student):
    """The function gelu is x Phi(x)."""
    mistakes = [
        (approximate, OTHER.format("the tanh approximation")),
        (phi, "That is Phi(x): the factor x is missing"),
        (
            lambda x: x * 0.5 * (1 + math.erf(x)),
            "That is what erf(x) gives: Phi needs erf(x / sqrt(2))",
        ),
        (lambda x: x * math.erf(x / math.sqrt(2)), "That is x erf(x / sqrt(2)), not x Phi"),
        (
            lambda x: x * 0.5 * (1 + math.erf(x / 2)),
            "That is what erf(x / 2) gives: Phi needs erf(x / sqrt(2))",
        ),
        (
            lambda x: x * 0.5 * (1 + math.erf(x * math.sqrt(2))),
            "Phi needs erf(x / sqrt(2)); that is erf(x * sqrt(2))",
        ),
        (lambda x: x * (1 - phi(x)), "That is x times the share *above* x: Phi is 1 + erf, not -"),
        (lambda x: x * bell(x), "That is x times the bell curve; Phi is the share below x"),
        (lambda x: x * sigmoid(1.702 * x), SIGMOID),
        (lambda x: x * sigmoid(x), SILU),
        (lambda x: max(x, 0.0), RELU),
        (lambda x: x * x * phi(x), "x is a factor once; there it is squared"),
        (lambda x: x + phi(x), "x is multiplied by Phi(x), not added to it"),
        (lambda x: x if x > 0 else math.exp(x) - 1, "That is ELU, another activation"),
        (lambda x: math.log(1 + math.exp(x)), "That is softplus, another activation"),
        (math.tanh, "That is tanh itself; GELU is x Phi(x)"),
        (
            lambda x: x * 0.5 * math.erf(x / math.sqrt(2)),
            "Phi is 0.5 * (1 + erf): the 1 is missing",
        ),
        (
            lambda x: x * 0.5 * (1 + math.erf(x)) / math.sqrt(2),
            "sqrt(2) divides x inside erf, not the result",
        ),
        (
            lambda x: x * 0.5 * (1 + math.erf(x) / math.sqrt(2)),
            "sqrt(2) divides x inside erf, not the result",
        ),
        (lambda x: x * (0.5 + math.erf(x / math.sqrt(2))), "0.5 multiplies (1 + erf), not 1 alone"),
    ]
    terms = {"x": lambda x: x, "x erf(x / sqrt(2))": lambda x: x * math.erf(x / math.sqrt(2))}
    compare_each(student, "gelu", exact, mistakes, terms)


def check_its_slope_is_its_own_derivative(student):
    """The slope of gelu is its own derivative."""
    mistakes = [
        (slope(approximate), OTHER.format("the derivative of the tanh approximation")),
        (phi, "That is Phi(x): the product rule has a second term, x times Phi's derivative"),
        (lambda x: phi(x) + x * x * bell(x), "The second term has a factor x too much"),
        (lambda x: x + phi(x) * bell(x), "The product rule is x' Phi + x Phi', and x' is 1"),
        (lambda x: phi(x) + bell(x), "The second term lacks its factor x"),
        (lambda x: x * bell(x), "The first term of the product rule, Phi(x), is missing"),
        (
            lambda x: phi(x) + x * math.exp(-x * x) / math.sqrt(2 * math.pi),
            "The bell curve is exp(-x^2 / 2): the / 2 is missing",
        ),
        (
            lambda x: phi(x) + x * math.exp(-x / 2) / math.sqrt(2 * math.pi),
            "The bell curve is exp(-x^2 / 2): the square is missing",
        ),
        (
            lambda x: phi(x) + x * math.exp(x * x / 2) / math.sqrt(2 * math.pi),
            "The bell curve is exp(-x^2 / 2): the minus is missing",
        ),
        (
            lambda x: phi(x) + x * math.exp(-x * x / 2),
            "The bell curve is exp(-x^2 / 2) / sqrt(2 pi): the division by sqrt(2 pi) is missing",
        ),
        (
            lambda x: phi(x) + x * math.exp(-x * x / 2) / (2 * math.pi),
            "The bell curve is exp(-x^2 / 2) / sqrt(2 pi): the root is missing",
        ),
        (
            lambda x: phi(x) + x * math.exp(-x * x / 2) / math.sqrt(math.pi),
            "The bell curve is exp(-x^2 / 2) / sqrt(2 pi): the 2 under the root is missing",
        ),
        (
            lambda x: phi(x) + x * math.exp(-x * x / 2) / math.sqrt(2) * math.pi,
            "Parentheses: the division is by sqrt(2 pi), all of it",
        ),
        (
            lambda x: phi(x) + x * math.exp(-x * x / 2) / 2 * math.pi,
            "The bell curve is divided by sqrt(2 pi): the root, and parentheses",
        ),
        (lambda x: phi(x) - x * bell(x), "The product rule *adds* its second term"),
        (lambda x: phi(x) + x * phi(x), "The second term is x times Phi's derivative, not Phi"),
        (lambda x: phi(x) * x * bell(x), "The product rule adds its two terms"),
        (bell, "That is Phi's derivative alone; the product rule gives Phi + x Phi'"),
        (exact, "That is gelu itself, not its slope"),
        (lambda x: float(x > 0), "That is ReLU's slope"),
        (slope(lambda x: x * sigmoid(1.702 * x)), f"{SIGMOID}: its slope"),
    ]
    terms = {
        "1": lambda x: 1.0,
        "erf(x / sqrt(2))": lambda x: math.erf(x / math.sqrt(2)),
        "x exp(-x^2 / 2)": lambda x: x * math.exp(-x * x / 2),
    }
    compare_each(student, "gelu_slope", slope(exact), mistakes, terms)


def check_gelu_tanh_is_the_approximation(student):
    """The function gelu_tanh is the formula with tanh."""
    mistakes = [
        (exact, OTHER.format("the exact one")),
        (
            lambda x: approximate(x, math.sqrt(math.pi / 2)),
            "The constant is upside down: sqrt(2 / pi), not sqrt(pi / 2)",
        ),
        (lambda x: approximate(x, 2 / math.pi), "The root is missing: sqrt(2 / pi)"),
        (lambda x: approximate(x, 1.0), "The factor sqrt(2 / pi) is missing"),
        (
            lambda x: approximate(x, math.sqrt(2) / math.pi),
            "The root is that of the whole fraction: sqrt(2 / pi), not sqrt(2) / pi",
        ),
        (lambda x: approximate(x, math.sqrt(2 * math.pi)), "That is sqrt(2 pi): sqrt(2 / pi)"),
        (lambda x: approximate(x, 1 / ROOT), "The factor multiplies; that is a division by it"),
        (lambda x: approximate(x, cubic=0.44715), "0.044715 has a 0 after the point"),
        (lambda x: approximate(x, cubic=0.04715), "The constant is 0.044715, with two fours"),
        (lambda x: approximate(x, cubic=0.0044715), "0.044715 has a single 0 after the point"),
        (lambda x: approximate(x, power=2), "x is cubed, not squared"),
        (
            lambda x: 0.5 * x * (1 + math.tanh(ROOT * (x + 0.044715 * x) ** 3)),
            "Only the second x is cubed, x + 0.044715 x^3: parentheses",
        ),
        (lambda x: approximate(x, 0.8), "sqrt(2 / pi) is not quite 0.8: math.sqrt(2 / math.pi)"),
        *(
            (lambda x, short=short: approximate(x, short), "Too few digits: math.sqrt(2 / math.pi)")
            for short in (0.798, 0.7979)
        ),
        *(
            (lambda x, short=short: approximate(x, cubic=short), "The constant is 0.044715")
            for short in (0.045, 0.0447, 0.04471, 0.04472)
        ),
        (lambda x: approximate(x, power=4), "x is cubed, not to the fourth"),
        (
            lambda x: x * sigmoid(ROOT * (x + 0.044715 * x**3)),
            "That has a sigmoid: the formula has 0.5 * (1 + tanh(u))",
        ),
        (
            lambda x: 0.5 * x * (1 + math.erf(ROOT * (x + 0.044715 * x**3))),
            "That has erf; the approximation has tanh",
        ),
        (lambda x: approximate(x, cubic=0.0), "The cubic term, 0.044715 x^3, is missing"),
        (lambda x: approximate(x, cubic=-0.044715), "The cubic term is added, not subtracted"),
        (
            lambda x: 0.5 * x * (1 + math.tanh(ROOT * x + 0.044715 * x**3)),
            "sqrt(2 / pi) multiplies both terms, x + 0.044715 x^3: parentheses are missing",
        ),
        (
            lambda x: 0.5 * x * (1 + math.tanh(ROOT * (x + 0.044715) * x**3)),
            "0.044715 multiplies x^3 before x is added: the parentheses are elsewhere",
        ),
        (
            lambda x: 0.5 * x * (1 + math.tanh(ROOT * (x + (0.044715 * x) ** 3))),
            "Only x is cubed, not 0.044715",
        ),
        (lambda x: 0.5 * (1 + inner(x)), "The factor x is missing"),
        (lambda x: 0.5 * x * inner(x), "It is 1 + tanh: the 1 is missing"),
        (lambda x: 0.5 * x * (1 - inner(x)), "It is 1 + tanh, not 1 - tanh"),
        (lambda x: 0.5 * x + inner(x), "0.5 x multiplies (1 + tanh)"),
        (lambda x: x * sigmoid(1.702 * x), SIGMOID),
        (lambda x: x * sigmoid(x), SILU),
        (lambda x: max(x, 0.0), RELU),
    ]
    terms = {"x": lambda x: x, "x tanh(u)": lambda x: x * inner(x)}
    compare_each(student, "gelu_tanh", approximate, mistakes, terms)


def check_its_slope_is_its_own_derivative_too(student):
    """The slope of gelu_tanh is its own derivative, not that of gelu."""
    mistakes = [
        (slope(exact), OTHER.format("the derivative of the exact one")),
        (
            lambda x: tanh_slope(x, lambda x: 1.0),
            "The chain rule is missing: tanh(u)' is (1 - tanh(u)^2) du/dx",
        ),
        (
            lambda x: tanh_slope(x, lambda x: ROOT),
            "du/dx lacks the part from the cubic term: (x^3)' = 3 x^2",
        ),
        (
            lambda x: tanh_slope(x, lambda x: ROOT * (1 + 0.044715 * x * x)),
            "du/dx lacks a factor: (x^3)' = 3 x^2",
        ),
        (
            lambda x: tanh_slope(x, lambda x: ROOT * (1 + 3 * 0.044715 * x)),
            "du/dx lacks a square: (x^3)' = 3 x^2",
        ),
        (
            lambda x: tanh_slope(x, lambda x: ROOT * (x + 3 * 0.044715 * x * x)),
            "du/dx begins with 1, the derivative of x, not with x",
        ),
        (
            lambda x: tanh_slope(x, lambda x: 1 + 3 * 0.044715 * x * x),
            "du/dx lacks the factor sqrt(2 / pi)",
        ),
        (
            lambda x: tanh_slope(x, lambda x: ROOT + 3 * 0.044715 * x * x),
            "sqrt(2 / pi) multiplies both terms of du/dx",
        ),
        (
            lambda x: 0.5 * (1 + inner(x)),
            "The product rule has a second term, 0.5 x tanh(u)'",
        ),
        (
            lambda x: 0.5 * x * (1 - inner(x) ** 2) * inner_slope(x),
            "The first term of the product rule, 0.5 (1 + tanh(u)), is missing",
        ),
        (
            lambda x: 0.5 * (1 + inner(x)) + 0.5 * (1 - inner(x) ** 2) * inner_slope(x),
            "The second term lacks its factor x",
        ),
        (
            lambda x: 0.5 * (1 + inner(x)) + x * (1 - inner(x) ** 2) * inner_slope(x),
            "The second term lacks its factor 0.5",
        ),
        (
            lambda x: 0.5 * (1 + inner(x)) - 0.5 * x * (1 - inner(x) ** 2) * inner_slope(x),
            "The product rule *adds* its second term",
        ),
        (
            lambda x: 0.5 * (1 + inner(x)) + 0.5 * x * (1 - inner(x)) * inner_slope(x),
            "tanh(u)' is 1 - tanh(u)^2: the square is missing",
        ),
        (
            lambda x: 0.5 * (1 + inner(x)) + 0.5 * x * (1 - inner(x)) ** 2 * inner_slope(x),
            "tanh(u)' is 1 - tanh(u)^2, not (1 - tanh(u))^2",
        ),
        (
            lambda x: 0.5 * (1 + inner(x)) + 0.5 * x * (1 + inner(x) ** 2) * inner_slope(x),
            "tanh(u)' is 1 - tanh(u)^2, not 1 +",
        ),
        (
            lambda x: 0.5 * inner(x) + 0.5 * x * (1 - inner(x) ** 2) * inner_slope(x),
            "The first term is 0.5 (1 + tanh(u)): the 1 is missing",
        ),
        (approximate, "That is gelu_tanh itself, not its slope"),
    ]
    terms = {
        "1": lambda x: 1.0,
        "tanh(u)": inner,
        "x (1 - tanh(u)^2)": lambda x: x * (1 - inner(x) ** 2),
        "x^3 (1 - tanh(u)^2)": lambda x: x**3 * (1 - inner(x) ** 2),
    }
    compare_each(student, "gelu_tanh_slope", slope(approximate), mistakes, terms)


def check_far_out_it_is_x_or_0(student):
    """Far from 0, both kinds are x on the right and 0 on the left, with slopes 1 and 0."""

    def compare(*far):
        x = np.array(far, np.float32)
        for name in ("gelu", "gelu_tanh"):
            expected = np.maximum(x, 0).astype(float)
            same(getattr(student, name)(x.copy()), expected, f"{name} far from 0", given={})
        for name in ("gelu_slope", "gelu_tanh_slope"):
            expected = (x > 0).astype(float)
            same(getattr(student, name)(x.copy()), expected, f"{name} far from 0", given={})

    at_each_size(compare, (-1000, -30, 30, 1000), (-500, 50, 200))


def check_x_stays_as_it_is(student):
    """Your functions leave x as it is."""
    rights = (exact, slope(exact), approximate, slope(approximate))
    names = ("gelu", "gelu_slope", "gelu_tanh", "gelu_tanh_slope")
    for shape in SHAPES:
        x = draw(*shape)
        for name, right in zip(names, rights, strict=True):
            with untouched(x=x):
                got = getattr(student, name)(x)
            same(got, each(right, draw(*shape)), f"{name}(x)", given={})
