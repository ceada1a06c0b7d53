"""The bar over all runs of a sweep, in units of cost, which makes its ETA meaningful."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.progress import progress_bar
from adapters.reproduce.sweep.cost import estimated_tokens
from adapters.reproduce.sweep.runs_file import Config, Runs

LAYOUT = "{percentage:3.0f}% |{bar}| {elapsed}{postfix}"


def new_bar() -> Any:
    """The tqdm bar that a SweepBar draws on: on standard error, also where that is a file."""
    return progress_bar("", LAYOUT, total=1.0, disable=False)


@dataclass
class SweepBar:
    """A tqdm bar, and what it counts. A run may take an hour: until the next one ends, its ETA is
    counted down from what the speed was when the last one had ended."""

    bar: Any
    clock: Callable[[], float]
    done: int = 0
    later: int = 0  # runs that will be wanted once the present ones have finished
    counts: str = ""
    end: float | None = None  # when all runs will have ended, by the clock; None: not known yet

    def __post_init__(self) -> None:
        self.started = self.clock()

    def __call__(self, config: Config | None, running: int, left: int) -> None:
        """Called by the sweep whenever a run starts or ends."""
        if config is not None:
            self.done += 1
            self.bar.n += estimated_tokens(config)
            self._foresee()
        self._count(running, left)

    def tick(self) -> None:
        """Called while no run ends. Not drawn in a file, which would grow by a line each time."""
        if self.bar.fp.isatty():
            self._draw()

    def expect(self, everything: dict[str, Config], missing: Sequence[Config], runs: Runs) -> None:
        """Take in all runs that are foreseen, of which some may have finished elsewhere and those
        `missing` are computed now."""
        cost = {key: estimated_tokens(config) for key, config in everything.items()}
        self.done = sum(key in runs for key in everything)
        self.later = len(everything) - self.done - len(missing)
        self.bar.total = sum(cost.values())
        done = sum(cost[key] for key in everything if key in runs)
        self.bar.initial += done - self.bar.n  # computed elsewhere: says nothing about our speed
        self.bar.n = done
        self._foresee()
        self._count(0, len(missing))

    def _count(self, running: int, left: int) -> None:
        self.counts = f"{self.done} done, {running} running, {left + self.later} left"
        self._draw()

    def _foresee(self) -> None:
        now, computed = self.clock(), self.bar.n - self.bar.initial
        if computed > 0:
            self.end = now + (self.bar.total - self.bar.n) * (now - self.started) / computed

    def _draw(self) -> None:
        left = -1.0 if self.end is None else self.end - self.clock()  # or later than foreseen
        eta = self.bar.format_interval(left) if left >= 0 else "?"
        self.bar.set_postfix_str(f"ETA {eta}, {self.counts}")
