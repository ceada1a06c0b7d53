"""The reports' charts, as PNG; they are readable in grey, too."""

import io
from typing import Any

from records import FIGURES, Record, figure_of
from rows import Row

DARK = "#1f4e79"


def compare_chart(rows: list[Row], records: dict[str, Record]) -> bytes:
    """Above, how many times better than the peer; below, our own figures."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = [row for row in rows if row.name in records]
    against = [row for row in shown if row.figure != "share" and row.peer not in ("", "not cached")]
    own = [row for row in shown if row not in against]
    panels = [panel for panel in (against, own) if panel]
    heights = [len(panel) + 1.5 for panel in panels]
    figure = Figure(figsize=(10, 0.34 * sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        bars(axis, panel, records, panel is against)
    figure.legend(
        [Line2D([], [], color="0.55", lw=1.5)],
        ["range of single rounds"],
        loc="outside lower center",
        frameon=False,
        fontsize=9,
    )
    return png(figure)


def bars(axes: Any, rows: list[Row], records: dict[str, Record], times_better: bool) -> None:
    """One bar for each row, top down, with the range of single rounds."""
    for y, row in enumerate(rows):
        found = figure_of(row.figure, records[row.name])
        low, high, value = found.low, found.high, found.value
        if times_better and not FIGURES[row.figure][2]:  # 0.2 times the peer's is 5 times better
            low, high, value = 1 / high, 1 / low, 1 / value
        axes.barh(y, value, color=DARK, edgecolor="white", height=0.7)
        axes.plot([low, high], [y, y], color="0.55", lw=1.5)
        axes.text(max(high, value), y, f" {value:.2f}", va="center", fontsize=8)
    labels = [row.title + (f" – {row.peer}" if times_better else "") for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.13 * max(text.get_position()[0] for text in axes.texts))
    axes.set_xlabel("times better than the peer" if times_better else "on our own: share, ratio, s")
    if times_better:
        axes.axvline(1, color="0.3", ls=":", lw=1)
    tidy(axes)


def bench_chart(found: dict[str, Any]) -> bytes:
    """Tokens per second and the share of one large product's speed, for every model and work."""
    from matplotlib.figure import Figure

    rows = found["rows"]
    figure = Figure(figsize=(10, 0.4 * len(rows) + 1.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for y, row in enumerate(rows):
        speed = row["tokens"] / row["seconds"]
        left.barh(y, speed, color=DARK, height=0.7)
        left.text(speed, y, f" {speed:,.0f}", va="center", fontsize=8)
        right.barh(y, 100 * row["share"], color=DARK, height=0.7)
        right.text(100 * row["share"], y, f" {100 * row['share']:.0f} %", va="center", fontsize=8)
    left.set_yticks(range(len(rows)), [f"{r['title']} {r['work']}" for r in rows], fontsize=8)
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set(xscale="log", xlabel="tokens/s")
    speeds = [row["tokens"] / row["seconds"] for row in rows]
    left.set_xlim(min(speeds) / 3, max(speeds) * 4)
    right.set(xlim=(0, 112), xlabel="share of one large matrix product's speed, %")
    for axes in (left, right):
        tidy(axes)
    return png(figure)


def scaling_chart(found: dict[str, Any]) -> bytes:
    """One panel for each quantity that was varied: points, and the best-fitting line, if any."""
    from matplotlib.figure import Figure

    count = len(found["axes"])
    columns = min(3, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(3.6 * columns, 2.9 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, axis in zip(panels, found["axes"], strict=False):
        scale = 1 if axis["unit"] == "MB" else 1e3
        line = axis.get("line", [])
        axes.plot(axis["at"][: len(line)], [scale * v for v in line], color="0.5", ls="--")
        axes.plot(axis["at"], [scale * v for v in axis["values"]], "o", color=DARK, ms=5)
        axes.set_xlabel(axis["title"], fontsize=8)
        axes.set_ylabel("MB" if axis["unit"] == "MB" else "ms", fontsize=8)
        axes.set_ylim(0, 1.12 * scale * max(*axis["values"], *line))
        axes.set_xlim(0, 1.05 * max(axis["at"]))
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[count:]:
        axes.set_visible(False)
    return png(figure)


def tidy(axes: Any) -> None:
    """Remove what does not help reading."""
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def png(figure: Any) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()
