"""From runs to the numbers that a report shows: means and standard errors over seeds, percentiles
over tasks, and cells of a table in hundredths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.reproduce.studies.plans import Plan, main_score
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

Metric = Callable[[Config, dict[str, Any]], float]  # (configuration, result) -> score

MISSING, DIVERGED = "-", "diverged"


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean: the sample's standard deviation (n - 1) over the root of n; None for n < 2."""
    if len(values) < 2:
        return None
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def percentiles(values: Sequence[float], at: Sequence[float] = (20, 50, 80)) -> list[float]:
    """These percentiles, straight lines between the sorted values (figure 3: over tasks)."""
    return [float(value) for value in np.percentile(values, at)]


@dataclass(frozen=True)
class Scores:
    """A score from 0 to 1 for each seed that is there, in the order of the seeds; how many runs
    diverged, and how many seeds there should be."""

    values: tuple[float, ...] = ()
    diverged: int = 0
    wanted: int = 1

    @property
    def mean(self) -> float | None:
        """Over the seeds; None without any."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def error(self) -> float | None:
        """The mean's standard error; None for fewer than two seeds."""
        return standard_error(self.values)

    def __str__(self) -> str:
        """`81.4 ± 0.3` in hundredths; behind it how many seeds there are, if fewer than wanted."""
        if self.mean is None:
            return DIVERGED if self.diverged else MISSING
        notes = [f"n = {len(self.values)}"] if len(self.values) < self.wanted else []
        notes += [f"{self.diverged} {DIVERGED}"] if self.diverged else []
        return hundredths(self.mean, self.error) + (f" ({', '.join(notes)})" if notes else "")


def hundredths(mean: float | None, error: float | None = None, sign: bool = False) -> str:
    """A score, and its standard error if known, in hundredths with one decimal; `sign`: a
    difference, with its sign."""
    if mean is None:
        return MISSING
    text = f"{100 * mean:+.1f}" if sign else f"{100 * mean:.1f}"
    text = "0.0" if text in ("-0.0", "+0.0") else text
    return text if error is None else f"{text} ± {100 * error:.1f}"


def main_metric(config: Config, result: dict[str, Any]) -> float:
    """GLUE's metric of the configuration's task, on the dev set."""
    return main_score(config["task"], result["dev"])


def dev_metric(name: str) -> Metric:
    """The metric of this name, on the dev set."""
    return lambda config, result: float(result["dev"][name])


def scores_of(
    runs: Runs, configs: Sequence[Config], metric: Metric = main_metric, wanted: int | None = None
) -> Scores:
    """The scores of configurations that differ in their seed alone. `wanted`: how many there
    should be, all of `configs` when None."""
    found = [(config, runs.get(run_key(config))) for config in configs]
    results = [(config, run["result"]) for config, run in found if run is not None]
    values = tuple(metric(config, made) for config, made in results if "diverged" not in made)
    diverged = sum("diverged" in made for _, made in results)
    return Scores(values, diverged, len(configs) if wanted is None else wanted)


def chosen_scores(
    plan: Plan,
    runs: Runs,
    config: Config | None,
    tried: Sequence[Config],
    metric: Metric = main_metric,
    seeds: int | None = None,
) -> Scores:
    """The scores of what was chosen among `tried`, over the plan's seeds or so many of them. While
    nothing is chosen there are none; they count as diverged if every one of `tried` did."""
    if config is not None:
        return scores_of(runs, plan.with_seeds(config, seeds), metric)
    all_diverged = bool(tried) and scores_of(runs, tried, metric).diverged == len(tried)
    return Scores((), int(all_diverged))


def average(parts: Sequence[Scores]) -> tuple[float | None, float | None]:
    """(mean of the means, its standard error): the runs of different tasks are independent, so the
    errors add in squares. None where a part has no mean, or no error."""
    means, errors = [part.mean for part in parts], [part.error for part in parts]
    if not parts or None in means:
        return None, None
    mean = float(np.mean([m for m in means if m is not None]))
    if None in errors:
        return mean, None
    return mean, float(np.sqrt(sum(e**2 for e in errors if e is not None)) / len(parts))


def parameters_of(runs: Runs, configs: Sequence[Config]) -> dict[str, int] | None:
    """The parameter counts of the first of these configurations that has a result with them."""
    for config in configs:
        run = runs.get(run_key(config))
        if run is not None and "parameters" in run["result"]:
            counts: dict[str, int] = run["result"]["parameters"]
            return counts
    return None
