"""What usually lies behind a wrong result that no exercise has foreseen: a factor, a sign, a
transpose, a missing term, ...

Each diagnosis is a function of what was returned, what is right, what is at hand and the check's
tolerance; it returns a sentence, or "" when it does not apply. They are tried in the order of
`DIAGNOSES`. None may be a coincidence: a diagnosis that leaves c numbers free (a factor: 1) needs
more than c numbers that agree, each to the tolerance, which happens by chance less than once in
10,000 times. Where the result is a single number, only a factor or term that has a name counts;
there are some twenty, so that one of them agrees by chance less than once in 1,000 times.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

Given = Mapping[str, Any]  # the sizes (numbers) and arrays that are at hand, by name
Diagnosis = Callable[[np.ndarray, np.ndarray, Given, float], str]

CLEAR = 100  # a value says something if it is as many times larger than its tolerance
LARGEST = 20_000  # numbers; beyond that, no order is looked for


def diagnose(got: Any, right: Any, given: Given, tolerance: float) -> str:
    """The first diagnosis that applies, or "". Two arrays of numbers, of any shapes."""
    got, right = np.asarray(got), np.asarray(right)
    if min(got.size, right.size) == 0 or not (_numeric(got) and _numeric(right)):
        return ""
    got, right = got.astype(np.float64), right.astype(np.float64)
    if not (np.isfinite(got).all() and np.isfinite(right).all()):
        return ""
    if got.shape == right.shape and close(got, right, tolerance).all():
        return ""
    with np.errstate(all="ignore"):
        found = (diagnosis(got, right, given, tolerance) for diagnosis in DIAGNOSES)
        return next(filter(None, found), "")


def close(got: np.ndarray, right: np.ndarray, tolerance: float) -> np.ndarray:
    """Where two arrays of the same shape agree to tolerance * (1 + |right|). -> bools of that
    shape"""
    with np.errstate(all="ignore"):
        if right.dtype.kind != "f" or got.dtype.kind == "c":
            return np.asarray(got == right)
        got, right = got.astype(np.float64), right.astype(np.float64)
        equal = (got == right) | (np.isnan(got) & np.isnan(right))
        near = np.abs(got - right) <= tolerance * (1 + np.abs(right))
        return np.asarray(equal | (near & np.isfinite(right)))


def same_but_dtype(got: np.ndarray, right: np.ndarray, tolerance: float) -> str:
    """For a result of the wrong dtype: whether its values are right."""
    comparable = _numeric(got) and got.shape == right.shape
    if comparable and close(got.astype(np.float64), right.astype(np.float64), tolerance).all():
        return "The values are right; only their dtype is not"
    return ""


def factor(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """A constant factor, told, and named if the sizes at hand make it up."""
    if got.shape != right.shape or not (_clear(got, tolerance) and _clear(right, tolerance)):
        return ""
    times = float(np.sum(got * right) / np.sum(right * right))
    if not _equal(got, times * right, tolerance) or _equal(got, -right, tolerance):
        return ""
    # the factor is known as well as the largest value is
    slack = tolerance * (1 + 1 / np.abs(right).max())
    single = bool(np.sum(np.abs(right) > CLEAR * tolerance) < 2)
    candidates = _factors(given) if single else _all_factors(given)
    names = [name for name, value in candidates if abs(times / value - 1) <= slack]
    if single and (not names or slack > 1e-4):
        return ""  # one number is always some factor times another
    if not names:
        return f"Every value is the right one times {times:.6g}: a constant factor too much"
    return f"{_each(got, 'is')} the right one times {times:.6g}: {' or '.join(names[:2])}"


def factor_by_line(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """A factor of its own for each row, or for each column."""
    if got.shape != right.shape or got.ndim != 2 or min(got.shape) < 2:
        return ""
    for axis, line in ((1, "row"), (0, "column")):
        times = (got * right).sum(axis, keepdims=True) / (right * right).sum(axis, keepdims=True)
        if not (_clear_lines(got, axis, tolerance) and _clear_lines(right, axis, tolerance)):
            continue
        if _equal(got, times * right, tolerance):
            for name, array in _arrays(given):
                if _fits(array, times):
                    if _equal(got * array, right, tolerance):
                        return f"Each {line} lacks a factor: `{name}` is missing"
                    if _equal(got, right * array, tolerance):
                        return f"Each {line} has a factor too much: {name} was multiplied in twice"
            return (
                f"Each {line} is the right one times a factor of its own: a division (or a "
                f"multiplication) that should be made for each {line} is missing or wrong"
            )
    return ""


def sign(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """Everything, or a part, has the wrong sign."""
    if got.shape != right.shape or not _clear(right, tolerance):
        return ""
    if _equal(got, -right, tolerance):
        return f"{_each(got, 'has')} the wrong sign"
    if got.size > 2 and _equal(np.abs(got), np.abs(right), tolerance):
        return "The sizes of all values are right, but some have the wrong sign"
    return ""


def transpose(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """Rows for columns."""
    if got.ndim == right.ndim == 2 and _equal(got.T, right, tolerance):
        return "That is the transpose of the right result: its rows are the columns"
    return ""


def permutation(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """The right rows, columns or numbers in another order."""
    if got.size != right.size or got.size > LARGEST or not _distinct(right, tolerance):
        return ""
    if got.shape == right.shape and got.ndim == 2 and min(got.shape) > 1:
        for ours, theirs, lines in ((right, got, "rows"), (right.T, got.T, "columns")):
            if _equal(theirs[::-1], ours, tolerance):
                return f"Those are the right {lines} in reverse order"
            if _reordered(theirs, ours, tolerance):
                return f"Those are the right {lines}, but in another order"
    in_order = _equal(np.sort(got, axis=None), np.sort(right, axis=None), tolerance)
    if right.size > 1 and in_order:
        if got.shape != right.shape:
            flat = _equal(got.ravel(), right.ravel(), tolerance)
            order = "" if flat else " and in another order (reshape is not a transpose)"
            return f"Those are the right numbers in another shape{order}"
        if got.ndim == 1 and _equal(got[::-1], right, tolerance):
            return "Those are the right values in reverse order"
        return "Those are the right values, but in another order"
    return ""


def first_row_only(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """Only the first (or only the last) row or column is right."""
    if got.shape != right.shape or got.ndim == 0:
        return ""
    for axis, line in ((0, "row" if got.ndim > 1 else "value"), (1, "column"))[: got.ndim]:
        rows, ours = np.moveaxis(got, axis, 0), np.moveaxis(right, axis, 0)
        fine = close(rows, ours, tolerance).reshape(len(ours), -1)
        informative = _clear(ours[0], tolerance) and _clear(ours[-1], tolerance)
        if len(ours) < 2 + (got.ndim == 1) or not informative:
            continue
        if fine[0].all() and not fine[1:].all(1).any():
            if _equal(rows, np.broadcast_to(rows[:1], rows.shape), tolerance):
                return f"Only the first {line} is right, and all others repeat it"
            return (
                f"Only the first {line} is right: is the loop left too early, or is something "
                f"of the first {line} used for all?"
            )
        if fine[-1].all() and not fine[:-1].all(1).any():
            return f"Only the last {line} is right: does each step overwrite the one before?"
    return ""


def other_terms(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """Other multiples of the terms at hand than those that make up the right result."""
    terms = {name: array for name, array in _arrays(given) if _fits(array, right)}
    if got.shape != right.shape or not terms:
        return ""
    is_, should = _multiples(got, terms, tolerance), _multiples(right, terms, tolerance)
    if not should or is_ is None or is_ == should:
        return ""
    wrong = [name for name in terms if is_.get(name, 0) != should.get(name, 0)]
    name = wrong[0]
    if len(wrong) == 1 and name not in is_:
        return f"Right up to one term: {name} is not added"
    if len(wrong) == 1 and is_[name] == -should.get(name, 0):
        how = "subtracted instead of added" if is_[name] < 0 else "added instead of subtracted"
        return f"Right up to one term: {name} is {how}"
    return f"That is {_in_words(is_)}; right is {_in_words(should)}"


def missing_count(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """A count (compared exactly) that is right up to one of the numbers at hand."""
    if tolerance or got.size != 1 or right.size != 1:
        return ""
    lacks = float((right - got).item())
    for name, value in given.items():
        if isinstance(value, int | float) and value > 1:
            if lacks == value:
                return f"Right up to one term: {name} ({value:g}) is not added"
            if lacks == -value:
                return f"Right up to one term: {name} ({value:g}) is added once too often"
            if lacks == 2 * value:
                return f"Right up to one term: {name} ({value:g}) is subtracted instead of added"
    return ""


def missing_term(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """Right up to one term: one of the arrays at hand, a constant, or a vector for each row."""
    if got.shape != right.shape:
        return ""
    lacks = right - got
    # where values agree, the difference of the two is known to both their tolerances
    known = tolerance * (2 + np.abs(right) + np.abs(got))
    if not np.abs(lacks).max() > CLEAR * known.max():
        return ""

    def is_term(term: np.ndarray) -> bool:
        return bool((np.abs(lacks - term) <= known).all())

    for name, array in _arrays(given):
        if _fits(array, lacks) and np.abs(array).max() > CLEAR * tolerance:
            if is_term(array):
                return f"Right up to one term: {name} is not added"
            if is_term(-array):
                return f"Right up to one term: {name} is added once too often, or not subtracted"
            if is_term(2 * array):
                return f"Right up to one term: {name} is subtracted instead of added"
            if is_term(-2 * array):
                return f"Right up to one term: {name} is added instead of subtracted"
    size = lacks.size
    mean = float(lacks.mean())
    if is_term(np.array(mean)) and (size > 1 or abs(mean) == 1):
        too = "small" if mean > 0 else "large"
        return f"{_each(got, 'is')} {abs(mean):.6g} too {too}: a constant term is missing or wrong"
    if got.ndim == 2 and min(got.shape) > 1:
        if is_term(lacks.mean(0, keepdims=True)):
            return (
                "Every row differs from the right one by the same vector: a term that is added "
                "to each row, like a bias, is missing or wrong"
            )
        if is_term(lacks.mean(1, keepdims=True)):
            return (
                "In every row, all values are wrong by the same number: something that is added "
                "to (or subtracted from) the whole row is missing or wrong"
            )
    return ""


def off_by_one(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """Shifted by one step along an axis, or one step too many or too few."""
    for axis in range(right.ndim if got.ndim == right.ndim else 0):
        rows, ours = np.moveaxis(got, axis, 0), np.moveaxis(right, axis, 0)
        if rows.shape[1:] != ours.shape[1:] or len(ours) < 3 or _constant(ours, tolerance):
            continue
        where = ("rows" if axis == 0 else "columns") if got.ndim > 1 else "values"
        more = len(rows) - len(ours)
        if more == 0 and _equal(rows[1:], ours[:-1], tolerance):
            return f"The {where} are off by one step: each comes one place too late"
        if more == 0 and _equal(rows[:-1], ours[1:], tolerance):
            return f"The {where} are off by one step: each comes one place too early"
        if abs(more) == 1:
            longer, shorter = (rows, ours) if more == 1 else (ours, rows)
            extra = "one too many" if more == 1 else "one is missing"
            if _equal(longer[:-1], shorter, tolerance):
                return f"The {where} are right, but off by one: {extra}, at the end"
            if _equal(longer[1:], shorter, tolerance):
                return f"The {where} are right, but off by one: {extra}, at the beginning"
    return ""


def other_shape(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """A sum, a mean or a selection too many or too few."""
    if got.shape == right.shape or not _clear(right, tolerance):
        return ""
    for name, reduce in (("sum", np.sum), ("mean", np.mean)):
        for axis in range(right.ndim):
            if right.shape[axis] > 1:
                once = reduce(right, axis=axis, keepdims=True)
                if got.shape == once.shape and _equal(got, once, tolerance):
                    return f"That is the right result, but with its {name} taken over axis {axis}"
        for axis in range(got.ndim):
            if got.shape[axis] > 1 and _equal(reduce(got, axis=axis), right, tolerance):
                return f"Its {name} over axis {axis} would be right: that {name} is missing"
        for axis in range(right.ndim):
            if right.shape[axis] > 1 and _equal(reduce(right, axis=axis), got, tolerance):
                return f"That is the right result, but with its {name} taken over axis {axis}"
    if got.ndim == 2 and got.shape[0] == got.shape[1] and _equal(np.diag(got), right, tolerance):
        return (
            "The right values are on its diagonal: x[rows, columns] picks one entry for each "
            "pair, x[:, columns] picks all columns in every row"
        )
    if right.ndim and _equal(got, right[0], tolerance):
        return "That is the first row alone"
    if got.ndim == right.ndim:
        if _equal(got, right[tuple(map(slice, got.shape))], tolerance):
            return f"That is right, but only a part of it: the first {got.shape} of {right.shape}"
        if _equal(got, right[tuple(slice(-n, None) for n in got.shape)], tolerance):
            return f"That is right, but only a part of it: the last {got.shape} of {right.shape}"
    return ""


def other_size(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """One size at hand where another belongs."""
    names = {value: name for name, value in _numbers(given)}
    if got.ndim != right.ndim:
        return ""
    for axis, (is_, should) in enumerate(zip(got.shape, right.shape, strict=True)):
        if is_ != should and is_ in names and should in names:
            return f"Axis {axis} has {names[is_]} ({is_}) entries where {names[should]} belongs"
    return ""


def one_line_wrong(got: np.ndarray, right: np.ndarray, given: Given, tolerance: float) -> str:
    """All of one row, or of one column, is wrong, and nothing else."""
    if got.shape != right.shape or got.ndim != 2 or min(got.shape) < 2:
        return ""
    wrong = ~close(got, right, tolerance)
    for axis, line in ((0, "row"), (1, "column")):
        lines = np.flatnonzero(wrong.any(1 - axis))
        if len(lines) == 1 and wrong.take(lines[0], axis).all() and _clear(right, tolerance):
            return f"Only {line} {lines[0]} is wrong, all of it; the others are right"
    return ""


DIAGNOSES: tuple[Diagnosis, ...] = (
    factor,
    sign,
    transpose,
    permutation,
    factor_by_line,
    first_row_only,
    missing_count,
    other_terms,
    missing_term,
    off_by_one,
    other_shape,
    other_size,
    one_line_wrong,
)


def _multiples(
    array: np.ndarray, terms: Mapping[str, np.ndarray], tolerance: float
) -> dict[str, float] | None:
    """An array as a sum of multiples of the terms: {"m": 0.9, "g": 0.1}. None if it is not, or if
    there are too few numbers to tell: three for each term."""
    columns = np.stack([np.broadcast_to(term, array.shape).ravel() for term in terms.values()], 1)
    if array.size < 3 * len(terms):
        return None
    times, _, rank, _ = np.linalg.lstsq(columns, array.ravel(), rcond=None)
    if rank < len(terms) or not _equal((columns @ times).reshape(array.shape), array, tolerance):
        return None
    # a multiple is known as well as its term is large; to four digits it is shown and compared
    slack = 10 * tolerance / np.abs(columns).max(0)
    pairs = zip(terms, times, slack, strict=True)
    return {name: float(f"{number:.4g}") for name, number, small in pairs if abs(number) > small}


def _in_words(multiples: Mapping[str, float]) -> str:
    """A sum of multiples: "0.9 m - g". The term "1" is a constant."""
    parts = [
        f"{number:g}"
        if name == "1"
        else {1.0: name, -1.0: f"-{name}"}.get(number, f"{number:g} {name}")
        for name, number in multiples.items()
    ]
    return " + ".join(parts).replace("+ -", "- ") or "0"


def _factors(given: Given) -> Iterator[tuple[str, float]]:
    """What a factor may be: (in words, its value), the plainest first."""
    for name, n in _numbers(given):
        yield f"a division by {name} ({n:g}) is missing (a sum for a mean?)", n
        yield f"one division by {name} ({n:g}) too many (a mean for a sum?)", 1 / n
        yield f"a division by sqrt({name}) is missing ({name} is {n:g})", math.sqrt(n)
        yield f"one division by sqrt({name}) too many ({name} is {n:g})", 1 / math.sqrt(n)
    yield "twice too large", 2.0
    yield "only half of it", 0.5
    yield "log2 or a power of 2 where the natural ones belong", 1 / math.log(2)
    yield "a natural logarithm where log2 belongs", math.log(2)
    yield "a share where a percentage belongs", 0.01
    yield "a percentage where a share belongs", 100.0


def _all_factors(given: Given) -> Iterator[tuple[str, float]]:
    """Less plain ones, too: made of two sizes, or of n and n - 1."""
    yield from _factors(given)
    for name, n in _numbers(given):
        yield f"a division by the square of {name} ({n:g}) is missing", n * n
        yield f"a division by the square of {name} ({n:g}) too many", 1 / (n * n)
        if n >= 2:
            yield f"a division by {name} - 1 for one by {name} ({n:g})", n / (n - 1)
            yield f"a division by {name} ({n:g}) for one by {name} - 1", (n - 1) / n
            yield f"sqrt({name} - 1) for sqrt({name})", math.sqrt(n / (n - 1))
            yield f"sqrt({name}) for sqrt({name} - 1)", math.sqrt((n - 1) / n)
        for other, k in _numbers(given):
            if other > name:
                yield f"a division by {name} times {other} ({n * k:g}) is missing", n * k
                yield f"one division by {name} times {other} ({n * k:g}) too many", 1 / (n * k)
            if other != name:
                yield f"a division by {name} ({n:g}) for one by {other} ({k:g})", k / n


def _numbers(given: Given) -> list[tuple[str, float]]:
    """The sizes at hand that a factor can be made of: positive, and not 1."""
    numbers = [(name, float(v)) for name, v in given.items() if isinstance(v, int | float)]
    return [(name, value) for name, value in numbers if value > 0 and value != 1]


def _numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf"


def _equal(got: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays agree everywhere, in shape, too."""
    return got.shape == right.shape and bool(close(got, right, tolerance).all())


