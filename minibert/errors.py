"""The errors that a user can cause and fix."""

from reprlib import repr as shortened


class InputError(Exception):
    """Something that came from outside is wrong: a file, a row, an option.

    Its text is one line that names the culprit. The command line prints that line and
    exits with code 2; a Python caller may catch it.
    """


class Diverged(InputError):
    """Training diverged: the loss or the logits are no longer finite at this learning rate."""


def shown(value: object) -> str:
    """A value in one short line of a message."""
    return " ".join(shortened(value).split())
