"""The picture of a training: loss by step, dev metric by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adapters.pictures import write_figure


def learning_curve(
    path: Path | str,
    runs: Mapping[str, tuple[Sequence[float], Sequence[Mapping[str, float]]]],
    title: str,
    constant: Mapping[str, float] | None = None,
) -> None:
    """A picture of runs {name: (loss of each step, metrics of each epoch)}: the training loss,
    and the first dev metric with the constant guess as a dotted line. Needs matplotlib.

    Raises InputError when the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: a notebook keeps its own display

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    # told apart in grey too: by line style, marker and darkness
    styles = [
        ("#1f4e79", "-", "o"),
        ("#e08214", "--", "s"),
        ("#35978f", "-.", "^"),
        ("#9970ab", (0, (1, 1)), "D"),
    ]
    metric, window = "", 1
    for (name, (losses, epochs)), (colour, line, marker) in zip(runs.items(), styles, strict=False):
        window = max(1, len(losses) // 25)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        steps = np.arange(len(losses)) + 1
        left.plot(steps, losses, color=colour, lw=0.8, alpha=0.3)
        left.plot(steps[window - 1 :], smooth, color=colour, ls=line)
        metric = next(iter(epochs[0]))
        values = [100 * epoch[metric] for epoch in epochs]
        right.plot(
            range(1, len(values) + 1), values, color=colour, ls=line, marker=marker, label=name
        )
    if constant:
        right.axhline(100 * constant[metric], color="0.3", ls=":", lw=1.5, label="constant guess")
    mean = f" (line: mean of the last {window})" if window > 1 else ""
    left.set(xlabel=f"training step{mean}", ylabel="training loss")
    unit = "%" if metric in ("accuracy", "f1") else "× 100"
    right.set(xlabel="epoch", ylabel=f"dev {metric} ({unit})")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)  # never over the data
    figure.suptitle(title, fontsize=11)
    write_figure(figure, path)
