"""What the schedule of exercise 8 must do. The oracle is a straight line from point to point:
np.interp."""

import numpy as np

from adapters.exercises.assertions import same


def by_lines(step, total, warm_up):
    """The line through (0, 0), (warm_up, 1), (total, 0); without warm-up, it starts at (0, 1)."""
    points = [(0, 0.0), (warm_up, 1.0), (total, 0.0)] if warm_up else [(0, 1.0), (total, 0.0)]
    return float(np.interp(step, *zip(*points, strict=True)))


def mistakes(step, total, warm_up):
    """[(wrong result, what it means)]"""
    rising = step < warm_up
    after = step - warm_up
    rise = step / warm_up if rising else 1.0
    return [
        (
            rise if rising else (total - step) / total,
            "That decay starts at step 0, so the factor drops at the end of the "
            "warm-up: it should fall from 1 at step `warm_up` to 0 at step `total`",
        ),
        (
            rise * (total - step) / total,
            "That is the rise times a decay from step 0; there is no decay during the warm-up",
        ),
        (rise, "That stays at 1 after the warm-up: the decay is missing"),
        (
            (step + 1) / warm_up if rising else None,
            "That is the factor of the next step: at step 0 it is 0",
        ),
        (
            None if rising else 1 - after / total,
            "That decay is too slow: it has total - warm_up steps, not total",
        ),
        (
            None if rising else (total - 1 - step) / max(1, total - 1 - warm_up),
            "That is already 0 at the last step; the factor would be 0 at step `total`",
        ),
        (
            1.0 if rising else (total - step) / (total - warm_up),
            "That has no rise: during the warm-up the factor goes from 0 to 1",
        ),
    ]


def check_it_rises_then_falls(student):
    """The factor follows the two straight lines."""
    factor = student.warm_up_then_decay
    for total, warm_up, steps in ((57, 5, (0, 1, 5, 6, 30, 56)), (8, 7, (0, 6, 7))):
        for step in steps:
            call = f"warm_up_then_decay({step}, {total}, {warm_up})"
            got = factor(step, total, warm_up)
            expected = by_lines(step, total, warm_up)
            same(got, expected, call, 1e-9, mistakes(step, total, warm_up))


def check_it_can_do_without_a_warm_up(student):
    """With warm_up = 0, the factor starts at 1."""
    for step in (0, 1, 9):
        got = student.warm_up_then_decay(step, 10, 0)
        same(got, 1 - step / 10, f"warm_up_then_decay({step}, 10, 0)", 1e-9)


def check_the_rates_are_the_factors_times_the_peak(student):
    """The learning rate of every step is the factor times the peak rate."""
    for peak, total, share in ((2.0, 57, 0.1), (3.0, 40, 0.25), (1.0, 5, 0.0)):
        got = student.learning_rates(peak, total, share)
        got = got.tolist() if isinstance(got, np.ndarray) else got
        warm_up, rounded = int(share * total), round(share * total)
        rates, up, factors = (
            [scale * by_lines(step, total, steps) for step in range(total)]
            for scale, steps in ((peak, warm_up), (peak, rounded), (1.0, warm_up))
        )
        meanings = [
            (factors, "Those are the factors; multiply each by the peak rate"),
            (
                up,
                f"share * total is {share * total:g}: rounded down, the warm-up is {warm_up} steps",
            ),
        ]
        same(got, rates, f"learning_rates({peak}, {total}, {share})", 1e-9, meanings)
