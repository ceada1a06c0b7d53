"""What the reports' figures share: how they look (readable in grey, too) and how they are saved."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.pictures import STYLES, Style
from adapters.reproduce.report.statistics import Scores, average
from minibert.files import atomic_write

DPI = 110


REFERENCE_LINE = {"color": "0.25", "ls": (0, (6, 2)), "lw": 1.4}  # the line to compare with
GUESS_LINE = {"color": "0.45", "ls": ":", "lw": 1.4}  # the constant guess


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches. pyplot is not used, so that a notebook keeps its display. A page
    of 900 pixels shows 9 inches, and text of 9 points, at their true size."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def tidy(axes: Any, grid: str = "both") -> None:
    """Remove what does not help reading; call this last. `grid`: along the "x", "y" or "both" axes.
    Axes on which nothing was drawn say so."""
    if not axes.has_data():
        axes.text(0.5, 0.5, "no runs yet", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.tick_params(labelsize=9)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    axes.title.set_size(9)
    axes.grid(axis=grid, alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def line(axes: Any, x: Sequence[float], y: Sequence[float], style: Style, **options: Any) -> Any:
    """A curve with its markers; `yerr` gives each point an error bar of that half length."""
    looks = {"color": style.color, "ls": style.linestyle, "marker": style.marker, "ms": 5}
    return axes.errorbar(x, y, capsize=2, elinewidth=1, **{**looks, **options})


def score_line(
    axes: Any, points: Iterable[tuple[float, Scores]], style: Style, **options: Any
) -> None:
    """A curve of mean scores in hundredths, from (x, scores), with standard errors if any are
    known; a point of one seed, which has none, is hollow. Points without a mean are left out;
    without any point, nothing is drawn."""
    known = [(x, scores.mean, scores.error) for x, scores in points if scores.mean is not None]
    if known:
        x, means, errors = zip(*known, strict=True)
        bars = [100 * (error or 0.0) for error in errors] if any(errors) else None
        line(axes, x, [100 * mean for mean in means], style, yerr=bars, **options)
    lone = [(at, 100 * mean) for at, mean, error in known if error is None]
    hollow(axes, lone, style, options.get("ms", 5))


def each_seed(axes: Any, points: Iterable[tuple[float, Scores]], style: Style) -> None:
    """A dash for the score of each seed, from (x, scores); the legend says what it is."""
    for x, scores in points:
        heights = [100 * value for value in scores.values]
        axes.plot([x] * len(heights), heights, "_", ms=9, color=style.color, alpha=0.6)
    axes.plot([], [], "_", ms=9, color="0.3", label="each seed")


def hollow(axes: Any, points: Sequence[tuple[float, float]], style: Style, size: float = 5) -> None:
    """Make the markers of these points hollow, and say in the legend what that is."""
    if points:
        looks = {"marker": style.marker, "ms": size, "mfc": "white", "ls": "none", "zorder": 3}
        axes.plot(*zip(*points, strict=True), color=style.color, **looks)
        axes.plot([], [], **{**looks, "marker": "o"}, color="0.3", label="hollow: one seed")


def method_panel(
    axes: Any, found: Mapping[str, Mapping[str, Scores]], task: str, title: str
) -> None:
    """A task's score by each method, side by side; for "" the average over the tasks, titled so.
    `found`: by method, then by task."""
    for x, ((name, scores), style) in enumerate(zip(found.items(), STYLES, strict=False)):
        one = scores[task] if task else None
        mean, error = (one.mean, one.error) if one else average(list(scores.values()))
        if mean is not None:
            bar = None if error is None else [100 * error]
            line(axes, [x], [100 * mean], style, yerr=bar, ls="none", ms=7, label=name)
    axes.set_title(title if task else "average")
    axes.set_xticks([])
    axes.set_xlim(-0.7, len(found) - 0.3)
    axes.margins(y=0.12)
    tidy(axes, "y")


def log2_axis(axes: Any, sizes: Sequence[int]) -> None:
    """A logarithmic x axis for sizes, each of them labelled."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())


def legend(figure: Any, columns: int = 4) -> None:
    """One legend for all panels, below them and never over the data. Each name appears once,
    reference lines after the curves."""
    from matplotlib.lines import Line2D

    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    pairs = sorted(named.items(), key=lambda pair: isinstance(pair[1], Line2D))
    if pairs:
        names, handles = zip(*pairs, strict=True)
        figure.legend(
            handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
        )


def save(figure: Any, folder: Path, name: str) -> None:
    """Save a figure as folder/figures/NAME.png, atomically. Raises InputError when it cannot be
    written."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    atomic_write(folder / "figures" / f"{name}.png", picture.getvalue())


def image(name: str, alt: str) -> str:
    """The Markdown that shows the saved figure; `alt` describes it in words."""
    return f"![{alt}](figures/{name}.png)"
