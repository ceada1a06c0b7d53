"""The picture of a training: loss by step, dev metric by epoch."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from adapters.pictures import STYLES, tidy_counted, write_figure
from minibert.errors import drawn

# {name: (loss of each step, metrics of each epoch)}
Runs = Mapping[str, tuple[Sequence[float], Sequence[Mapping[str, float]]]]


def learning_curve(
    path: Path | str,
    runs: Runs,
    title: str,
    constant: Mapping[str, float] | None = None,
) -> None:
    """A picture of runs: the training loss, and the first dev metric with the constant guess as a
    dotted line. Needs matplotlib.

    Raises InputError when the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: a notebook keeps its own display

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_losses(left, runs)
    draw_metric(right, runs, constant)
    columns = 4 if sum(map(len, runs)) < 60 else 2
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)  # never over the data
    figure.suptitle(drawn(title), fontsize=11)
    write_figure(figure, path)


def draw_losses(axes: Any, runs: Runs) -> None:
    """The training loss of every step, faint, and its running mean."""
    window = 1
    for (losses, _), (colour, line, _) in zip(runs.values(), cycle(STYLES), strict=False):
        window = max(1, len(losses) // 25)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        steps = np.arange(len(losses)) + 1
        axes.plot(steps, losses, color=colour, lw=0.8, alpha=0.3)
        axes.plot(steps[window - 1 :], smooth, color=colour, ls=line)
    mean = f" (line: mean of the last {window})" if window > 1 else ""
    axes.set(xlabel=f"training step{mean}", ylabel="training loss")
    tidy_counted(axes)


def draw_metric(axes: Any, runs: Runs, constant: Mapping[str, float] | None = None) -> None:
    """The first dev metric of every epoch, and the constant guess as a dotted line."""
    metric = ""
    for (name, (_, epochs)), style in zip(runs.items(), cycle(STYLES), strict=False):
        colour, line, marker = style
        metric = next(iter(epochs[0]))
        values = [100 * epoch[metric] for epoch in epochs]
        axes.plot(
            range(1, len(values) + 1), values, color=colour, ls=line, marker=marker, label=name
        )
    if constant:
        axes.axhline(100 * constant[metric], color="0.3", ls=":", lw=1.5, label="constant guess")
    unit = "%" if metric in ("accuracy", "f1") else "× 100"
    axes.set(xlabel="epoch", ylabel=f"dev {metric} ({unit})")
    tidy_counted(axes)
