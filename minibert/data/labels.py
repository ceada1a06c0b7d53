"""The labels of somebody's own table: which cells are labels, and which classes they are.

Nothing is guessed: a cell that looks like a missing label, or two spellings of what looks like one
label, is refused, and says how to go on.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, DecimalException
from typing import Any

from minibert.errors import InputError, several, shown

# What pandas reads as missing, and what people write for it.
MISSING = frozenset(
    {"", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "-nan"}
    | {
        "-NaN",
        "-",
        "--",
        "–",
        "—",
        "?",
        ".",
        "na",
        "n.a.",
        "N.A.",
        "nil",
        "NaT",
        "#REF!",
        "#VALUE!",
    }
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)  # no digit of an id is rounded away
COMMA = re.compile(r"[+-]?\d+,\d+")  # a decimal comma
MANY = 100  # with more classes than this, labels that hardly repeat are refused
LONGEST = 1000  # characters of a name
FEW = 5  # training rows, below which a class is warned of
OPTION = "--classes"  # how one names the classes, unless a caller has another way


def label_text(cell: Any) -> str | None:
    """A cell as a label: text without blanks around it; "" for a missing value of JSON, None for
    what is no label, a list for example."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if cell is None or cell != cell:
        return ""
    return str(cell).strip() if isinstance(cell, str | int | float) else None


def is_missing(label: str, numeric: bool) -> bool:
    """Whether a label stands for none. -1 does, as GLUE's test files have it, unless the other
    labels are `numeric`, too."""
    return label in MISSING or (label == "-1" and not numeric)


def is_numeric(labels: Mapping[str, int]) -> bool:
    """Whether every label but -1 and the missing ones is a number."""
    rest = [label for label in labels if label not in MISSING and label != "-1"]
    return bool(rest) and all(NUMBER.fullmatch(label) for label in rest)


def find_classes(counts: Mapping[str, int], rows: int, where: str) -> tuple[str, ...]:
    """The classes, sorted (numbers by their value), from the labels' counts in `rows` rows.

    `where` names file and column. Raises InputError for two spellings of one label, or labels that
    hardly repeat.
    """
    check_spellings(counts, where)
    if len(counts) > max(MANY, rows // 2):
        raise InputError(
            f"{where} has {len(counts)} different labels in {rows} rows; is it a regression? "
            "(--regression; or name the classes with --classes)"
        )
    return in_order(counts)


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels, sorted; numbers by their value."""
    known = tuple(labels)
    numbers = all(NUMBER.fullmatch(label) for label in known)
    return tuple(sorted(known, key=float)) if numbers else tuple(sorted(known))


def check_spellings(counts: Mapping[str, int], where: str, how: str = OPTION) -> None:
    """Raises InputError for two labels that look like one, with their counts. `how`: how one names
    the classes instead."""
    spelled: dict[str, str] = {}
    for label in counts:
        other = spelled.setdefault(_same(label), label)
        if other != label:
            spell = repr if unicodedata.normalize("NFC", label) == label else ascii
            spell = ascii if unicodedata.normalize("NFC", other) != other else spell
            raise InputError(
                f"{where} spells one label in two ways: {spell(other)} "
                f"({several(counts[other], 'row')}) and {spell(label)} "
                f"({several(counts[label], 'row')}); make them one, or name the classes with {how}"
            )


def _same(label: str) -> str:
    """The same for labels that differ only by case, Unicode form, blanks or number format."""
    seen = "".join(c for c in label if unicodedata.category(c) != "Cf")  # invisible characters
    number = seen.replace(",", ".") if COMMA.fullmatch(seen) else seen
    if NUMBER.fullmatch(number):
        with suppress(DecimalException):  # an exponent beyond Decimal's
            return str(Decimal(number).normalize(EXACT))
    return " ".join(unicodedata.normalize("NFKC", seen).casefold().split())


def check_names(names: Sequence[Any], where: str) -> None:
    """Raises InputError for names of classes, from outside, that cannot tell people which is which:
    no texts, blank, very long, or one for two classes."""
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{where} names class {number} {shown(name)}, which is no name")
        if len(name) > LONGEST:
            raise InputError(f"{where} has a name of {len(name):,} characters: {shown(name)}")
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{where} names {times} classes {shown(name)}")


def warnings(
    names: Sequence[str],
    train: Sequence[int | float],
    dev: Sequence[int | float],
    unlabelled: str = "name the classes: 0 1",
    scores: str = "--regression predicts numbers",
) -> list[str]:
    """What to know of the classes before training; the examples are given as class numbers.
    `unlabelled`, `scores`: what to do where labels are missing, or numbers to predict."""
    in_train, in_dev = Counter(train), Counter(dev)
    unseen = [name for i, name in enumerate(names) if not in_train[i] and in_dev[i]]
    few = [f"{n} ({in_train[i]})" for i, n in enumerate(names) if 0 < in_train[i] < FEW]
    found = []
    if unseen:
        found.append(f"in the development data alone, so never learned: {_some(unseen)}")
    if few:
        found.append(f"fewer than {FEW} training rows: {_some(few)}")
    if set(names) == {"-1", "0", "1"}:
        found.append(f"-1 is a class; if it stands for a missing label, {unlabelled}")
    if any(NUMBER.fullmatch(name) and "." in name for name in names):
        found.append(f"the classes look like scores; {scores}")
    return found


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
