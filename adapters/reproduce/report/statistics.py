"""From runs to the numbers that a report shows: means and standard errors over seeds, percentiles
over tasks, and table cells in hundredths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.sweep.runs_file import Config, Results, Runs, run_key

Metric = Callable[[Config, dict[str, Any]], float]  # (configuration, result) -> score

MISSING, DIVERGED = "-", "diverged"

REPORTED = {"cola": "matthews", "mrpc": "f1", "sts-b": "spearman"}


def standard_error(values: Sequence[float]) -> float | None:
    """The standard error of the mean: the sample's standard deviation (n - 1) divided by the root
    of n; None for n < 2."""
    if len(values) < 2:
        return None
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def percentiles(values: Sequence[float], at: Sequence[float]) -> list[float]:
    """These percentiles, interpolated linearly between the sorted values (figure 3: over tasks)."""
    return [float(value) for value in np.percentile(values, at)]


@dataclass(frozen=True)
class Scores:
    """A score from 0 to 1 for each seed that has finished, in the order of the seeds; how many runs
    diverged; and how many `seeds` there should be."""

    values: tuple[float, ...] = ()
    diverged: int = 0
    seeds: int = 1

    @property
    def mean(self) -> float | None:
        """The mean over the seeds; None without any."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def error(self) -> float | None:
        """The mean's standard error; None for fewer than two seeds."""
        return standard_error(self.values)

    def __str__(self) -> str:
        """`81.4 ± 0.3` in hundredths, followed by the number of seeds if another is wanted."""
        if self.mean is None:
            return DIVERGED if self.diverged else MISSING
        notes = [f"n = {len(self.values)}"] if len(self.values) != self.seeds else []
        notes += [f"{self.diverged} {DIVERGED}"] if self.diverged else []
        return hundredths(self.mean, self.error) + (f" ({', '.join(notes)})" if notes else "")


def hundredths(mean: float | None, error: float | None = None, sign: bool = False) -> str:
    """A score in hundredths with one decimal, and its standard error if known. `sign`: always show
    the sign, as for a difference."""
    if mean is None:
        return MISSING
    text = f"{100 * mean:+.1f}" if sign else f"{100 * mean:.1f}"
    text = "0.0" if text in ("-0.0", "+0.0") else text
    return text if error is None else f"{text} ± {100 * error:.1f}"


def signed_points(points: float) -> str:
    """A difference in hundredths, with its sign: "-1.3"."""
    return hundredths(points / 100, sign=True)


def reported_metric(task: str) -> str:
    """The metric that the paper reports for a task."""
    return REPORTED.get(task, "accuracy")


def main_score(task: str, scores: dict[str, float]) -> float:
    """The value of the metric that the paper reports for a task, out of {metric: value}."""
    return scores[reported_metric(task)]


def main_metric(config: Config, result: dict[str, Any]) -> float:
    """The paper's metric for the configuration's task, on the dev set."""
    return main_score(config["task"], result["dev"])


def dev_metric(name: str) -> Metric:
    """The metric of this name, on the dev set."""
    return lambda config, result: float(result["dev"][name])


def scores_of(
    runs: Runs, configs: Sequence[Config], metric: Metric = main_metric, enough: int | None = None
) -> Scores:
    """The scores of configurations that differ only in their seed. `enough`: how many seeds there
    should be; None: one for each of `configs`."""
    results = results_of(runs, configs)
    values = tuple(metric(runs[key]["config"], result) for key, result in results.items())
    return Scores(values, diverged_of(runs, configs), len(configs) if enough is None else enough)


def results_of(runs: Runs, configs: Sequence[Config]) -> Results:
    """What the configurations' runs found, by key, without those that are missing or diverged."""
    found = {key: runs[key]["result"] for config in configs if (key := run_key(config)) in runs}
    return {key: result for key, result in found.items() if "diverged" not in result}


def diverged_of(runs: Runs, configs: Sequence[Config]) -> int:
    """How many of the configurations' runs have diverged."""
    ended = [runs.get(run_key(config)) for config in configs]
    return sum(run is not None and "diverged" in run["result"] for run in ended)


def all_diverged(runs: Runs, tried: Sequence[Config]) -> bool:
    """Whether nothing can be chosen among these, as every one has diverged."""
    return bool(tried) and diverged_of(runs, tried) == len(tried)


def chosen_scores(
    plan: Plan,
    runs: Runs,
    config: Config | None,
    tried: Sequence[Config],
    metric: Metric = main_metric,
    enough: int | None = None,
) -> Scores:
    """The scores of the configuration chosen among `tried`, over all of the plan's seeds that have
    run; so many of them are `enough` (None: all). With nothing chosen yet (None) there are no
    scores; if every one of `tried` diverged, that counts as diverged."""
    if config is not None:
        return scores_of(runs, plan.with_seeds(config), metric, enough)
    return Scores((), int(all_diverged(runs, tried)))


def average(parts: Sequence[Scores]) -> tuple[float | None, float | None]:
    """(the mean of the means, its standard error). Runs of different tasks are independent, so the
    errors add in squares. The mean is None if a part has none, and so is the error."""
    means, errors = [part.mean for part in parts], [part.error for part in parts]
    if not parts or None in means:
        return None, None
    mean = float(np.mean([m for m in means if m is not None]))
    if None in errors:
        return mean, None
    return mean, float(np.sqrt(sum(e**2 for e in errors if e is not None)) / len(parts))
