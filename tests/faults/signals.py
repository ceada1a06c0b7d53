"""Requests to stop, at any moment: one line, the exit code of the signal, no half-written file; and
what was stopped goes on to the same bits."""

import os
import random
import signal
from pathlib import Path

from faults.child import Ended, Stop, differ, fault_of, minibert, run_child
from faults.kills import TRAIN, expected, new_folder, undisturbed, without_place

REQUESTS = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "kill": (signal.SIGTERM,),
    "the terminal is closed": (signal.SIGHUP,),
    "kill, then Ctrl-C": (signal.SIGTERM, signal.SIGINT),
}


def request(number: int) -> str:
    """Ask a training to stop, in the ways of REQUESTS in turn, at a moment drawn by this seed."""
    sent = [*REQUESTS.values()][number % len(REQUESTS)]
    moment = random.Random(f"signal {number}").uniform(0.02, undisturbed()[1])
    with new_folder() as folder:
        ended = run_child(minibert(*TRAIN, folder / "run"), asking(sent, moment))
        return told(ended, sent) or unfinished(folder / "run") or goes_on(folder)


def asking(sent: tuple[signal.Signals, ...], moment: float) -> Stop:
    """Sends these signals, 10 ms apart, to a child that has run for so long."""
    left = list(sent)

    def stop(child: int, since: float) -> None:
        if left and since >= moment + 0.01 * (len(sent) - len(left)):
            os.kill(child, left.pop(0))

    return stop


def told(ended: Ended, sent: tuple[signal.Signals, ...]) -> str:
    """ "" for a run that was finished, or stopped with one line and the code of a signal. (Two
    can be there before Python looks; it then takes the lower number first.)"""
    stopped = [line for line in ended.err.splitlines() if line.startswith("minibert: stopped")]
    codes = (0, *(128 + number for number in sent))
    if fault := fault_of(ended, codes):
        return fault
    if len(stopped) != (ended.code != 0):
        return f"exit code {ended.code} and {len(stopped)} lines: {ended.err[-300:]!r}"
    return ""


def unfinished(run: Path) -> str:
    """ "" if no file in the run's folder is the beginning of one."""
    parts = [path.name for path in run.glob("*.minibert-part")] if run.exists() else []
    return f"left behind: {parts}" if parts else ""


def goes_on(folder: Path) -> str:
    """ "" if the training resumes and ends at the undisturbed one's bits."""
    ended = run_child(minibert(*TRAIN, folder / "run", "--resume"))
    return fault_of(ended, (0,)) or differ(without_place(folder / "run"), expected())
