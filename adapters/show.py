"""What people look at: progress bars, tables, the learning curve."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.tuning import Method, parameter_table
from minibert.train import Report
from minibert.tree import Tree


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str], style: str = "simple") -> str:
    """Rows as text, numbers right-aligned; style "github" gives Markdown."""
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt=style, disable_numparse=True,
                    colalign=["left"] + ["right"] * (len(headers) - 1))  # fmt: skip


def trained_table(tree: Tree, method: Method, style: str = "simple") -> str:
    """What is trained and what is frozen, group by group."""
    rows = parameter_table(tree, method)
    total = sum(trained + frozen for _, trained, frozen in rows)
    trained_total = sum(trained for _, trained, _ in rows)
    body = [
        (group, f"{trained:,}" if trained else "-", f"{frozen:,}" if frozen else "-",
         f"{100 * trained / total:.2f} %" if trained else "-")
        for group, trained, frozen in rows
    ]  # fmt: skip
    share = f"{100 * trained_total / total:.2f} %"
    body.append(("all", f"{trained_total:,}", f"{total - trained_total:,}", share))
    return table(body, ("parameters", "trained", "frozen", "share trained"), style)


def metrics_text(metrics: Mapping[str, float]) -> str:
    """`accuracy 81.4, f1 86.1`: metrics in hundredths, as GLUE prints them."""
    return ", ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())


class Progress:
    """A progress bar over a run's steps with loss, tokens/s and ETA; a line after every epoch.

    Call it with each Report. Without a terminal only the epochs' lines are printed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None
        self.tokens = self.seconds = self.loss = 0.0

    def __call__(self, report: Report) -> None:
        """Show one finished step."""
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=report.total, initial=report.step - 1, desc=self.name,
                            unit="step", disable=None, dynamic_ncols=True)  # fmt: skip
        self.tokens += report.tokens
        self.seconds += report.seconds
        # a running mean over about 20 steps: one batch's loss jumps too much to be read
        self.loss = report.loss if not self.loss else 0.95 * self.loss + 0.05 * report.loss
        self.bar.update(1)
        self.bar.set_postfix_str(
            f"loss {self.loss:.3f}, {self.tokens / self.seconds:,.0f} tokens/s", refresh=False
        )
        if report.scores:
            tqdm.write(
                f"{self.name}: epoch {report.epoch + 1}, loss {self.loss:.3f}, "
                f"{self.tokens / self.seconds:,.0f} tokens/s, dev {metrics_text(report.scores)}",
                file=sys.stderr,
            )
        if report.step == report.total:
            self.close()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()


def learning_curve(
    path: Path | str,
    runs: Mapping[str, tuple[Sequence[float], Sequence[Mapping[str, float]]]],
    title: str,
    constant: Mapping[str, float] | None = None,
) -> None:
    """A picture of runs {name: (loss of each step, metrics of each epoch)}: the training loss,
    and the first dev metric with the constant guess as a dashed line. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    styles = zip(("#1f4e79", "#c55a11", "#548235", "#7030a0"), ("o", "s", "^", "D"), strict=True)
    metric = ""
    for (name, (losses, epochs)), (colour, marker) in zip(runs.items(), styles, strict=False):
        window = max(1, len(losses) // 25)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        left.plot(np.arange(len(smooth)) + window, smooth, color=colour, label=name)
        metric = next(iter(epochs[0]))
        values = [100 * epoch[metric] for epoch in epochs]
        right.plot(range(1, len(values) + 1), values, color=colour, marker=marker, label=name)
    if constant:
        right.axhline(100 * constant[metric], color="0.4", ls="--", lw=1, label="constant guess")
    left.set(xlabel="step", ylabel="training loss (running mean)")
    right.set(xlabel="epoch", ylabel=f"dev {metric} (%)")
    right.xaxis.get_major_locator().set_params(integer=True)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)
