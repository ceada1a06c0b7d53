"""The generic diagnoses of a wrong result: each finds its fault in any numbers, and none is a false
alarm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exercises.assertions import Wrong, at_each_size, exactly, same
from adapters.exercises.diagnoses import DIAGNOSES, diagnose, same_but_dtype

TOLERANCE = 1e-5
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(3, 6)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def found(got, right, at_hand=None) -> str:
    """The diagnosis of a result as a student returns it, in float32."""
    return diagnose(np.asarray(got, np.float32), right, at_hand or {}, TOLERANCE)


class TestFaultsAreFound:
    """Whatever the numbers are. `says` is in the words of the first diagnosis that applies."""

    @pytest.mark.parametrize(
        "fault, says",
        [
            (lambda x: x * 0.3, "the right one times 0.3: a constant factor"),
            (lambda x: x * 2, "twice too large"),
            (lambda x: x * -0.25, "the right one times -0.25"),
            (lambda x: x * 7, "a division by n (7) is missing (a sum for a mean?)"),
            (lambda x: x / 7, "one division by n (7) too many (a mean for a sum?)"),
            (lambda x: x / 11**0.5, "one division by sqrt(d) too many (d is 11)"),
            (lambda x: x * 11**0.5, "a division by sqrt(d) is missing (d is 11)"),
            (lambda x: x * 7 / 6, "a division by n - 1 for one by n"),
            (lambda x: x * 77, "a division by d times n (77) is missing"),
            (lambda x: -x, "the wrong sign"),
            (lambda x: x * (-1.0) ** np.arange(x.size).reshape(x.shape), "the wrong sign"),
            (lambda x: x.T, "the transpose of the right result"),
            (lambda x: x[::-1], "the right rows in reverse order"),
            (lambda x: x[[1, 0, *range(2, len(x))]], "the right rows, but in another order"),
            (lambda x: x[:, ::-1], "the right columns in reverse order"),
            (lambda x: np.roll(x, 1, 1), "the right columns, but in another order"),
            (lambda x: x.ravel(), "the right numbers in another shape"),
            (lambda x: x.T.ravel(), "another shape and in another order (reshape is not"),
            (lambda x: x * (2 + np.arange(len(x)))[:, None], "Each row is the right one times"),
            (lambda x: x * (2 + np.arange(len(x.T))), "Each column is the right one times"),
            (lambda x: x[:1] + 0 * x, "Only the first row is right, and all others repeat it"),
            (lambda x: np.vstack([x[:1], 0 * x[1:]]), "Only the first row is right: is the"),
            (lambda x: np.vstack([0 * x[:-1], x[-1:]]), "Only the last row is right"),
            (lambda x: np.hstack([x[:, :1], 0 * x[:, 1:]]), "Only the first column is right"),
            (lambda x: x + 0.5, "Every value is 0.5 too large"),
            (lambda x: x - 3, "Every value is 3 too small"),
            (lambda x: x + (1 + np.arange(len(x.T))), "by the same vector"),
            (lambda x: x + (1 + np.arange(len(x)))[:, None], "all values are wrong by the same"),
            (lambda x: np.vstack([0 * x[:1], x[:-1]]), "each comes one place too late"),
            (lambda x: np.vstack([x[1:], 0 * x[:1]]), "each comes one place too early"),
            (lambda x: np.vstack([x, x[:1]]), "one too many, at the end"),
            (lambda x: x[1:], "one is missing, at the beginning"),
            (lambda x: x.sum(0), "with its sum taken over axis 0"),
            (lambda x: x.mean(1), "with its mean taken over axis 1"),
            (lambda x: np.stack([x, x + 1], 2) - 0.5, "Its mean over axis 2 would be right"),
            (lambda x: x[0], "That is the first row alone"),
            (lambda x: x[:1], "only a part of it: the first (1, "),
            (lambda x: x[-1:], "only a part of it: the last (1, "),
            (lambda x: np.vstack([x[:1] ** 2 + 9, x[1:]]), "Only row 0 is wrong, all of it"),
        ],
    )
    @given(seed=seeds, rows=sides, columns=sides)
    def test_a_fault_is_named_in_any_array(self, fault, says, seed, rows, columns):
        right = normal(seed, rows, columns)
        assert says in found(fault(right), right, {"n": 7, "d": 11})

    @given(seed=seeds, rows=sides, columns=sides)
    def test_a_term_at_hand_is_named(self, seed, rows, columns):
        right, x, bias = normal(seed, rows, columns), normal(seed + 1, rows, columns), None
        bias = normal(seed + 2, columns)
        at_hand = {"x": x, "bias": bias}
        assert "x is not added" in found(right - x, right, at_hand)
        assert "bias is not added" in found(right - bias, right, at_hand)
        assert "bias is added once too often" in found(right + bias, right, at_hand)
        assert "bias is subtracted instead of added" in found(right - 2 * bias, right, at_hand)
        assert "bias is added instead of subtracted" in found(right + 2 * bias, right, at_hand)
        gain = {"gain": np.exp(bias)}
        assert "`gain` is missing" in found(right / gain["gain"], right, gain)

    @given(seed=seeds, rows=sides, columns=sides)
    def test_other_multiples_of_the_terms_at_hand_are_told(self, seed, rows, columns):
        m, g, b = normal(seed, rows, columns), normal(seed + 1, rows, columns), normal(3, columns)
        right = 0.9 * m + 0.1 * g
        at_hand = {"m": m, "g": g}
        assert found(0.9 * m + 0.01 * g, right, at_hand).startswith("That is 0.9 m + 0.01 g;")
        assert "; right is 0.9 m + 0.1 g" in found(g - m, right, at_hand)
        assert found(0.9 * m, right, at_hand) == "Right up to one term: g is not added"
        assert "g is subtracted instead of added" in found(0.9 * m - 0.1 * g, right, at_hand)
        assert found(m - b, m + 2 * b, {"m": m, "b": b}) == "That is m - b; right is m + 2 b"
        at_hand = {"1": np.ones_like(m), "m": m}
        assert found(3 * m - 1, m + 0.5, at_hand) == "That is -1 + 3 m; right is 0.5 + m"

    def test_right_values_of_another_dtype_are_said_to_be_right(self):
        right = normal(1, 3, 4)
        assert "values are right" in same_but_dtype(right, right.astype(np.float32), TOLERANCE)
        assert same_but_dtype(right + 1, right, TOLERANCE) == ""
        assert same_but_dtype(right[:2], right, TOLERANCE) == ""
        with pytest.raises(Wrong, match=r"\nIts values are wrong, too: every .* 2 too large"):
            same(right + 2, right, "f(x)", given={})
        with pytest.raises(Wrong, match=r"should have float32\nA float64 .*\nThe values are right"):
            same(right, right, "f(x)")

    def test_a_single_number_is_explained_only_by_what_is_at_hand(self):
        assert "a division by B (5) is missing" in diagnose(2.0, 0.4, {"B": 5}, TOLERANCE)
        assert diagnose(2.1, 0.4, {"B": 5}, TOLERANCE) == ""
        assert "the wrong sign" in diagnose(-0.4, 0.4, {}, TOLERANCE)
        assert "1 too large" in diagnose(4, 3, {}, 0.0)

    def test_a_size_where_another_belongs_is_named(self):
        says = "Axis 1 has m (2) entries where d belongs"
        assert found(normal(1, 3, 2), normal(2, 3, 5), {"d": 5, "m": 2}) == says
        assert found(normal(1, 3, 2), normal(2, 3, 5), {"d": 5}) == ""

    def test_the_diagonal_of_a_square_is_recognised(self):
        square = normal(2, 4, 4)
        assert "x[:, columns] picks all" in found(square, np.diag(square))


class TestNoFalseAlarms:
    @given(seed=seeds, rows=st.integers(1, 6), columns=st.integers(2, 6))
    def test_random_wrong_arrays_get_no_diagnosis(self, seed, rows, columns):
        got, right, x, bias = normal(seed, 4, rows, columns)
        at_hand = {"n": rows, "d": columns, "k": 13, "x": x, "bias": bias[0]}
        for shape in ((rows, columns), (rows * columns,)):
            assert found(got.reshape(shape), right.reshape(shape), at_hand) == ""
        other = normal(seed, rows + 20, columns + 20)
        assert found(other, right, at_hand) == ""

    @given(seed=seeds, rows=sides, columns=sides, place=st.integers(0, 8))
    def test_a_single_wrong_value_gets_no_diagnosis(self, seed, rows, columns, place):
        right = normal(seed, rows, columns)
        got = right.copy()
        got.flat[place] += 0.3 + 0.1 * abs(right).max()
        assert found(got, right, {"n": rows, "d": columns}) == ""

    @given(seed=seeds, rows=st.integers(1, 4), columns=st.integers(1, 4))
    def test_zeros_and_ones_in_another_order_are_a_coincidence(self, seed, rows, columns):
        right = np.random.default_rng(seed).integers(0, 2, (rows + 3, columns + 3)).astype(float)
        got = np.random.default_rng(seed).permutation(right.ravel()).reshape(right.shape)
        assert "order" not in found(got, right)

    @given(seed=seeds, size=st.integers(1, 3))
    def test_values_within_a_hundred_tolerances_of_0_tell_nothing(self, seed, size):
        """They would agree with many things."""
        right = 10 * TOLERANCE * normal(seed, size, size)
        got = 10 * TOLERANCE * normal(seed + 1, size, size)
        assert found(got, right, {"n": 5, "x": normal(seed + 2, size, size)}) == ""

    @given(
        got=st.lists(st.floats(width=32), min_size=1, max_size=6),
        right=st.lists(st.floats(width=32), min_size=1, max_size=6),
    )
    def test_any_numbers_can_be_diagnosed(self, got, right):
        """Also infinities, NaNs and denormals: nothing is raised, and a right result is right."""
        assert isinstance(diagnose(np.array(got), np.array(right), {"n": 3}, TOLERANCE), str)
        assert diagnose(np.array(right), np.array(right), {"n": 3}, TOLERANCE) == ""

    def test_every_diagnosis_says_what_it_is_about(self):
        for diagnosis in DIAGNOSES:
            assert diagnosis.__doc__.strip().endswith(".")


def told(check, *args, **kwargs) -> str:
    with pytest.raises(Wrong) as caught:
        check(*args, **kwargs)
    return str(caught.value)


class TestInAssertions:
    def test_a_foreseen_meaning_comes_before_a_diagnosis(self):
        right = normal(3, 3, 4)
        got = (2 * right).astype(np.float32)
        meanings = [(2 * right, "foreseen")]
        assert told(same, got, right, "f", meanings=meanings, given={}).endswith("\nforeseen")
        assert told(same, got, right, "f", given={}).endswith("twice too large")
        assert "\n" not in told(same, got, right, "f")  # nothing at hand: not asked for

    def test_a_list_of_numbers_is_explained_as_a_whole(self):
        right = [0.0, 1.0, 2.5, 4.0]
        assert "reverse order" in told(same, right[::-1], right, "f", given={})
        late = told(same, [9.0, *right[:-1]], right, "f", given={})
        assert late.startswith("f[0] is 9, but should be 0")
        assert "one place too late" in late
        assert "at the end" in told(same, [*right, 5.0], right, "f", given={})
        # the first row's last value is by chance that of the meaning, the whole is not
        meanings = [([[1.0, 0.0], [0.0, 0.0]], "foreseen")]
        wrong = told(same, [[1.0, 5.0], [2.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]], "f", 0, meanings)
        assert "foreseen" not in wrong

    def test_two_results_in_each_others_place_are_named(self):
        weight, bias = normal(4, 2, 3).astype(np.float32), normal(5, 2, 3).astype(np.float32)
        swapped = {"weight": bias, "bias": weight}
        says = "That is what ['bias'] should be: are the two swapped?"
        assert says in told(same, swapped, {"weight": weight, "bias": bias}, "f", given={})

    def test_counts_are_diagnosed_too(self):
        assert "1 too small" in told(exactly, 3, 4, "f", given={})
        assert "head (12) is not added" in told(exactly, 88, 100, "f", given={"head": 12})
        assert "head (12) is added once" in told(exactly, 112, 100, "f", given={"head": 12})
        assert "Only ['a'] is wrong" in told(
            exactly, {"a": 5, "b": 7}, {"a": 1, "b": 7}, "f", (), {}
        )
        assert "missing: 'b'" in told(exactly, {"a": 5}, {"a": 5, "b": 7}, "f", given={})
        assert "a division by layers (6)" in told(exactly, 60, 10, "f", given={"layers": 6})
        assert "another order" in told(exactly, [3, 1, 2], [1, 2, 3], "f", given={})
        assert "is missing: 'c'" in told(exactly, ["a", "b"], ["a", "b", "c"], "f", given={})
        assert "too many: [1, 2]" in told(exactly, [[0, 1], [1, 2]], [[0, 1]], "f", given={})
        assert "Only [1] is wrong" in told(exactly, [1, 5, 3], [1, 2, 3], "f", given={})
        assert "another order" in told(exactly, {"a": 5, "b": 7}, {"a": 7, "b": 5}, "f", given={})
        assert "\n" not in told(exactly, 3, 4, "f")

    def test_a_fault_at_the_second_size_only_is_said_to_be_one_of_sizes(self):
        right = normal(6, 3, 4)

        def compare(size, wrong):
            got = right.copy().astype(np.float32)
            got[0, 0] += wrong
            same(got, right, f"f of {size}", given={})

        at_each_size(compare, (1, 0), (2, 0))
        assert "a number where a size" in told(at_each_size, compare, (1, 0), (2, 1))
        assert "a number where a size" not in told(at_each_size, compare, (1, 1), (2, 1))
