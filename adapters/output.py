"""What the `minibert` command prints, on its way to the terminal."""

import errno
import os
import sys
from contextlib import suppress
from io import UnsupportedOperation
from typing import IO, Any

from minibert.errors import visible

LINE_UP = "\x1b[A"
READER_HAS_GONE = (errno.EPIPE, errno.EIO)  # of a pipe, of a terminal


class Output:
    """A standard stream to print to. Control characters, which texts, labels and names of files may
    have, are shown, where a terminal would obey them; `bars`: but not what draws progress bars.

    Where the reader has gone (`| head`, a terminal that was closed), BrokenPipeError is raised
    unless the work `goes_on`; what is printed then is dropped. So is what standard error cannot
    take, as on a full disk: it changes no result. What standard output cannot take is an OSError,
    and again when it is flushed: argparse, which prints the help, passes over the first.
    """

    def __init__(self, stream: IO[str], bars: bool = False, goes_on: bool = True) -> None:
        self.stream, self.bars, self.goes_on = stream, bars, goes_on
        self.lost: OSError | None = None  # why something has not been printed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Print text, visibly."""
        if not self.bars:
            return self.write_as_it_is(visible(text, "\n\t"))
        lines = (visible(line, "\n\t\r") for line in text.split(LINE_UP))
        return self.write_as_it_is(LINE_UP.join(lines))

    def write_as_it_is(self, text: str) -> int:
        """Print data, or our own control characters."""
        try:
            self.stream.write(text)
        except OSError as error:
            self._not_printed(error)
        return len(text)

    def flush(self) -> None:
        """Send what has been printed."""
        try:
            if self.lost:
                raise self.lost
            self.stream.flush()
        except OSError as error:
            self._not_printed(error)

    def drop(self) -> None:
        """Drop what is still to be sent, and all that follows: flushing at exit cannot fail."""
        self.lost = None
        with suppress(UnsupportedOperation):  # a stream in memory
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def _not_printed(self, error: OSError) -> None:
        if error.errno not in READER_HAS_GONE and not self.bars:
            self.lost = error
            raise error
        self.drop()
        if not self.goes_on:
            raise BrokenPipeError


def write_as_it_is(text: str) -> None:
    """Print data, or our own control characters, to standard output, whether or not it is ours."""
    getattr(sys.stdout, "write_as_it_is", sys.stdout.write)(text)
