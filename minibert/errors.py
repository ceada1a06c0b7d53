"""The errors that a user can cause and fix, and how what came from outside is shown."""

import re
from reprlib import repr as shortened

# What a terminal obeys instead of showing it: control characters, line separators, and the marks
# that reverse the direction of what follows.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class InputError(Exception):
    """Something that came from outside is wrong: a file, a row, an option.

    Its text is one line that names the culprit. The command line prints that line and
    exits with code 2; a Python caller may catch it. What a file says may be quoted in it, so a very
    long one is shown without its middle.
    """

    def __str__(self) -> str:
        return bounded(visible(" ".join(super().__str__().splitlines())))


class Diverged(InputError):
    """Training diverged: the loss or the logits are no longer finite at this learning rate."""


class Interrupted(Exception):
    """Ctrl-C came; the state is saved if there is a checkpoint."""


def brief(text: str) -> str:
    """A name or another library's message as it is, or if it is long, its beginning."""
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def bounded(line: str, most: int = 900) -> str:
    """A line as it is, or if it is very long, as with a name of thousands of characters, without
    its middle: the culprit's beginning and what is wrong with it stay."""
    half = most // 2
    return line if len(line) <= most else f"{line[:half]} ... {line[-half:]}"


def several(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(value: object) -> str:
    """A value in one short line of a message."""
    try:
        return visible(" ".join(shortened(value).split()))
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"


def visible(text: str, kept: str = "") -> str:
    r"""Text with its control characters as escapes, except those `kept`: no terminal obeys them.

    >>> visible("\x1b[2Jgone")
    '\\x1b[2Jgone'
    """
    return CONTROLS.sub(lambda c: c[0] if c[0] in kept else ascii(c[0])[1:-1], text)


def drawn(text: str) -> str:
    r"""Text as matplotlib draws it: dollar signs begin no formula, and what is not UTF-8 in a name
    is a question mark.

    >>> drawn("$5 to $10")
    '\\$5 to \\$10'
    """
    return visible(text, "\n").replace("$", r"\$").encode("utf-8", "replace").decode()


def check_at_most(name: str, value: float, most: float) -> None:
    """Raises InputError for a number that no machine can serve, before it is tried."""
    if not value <= most:
        raise InputError(f"{name} must be at most {most:,}, not {shown(value)}")
