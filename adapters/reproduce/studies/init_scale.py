"""Figure 6, right: the standard deviation of the adapters' initial weights, from 1e-7 to 1."""

from pathlib import Path

from adapters.reproduce.report.pages import NO_RUNS, markdown_table, section, setting, title, unit
from adapters.reproduce.report.statistics import Scores, scores_of
from adapters.reproduce.studies.plans import ADAPTERS, Plan
from adapters.reproduce.studies.table1 import chosen
from adapters.reproduce.sweep.runs_file import Config, Runs

NAME = "init-scale"
DEFAULT_STD = 1e-2  # the recipe's: the same runs as table 1's


def tasks(plan: Plan) -> list[str]:
    """The budget's tasks for this figure that the plan has."""
    return [task for task in plan.budget.std_tasks if task in plan.tasks]


def of_stds(plan: Plan, runs: Runs, task: str) -> list[tuple[float, Config]]:
    """(std, configuration with seed 0) at the rate and epochs that are best with the usual std."""
    like = chosen(plan, runs, task, ADAPTERS)
    if like is None:
        return []
    return [
        (std, like if std == DEFAULT_STD else {**like, "method": {**ADAPTERS, "std": std}})
        for std in plan.budget.stds
    ]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in tasks(plan):
        configs += plan.grid(task, ADAPTERS)
        for _, config in of_stds(plan, runs, task):
            configs += plan.with_seeds(config)
    return configs


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """Scores by initial std as Markdown, and a picture."""
    from adapters.reproduce.report.pictures import (
        STYLES,
        image,
        legend,
        line,
        new_figure,
        save,
        tidy,
    )

    heading = "Figure 6, right: the scale of the initial weights"
    text = (
        "Adapters of size 64 whose projections start with this standard deviation (truncated at "
        f"two of them), at the rate and epochs that were chosen with {DEFAULT_STD:g}."
    )
    found: dict[str, dict[float, Scores]] = {
        task: {
            std: scores_of(runs, plan.with_seeds(config))
            for std, config in of_stds(plan, runs, task)
        }
        for task in tasks(plan)
    }
    if not any(scores.values for by_std in found.values() for scores in by_std.values()):
        return section(heading, text, NO_RUNS)
    rows = [
        (f"{std:g}", *(str(found[task].get(std, Scores())) for task in found))
        for std in plan.budget.stds
    ]
    figure = new_figure(6.0, 3.4)
    axes = figure.subplots()
    for (task, by_std), style in zip(found.items(), STYLES, strict=False):
        known = {std: scores for std, scores in by_std.items() if scores.mean is not None}
        means = [100 * (scores.mean or 0.0) for scores in known.values()]
        errors = [100 * (scores.error or 0.0) for scores in known.values()]
        line(axes, list(known), means, style, yerr=errors, label=title(task))
    axes.set_xscale("log")
    axes.set_xlabel("standard deviation of the initial weights (log)")
    axes.set_ylabel("dev score, hundredths")
    tidy(axes)
    legend(figure)
    save(figure, folder, NAME)
    picture = image(NAME, "Dev score against the initial standard deviation, a line a task")
    headers = ("initial std", *(f"{title(task)} ({unit(task)})" for task in found))
    return section(heading, text, setting(plan), markdown_table(rows, headers), picture)
