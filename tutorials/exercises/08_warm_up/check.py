"""What the schedule of exercise 8 must do. The oracle is a straight line from point to point:
np.interp."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same


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
        (
            (total - step) / (total - warm_up),
            "That has no rise: during the warm-up the factor goes from 0 to 1",
        ),
        (step / total, "That rises over all `total` steps; the warm-up has `warm_up`"),
        (
            (warm_up - step) / warm_up if rising else None,
            "That falls during the warm-up: the factor goes from 0 to 1",
        ),
        (
            None if rising else 1 - step / (total - warm_up),
            "That counts the decay's steps from step 0; it begins at step `warm_up`, with 1",
        ),
        (
            step / (total - warm_up) if rising else None,
            "That is divided by the steps of the decay; the rise has `warm_up` steps",
        ),
        (
            (step / warm_up) ** 2 if rising else None,
            "That rises along a parabola; the warm-up is a straight line",
        ),
        (
            None if rising else ((total - step) / (total - warm_up)) ** 2,
            "That falls along a parabola; the decay is a straight line",
        ),
        (
            None if rising else (total - step + 1) / (total - warm_up + 1),
            "At step `total`, one after the last, nothing is left: that would still have a step",
        ),
        (
            None if rising else ((total - step) / (total - warm_up)) ** 0.5,
            "That falls along a root; the decay is a straight line",
        ),
        (
            None if rising or after == 0 else 0.1 ** (after / (total - warm_up)),
            "That falls exponentially; the decay is a straight line",
        ),
        (warm_up / step if rising and step else None, "That is upside down: step / warm_up"),
        (
            None if rising else (total - warm_up) / (total - step),
            "That is upside down: (total - step) / (total - warm_up)",
        ),
        (
            None if rising else after / (total - warm_up),
            "That is the part of the decay that is over; the factor is what is left of it",
        ),
        (
            None if rising else (total - after) / (total - warm_up),
            "total - step are left, counted from step 0; that starts to count at the end of the "
            "warm-up",
        ),
        (
            None if rising else (total - after) / total,
            "That decay is too slow: it has total - warm_up steps, not total",
        ),
        (
            None if rising else (total - step - 1) / (total - warm_up),
            "That is the factor of the next step: at step `warm_up` it is 1",
        ),
        (
            None if rising else (total - step) / (total - warm_up + 1),
            "The decay has total - warm_up steps, without the + 1",
        ),
        (
            None if rising else (total - step) / max(1, total - warm_up - 1),
            "The decay has total - warm_up steps, without the - 1",
        ),
        (
            step / max(1, warm_up - 1) if rising else None,
            "The rise has `warm_up` steps, not one less: it is 1 at step `warm_up`",
        ),
        (
            step / (warm_up + 1) if rising else None,
            "The rise has `warm_up` steps, not one more: it is 1 at step `warm_up`",
        ),
        (step // warm_up if rising else None, "// rounds down to whole numbers; / divides"),
        (
            None if rising else (total - step) // (total - warm_up),
            "// rounds down to whole numbers; / divides",
        ),
        (
            None if rising else 0.5 * (1 + math.cos(math.pi * after / (total - warm_up))),
            "That is a cosine's decay; here it is a straight line",
        ),
        (
            None if rising or not warm_up else (warm_up / max(1, step)) ** 0.5,
            "That is the decay of the first transformer, 1 / sqrt(step); here it is a line",
        ),
        (0.0 if rising else None, "The factor is 0 during the warm-up; it rises from 0 to 1"),
        (step / warm_up if warm_up else None, "That goes on rising after the warm-up"),
    ]


def check_it_rises_then_falls(student):
    """The factor follows the two straight lines."""

    def compare(total, warm_up, *steps):
        for step in steps:
            call = f"warm_up_then_decay({step}, {total}, {warm_up})"
            got = student.warm_up_then_decay(step, total, warm_up)
            meanings = mistakes(step, total, warm_up)
            given = {"total": total, "warm_up": warm_up}
            same(got, by_lines(step, total, warm_up), call, 1e-9, meanings, given=given)

    at_each_size(compare, (57, 5, 0, 1, 5, 6, 30, 56), (8, 7, 0, 6, 7), (40, 16, 3, 20, 39))


def check_it_can_do_without_a_warm_up(student):
    """With warm_up = 0, the factor starts at 1."""

    def compare(total, *steps):
        for step in steps:
            got = student.warm_up_then_decay(step, total, 0)
            call = f"warm_up_then_decay({step}, {total}, 0)"
            same(got, 1 - step / total, call, 1e-9, mistakes(step, total, 0))

    at_each_size(compare, (10, 0, 1, 9), (25, 0, 4, 24))


def check_the_rates_are_the_factors_times_the_peak(student):
    """The learning rate of every step is the factor times the peak rate."""

    def compare(peak, total, share):
        got = student.learning_rates(peak, total, share)
        got = got.tolist() if isinstance(got, np.ndarray) else got
        warm_up, rounded = int(share * total), round(share * total)
        shapes = (warm_up, peak), (rounded, peak), (warm_up, 1.0)
        rates, up, factors = (
            [scale * by_lines(step, total, steps) for step in range(total)]
            for steps, scale in shapes
        )
        text = f"share * total is {share * total:g}: rounded down, the warm-up is {warm_up} steps"
        meanings = [
            (factors, "Those are the factors; multiply each by the peak rate"),
            (up, text),
            (
                [peak * by_lines(step, total, math.ceil(share * total)) for step in range(total)],
                text,
            ),
            (
                [peak * by_lines(step, total, warm_up) for step in range(1, total + 1)],
                "The steps are 0 to total - 1; those are 1 to total",
            ),
            (
                [peak + factor for factor in factors],
                "The rate is the factor times the peak rate, not plus",
            ),
            ([peak] * total, "That is the peak rate at every step: times the factor"),
            (
                [peak * by_lines(step, total, int(share * 100)) for step in range(total)]
                if 0 < int(share * 100) < total and int(share * 100) != warm_up
                else None,
                "The warm-up is a share of `total` steps, not of 100",
            ),
            (
                [peak * by_lines(step, total, 0) for step in range(total)],
                "That has no warm-up: it has int(share * total) steps",
            ),
        ]
        call = f"learning_rates({peak}, {total}, {share})"
        same(got, rates, call, 1e-9, meanings, given={"peak": peak})

    at_each_size(compare, (2.0, 57, 0.1), (3.0, 40, 0.25), (1.0, 5, 0.0))
