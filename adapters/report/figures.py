"""The page's figures, as SVG in a data address: one file, sharp at any size, light or dark as the
reader's screen is. No text of a user's is in them. Needs matplotlib."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from adapters.learning_curve import Runs, draw_losses, draw_metric
from adapters.report.judgement import Bin, ScoreJudgement

INK, BLUE, GREY = "#1b1b1b", "#1f4e79", "#4c4c4c"

# matplotlib's colours of light mode -> those of dark mode, with the same contrast
DARK = {
    INK: "#ececec",
    BLUE: "#7db8f0",
    GREY: "#b4b4b4",
    "#4d4d4d": "#b4b4b4",  # the same grey, 0.3, as matplotlib also rounds it
    "#b0b0b0": "#70757c",  # the grid
}


def loss_figure(runs: Runs) -> str:
    """The training loss by step."""
    return _image(lambda axes: draw_losses(axes, runs), "The training loss of every step.")


def metric_figure(runs: Runs, constant: Mapping[str, float]) -> str:
    """The first dev metric by epoch, beside the constant guess."""
    (_, epochs), *_ = runs.values()
    metric = next(iter(epochs[0]))

    def draw(axes: Any) -> None:
        draw_metric(axes, runs, constant)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.12 * (high - low))  # room for the legend
        axes.legend(loc="upper left", ncols=2, frameon=False, fontsize=9)

    values = ", ".join(f"{100 * epoch[metric]:.1f}" for epoch in epochs)
    return _image(draw, f"dev {metric} after each epoch: {values}.")


def reliability_figure(bins: Sequence[Bin]) -> str:
    """The reliability diagram: accuracy by probability, which for a calibrated task is the
    diagonal; below, how many answers have that probability."""

    def draw(axes: Any) -> None:
        filled = [bin for bin in bins if bin.texts]
        below = axes.inset_axes((0, -0.46, 1, 0.26), sharex=axes)
        middles, width = [(bin.low + bin.high) / 2 for bin in filled], 0.92 / len(bins)
        axes.bar(middles, [bin.accuracy for bin in filled], width, color=BLUE, alpha=0.45)
        axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.2, label="calibrated")
        points = [(bin.probability, bin.accuracy) for bin in filled]
        axes.plot(*zip(*points, strict=True), color=BLUE, marker="o", lw=1.5, label="this task")
        axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
        axes.legend(loc="upper left", frameon=False, fontsize=9)
        axes.tick_params(labelbottom=False)
        below.bar(middles, [bin.texts for bin in filled], width, color=BLUE)
        below.set(xlabel="probability of the answer", ylabel="texts")
        for each in (axes, below):
            _tidy(each)

    told = ", ".join(
        f"{100 * bin.probability:.0f} % meant {100 * bin.accuracy:.0f} % right"
        for bin in bins
        if bin.texts
    )
    return _image(draw, f"Reliability diagram: {told}.", height=4.0)


def scatter_figure(judgement: ScoreJudgement) -> str:
    """Answers against gold scores, with the diagonal where they would be equal."""
    gold, answers = judgement.gold, judgement.answers
    ends = [min(gold.min(), answers.min()), max(gold.max(), answers.max())]

    def draw(axes: Any) -> None:
        axes.plot(ends, ends, color=GREY, ls="--", lw=1.2, label="answer = gold")
        shown = np.linspace(0, len(gold) - 1, min(len(gold), 2000)).astype(int)
        axes.plot(gold[shown], answers[shown], "o", ms=4, color=BLUE, alpha=0.5, mew=0)
        axes.set(xlabel="gold score", ylabel="answer")
        axes.legend(loc="upper left", frameon=False, fontsize=9)
        _tidy(axes)

    return _image(draw, f"Answers against gold scores, from {ends[0]:.3g} to {ends[1]:.3g}.")


def residual_figure(judgement: ScoreJudgement) -> str:
    """The histogram of the residuals."""
    residuals = judgement.residuals

    def draw(axes: Any) -> None:
        axes.hist(residuals, bins=30, color=BLUE, alpha=0.75)
        axes.axvline(0, color=GREY, ls="--", lw=1.2)
        axes.set(xlabel="residual (answer - gold)", ylabel="texts")
        _tidy(axes)

    low, middle, high = np.quantile(residuals, [0.05, 0.5, 0.95])
    return _image(
        draw,
        f"Histogram of the residuals: median {middle:.3g}, nine in ten from {low:.3g} to "
        f"{high:.3g}.",
    )


def _tidy(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _image(draw: Callable[[Any], None], alt: str, height: float = 3.2) -> str:
    """An <img> element with what `draw(axes)` draws, 4.6 inches wide; `alt` says it in words."""
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text, in the reader's fonts
        "svg.hashsalt": "minibert",  # the same figure is the same bytes
        **{f"{what}.color": INK for what in ("text", "xtick", "ytick")},
        **{f"axes.{what}": INK for what in ("edgecolor", "labelcolor")},
    }
    picture = io.StringIO()
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.6, height), layout="constrained")
        draw(figure.subplots())
        figure.savefig(picture, format="svg", transparent=True, metadata={"Date": None})
    address = base64.b64encode(_light_and_dark(picture.getvalue()).encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{address}" alt="{escape(alt)}">'


def _light_and_dark(svg: str) -> str:
    """matplotlib's SVG with its colours as variables, which change in dark mode."""
    names = {colour: f"--c{number}" for number, colour in enumerate(DARK)}
    for colour, name in names.items():
        svg = svg.replace(colour, f"var({name})")
    light, dark = (
        "".join(f"{names[colour]}:{shown[colour]};" for colour in DARK)
        for shown in ({colour: colour for colour in DARK}, DARK)
    )
    media = f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    return svg.replace("<defs>", f"<style>:root {{ {light} }} {media}</style>\n <defs>", 1)
