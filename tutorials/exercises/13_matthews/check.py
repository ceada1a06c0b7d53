"""What the metric of exercise 13 must be. The oracles are a loop that counts, and Pearson's
correlation of the two columns, to which Matthews correlation is equal for zeros and ones."""

import math
from itertools import combinations, permutations

import numpy as np

from adapters.exercises.assertions import at_each_size, exactly, same


def draw(texts, right=0.7, ones=0.6):
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

    def compare(texts, right):
        predicted, gold = draw(texts, right)
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
            ([tn, fp, fn, tp], "tp and tn are swapped: for a true positive the model said 1"),
            *(
                (list(order), "The order is tp, fp, fn, tn")
                for order in permutations([tp, fp, fn, tn])
            ),
            (
                [int(np.sum(predicted)), texts - tp - tn, texts - tp - tn, texts],
                "Both have to be right at once: said 1 and true 1",
            ),
            ([0, 0, 0, texts], "Nothing was found: 1 is compared with 1, predicted == 1"),
            (
                [count / texts for count in (tp, fp, fn, tn)],
                "Those are shares of all texts; the numbers of texts are asked for: sum, not mean",
            ),
            *(
                (by_loop(predicted[part], gold[part]), "One text is not counted: the first or last")
                for part in (slice(1, None), slice(None, -1))
            ),
            ([0, 0, 0, 0], "Everything is 0 there: the counts are sums over the texts"),
            ([tp + tn, fp, fn, 0], "tp are those that are right *and* 1; the others are tn"),
            ([tp, fp + fn, fp + fn, tn], "fp are wrong and said 1, fn wrong and said 0"),
            ([tp, tp + fp, tp + fn, tn], "fp and fn are only those that are wrong"),
            ([tp + fp, fp, fn, tn + fn], "tp and tn are only those that are right"),
            ([tp + fn, fp, fn, tn + fp], "tp and tn are only those that are right"),
        ]
        got = student.confusion(predicted, gold)
        got = list(got) if isinstance(got, tuple) else got
        given = {"B": texts}
        exactly(got, [tp, fp, fn, tn], "confusion(predicted, gold)", meanings, given)

    at_each_size(compare, (40, 0.7), (55, 0.6))


def mistakes(predicted, gold):
    """[(wrong result, what it means)]"""
    tp, fp, fn, tn = by_loop(predicted, gold)
    texts = len(gold)
    sums = (tp + fp), (tp + fn), (tn + fp), (tn + fn)
    product = math.prod(sums)
    top = tp * tn - fp * fn
    chance = (sums[0] * sums[1] + sums[2] * sums[3]) / texts**2
    wrong = [
        ((tp + tn) / texts, "That is the accuracy"),
        (2 * tp / (2 * tp + fp + fn), "That is F1"),
        (top / product, "The root in the denominator is missing"),
        ((tp * tn + fp * fn) / product**0.5, "It is tp tn *minus* fp fn"),
        ((tp * fp - fn * tn) / product**0.5, "It is tp tn - fp fn"),
        ((tp * tn - fp + fn) / product**0.5, "fp and fn are multiplied: tp tn - fp fn"),
        ((tp * tn - fp - fn) / product**0.5, "fp and fn are multiplied: tp tn - fp fn"),
        ((tp * tn - (fp + fn)) / product**0.5, "fp and fn are multiplied: tp tn - fp fn"),
        ((tp * fn - fp * tn) / product**0.5, "It is tp tn - fp fn"),
        (-top / product**0.5, "The sign is wrong: it is tp tn - fp fn"),
        ((tp + tn - fp - fn) / texts, "That is the accuracy, stretched to -1 to 1"),
        ((tp + tn - fp - fn) / product**0.5, "tp and tn are multiplied, and so are fp and fn"),
        ((tp - fp) * (tn - fn) / product**0.5, "It is tp tn - fp fn: products first"),
        (tp * tn / product**0.5, "- fp fn is missing: tp tn - fp fn"),
        (tp / sums[0], "That is the precision, tp / (tp + fp)"),
        (tp / sums[1], "That is the recall, tp / (tp + fn)"),
        (tp / sums[1] + tn / sums[2] - 1, "That is recall + specificity - 1 (Youden's J)"),
        ((tp / sums[1] + tn / sums[2]) / 2, "That is the balanced accuracy"),
        (((tp + tn) / texts - chance) / (1 - chance), "That is Cohen's kappa"),
        (top, "The denominator is missing"),
        (top / sum(sums) ** 0.5, "The four sums are multiplied, not added"),
        (top**2 / product, "That is its square"),
        (tp * tn - fp * fn / product**0.5, "Parentheses: all of tp tn - fp fn is divided"),
        (top / product**0.25, "That is the fourth root; sqrt takes the second"),
        (top / product**0.5 * 100, "That is in percent, as GLUE prints it; here it is -1 to 1"),
        (abs(top) / product**0.5, "It may be negative: without abs"),
    ]
    pairs = {
        f"{a} + {b}": x + y
        for (a, x), (b, y) in combinations({"tp": tp, "fp": fp, "fn": fn, "tn": tn}.items(), 2)
    }
    names = "tp + fp", "tp + fn", "fp + tn", "fn + tn"
    wrong += [
        (
            top / (product / right * pair) ** 0.5,
            f"Under the root there is {name} where {instead} belongs",
        )
        for right, instead in zip(sums, names, strict=True)
        for name, pair in pairs.items()
        if name != instead
    ]
    if top < 0:
        wrong += [(0.0, "It may be negative, down to -1: nothing is cut off at 0")]
    wrong += [
        (top / (product / one) ** 0.5, f"One of the four sums, {name}, is missing under the root")
        for one, name in zip(sums, ("tp + fp", "tp + fn", "tn + fp", "tn + fn"), strict=True)
    ]
    wrong += [
        (top / (one * other) ** 0.5, "Under the root there are four sums; that has two of them")
        for one, other in combinations(sums, 2)
    ]
    return wrong


