"""What the adapter of exercise 9 must do. The oracle is loops in Python floats."""

import math

import numpy as np

from adapters.exercises.assertions import same, untouched

EPS = 1e-12
CALL, END = "bottleneck(adapter, z)", "sublayer_end(adapter, x, z, norm, eps)"


def draw(n=3, d=6, m=2):
    """(adapter, x, z, norm), all float32, from a fixed seed."""
    rng = np.random.default_rng(d)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    adapter = {
        "down": {"weight": normal(d, m), "bias": normal(m)},
        "up": {"weight": normal(m, d), "bias": normal(d)},
    }
    return adapter, normal(n, d), normal(n, d), {"weight": normal(d), "bias": normal(d)}


def gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x):
    return 0.5 * x * math.erfc(-x / math.sqrt(2))


def linear(row, weight, bias):
    """One token's row through a linear map, in Python floats."""
    weight, bias = weight.astype(np.float64).tolist(), bias.astype(np.float64).tolist()
    return [
        sum(value * weight[i][o] for i, value in enumerate(row)) + bias[o] for o in range(len(bias))
    ]


def by_loops(adapter, z, f=gelu_tanh, skip=1.0):
    """z + f(z W_down + b_down) W_up + b_up, token by token. -> [N, d] float64"""
    down, up = adapter["down"], adapter["up"]
    out = []
    for row in z.astype(np.float64).tolist():
        inner = [f(value) for value in linear(row, down["weight"], down["bias"])]
        back = linear(inner, up["weight"], up["bias"])
        out.append([skip * a + b for a, b in zip(row, back, strict=True)])
    return np.array(out)


def layer_norm(x, norm):
    """Each row normalised to mean 0 and variance 1, then gain and bias. -> float64"""
    x = x.astype(np.float64)
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt(x.var(1, keepdims=True) + EPS) * norm["weight"] + norm["bias"]


def without_biases(adapter):
    return {
        name: {"weight": part["weight"], "bias": np.zeros_like(part["bias"])}
        for name, part in adapter.items()
    }


def mistakes(adapter, z):
    """[(wrong result, what it means)]"""
    return [
        (
            by_loops(adapter, z, skip=0.0),
            "The adapter's own skip connection is missing: A(z) is z plus the rest",
        ),
        (by_loops(adapter, z, lambda x: x), "The activation f between the two maps is missing"),
        (
            by_loops(adapter, z, gelu),
            "That is the exact GELU, with erf; the adapter's is the tanh kind",
        ),
        (by_loops(adapter, z, lambda x: max(x, 0.0)), "That is ReLU; the adapter's f is GELU"),
        (by_loops(without_biases(adapter), z), "Both biases are missing"),
    ]


def check_the_adapter_is_that_of_the_equation(student):
    """A(z) is as in the equation."""
    adapter, _, z, _ = draw()
    expected, meanings = by_loops(adapter, z), mistakes(adapter, z)
    same(student.bottleneck(adapter, z), expected, CALL, meanings=meanings)


def check_an_adapter_of_zeros_is_the_identity(student):
    """With all weights and biases 0, only the skip connection is left, and A(z) is z."""
    adapter, _, z, _ = draw(n=2, d=5, m=3)
    zeros = {
        name: {key: np.zeros_like(array) for key, array in part.items()}
        for name, part in adapter.items()
    }
    same(student.bottleneck(zeros, z.copy()), z, f"{CALL} of zeros", 0.0)


def check_the_sublayer_ends_with_adapter_skip_and_norm(student):
    """The adapter comes first, then the layer's skip connection, then LayerNorm."""
    adapter, x, z, norm = draw()

    def adapt(y):
        return by_loops(adapter, y)

    meanings = [
        (
            adapt(layer_norm(x + z, norm)),
            "That is the adapter after LayerNorm; it belongs before: LayerNorm(x + A(z))",
        ),
        (
            layer_norm(adapt(x + z), norm),
            "That is the adapter after the layer's skip connection, A(x + z); it takes z alone",
        ),
        (layer_norm(adapt(z), norm), "The layer's skip connection is missing: x + A(z)"),
        (
            layer_norm(x + z + adapt(z), norm),
            "That adds z twice: A(z) already has its own skip connection",
        ),
        (layer_norm(x + z, norm), "That is the layer without the adapter"),
        (x + adapt(z), "LayerNorm is missing"),
        (layer_norm(adapt(x) + z, norm), "That is A(x) + z: the adapter takes the output, z"),
    ]
    expected = layer_norm(x + adapt(z), norm)
    same(student.sublayer_end(adapter, x, z, norm, EPS), expected, END, meanings=meanings)


def check_the_arguments_stay_as_they_are(student):
    """Your functions leave the adapter, x, z and norm as they are."""
    adapter, x, z, norm = draw()
    with untouched(adapter=adapter, x=x, z=z, norm=norm):
        student.bottleneck(adapter, z)
        student.sublayer_end(adapter, x, z, norm, EPS)
