"""What the adapter of exercise 9 must do. The oracle is loops in Python floats."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same, untouched

SIZES = (3, 6, 2, 1e-12), (4, 5, 3, 0.5)  # (N, d, m, eps)
NORM_UNUSED = "norm's weight and bias are missing: LayerNorm ends with * weight + bias"
CALL, END = "bottleneck(adapter, z)", "sublayer_end(adapter, x, z, norm, eps)"


def draw(n, d, m):
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


def layer_norm(x, norm, eps):
    """Each row normalised to mean 0 and variance 1, then gain and bias. -> float64"""
    x = x.astype(np.float64)
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt(x.var(1, keepdims=True) + eps) * norm["weight"] + norm["bias"]


def zeros_like(adapter):
    return {
        name: {key: np.zeros_like(array) for key, array in part.items()}
        for name, part in adapter.items()
    }


def without_biases(adapter, names=("down", "up")):
    return {
        name: {"weight": part["weight"], "bias": part["bias"] * np.float32(name not in names)}
        for name, part in adapter.items()
    }


def mistakes(adapter, z):
    """[(wrong result, what it means)]"""
    down, up = adapter["down"], adapter["up"]
    rest = by_loops(adapter, z, skip=0.0)
    inner = z.astype(np.float64) @ down["weight"]  # [N, m], without its bias
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
        (
            by_loops(without_biases(adapter, ["down"]), z),
            "The bias of the down map, b_down, is missing",
        ),
        (
            by_loops(without_biases(adapter, ["up"]), z),
            "The bias of the up map, b_up, is missing",
        ),
        (
            f_of_all(by_loops(adapter, z, skip=0.0), z),
            "f belongs between the two maps; there it is after the second, too",
        ),
        (
            f_of_all(by_loops(adapter, z, lambda x: x, skip=0.0), z),
            "f belongs between the two maps; there it is after the second",
        ),
        (
            f_of_all(by_loops(adapter, z), 0 * z),
            "f belongs between the two maps; there it is around everything",
        ),
        (by_loops(adapter, z, skip=2.0), "z is added twice; once is right"),
        (by_loops(adapter, z, skip=-1.0), "z is added, not subtracted"),
        (2 * z - by_loops(adapter, z), "The rest is added to z, not subtracted"),
        (by_loops(adapter, z, math.tanh), "That is tanh; the adapter's f is GELU"),
        (by_loops(adapter, z, lambda x: 1 / (1 + math.exp(-x))), "That is a sigmoid; f is GELU"),
        (
            by_loops(adapter, z, lambda x: x / (1 + math.exp(-x))),
            "That is SiLU; the adapter's f is GELU, of the tanh kind",
        ),
        (
            by_loops(adapter, z, lambda x: x / (1 + math.exp(-1.702 * x))),
            "That is the sigmoid kind of GELU; the adapter's is the tanh kind",
        ),
        (z, "That is z alone: the adapter has no effect"),
        (z * (1 + rest), "The rest is added to z, not multiplied with it"),
        (z * rest, "The rest is added to z, not multiplied with it"),
        (
            by_loops({**adapter, "up": {**up, "weight": down["weight"].T}}, z),
            'That goes up by the down map, transposed: the up map has its own weight, up["weight"]',
        ),
        (
            by_loops({**adapter, "down": {**down, "weight": up["weight"].T}}, z),
            "That goes down by the up map, transposed: the down map has its own weight, "
            'down["weight"]',
        ),
        (
            by_loops({**adapter, "down": {**down, "bias": -down["bias"]}}, z),
            "b_down is added, not subtracted",
        ),
        (
            z + (rest - up["bias"]) * up["bias"],
            "b_up is added, not multiplied with what comes up",
        ),
        (
            z + f_of_all(inner, down["bias"]) @ up["weight"] + up["bias"],
            "b_down is added before f, inside it",
        ),
    ]


def f_of_all(x, more):
    """f of every number, and `more`."""
    return np.vectorize(gelu_tanh)(x) + more


def check_the_adapter_is_that_of_the_equation(student):
    """A(z) is as in the equation."""

    def compare(n, d, m, eps):
        adapter, _, z, _ = draw(n, d, m)
        expected, meanings = by_loops(adapter, z), mistakes(adapter, z)
        inner = by_loops(without_biases(adapter, ["up"]), z, skip=0.0)
        terms = {"z": z, "f(z W_down + b_down) W_up": inner, "b_up": adapter["up"]["bias"]}
        given = {"d": d, "m": m, **terms}
        same(student.bottleneck(adapter, z), expected, CALL, meanings=meanings, given=given)

    at_each_size(compare, *SIZES)


def check_an_adapter_of_zeros_is_the_identity(student):
    """With all weights and biases 0, only the skip connection is left, and A(z) is z."""

    def compare(n, d, m):
        adapter, _, z, _ = draw(n, d, m)
        same(
            student.bottleneck(zeros_like(adapter), z.copy()),
            z,
            f"{CALL} of zeros",
            0.0,
            given={"z": z},
        )

    at_each_size(compare, (2, 5, 3), (4, 3, 2))


def check_the_sublayer_ends_with_adapter_skip_and_norm(student):
    """The adapter comes first, then the layer's skip connection, then LayerNorm."""

    def compare(n, d, m, eps):
        adapter, x, z, norm = draw(n, d, m)

        def adapt(y):
            return by_loops(adapter, y)

        def normed(y):
            return layer_norm(y, norm, eps)

        meanings = [
            (
                adapt(normed(x + z)),
                "That is the adapter after LayerNorm; it belongs before: LayerNorm(x + A(z))",
            ),
            (
                normed(adapt(x + z)),
                "That is the adapter after the layer's skip connection, A(x + z); it takes z alone",
            ),
            (normed(adapt(z)), "The layer's skip connection is missing: x + A(z)"),
            (
                normed(x + z + adapt(z)),
                "That adds z twice: A(z) already has its own skip connection",
            ),
            (normed(x + z), "That is the layer without the adapter"),
            (x + adapt(z), "LayerNorm is missing"),
            (normed(adapt(x) + z), "That is A(x) + z: the adapter takes the output, z"),
            (normed(adapt(x)), "That is A(x) alone: the adapter takes the output, z"),
            (normed(x + adapt(x)), "That is x + A(x): the adapter takes the output, z"),
            (x + normed(adapt(z)), "The layer's skip connection comes before LayerNorm, inside it"),
            (
                normed(x + adapt(normed(z))),
                "There is no LayerNorm before the adapter, only one at the end",
            ),
            (
                adapt(normed(x + adapt(z))),
                "The adapter comes once, before the layer's skip connection",
            ),
            (
                normed(x + normed(adapt(z))),
                "There is a single LayerNorm, after the layer's skip connection",
            ),
            (normed(x + adapt(adapt(z))), "The adapter is applied twice"),
            (normed(2 * x + adapt(z)), "x is added twice"),
            (
                layer_norm((x + adapt(z)).T, {"weight": 1, "bias": 0}, eps).T * norm["weight"]
                + norm["bias"],
                "That normalises over the tokens; each token, one row, is normalised on its own",
            ),
            (normed(x * adapt(z)), "A(z) is added to x, not multiplied"),
            (normed(x - adapt(z)), "A(z) is added to x, not subtracted"),
            (
                normed(x + by_loops(adapter, z, skip=0.0)),
                "The adapter's own skip connection is missing: A(z) is z plus the rest",
            ),
            (
                layer_norm(x + adapt(z), {"weight": norm["bias"], "bias": norm["weight"]}, eps),
                'norm["weight"] and norm["bias"] are swapped',
            ),
            (layer_norm(x + adapt(z), {"weight": 1, "bias": 0}, eps), NORM_UNUSED),
            (
                layer_norm(x + adapt(z), norm, 1e-12) if eps != 1e-12 else None,
                "That has eps = 1e-12; use the argument",
            ),
        ]
        expected = normed(x + adapt(z))
        got = student.sublayer_end(adapter, x, z, norm, eps)
        given = {"d": d, "m": m, "x": x, "z": z, 'norm["bias"]': norm["bias"]}
        same(got, expected, END, meanings=meanings, given=given)

    at_each_size(compare, *SIZES)


