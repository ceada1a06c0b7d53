"""What `attention(q, k, v)` of exercise 1 must do. The oracle is plain loops in float64."""

import math

import numpy as np

from adapters.exercises.assertions import same, untouched

CALL = "attention(q, k, v)"


def draw(queries, keys, d, e, spread=1.0):
    """q [Q, d], k [T, d], v [T, e], float32, from a fixed seed."""
    rng = np.random.default_rng(queries + keys)
    shapes = [(queries, d), (keys, d), (keys, e)]
    q, k, v = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return q * np.float32(spread), k, v


def by_loops(q, k, v, scale=None):
    """The equation, one query at a time. -> [Q, e] float64"""
    q, k, v = (x.astype(np.float64).tolist() for x in (q, k, v))
    scale = 1 / math.sqrt(len(q[0])) if scale is None else scale
    mixed = []
    for query in q:
        scores = [scale * sum(a * b for a, b in zip(query, key, strict=True)) for key in k]
        powers = [math.exp(score - max(scores)) for score in scores]
        row = [0.0] * len(v[0])
        for power, value in zip(powers, v, strict=True):
            row = [r + power / sum(powers) * x for r, x in zip(row, value, strict=True)]
        mixed.append(row)
    return np.array(mixed)


def likely_mistakes(q, k, v):
    """[(wrong result, what it means)]"""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    d = q.shape[1]
    powers = np.exp(q @ k.T / math.sqrt(d))  # [Q, T]
    return [
        (
            by_loops(q, k, v, scale=1.0),
            "That is attention without the division by sqrt(d): longer vectors have larger scores, "
            "and the softmax then picks almost a single key",
        ),
        (by_loops(q, k, v, scale=1 / d), "That is what dividing by d gives, not by sqrt(d)"),
        (
            powers / powers.sum(axis=0) @ v,
            "That is what a softmax over the queries gives: each row of weights, one query's, "
            "should sum to 1, so the softmax runs over the last axis",
        ),
        (powers / powers.sum() @ v, "That is a softmax over all scores at once, not row by row"),
        (powers @ v, "That is exp(scores) v: the division by the sum of each row is missing"),
        (q @ k.T / math.sqrt(d) @ v, "That is the result without the softmax"),
        (powers / powers.sum(axis=1, keepdims=True), "Those are the weights, not yet mixed with v"),
    ]


def check_the_mix_of_values_is_that_of_the_equation(student):
    """The values are mixed as the equation says, and q, k and v stay as they are."""
    q, k, v = draw(queries=3, keys=5, d=8, e=4)
    expected, mistakes = by_loops(q, k, v), likely_mistakes(q, k, v)
    with untouched(q=q, k=k, v=v):
        got = student.attention(q, k, v)
    same(got, expected, CALL, meanings=mistakes)


def check_one_key_is_all_there_is_to_see(student):
    """With a single key, every query gets that key's value."""
    q, k, v = draw(queries=4, keys=1, d=8, e=3)
    same(student.attention(q, k, v), np.repeat(v, 4, axis=0), f"{CALL} with a single key")


def check_large_scores_do_not_overflow(student):
    """Scores of several hundred give finite values."""
    q, k, v = draw(queries=3, keys=6, d=16, e=2, spread=300.0)
    # float32 scores of 1e3 are known to about 1e-4, and so is each exponential
    same(student.attention(q, k, v), by_loops(q, k, v), f"{CALL} with large q", tolerance=1e-3)