def _clear(array: np.ndarray, tolerance: float) -> bool:
    """Whether the values are large enough to tell anything."""
    return bool(np.abs(array).max() > CLEAR * tolerance)


def _clear_lines(array: np.ndarray, axis: int, tolerance: float) -> bool:
    """Whether two values of each row (axis 1) or column (axis 0) are large enough: one gives the
    factor, the other confirms it."""
    return bool(((np.abs(array) > CLEAR * tolerance).sum(axis) >= 2).all())


def _constant(array: np.ndarray, tolerance: float) -> bool:
    return _equal(array, np.broadcast_to(array[:1], array.shape), tolerance)


def _distinct(array: np.ndarray, tolerance: float) -> bool:
    """Whether most values differ from each other: zeros and ones agree in some order by chance."""
    values = np.sort(array, axis=None)
    steps = np.sum(np.abs(np.diff(values)) > tolerance * (1 + np.abs(values[1:])))
    return bool(steps + 1 > values.size / 2)


def _reordered(got: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    """Whether each row of the one is a row of the other."""
    left = list(range(len(got)))
    for row in right:
        found = next((i for i in left if _equal(got[i], row, tolerance)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _arrays(given: Given) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in given.items():
        if isinstance(value, np.ndarray) and value.size > 1 and _numeric(value):
            yield name, value.astype(np.float64)


def _fits(array: np.ndarray, other: np.ndarray) -> bool:
    """Whether an array can be added to the other without changing its shape."""
    try:
        return np.broadcast_shapes(array.shape, other.shape) == other.shape
    except ValueError:
        return False


def _each(got: np.ndarray, verb: str) -> str:
    return f"Every value {verb}" if got.size > 1 else f"The value {verb}"
