"""What to do about an exception of the student's code, for those whose own text says little to a
beginner."""

import re
from collections.abc import Sequence

# (the exception's class or a base class, part of its text, what to do)
ADVICE = (
    (
        "ValueError",
        r"matmul: Input operand|shapes .* not aligned",
        "a @ b needs the last axis of a to be as long as the first of b. Write down both shapes: "
        "does one need .T, or is the order the other way round?",
    ),
    (
        "ValueError",
        r"could not be broadcast|non-broadcastable",
        "Two shapes do not fit together. Write down both: a sum, mean or maximum over an axis "
        "keeps its place with keepdims=True, [N, 1] instead of [N]; is one a transpose, or is a "
        "number in the code where a size belongs?",
    ),
    (
        "ValueError",
        r"cannot reshape array",
        "The number of values does not fit the shape: are all there, and of the right dtype?",
    ),
    (
        "ValueError",
        r"buffer size must be a multiple|buffer is smaller",
        "The bytes are not a whole number of values: does the slice begin and end in the right "
        "place, and is the dtype that of the header?",
    ),
    (
        "UnicodeDecodeError",
        "",
        "Those bytes are not text: does the slice begin and end where the header does?",
    ),
    (
        "JSONDecodeError",
        "",
        "Those bytes are not JSON: does the slice begin and end where the header does?",
    ),
    (
        "ValueError",
        r"truth value of an array",
        "An array is not one truth: & | ~ work element by element, .any() and .all() give one",
    ),
    (
        "ValueError",
        r"read-only",
        "That array may only be read: work with a new one (x = x + y, or x.copy())",
    ),
    (
        "ValueError",
        r"zip\(\) argument|values to unpack",
        "Two things of different lengths: is one of them one too long or too short?",
    ),
    (
        "ZeroDivisionError",
        "",
        "A size or a count can be 0 (no warm-up, no such text): which case should not come here?",
    ),
    (
        "IndexError",
        r"out of bounds|out of range",
        "Python counts from 0, so the last of n is n - 1. Is that the right axis, and is a number "
        "in the code where a size belongs?",
    ),
    (
        "IndexError",
        r"too many indices|invalid index to scalar",
        "There are fewer axes than indices: write down the shape of what is indexed",
    ),
    (
        "IndexError",
        r"shape mismatch: indexing arrays",
        "x[rows, columns] takes one entry for each pair, so both need the same length",
    ),
    (
        "KeyError",
        "",
        "There is no such key. If it may be missing, .get(key) and .pop(key, None) allow for that; "
        "else compare it with the keys that are there",
    ),
    (
        "UFuncTypeError",
        r"Cannot cast ufunc",
        "x += y keeps the dtype of x, which cannot hold the result; x = x + y makes a new array",
    ),
    ("TypeError", r"NoneType", "Something is None: has one of your functions no return?"),
    (
        "TypeError",
        r"positional argument|unexpected keyword",
        "A function is called with other arguments than it has: keep the first line of the stub",
    ),
    (
        "TypeError",
        r"not callable",
        "Round brackets after what is not a function: is a * missing, or should they be square?",
    ),
    (
        "TypeError",
        r"item assignment|unhashable",
        "That kind of value cannot be used so: a tuple cannot be changed, a list cannot be a key",
    ),
    (
        "UnboundLocalError",
        "",
        "A variable is used before it has a value: is it only set in a branch that was not taken?",
    ),
    ("NameError", "", "That name is not known: is it misspelt, or is an import or a line missing?"),
    ("RecursionError", "", "A function calls itself without end: when should it stop?"),
    (
        "error",
        "",
        "A regular expression that cannot be read: every bracket closed, backslashes in r-strings?",
    ),
)


def advice(kinds: Sequence[str], text: str) -> str:
    """What to do about an exception, given the names of its class and base classes and its text;
    "" if there is nothing to add."""
    for kind, pattern, advised in ADVICE:
        if kind in kinds and re.search(pattern, text):
            return advised
    return ""
