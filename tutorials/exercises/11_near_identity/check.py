"""What a fresh adapter of exercise 11 must be. The oracle is the truncated normal distribution in
closed form: what share of its numbers lies in which interval."""

import math
from itertools import pairwise

import numpy as np

from adapters.exercises.assertions import Wrong, at_each_size, same

# (seed, d, m, std); 30,000 numbers in a weight: shares are known to 0.3 %, and the standard
# deviation of all four together to 0.0015 std
CASES = (0, 200, 150, 0.01), (3, 120, 260, 0.05)


def phi(x):
    """The share of a standard normal distribution below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def zeroed(got):
    """The same dicts with zeros in the arrays, to check only shapes and dtypes."""
    if isinstance(got, dict):
        return {key: zeroed(value) for key, value in got.items()}
    return np.zeros_like(got) if isinstance(got, np.ndarray) else got


def call(seed, d, m, std):
    return f"init_adapter({seed}, {d}, {m}, {std})"


def weights(student, *case):
    """A fresh adapter's weights: [(name, weight in units of std, float64)]."""
    adapter, std = student.init_adapter(*case), case[-1]
    named = [
        (f"{call(*case)}[{n!r}]['weight']", adapter[n]["weight"].astype(float) / std)
        for n in ("down", "up")
    ]
    for what, weight in named:  # nan is never beyond a limit
        if not np.isfinite(weight).all():
            raise Wrong(f"{what} has numbers that are not finite")
    return named


def check_an_adapter_has_its_four_arrays_and_zero_biases(student):
    """The four arrays have their shapes and dtype, and the biases are 0."""

    def compare(seed, d, m, std):
        got = student.init_adapter(seed, d, m, std)
        empty = {
            "down": {"weight": np.zeros((d, m)), "bias": np.zeros(m)},
            "up": {"weight": np.zeros((m, d)), "bias": np.zeros(d)},
        }
        turned = {name: {"weight": part["weight"].T, "bias": None} for name, part in empty.items()}
        meanings = [(turned, "Rows and columns are swapped: down is [d, m], up is [m, d]")]
        given = {"d": d, "m": m}
        same(zeroed(got), empty, call(seed, d, m, std), meanings=meanings, given=given)
        for name in ("down", "up"):
            what = f"{call(seed, d, m, std)}[{name!r}]['bias']"
            ones = [(np.ones_like(empty[name]["bias"]), "Those are ones; a bias starts at 0")]
            same(got[name]["bias"], empty[name]["bias"], what, 0.0, ones)

    at_each_size(compare, *CASES)


def check_nothing_lies_beyond_two_std(student):
    """No weight is further from 0 than two std, and none was clipped there."""
    for what, weight, scale in (
        (*pair, case[-1]) for case in CASES for pair in weights(student, *case)
    ):
        size = np.abs(weight)
        if abs(mean := float(np.mean(weight))) > 0.5 and np.max(size) < 4:
            raise Wrong(f"{what} has a mean of {mean:.3g} std; the distribution's mean is 0")
        largest, beyond = size.max(), int(np.sum(size > 2.0001))
        if not largest <= 2.0001:  # not <=: nan too
            if abs(largest * scale - 2) < 1e-3:
                raise Wrong(
                    f"{what} has {beyond:,} of {size.size:,} numbers beyond two std, the largest "
                    f"at {largest:.2f} std: the factor std is missing"
                )
            if abs(largest * math.sqrt(scale) - 2) < 0.01:
                raise Wrong(
                    f"{what} has {beyond:,} of {size.size:,} numbers beyond two std, the largest "
                    f"at {largest:.2f} std: std is the standard deviation itself, not its root"
                )
            if abs(largest * 0.8796 - 2) < 0.01:
                raise Wrong(
                    f"{what} has {beyond:,} of {size.size:,} numbers beyond two std, the largest "
                    f"at {largest:.2f} std: truncated, the numbers have a standard deviation of "
                    "0.88 std. Leave it so, without scaling it up again"
                )
            raise Wrong(
                f"{what} has {beyond:,} of {size.size:,} numbers beyond two std, the largest at "
                f"{largest:.2f} std. An untruncated normal distribution has 4.6 % of them there: "
                "draw those again, and again, until none is left"
            )
        edge = int(np.sum(size > 1.9999))
        if edge > 30:  # 0.001 % of them are to be expected, so less than one
            raise Wrong(
                f"{what} has {edge:,} of {size.size:,} numbers exactly at two std: that is "
                "clipping. To truncate, draw what lies beyond again"
            )


