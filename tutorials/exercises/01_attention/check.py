"""What `attention(q, k, v)` of exercise 1 must do. The oracle is plain loops in float64."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same, untouched

CALL = "attention(q, k, v)"
SEES_THE_PAST = (
    "There query t sees keys 0 to t only, as in a decoder; here each query sees all keys"
)
SHIFTED = "The values are mixed one place off: weight t belongs to value t"
ONE_KEY_OUT = "One key is left out, the first or the last: each query sees all of them"


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
    (queries, d), (keys, e) = q.shape, v.shape
    scores = q @ k.T / math.sqrt(d)  # [Q, T]
    powers = np.exp(scores)
    # the same, as a function that subtracts each row's maximum has them
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    squared = np.sqrt((scores * scores).sum(axis=1, keepdims=True))
    lengths = np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(k, axis=1))
    cosines = q @ k.T / lengths
    others = (
        ("the number of keys", keys),
        ("the number of entries", queries * d),
        ("the number of queries", queries),
        ("e", e),
    )
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
        *(
            (p / p.sum() @ v, "That is a softmax over all scores at once, not row by row")
            for p in (powers, shifted)
        ),
        *(
            (p @ v, "That is exp(scores) v: the division by the sum of each row is missing")
            for p in (powers, shifted)
        ),
        (
            shifted / shifted.sum(axis=0) @ v,
            "The sum is that of each row, one query's: over the last axis",
        ),
        (
            (other := np.exp(scores - scores.max(axis=0))) / other.sum(axis=1, keepdims=True) @ v,
            "The maximum that is subtracted is that of each row, one query's: over the last axis",
        ),
        (
            powers / powers.sum(axis=1, keepdims=True) @ v[::-1],
            "The values are mixed in reverse order: weight t belongs to value t",
        ),
        (
            v.sum(axis=0) - powers / powers.sum(axis=1, keepdims=True) @ v,
            "The weights are the softmax itself, not 1 minus it",
        ),
        (
            shifted / np.sqrt((shifted**2).sum(axis=1, keepdims=True)) @ v,
            "The weights of a query should sum to 1, not their squares",
        ),
        *(
            (weights / weights.sum(axis=1, keepdims=True) @ v, text)
            for weights, text in (
                (np.tril(shifted), SEES_THE_PAST),
                (np.exp(np.abs(scores)), "The scores keep their sign: no absolute values"),
                (np.exp(cosines), "The scores are dot products divided by sqrt(d), not cosines"),
                (np.exp(scores**2), "The scores are not squared: the softmax is of q k / sqrt(d)"),
                *((np.roll(shifted, step, axis=1), SHIFTED) for step in (-1, 1)),
                *(
                    (np.where(np.arange(keys) == out, 0, shifted), ONE_KEY_OUT)
                    for out in (0, keys - 1)
                ),
            )
            if (weights.sum(axis=1) > 0).all()
        ),
        (scores @ v, "That is the result without the softmax"),
        (
            by_loops(q, k, v, scale=math.sqrt(d)),
            "The scores are divided by sqrt(d), not multiplied",
        ),
        (by_loops(q, k, v, scale=-1 / math.sqrt(d)), "The sign of the scores is wrong"),
        (
            by_loops(q, k, v, scale=math.log(2) / math.sqrt(d)),
            "That is a softmax with powers of 2: it has those of e, np.exp",
        ),
        *(
            (
                by_loops(q, k, v, scale=1 / math.sqrt(n)),
                f"That is a division by the root of {name}: d is the size of a query or key, "
                "q.shape[1]",
            )
            for name, n in others
            if n != d
        ),
        (
            powers / powers.sum(axis=1, keepdims=True) @ v / math.sqrt(d),
            "sqrt(d) divides the scores, before the softmax, and not the mix",
        ),
        (
            powers / powers.sum(axis=1, keepdims=True) / math.sqrt(d) @ v,
            "sqrt(d) divides the scores, before the softmax, and not the weights",
        ),
        (
            np.eye(keys)[scores.argmax(axis=1)] @ v,
            "That is the value of the best key alone; the softmax mixes all values",
        ),
        (scores / squared @ v, "The weights of a query should sum to 1, not their squares"),
        (
            scores / scores.sum(axis=1, keepdims=True) @ v,
            "The weights are the scores divided by their sum: exp is missing",
        ),
        (np.repeat(v.mean(axis=0)[None], queries, axis=0), "Every value has the same weight there"),
        (powers / powers.sum(axis=1, keepdims=True), "Those are the weights, not yet mixed with v"),
    ]


def sizes(q, k, v):
    """The sizes by their names, for a diagnosis."""
    return {"d": q.shape[1], "T": len(k), "Q": len(q), "e": v.shape[1]}


def check_the_mix_of_values_is_that_of_the_equation(student):
    """The values are mixed as the equation says, and q, k and v stay as they are."""

    def compare(queries, keys, d, e):
        q, k, v = draw(queries, keys, d, e)
        expected, mistakes, given = by_loops(q, k, v), likely_mistakes(q, k, v), sizes(q, k, v)
        with untouched(q=q, k=k, v=v):
            got = student.attention(q, k, v)
        same(got, expected, CALL, meanings=mistakes, given=given)

    at_each_size(compare, (3, 5, 8, 4), (6, 4, 3, 7), (1, 4, 5, 3))


def check_one_key_is_all_there_is_to_see(student):
    """With a single key, every query gets that key's value."""

    def compare(queries, d, e):
        q, k, v = draw(queries, 1, d, e)
        expected = np.repeat(v, queries, axis=0)
        got = student.attention(q, k, v)
        same(got, expected, f"{CALL} with a single key", given=sizes(q, k, v))

    at_each_size(compare, (4, 8, 3), (2, 5, 6))


def check_large_scores_do_not_overflow(student):
    """Scores of several hundred give finite values."""

    def compare(queries, keys, d, e):
        q, k, v = draw(queries, keys, d, e, spread=300.0)
        expected, given = by_loops(q, k, v), sizes(q, k, v)
        got = student.attention(q, k, v)
        # float32 scores of 1e3 are known to about 1e-4, and so is each exponential
        same(got, expected, f"{CALL} with large q", 1e-3, given=given)

    at_each_size(compare, (3, 6, 16, 2), (2, 4, 9, 5))
