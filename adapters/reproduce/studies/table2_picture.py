"""Table 2's picture."""

from pathlib import Path
from textwrap import wrap
from typing import Any

from adapters.pictures import STYLES
from adapters.reproduce.plans.table2_plan import Table2Plan
from adapters.reproduce.report.figures import legend, method_panel, new_figure, save
from adapters.reproduce.studies.table2_rows import (
    NO_BERT,
    PAPER_ROWS,
    ROWS,
    no_bert_scores,
    published_mean,
    row_scores,
)
from adapters.reproduce.sweep.runs_file import Runs
from minibert.errors import drawn

PANELS = 5  # side by side
CAPTION = "bars: standard error over the seeds; scales differ"
CAPTION_PUBLISHED = "; hollow: the paper's"
WIDEST = 18  # characters of a name above one of them


def draw(plan: Table2Plan, runs: Runs, folder: Path, name: str) -> bool:
    """Save it as folder/figures/`name`.png: one panel for each task, since their scores are far
    apart, and one for the average. -> whether there was anything to show"""
    found = {NO_BERT: no_bert_scores(plan, runs)}
    found |= {row.name: row_scores(plan, runs, row) for row in ROWS}
    if not any(scores.values for row in found.values() for scores in row.values()):
        return False
    names = [*plan.tasks, ""]
    columns = min(PANELS, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(9, 0.9 + 2.4 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, task in zip(panels, names, strict=False):
        method_panel(axes, found, task, on_two_lines(task))
        _draw_published(axes, plan, task)
    for axes in panels[len(names) :]:
        axes.remove()
    for axes in panels[: len(names) : columns]:
        axes.set_ylabel("test accuracy, hundredths", fontsize=9)
    hollow = any(plan.task_named(task).paper for task in plan.tasks)
    figure.suptitle(CAPTION + CAPTION_PUBLISHED * hollow, fontsize=9)
    legend(figure, 2)
    save(figure, folder, name)
    return True


def on_two_lines(name: str) -> str:
    """A task's name as a panel's title, on at most two lines."""
    lines = wrap(name, WIDEST)
    if len(lines) > 2:
        lines = [lines[0], f"{lines[1][: WIDEST - 1]}…"]
    return drawn("\n".join(lines))


def _draw_published(axes: Any, plan: Table2Plan, task: str) -> None:
    """What the paper has, hollow, beside ours. (The constant guess, far below, is in the table
    alone: the methods are close together.)"""
    for x, (name, style) in enumerate(zip(PAPER_ROWS, STYLES, strict=False)):
        mean = published_mean(plan, [task] if task else plan.tasks, name)
        if mean is not None:
            looks = {"color": style.color, "marker": style.marker, "ms": 5, "mfc": "none"}
            axes.plot([x + 0.35], [mean], ls="none", **looks)
