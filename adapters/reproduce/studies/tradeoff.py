"""Figures 1, 3 and 4: accuracy against the number of trained parameters, for adapters of many
sizes, for fine-tuning only the top k layers, and for LayerNorms alone.

As in the paper, a task's score is taken relative to full fine-tuning on that task, and the curves
show the 20th, 50th and 80th percentiles over the tasks.
"""

from pathlib import Path
from typing import Any

import numpy as np

from adapters.pictures import STYLES
from adapters.reproduce.plans.choices import best_of_size, chosen, of_top_layers, size_grid
from adapters.reproduce.plans.plan import ADAPTERS, FULL, NORMS, Plan
from adapters.reproduce.report.figures import (
    REFERENCE_LINE,
    hollow,
    image,
    legend,
    line,
    new_figure,
    save,
    score_line,
    tidy,
)
from adapters.reproduce.report.pages import (
    NO_RUNS,
    any_finished,
    glue_conditions,
    markdown_table,
    section,
    with_metric,
)
from adapters.reproduce.report.statistics import (
    MISSING,
    Scores,
    hundredths,
    percentiles,
)
from adapters.reproduce.studies.curves import (
    ADAPTER_GROUP,
    NORM_GROUP,
    TOP_GROUP,
    Curve,
    Point,
    curves,
    full_point,
    point_scores,
    points,
    relative,
    trained_parameters,
)
from adapters.reproduce.sweep.runs_file import Config, Runs

NAME = "tradeoff"
BAND = (20, 50, 80)  # percentiles over the tasks
HEADING = "Figures 1, 3 and 4: score against trained parameters"


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for task in plan.tasks:
        configs += [*plan.grid(task, ADAPTERS), *plan.grid(task, FULL), *plan.grid(task, NORMS)]
        found = of_top_layers(plan, runs, task)
        for size in plan.budget.sizes:
            configs += size_grid(plan, runs, task, size)
            if like := best_of_size(plan, runs, task, size):
                found.append(like)
        for config in found:
            configs += plan.with_seeds(config, plan.curve_seeds)
        for method in (ADAPTERS, FULL, NORMS):
            if like := chosen(plan, runs, task, method):
                configs += plan.with_seeds(like, plan.curve_seeds)
    return configs


def _cells(plan: Plan, runs: Runs, point: Point, full: dict[str, Scores]) -> list[str]:
    scores, counts = point_scores(plan, runs, point), trained_parameters(plan, runs, point)
    differences = relative(scores, full)
    band = percentiles(differences, BAND) if differences else [None] * 3
    return [
        point.name,
        f"{counts['task']:,}" if counts else MISSING,
        f"{100 * counts['task'] / counts['all']:.2f} %" if counts else MISSING,
        *(hundredths(value, sign=True) for value in band),
        str(len(differences)),
        *(str(scores[task]) for task in plan.tasks),
    ]


def _table(plan: Plan, runs: Runs) -> str:
    headers = [
        "",
        "trained per task",
        "of all",
        "difference: 20th",
        "median",
        "80th percentile",
        "tasks",
        *(with_metric(task) for task in plan.tasks),
    ]
    full = point_scores(plan, runs, full_point(plan, runs))
    shown = [*points(plan, runs), full_point(plan, runs)]
    return markdown_table([_cells(plan, runs, point, full) for point in shown], headers)


LOOKS = {
    ADAPTER_GROUP: STYLES[0],
    TOP_GROUP: STYLES[1],
    NORM_GROUP: STYLES[2]._replace(linestyle="none"),
}


