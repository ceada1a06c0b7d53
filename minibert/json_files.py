"""JSON that came from outside: parsed within bounds, and compared with the form it should have.

Every JSON file that somebody else can have written is read here. What comes out is small enough and
shallow enough for any code, and every number in it fits into a float.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from minibert.errors import InputError, shown, visible
from minibert.files import read_bounded

LARGEST = 1 << 24  # bytes; as Python objects they can take twenty times as much
DEEPEST = 64  # levels; Python gives up at about a thousand, each function at another number
MOST_DIGITS = 300  # of a number; float() refuses more
LONG = re.compile(rf"[0-9]{{{MOST_DIGITS + 1}}}")


def parse_json(
    text: str | bytes, where: object, largest: int = LARGEST, unique: bool = False
) -> Any:
    """JSON that came from outside. Raises InputError, naming `where`, for anything else, and for
    more than `largest` bytes, DEEPEST levels, or MOST_DIGITS digits of a number; if `unique`, for
    an object that has a name twice, of which Python keeps the last."""
    if len(text) > largest:
        raise InputError(f"{where}: is not read: it has more than {largest:,} bytes")
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        # looked for first: a Python call for each number takes longer than all else
        value = json.loads(
            text,
            parse_int=_integer if LONG.search(text) else None,
            object_pairs_hook=_object if unique else None,
        )
    except _Twice as error:
        raise InputError(f"{where}: has {shown(error.args[0])} twice in one object") from None
    except RecursionError:  # long before the end of endless brackets
        raise InputError(f"{where}: is not JSON: it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where}: is not JSON: {error}") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _parts(outer)]
        if not level:
            return value
    raise InputError(f"{where}: is nested more than {DEEPEST} levels deep")


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


class _Twice(Exception):
    """A name that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = {}
    for name, part in pairs:
        if name in value:
            raise _Twice(name)
        value[name] = part
    return value


def _parts(value: Any) -> Iterable[Any]:
    """The lists and objects directly in a value."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return ()
    return (part for part in value if isinstance(part, dict | list))


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """A JSON file's content. Raises InputError as `parse_json` does, naming the file, and when it
    cannot be read."""
    try:
        text = read_bounded(path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not JSON: {error}") from None
    return parse_json(text, path, largest)


def spelled(value: Any) -> str:
    """A value that `parse_json` returned, as its file spells it, in one short line of a message.

    >>> spelled({"bias": True, "r": None})
    '{"bias": true, "r": null}'
    """
    text = json.dumps(value)
    return visible(text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}")


# ---------------------------------------------------------------------------------- the form


class _Misfit(Exception):
    """A part of a value has another form than is expected. Its arguments: the part's name, what is
    wrong with it."""


def fitted(kind: Any, value: Any, where: object) -> Any:
    """What `parse_json` returned, as a value of a type: str, int, float (a finite one), bool, None,
    Any, unions of them, lists, tuples, {str: ...}, and dataclasses of such fields.

    An object becomes its dataclass, a list a tuple where one is meant; nothing else is converted,
    but an int may stand for a float. Raises InputError, naming `where` and the part, for a value of
    another type, a field that is missing, and one that the dataclass does not have.
    """
    try:
        return _fitted(kind, value, "")
    except _Misfit as misfit:
        part, wrong = misfit.args
        raise InputError(f"{where}: {part or 'it'} {wrong}") from None


def _fitted(kind: Any, value: Any, name: str) -> Any:
    form, parts = get_origin(kind), get_args(kind)
    if form in (Union, UnionType):
        for one in parts:
            try:
                return _fitted(one, value, name)
            except _Misfit:
                continue
    elif dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _of_dataclass(kind, value, name)
    elif form is dict and isinstance(value, dict):
        return {key: _fitted(parts[1], part, _inner(name, key)) for key, part in value.items()}
    elif form in (list, tuple) and isinstance(value, list):
        several = form is list or parts[-1] is Ellipsis
        kinds = parts[:1] * len(value) if several else parts
        if len(kinds) == len(value):
            numbered = enumerate(zip(kinds, value, strict=True))
            return form(_fitted(one, part, f"{name}[{i}]") for i, (one, part) in numbered)
    elif kind is float and type(value) in (int, float):
        if math.isfinite(value):
            return float(value)
    elif kind is Any or type(value) is kind:
        return value
    raise _Misfit(name, f"is {shown(value)}; {_words(kind)} is expected")


def _of_dataclass(kind: Any, value: dict[str, Any], name: str) -> Any:
    kinds = _field_kinds(kind)
    if unknown := value.keys() - kinds.keys():
        raise _Misfit(_inner(name, min(unknown)), "is not known")
    for field in dataclasses.fields(kind):
        nothing = dataclasses.MISSING
        if field.name not in value and field.default is field.default_factory is nothing:
            raise _Misfit(_inner(name, field.name), "is missing")
    return kind(**{key: _fitted(kinds[key], v, _inner(name, key)) for key, v in value.items()})


@cache
def _field_kinds(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _inner(name: str, key: str) -> str:
    return f"{name}.{shown(key)[1:-1]}".lstrip(".")


_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    NoneType: "null",
    dict: "an object",
    list: "a list",
    tuple: "a list",
}


def _words(kind: Any) -> str:
    """A type in words."""
    form, parts = get_origin(kind), get_args(kind)
    if form in (Union, UnionType):
        return " or ".join(map(_words, parts))
    if form is tuple and parts[-1] is not Ellipsis:
        return f"a list of {len(parts)}"
    return _WORDS.get(form or kind, "an object")
