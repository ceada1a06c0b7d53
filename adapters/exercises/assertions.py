"""The assertions that an exercise's check.py is written with: `same`, `exactly`, `raises`,
`untouched`, and `at_each_size` to repeat them.

Each compares what the student's function returned with what it should have, and raises `Wrong` with
a message that a beginner can act on: first the shape, then the dtype, then the first wrong value,
then what that usually means: a mistake that the exercise has foreseen or, if it is none of those, a
generic diagnosis (`diagnoses`). They run in the judge's process; the student's code never sees
them.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapters.exercises.diagnoses import Given, close, diagnose, same_but_dtype
from minibert.errors import InputError

Meanings = Sequence[tuple[Any, str]]


class JudgeError(InputError):
    """The judge cannot judge: this machine or this installation is at fault, and not the student.
    There is no verdict then."""


class Wrong(Exception):
    """The student's function does not do what it should; the text says what it did instead.
    `reason`: what that usually means, also the text's last line; "" if nobody knows."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(f"{message}\n{reason}" if reason else message)
        self.reason = reason


class Ended(Wrong):
    """The student's process gives no more answers: it has ended, sent nonsense, or (`timed_out`)
    run out of time. No further check is possible."""

    def __init__(self, message: str, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class StudentError(Wrong):
    """The student's code raised an exception. `kinds`: the names of its class and base classes;
    `text`: its message; `function`: the name of the student's function that raised it."""

    def __init__(
        self, message: str, kinds: Sequence[str] = (), text: str = "", function: str = ""
    ) -> None:
        super().__init__(message)
        self.kinds, self.text, self.function = tuple(kinds), text, function


@dataclass(frozen=True)
class _Rules:
    """What every part of a nested result is compared by; see `same`."""

    tolerance: float
    dtype: Any
    given: Given | None


def same(
    got: Any,
    expected: Any,
    what: str,
    tolerance: float = 1e-5,
    meanings: Meanings = (),
    dtype: Any = np.float32,
    given: Given | None = None,
) -> None:
    """Raise Wrong unless `got` is `expected`: an array, a number, or a nested dict, list or tuple
    of them.

    `what` names the result in the message, as a call: "attention(q, k, v)". Values may differ by
    tolerance * (1 + |expected|). Arrays of floats must have `dtype`, whatever the dtype of
    `expected` (an oracle computes in float64); arrays of integers may have any integer dtype. Where
    `expected` is a Python number, any number will do. Each of `meanings` is a wrong result, or a
    function without arguments that returns one, and what it means to have got it. Where none of
    them applies and there is `given`, the sizes (numbers) and arrays at hand by name, a generic
    diagnosis is looked for, and a factor or a missing term is named after them.
    """
    _compare(got, expected, what, meanings, _Rules(tolerance, dtype, given))


def _compare(got: Any, expected: Any, what: str, meanings: Meanings, rules: _Rules) -> None:
    """`same`, for one part of a nested result."""
    if isinstance(expected, Mapping):
        _same_keys(got, expected, what)
        for key in expected:
            _compare_part(got, expected, key, what, meanings, rules)
    elif isinstance(expected, list | tuple):
        _same_length(got, expected, what, meanings, rules)
        for i in range(len(expected)):
            _compare_part(got, expected, i, what, meanings, rules)
    else:
        _is_number(got, what)
        got, right = np.asarray(got), np.asarray(expected)
        if got.shape != right.shape:
            reason = _reason(got, right, meanings, rules)
            raise Wrong(f"{what} has shape {got.shape}, but should have {right.shape}", reason)
        if not isinstance(expected, bool | int | float):
            wanted = right.dtype if rules.dtype is None else np.dtype(rules.dtype)
            _same_dtype(got, right, what, wanted, lambda: _why_else(got, right, meanings, rules))
        _same_values(got, right, what, meanings, rules)


def _compare_part(
    got: Any, expected: Any, key: Any, what: str, meanings: Meanings, rules: _Rules
) -> None:
    """Compare one entry. A list of numbers is explained as a whole; and any other entry that is
    wrong may be what another one should be."""
    whole, right = _listed(got), _listed(expected)
    if whole is not None and right is not None:
        try:
            plain = replace(rules, given=None)
            _compare(got[key], expected[key], f"{what}[{key!r}]", (), plain)
        except Wrong as error:
            raise Wrong(str(error), _reason(whole, right, meanings, rules)) from None
        return
    try:
        _compare(got[key], expected[key], f"{what}[{key!r}]", _part(meanings, key), rules)
    except Wrong as error:
        if error.reason or rules.given is None:
            raise
        raise Wrong(str(error), _is_another(got[key], expected, key, rules)) from None


def exactly(
    got: Any, expected: Any, what: str, meanings: Meanings = (), given: Given | None = None
) -> None:
    """Raise Wrong unless `got` equals `expected`: a count, a string, a list of names. An array that
    holds a single number counts as that number; True is not 1. `meanings` and `given`: as for
    `same`."""
    got = got.item() if isinstance(got, np.ndarray) and got.ndim == 0 else got
    if type(got) is float and type(expected) is int and got == expected:
        raise Wrong(
            f"{what} is {got!r}, a float, but should be the integer {expected!r}: // for /?"
        )
    if isinstance(got, np.ndarray) or isinstance(got, bool) != isinstance(expected, bool):
        raise Wrong(f"{what} {_is(got)}, but should be {expected!r}: {_how(got)}")
    if got != expected:
        for other, text in meanings:
            if got == (other() if callable(other) else other):
                raise Wrong(f"{what} is {got!r}, but should be {expected!r}", text)
        how = f": {_how(got)}" if got is None else ""
        message = f"{what} is {got!r:.1000}, but should be {expected!r:.1000}{how}"
        raise Wrong(message, _reason_of_counts(got, expected, given))


def raises(call: Callable[[], Any], kind: type[Exception], what: str, naming: str = "") -> None:
    """Raise Wrong unless `call()`, which calls the student's function, raises a `kind` whose text
    contains `naming`."""
    try:
        result = call()
    except StudentError as error:
        if kind.__name__ not in error.kinds:
            raise Wrong(f"{what} should raise a {kind.__name__}; instead:\n{error}") from None
        if naming not in error.text:
            raise Wrong(
                f"{what} raises a {kind.__name__}, as it should, but its text, {error.text!r}, "
                f"does not name {naming!r}"
            ) from None
        return
    raise Wrong(f"{what} should raise a {kind.__name__}, but {_is(result)}")


def at_each_size(compare: Callable[..., None], *sizes: tuple[Any, ...]) -> None:
    """Call compare(*size) for each of the sizes. Where the first is right and another wrong, for no
    reason that is known, the message says so: the code may have a number for a size."""
    compare(*sizes[0])
    for size in sizes[1:]:
        try:
            compare(*size)
        except Wrong as error:
            unwritten = isinstance(error, StudentError) and "NotImplementedError" in error.kinds
            if error.reason or unwritten or isinstance(error, Ended):
                raise
            raise Wrong(str(error), ONE_SIZE_ONLY) from None


ONE_SIZE_ONLY = (
    "With other sizes it was right. Does your code have a number where a size of the arrays, or an "
    "argument, belongs; or does something round, or end one too early?"
)


@contextmanager
def untouched(**arguments: Any) -> Iterator[None]:
    """Raise Wrong if the student's functions change one of these arguments (by name; arrays, or
    nested dicts and lists of them) within the block."""
    before = copy.deepcopy(arguments)
    yield
    changed = _changed(arguments, before, "")
    if changed:
        raise Wrong(f"your function changed its argument {changed}")


def _changed(now: Any, before: Any, name: str) -> str:
    """The first part of a nested value that has changed, and how; "" if none has."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        if [*now] != [*before]:
            return f"{name}: {_keys_now(now, before, name)}. Build a new dict: this is the caller's"
        parts = ((now[k], before[k], f"{name}[{k!r}]" if name else k) for k in before)
        return next(filter(None, (_changed(*part) for part in parts)), "")
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        if len(now) != len(before):
            items = f"it now has {len(now)} items instead of {len(before)}"
            return f"{name}: {items}. Build a new list: this is the caller's"
        parts = ((now[i], before[i], f"{name}[{i}]") for i in range(len(now)))
        return next(filter(None, (_changed(*part) for part in parts)), "")
    if isinstance(before, np.ndarray) and isinstance(now, np.ndarray):
        if now.dtype == before.dtype and now.shape == before.shape:
            how = "in place: x += y changes x itself, x = x + y makes a new array"
            return "" if now.tobytes() == before.tobytes() else f"{name} {how}"
    elif type(now) is type(before) and now == before:
        return ""
    return f"{name}: it was replaced by something else. Build a new value: this is the caller's"


def _keys_now(now: Mapping[Any, Any], before: Mapping[Any, Any], name: str) -> str:
    """How the keys of a dict have changed, in words."""
    for gone in before:
        if gone not in now:
            return f"{name}[{gone!r}] is gone"
    for new in now:
        if new not in before:
            return f"{name}[{new!r}] is new"
    return "its keys are in another order"


def _is_number(got: Any, what: str) -> None:
    """Raise Wrong unless `got` is a number or an array of numbers."""
    if got is None and what.endswith("]"):
        raise Wrong(f"{what} is None, but should be a number: was it left without one?")
    numeric = isinstance(got, np.ndarray | np.generic) and np.asarray(got).dtype.kind in "biufc"
    if not numeric and not isinstance(got, bool | int | float):
        raise Wrong(f"{what} {_is(got)}, but should be an array: {_how(got)}")


def _same_keys(got: Any, expected: Mapping[Any, Any], what: str) -> None:
    """Raise Wrong unless `got` is a dict with the keys of `expected`."""
    if not isinstance(got, Mapping):
        raise Wrong(f"{what} {_is(got)}, but should be a dict: {_how(got)}")
    for key in expected:
        if key not in got:
            raise Wrong(f"{what} has no {key!r}; it has {', '.join(map(repr, got)) or 'nothing'}")
    for key in got:
        if key not in expected:
            raise Wrong(f"{what} has {key!r}, but should have {', '.join(map(repr, expected))}")


def _same_length(
    got: Any, expected: Sequence[Any], what: str, meanings: Meanings, rules: _Rules
) -> None:
    """Raise Wrong unless `got` is a list or tuple of the length of `expected`."""
    if not isinstance(got, list | tuple):
        raise Wrong(f"{what} {_is(got)}, but should be {len(expected)} values: {_how(got)}")
    if len(got) != len(expected):
        whole, right = _listed(got), _listed(expected)
        reason = ""
        if whole is not None and right is not None:
            reason = _reason(whole, right, meanings, rules)
        raise Wrong(f"{what} is {len(got)} values, but should be {len(expected)} values", reason)


def _same_dtype(
    got: np.ndarray, right: np.ndarray, what: str, dtype: np.dtype, why_else: Callable[[], str]
) -> None:
    """Raise Wrong unless the dtype is as `same` requires. `why_else()` is what can be said about
    the values."""
    kind = right.dtype.kind
    wanted = str(dtype) if kind == "f" else {"i": "integers", "u": "integers", "b": "bool"}[kind]
    if (kind in "iu" and got.dtype.kind in "iu") or got.dtype == (dtype if kind == "f" else bool):
        return
    reason = why_else()
    if got.dtype == np.float64 and dtype == np.float32:
        leak = (
            "A float64 leaked in: np.sqrt(8), np.zeros(n), np.arange(n) / n and float64 arrays "
            "widen float32 arrays; math.sqrt(8) and Python's own numbers do not"
        )
        reason = f"{leak}\n{reason}" if reason else leak
    raise Wrong(f"{what} has dtype {got.dtype}, but should have {wanted}", reason)


def _same_values(
    got: np.ndarray, right: np.ndarray, what: str, meanings: Meanings, rules: _Rules
) -> None:
    """Raise Wrong for the first value that is not finite, or else for the first that is wrong."""
    finite = np.isfinite(got) | ~np.isfinite(right)
    if not finite.all():
        where = _first(~finite)
        raise Wrong(
            f"{what}{_index(where)} is {got[where]}, but should be {_show(right[where])}: a "
            "division by zero, an overflow in exp, or a logarithm of 0?"
        )
    fine = close(got, right, rules.tolerance)
    if not fine.all():
        where, count = _first(~fine), int(np.sum(~fine))
        first = f"the first of {count} wrong values" if count > 1 else "the only wrong value"
        which = f", {first} among {fine.size}" if fine.size > 1 else ""
        raise Wrong(
            f"{what}{_index(where)} is {_show(got[where])}, but should be {_show(right[where])}"
            f"{which}",
            _reason(got, right, meanings, rules),
        )


def _why_else(got: np.ndarray, right: np.ndarray, meanings: Meanings, rules: _Rules) -> str:
    """About the values of a result of the wrong dtype: whether they are right, or why not."""
    if fine := same_but_dtype(got, right, rules.tolerance):
        return fine
    values = got.astype(np.float64) if got.dtype.kind in "biuf" else got
    reason = _reason(values, right, meanings, rules)
    return f"Its values are wrong, too: {reason[0].lower()}{reason[1:]}" if reason else ""


def _reason(got: np.ndarray, right: np.ndarray, meanings: Meanings, rules: _Rules) -> str:
    """What a wrong result usually means: the text of the first of `meanings` that `got` equals, or
    a generic diagnosis; "" if neither applies."""
    for other, text in meanings:
        if other is not None:
            other = np.asarray(other() if callable(other) else other)
            if other.shape == got.shape and close(got, other, rules.tolerance).all():
                return text
    return diagnose(got, right, rules.given, rules.tolerance) if rules.given is not None else ""


def _reason_of_counts(got: Any, expected: Any, given: Given | None) -> str:
    """A generic diagnosis of a count, or of a list or dict of counts or other things."""
    if given is None:
        return ""
    if isinstance(got, dict) and isinstance(expected, dict):
        if missing := [key for key in expected if key not in got]:
            return f"These are missing: {_some(missing)}"
        if extra := [key for key in got if key not in expected]:
            return f"These are too many: {_some(extra)}"
        wrong = [key for key in expected if got[key] != expected[key]]
        if len(wrong) == 1 and len(expected) > 1:
            return f"Only [{wrong[0]!r}] is wrong; all others are right"
        got, expected = [got[key] for key in expected], [*expected.values()]
    if isinstance(got, list) and isinstance(expected, list):
        missing = [one for one in expected if one not in got]
        extra = [one for one in got if one not in expected]
        if missing and not extra and got == [one for one in expected if one in got]:
            return f"Right but for what is missing: {_some(missing)}"
        if extra and not missing and expected == [one for one in got if one in expected]:
            return f"Right but for what is too many: {_some(extra)}"
        if len(got) == len(expected) and all(got.count(x) == expected.count(x) for x in expected):
            return "Those are the right ones, but in another order"
    counts, right = _as_array(got), _as_array(expected)
    if counts is None or right is None:
        return ""
    if right.ndim == 1 and right.size > 2 and counts.shape == right.shape:
        places = np.flatnonzero(counts != right)
        if len(places) == 1:
            return f"Only [{places[0]}] is wrong; all others are right"
    return diagnose(counts, right, given, 0.0)


def _some(things: list[Any]) -> str:
    more = f" and {len(things) - 5} more" if len(things) > 5 else ""
    return ", ".join(map(repr, things[:5])) + more


def _is_another(got: Any, expected: Any, key: Any, rules: _Rules) -> str:
    """Whether one entry is what another should be, in words."""
    mine = _as_array(got)
    others = expected.items() if isinstance(expected, Mapping) else enumerate(expected)
    for other, value in others:
        right = _as_array(value)
        if other == key or mine is None or right is None or mine.shape != right.shape:
            continue
        if right.size > 1 and close(mine, right, rules.tolerance).all():
            return f"That is what [{other!r}] should be: are the two swapped?"
    return ""


def _listed(value: Any) -> np.ndarray | None:
    """A nested list of plain numbers as an array; None for anything else."""

    def plain(part: Any) -> bool:
        inner = isinstance(part, list | tuple)
        return all(map(plain, part)) if inner else isinstance(part, int | float)

    return _as_array(value) if isinstance(value, list | tuple) and plain(value) else None


def _as_array(value: Any) -> np.ndarray | None:
    """An array of numbers, or a nested list of them, as float64; or None."""
    if not isinstance(value, np.ndarray | list | tuple | int | float) or isinstance(value, bool):
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return None
    return array.astype(np.float64) if array.dtype.kind in "iuf" and array.size else None


def _part(meanings: Meanings, key: Any) -> Meanings:
    """The meanings for one entry of a dict or list, of those wrong results that have the entry."""
    parts = []
    for other, text in meanings:
        other = other() if callable(other) else other
        inside = isinstance(other, Mapping) and key in other
        if inside or (isinstance(other, list | tuple) and key < len(other)):
            parts.append((other[key], text))
    return parts


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _index(where: tuple[int, ...]) -> str:
    return f" at [{', '.join(map(str, where))}]" if where else ""


def _show(value: Any) -> str:
    return f"{value:.6g}" if np.asarray(value).dtype.kind == "f" else str(value)


def _is(got: Any) -> str:
    """What was returned, in words: "returned None", "is an array of shape (3,) ..."."""
    if got is None:
        return "returned None"
    if isinstance(got, np.ndarray):
        return f"is an array of shape {got.shape} and dtype {got.dtype}"
    if isinstance(got, str | bool | int | float):
        return f"is {got!r:.200}"
    return f"is a {getattr(got, 'type_name', type(got).__name__)}"


def _how(got: Any) -> str:
    return "is the return missing?" if got is None else "is that the value you meant to return?"
