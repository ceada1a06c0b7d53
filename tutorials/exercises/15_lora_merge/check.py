"""What LoRA of exercise 15 must do. The oracle is loops in Python floats."""

import numpy as np

from adapters.exercises.assertions import same, untouched

ALPHA = 6.0


def draw(n=3, size_in=5, size_out=4, r=2):
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


def mistakes(start, change, r, sign=1):
    """[(wrong result, what it means)]: `start` plus the change, wrongly scaled."""
    scales = [
        (1.0, "The change is not scaled: alpha / r is missing"),
        (ALPHA, "The change is scaled by alpha alone; it is alpha / r"),
        (1 / r, "The change is scaled by 1 / r alone; it is alpha / r"),
        (r / ALPHA, "The scale is upside down: alpha / r"),
        (-ALPHA / r, "The sign of the change is wrong"),
        (0.0, "The change is missing"),
        (
            ALPHA / change.shape[1],
            "r is the number of columns of A (and of rows of B), not the output size",
        ),
    ]
    return [(start + sign * scale * change, text) for scale, text in scales]


def check_the_change_is_added_to_the_linear_map(student):
    """The linear map with its change is x W + (alpha / r) (x A) B + b."""
    x, weight, bias, a, b = draw()
    r = 2
    plain, change = product(x, weight) + bias, product(product(x, a), b)
    meanings = [
        *mistakes(plain, change, r),
        (plain - bias + ALPHA / r * change, "The bias is missing"),
    ]
    got = student.lora_linear(x, weight, bias, a, b, ALPHA)
    expected = plain + ALPHA / r * change
    same(got, expected, "lora_linear(x, weight, bias, a, b, 6.0)", meanings=meanings)


def check_merging_adds_the_change_to_the_weight(student):
    """The merged weight is W + (alpha / r) A B, whatever its shape."""
    for size_in, size_out, r in ((5, 4, 2), (4, 4, 3), (3, 5, 1)):
        _, weight, _, a, b = draw(2, size_in, size_out, r)
        change = product(a, b)
        meanings = mistakes(weight.astype(np.float64), change, r)
        if size_in == size_out:
            turned = weight + ALPHA / r * change.T
            meanings.append((turned, "The change is transposed: A B is [in, out], as W is"))
        what = f"merge(weight [{size_in}, {size_out}], a, b, 6.0) with r = {r}"
        expected = weight + ALPHA / r * change
        same(student.merge(weight, a, b, ALPHA), expected, what, meanings=meanings)


def check_merged_or_apart_the_output_is_the_same(student):
    """Merged or separate, the output is the same."""
    x, weight, bias, a, b = draw(4, 6, 3, 2)
    merged = student.merge(weight.copy(), a.copy(), b.copy(), ALPHA)
    apart = student.lora_linear(x, weight, bias, a, b, ALPHA)
    # float32 sums in a different order
    same(x @ merged + bias, apart, "x merge(weight, a, b, 6.0) + bias", 1e-4)


def check_unmerging_gives_the_weight_back(student):
    """Unmerging restores the weight."""
    _, weight, _, a, b = draw()
    merged = (weight + ALPHA / 2 * product(a, b)).astype(np.float32)
    meanings = mistakes(merged.astype(np.float64), product(a, b), 2, sign=-1)
    what = "unmerge(merged, a, b, 6.0)"
    expected = weight.astype(np.float64)
    same(student.unmerge(merged, a, b, ALPHA), expected, what, meanings=meanings)


def check_the_arguments_stay_as_they_are(student):
    """The frozen weight, A and B are not changed in place."""
    x, weight, bias, a, b = draw()
    with untouched(x=x, weight=weight, bias=bias, a=a, b=b):
        student.lora_linear(x, weight, bias, a, b, ALPHA)
        student.merge(weight, a, b, ALPHA)
        student.unmerge(weight, a, b, ALPHA)
