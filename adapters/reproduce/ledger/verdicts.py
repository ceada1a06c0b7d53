"""What a rule makes of an estimate: a claim is decided where its bound is outside the 95 %
interval.

A claim about several (each task, each extension) holds if the rule holds for every one, by its own
interval: if the claim is false, one of them breaks the rule, and only a wrong interval of that one
could hide it. It fails if the rule fails for any. That one was picked out of several, so here the
intervals are wider: in 95 % of cases all of them are right together (`variances.half_width`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from adapters.reproduce.comparison.estimates import Estimate

ROUNDING = 1e-9  # points: float64's rounding error where a bound is met exactly
MARGIN = 1.0  # points that "without loss" allows; the paper's own difference is up to 0.8

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided by these runs"
OPPOSITE = {HOLDS: FAILS, FAILS: HOLDS, OPEN: OPEN}


Rule = Callable[[Estimate | None, float, int], str]  # (found, bound, among) -> verdict


def at_least(found: Estimate | None, bound: float, among: int = 1) -> str:
    """The verdict on "value >= bound". `among`: the estimate is one of so many that were looked
    at."""
    ends = None if found is None else found.interval(among)
    if ends is None:
        return OPEN
    low, high = ends
    bound -= ROUNDING
    if low >= bound:
        return HOLDS
    return FAILS if high < bound else OPEN


def at_most(found: Estimate | None, bound: float, among: int = 1) -> str:
    """The verdict on "value <= bound", likewise."""
    turned = None if found is None else replace(found, value=-found.value)
    return at_least(turned, -bound, among)


def above(found: Estimate | None, bound: float, among: int = 1) -> str:
    """The verdict on "value > bound": the opposite of "at most", so equality is not enough."""
    return OPPOSITE[at_most(found, bound, among)]


def below(found: Estimate | None, bound: float, among: int = 1) -> str:
    """The verdict on "value < bound", likewise."""
    return OPPOSITE[at_least(found, bound, among)]


def all_of(rule: Rule, found: Sequence[Estimate], bound: float) -> str:
    """The verdict on a claim about each of several."""
    if any(rule(one, bound, len(found)) == FAILS for one in found):
        return FAILS
    return HOLDS if all(rule(one, bound, 1) == HOLDS for one in found) else OPEN


def any_of(rule: Rule, found: Sequence[Estimate], bound: float) -> str:
    """The verdict on a claim about some one of several: the opposite of all_of's."""
    if any(rule(one, bound, len(found)) == HOLDS for one in found):
        return HOLDS
    return FAILS if all(rule(one, bound, 1) == FAILS for one in found) else OPEN