def check_the_rest_is_normal(student):
    """The weights have the standard deviation and the bell shape that truncation leaves."""
    edges = np.linspace(-2, 2, 9)
    inside = phi(2) - phi(-2)
    shares = [(phi(b) - phi(a)) / inside for a, b in pairwise(edges)]
    for what, weight, scale in (
        (*pair, case[-1]) for case in CASES for pair in weights(student, *case)
    ):
        if 30 < np.sum(weight == 0) < weight.size:
            raise Wrong(
                f"{what} has {int(np.sum(weight == 0)):,} zeros: what lies beyond two std is drawn "
                "again, not replaced by 0"
            )
        std, mean = float(np.std(weight)), float(np.mean(weight))
        if abs(mean) > 0.05:  # known to 0.005
            raise Wrong(f"{what} has a mean of {mean:.3g} std; the distribution's mean is 0")
        if abs(std - 0.8796) > 0.02:  # known to 0.004
            why = ". The paper draws both weights" if std == 0 else ""
            if abs(std - 2 / math.sqrt(3)) < 0.02:
                why = ". That is what a uniform distribution has"
            elif abs(std / scale - 0.8796) < 0.1 or abs(std * math.sqrt(scale) - 0.8796) < 0.1:
                why = ". std is the standard deviation, not the variance"
            elif abs(std * scale - 0.8796) < 0.02:
                why = ". The factor std is missing"
            elif abs(std - 1) < 0.02:
                why = ". It was scaled up again to a standard deviation of std: leave it as it is"
            raise Wrong(
                f"{what} has a standard deviation of {std:.3g} std; a normal distribution "
                f"truncated at two std has 0.88 std{why}"
            )
        found = np.histogram(weight, edges)[0] / weight.size
        worst = int(np.argmax(np.abs(found - shares)))
        if abs(found[worst] - shares[worst]) > 0.015:
            raise Wrong(
                f"{what} has {100 * found[worst]:.1f} % of its numbers from {edges[worst]:g} to "
                f"{edges[worst + 1]:g} std, but a truncated normal distribution has "
                f"{100 * shares[worst]:.1f} % there"
            )


def check_what_is_drawn_again_is_normal_too(student):
    """What lies beyond two std, and nothing else, is drawn again from the same distribution."""
    every = [weight.ravel() for case in CASES for _, weight in weights(student, *case)]
    std, largest = float(np.std(np.concatenate(every))), min(np.abs(w).max() for w in every)
    if largest < 1.99:  # 34 of 30,000 numbers are to be expected beyond: a chance of 1e-15
        raise Wrong(
            f"a weight has no number beyond {largest:.2f} std: the limit is two std, and std is "
            "the standard deviation before truncation"
        )
    if abs(std - 0.8796) > 0.0075:
        raise Wrong(
            f"all weights together have a standard deviation of {std:.3f} std; a normal "
            "distribution truncated at two std has 0.880. Is what was beyond drawn again from "
            "the normal distribution, until it is not?"
        )


def check_each_number_is_drawn_on_its_own(student):
    """No row or column of a weight has larger numbers than another: they are not in order."""
    for case in CASES:
        for what, weight in weights(student, *case):
            for axis, line in enumerate(("columns", "rows")):
                means = weight.mean(axis=axis)
                # the mean of n numbers of size 0.88 is 0 to 0.88 / sqrt(n)
                if np.std(means) > 2 * 0.88 / math.sqrt(weight.shape[axis]):
                    raise Wrong(
                        f"{what}: the means of its {line} differ by more than chance. Each number "
                        "is drawn on its own; they are not sorted, and no row or column repeats"
                    )


