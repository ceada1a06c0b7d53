"""The campaigns of `make faults`. A trial is a number: it is repeated by it, and returns "" when
nothing happened that should not, else what did."""

from collections.abc import Callable
from typing import NamedTuple

from faults import commands, crowd, disk, fuzz, hub, kills, long_run, signals


class Campaign(NamedTuple):
    """What is tried by `trial(number)`, for all numbers below `full()`, so many in a piece.

    small: how many of them `make test` tries. found: those that have once found a fault, which it
    tries, too. inputs: how many things one trial tries.
    """

    title: str
    trial: Callable[[int], str]
    full: Callable[[], int]
    piece: int
    small: int
    found: tuple[int, ...] = ()
    inputs: int = 1


def cheat(number: int) -> str:
    """The cheat of this number; imported here, as it takes a second."""
    from faults.cheats import CAUGHT, NOT_CAUGHT, outcome

    return outcome([*CAUGHT, *NOT_CAUGHT][number])


def cheats() -> int:
    """How many cheats there are."""
    from faults.cheats import CAUGHT, NOT_CAUGHT

    return len(CAUGHT) + len(NOT_CAUGHT)


CAMPAIGNS = {
    "kills": Campaign(
        "kill -9 at a random moment of a training", kills.at_random_moment, lambda: 50, 10, 2
    ),
    "events": Campaign(
        "kill -9 at each file event of a training", kills.at_file_event, kills.file_events, 10, 3
    ),
    "sweeps": Campaign("kill -9 of a sweep", kills.of_a_sweep, lambda: 10, 5, 1),
    "signals": Campaign(
        "Ctrl-C once and twice, kill, a closed terminal",
        signals.request,
        lambda: 50,
        10,
        5,
    ),
    "disk": Campaign("a full disk, at each write", disk.full, disk.writes, 20, 5),
    "structured": Campaign(
        "files changed in form, sums right",
        fuzz.structured,
        lambda: 150_000,
        2000,
        700,
        found=(8354, 9938, 15_636),
    ),
    "plain": Campaign(
        "files with damaged bytes", fuzz.plain, lambda: 500, 20, 13, inputs=fuzz.INPUTS
    ),
    "commands": Campaign("odd commands", commands.odd, lambda: 300, 20, 5, found=(17, 28, 40, 57)),
    "hub": Campaign(
        "hubs and archives that mean harm", hub.hostile, hub.modes, 10, 0, found=(38, 39, 46, 47)
    ),
    "cheats": Campaign("cheats on the judge", cheat, cheats, 20, 0),
    "forks": Campaign("forks while other threads predict", crowd.fork, lambda: 200, 50, 3),
    "predictions": Campaign(
        "predictions, memory flat", long_run.predictions, lambda: 30, 30, 5, inputs=long_run.BATCH
    ),
    "steps": Campaign(
        "training steps, memory flat", long_run.steps, lambda: 15, 15, 4, inputs=long_run.BATCH
    ),
}
