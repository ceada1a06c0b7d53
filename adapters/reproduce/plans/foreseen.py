"""Which runs will be needed in the end, as far as that is known before those that decide it."""

from collections.abc import Callable, Iterable
from typing import Any

from adapters.reproduce.sweep.runs_file import Config, Runs, run_key, seedless_key

# The result that a missing run is assumed to have, to find out which runs will follow it.
STAND_IN: dict[str, Any] = {"validation": [{"any": 0.0}], "dev": {"f1": 0.0, "exact_match": 0.0}}


def foreseen(wanted: Callable[[Runs], Iterable[Config]], runs: Runs) -> dict[str, Config]:
    """All configurations that will be needed, by key. `wanted`: those that are known to be, by what
    has run. What is not chosen yet is taken to be the best of what has run, or else the first,
    which costs about as much."""
    assumed = dict(runs)
    while True:
        found = {run_key(config): config for config in wanted(assumed)}
        new = found.keys() - assumed.keys()
        if not new:
            return found
        for key in new:
            assumed[key] = {"key": key, "config": found[key], "result": STAND_IN}


def seedless_keys(wanted: Callable[[Runs], Iterable[Config]], runs: Runs) -> set[str]:
    """The keys, without seeds, of all runs that a plan can need: a run is of the plan if its own is
    among them."""
    return {seedless_key(config) for config in foreseen(wanted, runs).values()}
