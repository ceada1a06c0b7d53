"""Figure 6, left: the adapters of each contiguous span of layers removed from trained tasks,
without training again."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from adapters.reproduce.report.pages import NO_RUNS, markdown_table, section, setting, title
from adapters.reproduce.report.statistics import hundredths
from adapters.reproduce.studies.plans import ADAPTERS, Plan, main_score
from adapters.reproduce.studies.table1 import chosen
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

NAME = "ablation"


def of(config: Config) -> Config:
    """The ablation of what a configuration trains."""
    return {"kind": "ablation", "of": config}


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in plan.tasks:
        configs += plan.grid(task, ADAPTERS)
        if like := chosen(plan, runs, task, ADAPTERS):
            for config in plan.with_seeds(like):
                configs.append(config)
                run = runs.get(run_key(config))  # two workers shall not train the same task
                if run and "diverged" not in run["result"]:
                    configs.append(of(config))
    return configs


def finished(plan: Plan, runs: Runs) -> dict[str, list[dict[str, Any]]]:
    """The finished ablations of each task, one a seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for task in plan.tasks:
        like = chosen(plan, runs, task, ADAPTERS)
        keys = [run_key(of(c)) for c in plan.with_seeds(like)] if like else []
        results = [runs[key]["result"] for key in keys if key in runs]
        results = [result for result in results if "spans" in result]  # one may have diverged
        if results:
            found[task] = results
    return found


def losses(results: Sequence[dict[str, Any]], task: str) -> dict[tuple[int, int], list[float]]:
    """Points lost by removing a span, one a seed: {(first, last): [...]}."""
    lost_by: dict[tuple[int, int], list[float]] = {}
    for result in results:
        whole = main_score(task, result["dev"])
        for span in result["spans"]:
            lost = 100 * (whole - main_score(task, span["dev"]))
            lost_by.setdefault((span["first"], span["last"]), []).append(lost)
    return lost_by


def changes(results: Sequence[dict[str, Any]], task: str) -> dict[tuple[int, int], float]:
    """Relative change of the mean score by removing a span, in per cent: {(first, last): ...}. None
    at all where the whole model's score is 0, as a Matthews coefficient may be."""
    whole = 100 * mean(main_score(task, result["dev"]) for result in results)
    if whole <= 0.0:
        return {}
    return {span: -100 * mean(points) / whole for span, points in losses(results, task).items()}


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The loss of each span as Markdown, and a heat map for each task, as in the paper."""
    heading = "Figure 6, left: adapters removed without training again"
    text = (
        "Adapters of size 64 are trained once; then those of every contiguous span of layers are "
        "left out, and nothing is trained again. The task's LayerNorms and head stay. The table "
        "has the points lost on the dev set, the heat maps the change in per cent of the score "
        "with all adapters, as in the paper; layers are counted from 0."
    )
    found = finished(plan, runs)
    if not found:
        return section(heading, text, NO_RUNS)
    lost = {
        task: {span: mean(values) for span, values in losses(results, task).items()}
        for task, results in found.items()
    }
    rows = []
    for task, results in found.items():
        single = {span: points for span, points in lost[task].items() if span[0] == span[1]}
        worst = max(single, key=lambda span: single[span])
        whole = [main_score(task, result["dev"]) for result in results]
        constant = [main_score(task, result["constant"]) for result in results]
        last = plan.layers - 1
        half = plan.layers // 2
        rows.append((
            title(task), str(len(results)), hundredths(mean(whole)),
            f"{single[worst]:+.1f} (layer {worst[0]})",
            f"{lost[task][0, half - 1]:+.1f}", f"{lost[task][plan.layers - half, last]:+.1f}",
            hundredths(mean(whole) - lost[task][0, last] / 100), hundredths(mean(constant)),
        ))  # fmt: skip
    headers = ("task", "seeds", "all adapters", "worst single layer: lost", "lower half: lost",
               "upper half: lost", "score without any", "constant guess")  # fmt: skip
    _draw(plan, {task: changes(results, task) for task, results in found.items()}, folder)
    from adapters.reproduce.report.pictures import image

    picture = image(NAME, "Relative change by first and last removed layer, one heat map a task")
    return section(heading, text, setting(plan), markdown_table(rows, headers), picture)


def _draw(plan: Plan, changed: dict[str, dict[tuple[int, int], float]], folder: Path) -> None:
    """One triangle a task: first removed layer down, last removed layer across."""
    import numpy as np

    from adapters.reproduce.report.pictures import new_figure, save, tidy

    figure = new_figure(9.0, 2.9)
    panels = figure.subplots(1, len(changed), squeeze=False)[0]
    worst = min(-1.0, *(change for spans in changed.values() for change in spans.values()))
    for axes, (task, spans) in zip(panels, changed.items(), strict=True):
        grid = np.full((plan.layers, plan.layers), np.nan)
        for (first, last), change in spans.items():
            grid[first, last] = change
        shown = axes.imshow(grid, cmap="gray", vmin=worst, vmax=0.0)
        if plan.layers <= 6:  # more numbers than that would not be readable
            for (first, last), change in spans.items():
                color = "white" if change < 0.45 * worst else "black"
                axes.text(last, first, f"{round(change)}", ha="center", va="center",
                          fontsize=8, color=color)  # fmt: skip
        axes.set_title(title(task))
        axes.set_xticks(range(plan.layers))
        axes.set_yticks(range(plan.layers))
        axes.set_xlabel("last removed layer")
        tidy(axes)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    panels[0].set_ylabel("first removed layer", fontsize=9)
    bar = figure.colorbar(shown, ax=list(panels), shrink=0.8)
    bar.set_label("relative change, %", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    save(figure, folder, NAME)