def check_small_numbers_are_normalised_as_any_others(student):
    """A variance of 1e-10 is far above an eps of 1e-12: nothing else is added to it."""

    def compare(n, d, m, eps):
        adapter, x, z, norm = draw(n, d, m)
        x, z = (array * np.float32(1e-5) for array in (x, z))
        meanings = [
            (layer_norm(x + z, norm, more), f"That is with an eps of {more:g}: it is an argument")
            for more in (1e-5, 1e-6, 1e-8)
        ]
        expected = layer_norm(x + z, norm, eps)
        got = student.sublayer_end(zeros_like(adapter), x, z, norm, eps)
        same(got, expected, f"{END} of small numbers", meanings=meanings)

    at_each_size(compare, (3, 6, 2, 1e-12), (4, 5, 3, 1e-11))


def check_the_arguments_stay_as_they_are(student):
    """Your functions leave the adapter, x, z and norm as they are."""
    for n, d, m, eps in SIZES:
        adapter, x, z, norm = draw(n, d, m)
        adapted = by_loops(adapter, z)
        ended = layer_norm(x + adapted, norm, eps)
        with untouched(adapter=adapter, x=x, z=z, norm=norm):
            got = student.bottleneck(adapter, z)
            end = student.sublayer_end(adapter, x, z, norm, eps)
        same(got, adapted, CALL)
        same(end, ended, END)