def _draw_relative(axes: Any, drawn: dict[str, Curve], full: dict[str, Scores]) -> None:
    """Figures 1 and 3: the median over the tasks, and the band from 20th to 80th percentile. A
    point is hollow where every task has one seed."""
    for group, curve in drawn.items():
        style, x, bands, lone = LOOKS[group], [], [], []
        for count, scores in zip(curve.parameters, curve.scores, strict=True):
            if differences := relative(scores, full):
                x.append(count)
                bands.append([100 * value for value in percentiles(differences, BAND)])
                if all(one.error is None for one in scores.values()):
                    lone.append((count, bands[-1][1]))
        if not x:
            continue
        low, middle, high = np.transpose(bands)
        line(axes, x, middle, style, label=group)
        if group == NORM_GROUP:
            axes.vlines(x, low, high, color=style.color, lw=2, alpha=0.5)
        else:
            axes.fill_between(x, low, high, color=style.color, alpha=0.18, lw=0)
            for edge in (low, high):
                axes.plot(x, edge, color=style.color, ls=style.linestyle, lw=0.7, alpha=0.7)
        hollow(axes, lone, style)
    axes.axhline(0, **REFERENCE_LINE, label="full fine-tuning")
    axes.set(xscale="log", xlabel="trained parameters per task")
    axes.set_ylabel(
        "score less full fine-tuning's, hundredths\n(median, 20th to 80th percentile of the tasks)"
    )
    tidy(axes)


def _draw_task(axes: Any, task: str, drawn: dict[str, Curve], full: Scores) -> None:
    """Figure 4: one task's scores, with standard errors over the seeds."""
    for group, curve in drawn.items():
        pairs = zip(curve.parameters, curve.scores, strict=True)
        score_line(axes, ((count, scores[task]) for count, scores in pairs), LOOKS[group], ms=4)
    if full.mean is not None:
        axes.axhline(100 * full.mean, **REFERENCE_LINE)
    axes.set(xscale="log", title=with_metric(task))
    tidy(axes)


def _draw(plan: Plan, runs: Runs, folder: Path) -> bool:
    drawn, full = curves(plan, runs), point_scores(plan, runs, full_point(plan, runs))
    if not drawn:
        return False
    columns = 2 if len(plan.tasks) > 1 else 1
    lines = -(-len(plan.tasks) // columns)
    figure = new_figure(9, max(4.6, 2.3 * lines))
    grid = figure.add_gridspec(lines, 2 + columns)
    left = figure.add_subplot(grid[:, :2])
    _draw_relative(left, drawn, full)
    for number, task in enumerate(plan.tasks):
        axes = figure.add_subplot(grid[number // columns, 2 + number % columns], sharex=left)
        _draw_task(axes, task, drawn, full[task])
        if number % columns == 0:
            axes.set_ylabel("dev score, hundredths", fontsize=9)
        if number + columns >= len(plan.tasks):
            axes.set_xlabel("trained parameters", fontsize=9)
    legend(figure, 5)
    save(figure, folder, NAME)
    return True


def _introduction(plan: Plan) -> str:
    swept = ", ".join(str(size) for size in plan.budget.sizes if size in plan.budget.swept)
    more = (
        "; methods of table 1 have all the seeds that they have there"
        if plan.curve_seeds < plan.seeds
        else ""
    )
    return (
        "Adapters of several sizes, LayerNorms alone and fine-tuning of only the top layers, each "
        "compared with full fine-tuning on the same task; then the 20th, 50th and 80th percentiles "
        "over the tasks. Rate and epochs are those that are best on validation for full "
        f"fine-tuning, for LayerNorms, and for adapters of m = {swept}; other sizes use those of "
        f"m = 64, top layers those of full fine-tuning{more}. Parameters are counted without the "
        "head."
    )


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown, with whatever has finished; its figure is saved in folder/figures."""
    beginning = (HEADING, _introduction(plan), glue_conditions(plan, plan.curve_seeds))
    if not any_finished(runs, wanted(plan, runs)):
        return section(*beginning, NO_RUNS)
    drawn = _draw(plan, runs, folder)
    alt = (
        "Left: difference to full fine-tuning against trained parameters, median and band over "
        "tasks; right: each task's scores"
    )
    return section(*beginning, _table(plan, runs), image(NAME, alt) if drawn else "")
