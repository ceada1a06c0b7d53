"""Figure 6, left: the adapters of each contiguous span of layers are removed from trained tasks,
with no further training."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.report.figures import image, new_figure, save, tidy
from adapters.reproduce.report.pages import (
    NO_RUNS,
    glue_conditions,
    markdown_table,
    section,
    title,
)
from adapters.reproduce.report.statistics import (
    all_diverged,
    hundredths,
    main_score,
    results_of,
    signed_points,
)
from adapters.reproduce.sweep.runs_file import Config, Results, Runs, run_key
from minibert.errors import InputError

NAME = "ablation"
HEADING = "Figure 6, left: adapters removed without training again"
Span = tuple[int, int]  # (first, last), both included


def ablation_of(config: Config) -> Config:
    """The ablation of the adapters that a configuration trains."""
    return {"kind": "ablation", "of": config}


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for task in plan.tasks:
        configs += plan.grid(task, ADAPTERS)
        if like := chosen(plan, runs, task, ADAPTERS):
            for config in plan.with_seeds(like):
                configs.append(config)
                # only once the task is trained, so that no two workers train the same task
                run = runs.get(run_key(config))
                if run and "diverged" not in run["result"]:
                    configs.append(ablation_of(config))
    return configs


def finished(plan: Plan, runs: Runs) -> dict[str, Results]:
    """The results of each task's finished ablations, one for each seed. Raises InputError for one
    of another number of layers than the plan's base has."""
    found: dict[str, Results] = {}
    for task in plan.tasks:
        like = chosen(plan, runs, task, ADAPTERS)
        seeds = plan.with_seeds(like) if like else []
        results = results_of(runs, [ablation_of(config) for config in seeds])
        for key, result in results.items():
            if (number := 1 + max(span["last"] for span in result["spans"])) != plan.layers:
                raise InputError(f"run {key}: has spans of {number} layers, not of {plan.layers}")
        if results:
            found[task] = results
    return found


def losses(results: Sequence[dict[str, Any]], task: str) -> dict[Span, list[float]]:
    """The points lost by removing each span, one value for each seed."""
    lost: dict[Span, list[float]] = {}
    for result in results:
        whole = main_score(task, result["dev"])
        for span in result["spans"]:
            points = 100 * (whole - main_score(task, span["dev"]))
            lost.setdefault((span["first"], span["last"]), []).append(points)
    return lost


def changes(results: Sequence[dict[str, Any]], task: str) -> dict[Span, float]:
    """The relative change of the mean score by removing each span, in per cent. Empty where the
    score with all adapters is 0, as a Matthews coefficient may be."""
    whole = 100 * mean(main_score(task, result["dev"]) for result in results)
    if whole <= 0.0:
        return {}
    return {span: -100 * mean(points) / whole for span, points in losses(results, task).items()}


def halves(plan: Plan) -> tuple[Span, Span]:
    """The lower and the upper half of the layers; a middle layer is in neither, a single one in
    both."""
    half = max(1, plan.layers // 2)
    return (0, half - 1), (plan.layers - half, plan.layers - 1)


HEADERS = (
    "task",
    "seeds",
    "all adapters",
    "worst single layer: lost",
    "lower half: lost",
    "upper half: lost",
    "score without any",
    "constant guess",
)


def _cells(plan: Plan, task: str, results: Sequence[dict[str, Any]]) -> list[str]:
    lost = {span: mean(points) for span, points in losses(results, task).items()}
    single = {span: points for span, points in lost.items() if span[0] == span[1]}
    worst = max(single, key=lambda span: single[span])
    whole = mean(main_score(task, result["dev"]) for result in results)
    constant = mean(main_score(task, result["constant"]) for result in results)
    lower, upper = halves(plan)
    return [
        title(task),
        str(len(results)),
        hundredths(whole),
        f"{signed_points(single[worst])} (layer {worst[0]})",
        signed_points(lost[lower]),
        signed_points(lost[upper]),
        hundredths(whole - lost[0, plan.layers - 1] / 100),
        hundredths(constant),
    ]


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The loss of each span as Markdown, and a heat map for each task, as in the paper."""
    text = (
        "Adapters of size 64 are trained; then those of every contiguous span of layers are "
        "left out, and nothing is trained again. The task's LayerNorms and head stay. The table "
        "shows the points lost on the dev set, the heat maps the change in per cent of the score "
        "with all adapters, as in the paper, and in brackets the change to the constant guess; "
        "layers are counted from 0."
    )
    found = {task: [*results.values()] for task, results in finished(plan, runs).items()}
    lost = [task for task in plan.tasks if all_diverged(runs, plan.grid(task, ADAPTERS))]
    told = f"Every training of adapters diverged on {', '.join(map(title, lost))}." if lost else ""
    if not found:
        return section(HEADING, text, told or NO_RUNS)
    table = markdown_table([_cells(plan, task, found[task]) for task in found], HEADERS)
    _draw(plan, found, folder)
    alt = "Relative change by first and last removed layer, one heat map for each task"
    return section(HEADING, text, glue_conditions(plan), table, told, image(NAME, alt))


def _draw(plan: Plan, found: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    """One triangle for each task: first removed layer down, last removed layer across. Above it is
    what to compare with: the change to the constant guess."""
    changed = {task: changes(results, task) for task, results in found.items()}
    figure = new_figure(9.0, 2.9)
    panels = figure.subplots(1, len(changed), squeeze=False)[0]
    worst = min([-1.0, *(change for spans in changed.values() for change in spans.values())])
    for axes, (task, spans) in zip(panels, changed.items(), strict=True):
        shown = _heat_map(axes, spans, plan.layers, worst)
        axes.set_title(f"{title(task)}{_guess(found[task], task)}")
        tidy(axes)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    panels[0].set_ylabel("first removed layer", fontsize=9)
    bar = figure.colorbar(shown, ax=list(panels), shrink=0.8)
    bar.set_label("relative change, %", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    save(figure, folder, NAME)


def _guess(results: Sequence[dict[str, Any]], task: str) -> str:
    """The relative change to the constant guess, as changes are drawn; "" where there are none."""
    whole, guess = (
        mean(main_score(task, result[key]) for result in results) for key in ("dev", "constant")
    )
    return f" (guess: {round(100 * guess / whole - 100)} %)" if whole > 0 else ""


def _heat_map(axes: Any, spans: dict[Span, float], layers: int, worst: float) -> Any:
    """One task's triangle, from white (no change) to black (`worst`). Returns the image."""
    grid = np.full((layers, layers), np.nan)
    for (first, last), change in spans.items():
        grid[first, last] = change
    shown = axes.imshow(grid, cmap="gray", vmin=worst, vmax=0.0)
    axes.patch.set(hatch="///", edgecolor="0.8")  # the other triangle: no spans
    if layers <= 6:  # more numbers would not be readable
        for (first, last), change in spans.items():
            color = "white" if change < 0.45 * worst else "black"
            text = f"{round(change)}"
            axes.text(last, first, text, ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(layers))
    axes.set_yticks(range(layers))
    axes.set_xlabel("last removed layer")
    return shown
