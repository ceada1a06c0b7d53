"""The assertions that an exercise's check.py is written with: `same`, `exactly`, `raises`,
`untouched`.

Each compares what the student's function returned with what it should have, and raises `Wrong` with
a message that a beginner can act on: first the shape, then the dtype, then the first wrong value,
then what that usually means. They run in the judge's process; the student's code never sees them.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

Meanings = Sequence[tuple[Any, str]]


class Wrong(Exception):
    """The student's function does not do what it should; the text says what it did instead."""


class StudentError(Wrong):
    """The student's code raised an exception. `kinds`: the names of its class and base classes;
    `text`: its message; `function`: the name of the student's function that raised it."""

    def __init__(
        self, message: str, kinds: Sequence[str] = (), text: str = "", function: str = ""
    ) -> None:
        super().__init__(message)
        self.kinds, self.text, self.function = tuple(kinds), text, function


def same(
    got: Any,
    expected: Any,
    what: str,
    tolerance: float = 1e-5,
    meanings: Meanings = (),
    dtype: Any = np.float32,
) -> None:
    """Raise Wrong unless `got` is `expected`: an array, a number, or a nested dict, list or tuple
    of them.

    `what` names the result in the message, as a call: "attention(q, k, v)". Values may differ by
    tolerance * (1 + |expected|). Arrays of floats must have `dtype`, whatever the dtype of
    `expected` (an oracle computes in float64); arrays of integers may have any integer dtype. Where
    `expected` is a Python number, any number will do. Each of `meanings` is a wrong result, or a
    function without arguments that returns one, and what it means to have got it.
    """
    if isinstance(expected, Mapping):
        _same_keys(got, expected, what)
        for key, value in expected.items():
            same(got[key], value, f"{what}[{key!r}]", tolerance, _part(meanings, key), dtype)
    elif isinstance(expected, list | tuple):
        _same_length(got, expected, what)
        for i, value in enumerate(expected):
            same(got[i], value, f"{what}[{i}]", tolerance, _part(meanings, i), dtype)
    else:
        _is_number(got, what)
        got, right = np.asarray(got), np.asarray(expected)
        if got.shape != right.shape:
            hint = _meaning(got, meanings, tolerance)
            raise Wrong(f"{what} has shape {got.shape}, but should have {right.shape}{hint}")
        if not isinstance(expected, bool | int | float):
            _same_dtype(got, right, what, right.dtype if dtype is None else np.dtype(dtype))
        _same_values(got, right, what, tolerance, meanings)


def exactly(got: Any, expected: Any, what: str, meanings: Meanings = ()) -> None:
    """Raise Wrong unless `got` equals `expected`: a count, a string, a list of names. An array that
    holds a single number counts as that number; True is not 1."""
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
                raise Wrong(f"{what} is {got!r}, but should be {expected!r}\n{text}")
        how = f": {_how(got)}" if got is None else ""
        raise Wrong(f"{what} is {got!r}, but should be {expected!r}{how}")


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


def _same_length(got: Any, expected: Sequence[Any], what: str) -> None:
    """Raise Wrong unless `got` is a list or tuple of the length of `expected`."""
    if not isinstance(got, list | tuple) or len(got) != len(expected):
        raise Wrong(f"{what} {_is(got)}, but should be {len(expected)} values: {_how(got)}")


def _same_dtype(got: np.ndarray, right: np.ndarray, what: str, dtype: np.dtype) -> None:
    """Raise Wrong unless the dtype is as `same` requires."""
    kind = right.dtype.kind
    wanted = str(dtype) if kind == "f" else {"i": "integers", "u": "integers", "b": "bool"}[kind]
    if (kind in "iu" and got.dtype.kind in "iu") or got.dtype == (dtype if kind == "f" else bool):
        return
    hint = ""
    if got.dtype == np.float64 and dtype == np.float32:
        hint = (
            "\nA float64 leaked in: np.sqrt(8), np.zeros(n), np.arange(n) / n and float64 arrays "
            "widen float32 arrays; math.sqrt(8) and Python's own numbers do not"
        )
    raise Wrong(f"{what} has dtype {got.dtype}, but should have {wanted}{hint}")


def _same_values(
    got: np.ndarray, right: np.ndarray, what: str, tolerance: float, meanings: Meanings
) -> None:
    """Raise Wrong for the first value that is not finite, or else for the first that is wrong."""
    finite = np.isfinite(got) | ~np.isfinite(right)
    if not finite.all():
        where = _first(~finite)
        raise Wrong(
            f"{what}{_index(where)} is {got[where]}, but should be {_show(right[where])}: a "
            "division by zero, an overflow in exp, or a logarithm of 0?"
        )
    close = _close(got, right, tolerance)
    if not close.all():
        where, count = _first(~close), int(np.sum(~close))
        first = f"the first of {count} wrong values" if count > 1 else "the only wrong value"
        which = f", {first} among {close.size}" if close.size > 1 else ""
        raise Wrong(
            f"{what}{_index(where)} is {_show(got[where])}, but should be {_show(right[where])}"
            f"{which}{_meaning(got, meanings, tolerance)}"
        )


def _close(got: np.ndarray, right: np.ndarray, tolerance: float) -> np.ndarray:
    """Where two arrays of the same shape agree. -> bools of that shape"""
    with np.errstate(all="ignore"):
        if right.dtype.kind != "f":
            return np.asarray(got == right)
        got, right = got.astype(np.float64), right.astype(np.float64)
        equal = (got == right) | (np.isnan(got) & np.isnan(right))
        near = np.abs(got - right) <= tolerance * (1 + np.abs(right))
        return np.asarray(equal | (near & np.isfinite(right)))


def _meaning(got: np.ndarray, meanings: Meanings, tolerance: float) -> str:
    """The text of the first wrong result that `got` equals, on a line of its own; or ""."""
    for other, text in meanings:
        if other is not None:
            other = np.asarray(other() if callable(other) else other)
            if other.shape == got.shape and _close(got, other, tolerance).all():
                return f"\n{text}"
    return ""


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
