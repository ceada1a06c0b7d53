"""What a rule makes of an estimate: a claim is decided where the bound is two errors away."""

from collections.abc import Sequence

from adapters.reproduce.comparison.estimates import Estimate

ROUNDING = 1e-9  # points: float64's rounding error where a bound is met exactly
MARGIN = 1.0  # points that "without loss" allows; the paper's own difference is up to 0.8

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided by these runs"
OPPOSITE = {HOLDS: FAILS, FAILS: HOLDS, OPEN: OPEN}


def at_least(found: Estimate | None, bound: float) -> str:
    """The verdict on "value >= bound": decided when the bound is 2 errors away."""
    if found is None or found.error is None:
        return OPEN
    bound -= ROUNDING
    if found.value - 2 * found.error >= bound:
        return HOLDS
    return FAILS if found.value + 2 * found.error < bound else OPEN


def at_most(found: Estimate | None, bound: float) -> str:
    """The verdict on "value <= bound", likewise."""
    turned = None if found is None else Estimate(-found.value, found.error)
    return at_least(turned, -bound)


def above(found: Estimate | None, bound: float) -> str:
    """The verdict on "value > bound": the opposite of "at most", so equality is not enough."""
    return OPPOSITE[at_most(found, bound)]


def below(found: Estimate | None, bound: float) -> str:
    """The verdict on "value < bound", likewise."""
    return OPPOSITE[at_least(found, bound)]


def all_of(verdicts: Sequence[str]) -> str:
    """The verdict on a claim about every task: it fails if one fails, holds if all hold."""
    if FAILS in verdicts:
        return FAILS
    return OPEN if OPEN in verdicts else HOLDS
