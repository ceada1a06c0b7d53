"""What LoRA of exercise 15 must do. The oracle is loops in Python floats."""

import math

import numpy as np

from adapters.exercises.assertions import at_each_size, same, untouched

# (n, in, out, r, alpha)
CASES = (3, 5, 6, 2, 7.0), (2, 4, 4, 3, 5.0), (4, 3, 5, 1, 7.0)


def draw(n, size_in, size_out, r):
    """x, weight, bias, a, b, all float32, from a fixed seed."""
    rng = np.random.default_rng(n * size_in)
    shapes = (n, size_in), (size_in, size_out), (size_out,), (size_in, r), (r, size_out)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def product(left, right):
    """The product of two matrices, entry by entry. -> float64"""
    left, right = left.astype(np.float64).tolist(), right.astype(np.float64).tolist()
    columns = list(zip(*right, strict=True))
    return np.array(
        [[sum(a * b for a, b in zip(row, c, strict=True)) for c in columns] for row in left]
    )


def mistakes(start, change, a, alpha, sign=1):
    """[(wrong result, what it means)]: `start` plus the change, wrongly scaled."""
    size_in, r = a.shape
    scales = [
        (1.0, "The change is not scaled: alpha / r is missing"),
        (alpha, "The change is scaled by alpha alone; it is alpha / r"),
        (1 / r, "The change is scaled by 1 / r alone; it is alpha / r"),
        (r / alpha, "The scale is upside down: alpha / r"),
        (-alpha / r, "The sign of the change is wrong"),
        (0.0, "The change is missing"),
        (
            alpha / change.shape[1],
            "r is the number of columns of A (and of rows of B), not the output size",
        ),
        (
            alpha / size_in,
            "r is the number of columns of A (and of rows of B), not the input size: a.shape[1]",
        ),
        (
            alpha / math.sqrt(r),
            "That is alpha / sqrt(r), the scale of rsLoRA; LoRA's is alpha / r",
        ),
        (alpha * r, "alpha is divided by r, not multiplied"),
        (alpha // r, "// rounds down to a whole number; / divides"),
        (math.sqrt(alpha) / r, "That is the root of alpha; the scale is alpha / r"),
        ((alpha / r) ** 2, "The change is scaled twice"),
        (alpha / r**2, "The change is divided by r twice"),
        (alpha / (r * size_in), "r is the number of columns of A, not the number of its entries"),
        (1 / alpha, "The change is multiplied by alpha / r, not divided by alpha"),
        (2 * alpha / r, "The change is added twice"),
    ]
    right = alpha / r
    return [
        (start + sign * scale * change, text) for scale, text in scales if abs(scale - right) > 1e-9
    ]


def scaled_all(start, change, alpha, r):
    """Mistakes in what the scale applies to."""
    return [
        (
            alpha / r * (start + change),
            "The scale belongs to the change alone, not to W: parentheses",
        ),
        (alpha / r * change, "W itself is missing: that is the change alone"),
        (change, "W itself is missing: that is the change alone, not scaled"),
    ]


def check_the_change_is_added_to_the_linear_map(student):
    """The linear map with its change is x W + (alpha / r) (x A) B + b."""

    def compare(n, size_in, size_out, r, alpha):
        x, weight, bias, a, b = draw(n, size_in, size_out, r)
        plain, change = product(x, weight) + bias, product(product(x, a), b)
        without = plain - bias
        meanings = [
            *mistakes(plain, change, a, alpha),
            (without + alpha / r * change, "The bias is missing"),
            (plain + bias + alpha / r * change, "The bias is added twice"),
            (without - bias + alpha / r * change, "The bias is added, not subtracted"),
            (without + alpha / r * (change + bias), "The scale is not for the bias: parentheses"),
            (alpha / r * (plain + change), "The scale is for the change alone: parentheses"),
            ((without + alpha / r * change) * bias, "The bias is added, not multiplied"),
            (without + alpha / r * change * bias, "The bias is added, not multiplied"),
            (without + change, "alpha / r and the bias are missing"),
            (alpha / r * change + bias, "x W is missing: the change is added to it"),
            (alpha / r * change, "x W and the bias are missing: that is the change alone"),
            (
                without + alpha / r * change + x.sum(1, dtype=np.float64, keepdims=True) * bias,
                "The bias is added to the output, not to the weight, where x multiplies it",
            ),
            *(
                (plain + alpha / r * f(product(x, a)) @ b, text)
                for f, text in (
                    (np.tanh, "LoRA is linear: nothing stands between A and B, no tanh"),
                    (lambda y: np.maximum(y, 0), "LoRA is linear: nothing stands between A and B"),
                )
            ),
            (bias + alpha / r * (without + change), "The scale is for the change alone, not x W"),
        ]
        got = student.lora_linear(x, weight, bias, a, b, alpha)
        what = f"lora_linear(x, weight, bias, a, b, {alpha}) with r = {r}"
        given = {"r": r, "alpha": alpha, "bias": bias, "x W": without, "(x A) B": change}
        same(got, plain + alpha / r * change, what, meanings=meanings, given=given)

    at_each_size(compare, *CASES)


def check_merging_adds_the_change_to_the_weight(student):
    """The merged weight is W + (alpha / r) A B, whatever its shape."""

    def compare(n, size_in, size_out, r, alpha):
        _, weight, _, a, b = draw(n, size_in, size_out, r)
        start, change = weight.astype(np.float64), product(a, b)
        meanings = mistakes(start, change, a, alpha) + scaled_all(start, change, alpha, r)
        if size_in == size_out:
            turned = weight + alpha / r * change.T
            meanings.append((turned, "The change is transposed: A B is [in, out], as W is"))
        meanings += [
            (start + alpha / r * moved, "A B is in another order: it is added as it is")
            for moved in (change[::-1], change[:, ::-1])
        ]
        what = f"merge(weight [{size_in}, {size_out}], a, b, {alpha}) with r = {r}"
        given = {"r": r, "alpha": alpha, "W": start, "A B": change}
        got = student.merge(weight, a, b, alpha)
        same(got, start + alpha / r * change, what, meanings=meanings, given=given)

    at_each_size(compare, *CASES)


def check_merged_or_apart_the_output_is_the_same(student):
    """Merged or separate, the output is the same."""

    def compare(n, size_in, size_out, r, alpha):
        arguments = draw(n, size_in, size_out, r)
        x, weight, bias, a, b = arguments
        expected = product(x, weight) + alpha / r * product(product(x, a), b) + bias
        merged = student.merge(weight.copy(), a.copy(), b.copy(), alpha)
        apart = student.lora_linear(*(array.copy() for array in arguments), alpha)
        # float32 sums in a different order
        same(x @ merged + bias, expected, f"x merge(weight, a, b, {alpha}) + bias", 1e-4)
        same(apart, expected, f"lora_linear(x, weight, bias, a, b, {alpha})", 1e-4)

    at_each_size(compare, (4, 6, 3, 2, 6.0), (3, 4, 5, 3, 4.0))


def check_unmerging_gives_the_weight_back(student):
    """Unmerging restores the weight."""

    def compare(n, size_in, size_out, r, alpha):
        _, weight, _, a, b = draw(n, size_in, size_out, r)
        change = product(a, b)
        merged = (weight + alpha / r * change).astype(np.float32)
        start = merged.astype(np.float64)
        meanings = mistakes(start, change, a, alpha, sign=-1)
        meanings.append(
            (change * alpha / r - start, "W' minus the change, not the other way round")
        )
        got = student.unmerge(merged, a, b, alpha)
        what = f"unmerge(merged, a, b, {alpha})"
        given = {"r": r, "alpha": alpha, "W'": start, "A B": change}
        same(got, weight.astype(np.float64), what, meanings=meanings, given=given)

    at_each_size(compare, *CASES)


def check_the_arguments_stay_as_they_are(student):
    """The frozen weight, A and B are not changed in place."""
    for n, size_in, size_out, r, alpha in CASES:
        x, weight, bias, a, b = draw(n, size_in, size_out, r)
        change = alpha / r * product(a, b)
        with untouched(x=x, weight=weight, bias=bias, a=a, b=b):
            got = student.lora_linear(x, weight, bias, a, b, alpha)
            merged = student.merge(weight, a, b, alpha)
            unmerged = student.unmerge(weight, a, b, alpha)
        wide = x.astype(np.float64) @ (weight + change) + bias
        same(got, wide, "lora_linear(x, weight, bias, a, b, alpha)")
        same(merged, weight + change, "merge(weight, a, b, alpha)")
        same(unmerged, weight - change, "unmerge(weight, a, b, alpha)")
