"""What the metric of exercise 13 must be. The oracles are a loop that counts, and Pearson's
correlation of the two columns, to which Matthews correlation is equal for zeros and ones."""

import numpy as np

from adapters.exercises.assertions import exactly, same


def draw(texts=40, right=0.7, ones=0.6):
    """predicted and gold [B] of 0 and 1, from a fixed seed."""
    rng = np.random.default_rng(texts)
    gold = (rng.random(texts) < ones).astype(np.int64)
    return np.where(rng.random(texts) < right, gold, 1 - gold), gold


def by_loop(predicted, gold):
    """[tp, fp, fn, tn]"""
    counts = {(1, 1): 0, (1, 0): 0, (0, 1): 0, (0, 0): 0}
    for pair in zip(predicted.tolist(), gold.tolist(), strict=True):
        counts[pair] += 1
    return list(counts.values())


def check_every_text_is_counted_once(student):
    """The four counts are [tp, fp, fn, tn]."""
    predicted, gold = draw()
    tp, fp, fn, tn = by_loop(predicted, gold)
    meanings = [
        (
            [tp, fn, fp, tn],
            "fp and fn are swapped: for a false positive the model said 1, but it is 0",
        ),
        (
            [tn, fn, fp, tp],
            "1 and 0 are swapped: for a true positive the model said 1, and it is 1",
        ),
        ([tp, fp, tn, fn], "The order is tp, fp, fn, tn"),
    ]
    got = student.confusion(predicted, gold)
    got = list(got) if isinstance(got, tuple) else got
    exactly(got, [tp, fp, fn, tn], "confusion(predicted, gold)", meanings)


def check_it_is_the_correlation_of_two_columns(student):
    """Matthews correlation is the correlation of what was said and what is true."""
    for texts, right in ((40, 0.7), (55, 0.5), (30, 0.2)):
        predicted, gold = draw(texts, right)
        tp, fp, fn, tn = by_loop(predicted, gold)
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        meanings = [
            ((tp + tn) / texts, "That is the accuracy"),
            (2 * tp / (2 * tp + fp + fn), "That is F1"),
            ((tp * tn - fp * fn) / product, "The root in the denominator is missing"),
            ((tp * tn + fp * fn) / product**0.5, "It is tp tn *minus* fp fn"),
            ((tp * fp - fn * tn) / product**0.5, "It is tp tn - fp fn"),
        ]
        expected = float(np.corrcoef(predicted, gold)[0, 1])
        got = student.matthews(predicted, gold)
        same(got, expected, f"matthews of {texts} texts", 1e-6, meanings)


def check_all_right_is_1_and_all_wrong_is_minus_1(student):
    """A perfect prediction scores 1, and one that is always wrong scores -1."""
    _, gold = draw()
    same(student.matthews(gold.copy(), gold.copy()), 1.0, "matthews(gold, gold)", 1e-6)
    same(student.matthews(1 - gold, gold.copy()), -1.0, "matthews(1 - gold, gold)", 1e-6)


def check_a_constant_guess_is_worth_nothing(student):
    """A model that always says the same scores 0, whatever its accuracy."""
    _, gold = draw()
    ones, zeros = np.ones_like(gold), np.zeros_like(gold)
    accuracy = float(np.mean(gold))
    meanings = [(accuracy, "That is the accuracy"), (1 - accuracy, "That is the accuracy")]
    for predicted, what in ((ones, "ones"), (zeros, "zeros")):
        got = student.matthews(predicted, gold)
        same(got, 0.0, f"matthews({what}, gold)", 1e-6, meanings)
        same(student.matthews(gold, predicted), 0.0, f"matthews(predicted, {what})", 1e-6)


def check_many_texts_do_not_overflow(student):
    """With 400,000 texts, as in QQP's test set, nothing overflows."""
    few = draw()
    expected = float(np.corrcoef(*few)[0, 1])
    tp, fp, fn, tn = 10_000 * np.array(by_loop(*few))
    with np.errstate(all="ignore"):
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)  # int64: it wraps around
        wrapped = float((tp * tn - fp * fn) / np.sqrt(product))
    overflow = "The product of the four sums is too large for int64: make them Python ints"
    # repeating the same 40 texts leaves the correlation as it is
    got = student.matthews(*(np.tile(column, 10_000) for column in few))
    if isinstance(got, float | np.ndarray) and np.isnan(got).all():  # root of a negative product
        got = wrapped = -999.0
    same(got, expected, "matthews of 400,000 texts", 1e-6, [(wrapped, overflow)])