def check_the_two_weights_are_drawn_apart(student):
    """The two weights are drawn separately, from one generator."""
    for case in CASES:
        (_, down), (_, up) = weights(student, *case)
        if np.array_equal(*(np.sort(np.abs(weight), axis=None) for weight in (down, up))):
            raise Wrong(
                f"{call(*case)}: both weights hold the same numbers. Make one generator, and draw "
                "both from it, one after the other"
            )


def check_the_seed_decides(student):
    """The same seed gives the same numbers, and another seed gives others."""
    for seed, *case in CASES:
        first, again, other = (
            [weight.ravel() for _, weight in weights(student, number, *case)]
            for number in (seed, seed, seed + 1)
        )
        for name, one, same_seed, next_seed in zip(
            ("down", "up"), first, again, other, strict=True
        ):
            if not np.array_equal(one, same_seed):
                raise Wrong(
                    f"{call(seed, *case)} gives different numbers the second time in {name}: draw "
                    "all of them from np.random.default_rng(seed)"
                )
            if np.array_equal(one, next_seed):
                raise Wrong(
                    f"init_adapter gives the same numbers for seeds {seed} and {seed + 1} in {name}"
                )
        if np.array_equal(first[1], other[0]):
            raise Wrong(
                f"up with seed {seed} has the numbers of down with seed {seed + 1}: make one "
                "generator, np.random.default_rng(seed), and draw both weights from it"
            )


def check_the_bound_is_that_of_two_projections(student):
    """The bound is (2 std)^2 m d |z|."""
    for z_norm, d, m, std in ((3.0, 7, 2, 0.3), (10.0, 5, 3, 0.2)):
        meanings = [
            (
                2 * std * math.sqrt(m * d) * z_norm,
                "That is the bound after one of the two weights; z goes through both",
            ),
            (std**2 * m * d * z_norm, "The largest weight is 2 std, not std"),
            (2 * std**2 * m * d * z_norm, "(2 std)^2 is 4 std^2"),
            (2 * std * m * d * z_norm, "2 std is squared: there are two weights"),
            ((2 * std) ** 2 * math.sqrt(m * d) * z_norm, "Each weight has its sqrt(m d)"),
            ((2 * std) ** 2 * m * d, "The bound grows with z: the factor z_norm is missing"),
            (z_norm + (2 * std) ** 2 * m * d * z_norm, "That bounds |A(z)|, not |A(z) - z|"),
            ((2 * std) ** 2 * (m + d) * z_norm, "Each weight has m times d numbers, not m + d"),
            ((2 * std) ** 2 * (m * d) ** 2 * z_norm, "sqrt(m d) twice is m d, not its square"),
            ((2 * std) ** 2 * m * d * z_norm**2, "|z| counts once"),
            ((2 * std) ** 2 * m * d * math.sqrt(z_norm), "|z| counts as it is, without a root"),
            ((4 * std) ** 2 * m * d * z_norm, "(2 std)^2 is 4 std^2; that is 16 std^2"),
            ((2 * std) ** 2 * m * d / z_norm, "|z| multiplies; that is a division by it"),
            ((2 * std) ** 2 * m * m * z_norm, "Each weight has m times d numbers, not m times m"),
            ((2 * std) ** 2 * d * d * z_norm, "Each weight has m times d numbers, not d times d"),
            ((2 * std) ** 2 * d * z_norm, "The factor m is missing"),
            ((2 * std) ** 2 * m * z_norm, "The factor d is missing"),
        ]
        got = student.distance_bound(z_norm, d, m, std)
        what = f"distance_bound({z_norm}, {d}, {m}, {std})"
        given = {"|z|": z_norm, "d": d, "m": m, "std": std}
        same(got, (2 * std) ** 2 * m * d * z_norm, what, 1e-9, meanings, given=given)
