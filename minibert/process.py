"""The process of the `minibert` command: its standard streams, and Ctrl-C from first to last, or
another request to stop.

It is imported before anything that takes time.
"""

import _thread
import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

PATIENCE = 5.0  # seconds after a Ctrl-C in which an import, or saving what is done, goes on


def open_closed_streams() -> None:
    """A standard stream that is closed (`>&-`) leads nowhere. Otherwise the next file that is
    opened would be in its place, and be printed into."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def say(line: str) -> None:
    """Print a line on standard error, if it can be: on a full disk nothing is said."""
    with suppress(OSError):
        print(line, file=sys.stderr)


def importing(frame: FrameType | None) -> bool:
    """Whether this frame runs for an `import`."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def send_later(number: int, thread: int) -> None:
    """Send the main thread, which has this number, a signal in a moment."""
    time.sleep(0.05)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, number)  # also ends its waiting for input
    else:
        _thread.interrupt_main(signal.Signals(number))


class CtrlC:
    """What Ctrl-C does, and `kill` (SIGTERM), and a terminal that is closed (SIGHUP). It ends the
    process at once, with one line: before the command works. While the command `works`, it raises
    KeyboardInterrupt, once, and `came`; during an import, as soon as that is done or has taken some
    seconds more, for NumPy and autograd ignore exceptions in some lines of theirs. While what is
    begun is being saved after that, or the process is ending, it does nothing for some seconds."""

    def __init__(self) -> None:
        self.works = self.came = False
        self.number = int(signal.SIGINT)  # the signal that came
        self.patient_until = 0.0
        self.postponed = 0.0  # when it came during an import

    @property
    def code(self) -> int:
        """The exit code of a process that was stopped, as shells have it."""
        return 128 + self.number

    def watch(self) -> None:
        """Begin, unless Ctrl-C is ignored (`nohup`), or somebody else's; and so with the others."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self)

    def begin(self) -> None:
        """The command begins to work."""
        self.works = True

    def end(self) -> None:
        """The command is done."""
        self.works = False
        self.patient_until = time.monotonic() + PATIENCE

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal has come."""
        if self.works and importing(frame) and self._postpone(number):
            return
        if self.works:
            self.came, self.number = True, number
            self.end()
            raise KeyboardInterrupt
        if time.monotonic() >= self.patient_until:
            try:
                os.write(2, b"\nminibert: stopped\n")
            finally:
                os._exit(128 + number)

    def _postpone(self, number: int) -> bool:
        """Have the signal sent again in a moment. Returns False once that is not to go on."""
        now = time.monotonic()
        self.postponed = self.postponed or now
        if now > self.postponed + PATIENCE:
            return False
        try:
            _thread.start_new_thread(send_later, (number, _thread.get_ident()))
        except RuntimeError:  # no more threads are allowed
            return False
        return True


ctrl_c = CtrlC()
