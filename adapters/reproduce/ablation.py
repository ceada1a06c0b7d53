"""Figure 6, left: the adapters of each contiguous span of layers removed from trained tasks,
without training again."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from adapters.reproduce.pages import NO_RUNS, markdown_table, section, setting, title
from adapters.reproduce.plans import ADAPTERS, Plan, main_score
from adapters.reproduce.statistics import hundredths
from adapters.reproduce.store import Config, Runs, run_key
from adapters.reproduce.table1 import chosen

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


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The loss of each span as Markdown, and a heat map for each task, as in the paper."""
    heading = "Figure 6, left: adapters removed without training again"
    text = (
        "Adapters of size 64 are trained once; then those of every contiguous span of layers are "
        "left out, and nothing is trained again. The task's LayerNorms and head stay. The table "
        "and the heat maps have the points lost on the dev set, layers counted from 0."
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
    _draw(plan, lost, folder)
    from adapters.reproduce.pictures import image

    picture = image(NAME, "Points lost by first and last removed layer, one heat map a task")
    return section(heading, text, setting(plan), markdown_table(rows, headers), picture)


def _draw(plan: Plan, lost: dict[str, dict[tuple[int, int], float]], folder: Path) -> None:
    """One triangle a task: first removed layer down, last removed layer across."""
    import numpy as np

    from adapters.reproduce.pictures import new_figure, save

    figure = new_figure(9.0, 3.2)
    panels = figure.subplots(1, len(lost), squeeze=False)[0]
    most = max(max(points.values()) for points in lost.values())
    for axes, (task, points) in zip(panels, lost.items(), strict=True):
        grid = np.full((plan.layers, plan.layers), np.nan)
        for (first, last), value in points.items():
            grid[first, last] = value
        shown = axes.imshow(grid, cmap="Greys", vmin=0.0, vmax=max(most, 1.0))
        if plan.layers <= 6:  # more numbers than that would not be readable
            for (first, last), value in points.items():
                color = "white" if value > 0.55 * most else "black"
                axes.text(last, first, f"{value:.0f}", ha="center", va="center",
                          fontsize=8, color=color)  # fmt: skip
        axes.set_title(title(task), fontsize=9)
        axes.set_xticks(range(plan.layers))
        axes.set_yticks(range(plan.layers))
        axes.tick_params(labelsize=8)
        axes.set_xlabel("last removed layer", fontsize=9)
        axes.spines[:].set_visible(False)
    panels[0].set_ylabel("first removed layer", fontsize=9)
    bar = figure.colorbar(shown, ax=list(panels), shrink=0.8)
    bar.set_label("points lost", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    save(figure, folder, NAME)