def check_it_is_the_correlation_of_two_columns(student):
    """Matthews correlation is the correlation of what was said and what is true."""

    def compare(texts, right):
        predicted, gold = draw(texts, right)
        expected = float(np.corrcoef(predicted, gold)[0, 1])
        what, meanings = f"matthews of {texts} texts", mistakes(predicted, gold)
        got = student.matthews(predicted, gold)
        same(got, expected, what, 1e-6, meanings, given={"B": texts})

    at_each_size(compare, (40, 0.7), (55, 0.5), (30, 0.2))


def check_all_right_is_1_and_all_wrong_is_minus_1(student):
    """A perfect prediction scores 1, and one that is always wrong scores -1."""

    def compare(texts):
        _, gold = draw(texts)
        same(student.matthews(gold.copy(), gold.copy()), 1.0, "matthews(gold, gold)", 1e-6)
        got = student.matthews(1 - gold, gold.copy())
        same(got, -1.0, "matthews(1 - gold, gold)", 1e-6, given={})

    at_each_size(compare, (40,), (23,))
    for few in ([1, 0], [0, 0, 1]):  # where the denominator is small, nothing may be added to it
        same(student.matthews(np.array(few), np.array(few)), 1.0, f"matthews of {few}", 1e-6)


def check_a_constant_guess_is_worth_nothing(student):
    """A model that always says the same scores 0, whatever its accuracy."""

    def compare(texts):
        _, gold = draw(texts)
        ones, zeros = np.ones_like(gold), np.zeros_like(gold)
        accuracy = float(np.mean(gold))
        zero = "0/0 is 0 by definition here: return 0.0 if the product under the root is 0"
        meanings = [
            (accuracy, "That is the accuracy"),
            (1 - accuracy, "That is the accuracy"),
            (1.0, zero),
            (-1.0, zero),
        ]
        for predicted, what in ((ones, "ones"), (zeros, "zeros")):
            got = student.matthews(predicted, gold)
            same(got, 0.0, f"matthews({what}, gold)", 1e-6, meanings)
            got = student.matthews(gold, predicted)
            same(got, 0.0, f"matthews(predicted, {what})", 1e-6, meanings)
            for other, word in ((ones, "ones"), (zeros, "zeros")):
                got = student.matthews(predicted, other)
                same(got, 0.0, f"matthews({what}, {word})", 1e-6, meanings)

    at_each_size(compare, (40,), (23,))


def check_many_texts_do_not_overflow(student):
    """With 400,000 texts, as in QQP's test set, nothing overflows."""

    def compare(texts, copies):
        few = draw(texts)
        expected = float(np.corrcoef(*few)[0, 1])
        tp, fp, fn, tn = copies * np.array(by_loop(*few))
        with np.errstate(all="ignore"):
            product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)  # int64: it wraps around
            wrapped = float((tp * tn - fp * fn) / np.sqrt(product))
        overflow = "The product of the four sums is too large for int64: make them Python ints"
        # repeating the same few texts leaves the correlation as it is
        got = student.matthews(*(np.tile(column, copies) for column in few))
        if isinstance(got, float | np.ndarray) and np.isnan(got).all():  # root of a negative one
            got = wrapped = -999.0
        same(got, expected, f"matthews of {texts * copies:,} texts", 1e-6, [(wrapped, overflow)])

    at_each_size(compare, (40, 10_000), (55, 8_000))
