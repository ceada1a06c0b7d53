"""Figure 6, right: the standard deviation of the adapters' initial weights, from 1e-7 to 1."""

from pathlib import Path

from adapters.pictures import STYLES
from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.report.figures import (
    each_seed,
    image,
    legend,
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
    title,
    with_metric,
)
from adapters.reproduce.report.statistics import Scores, chosen_scores
from adapters.reproduce.sweep.runs_file import Config, Runs

NAME = "init-scale"
HEADING = "Figure 6, right: the scale of the initial weights"
DEFAULT_STD = 1e-2  # the recipe's, so these are the same runs as table 1's


def tasks(plan: Plan) -> list[str]:
    """The budget's tasks for this figure, as far as the plan has them."""
    return [task for task in plan.budget.std_tasks if task in plan.tasks]


def of_stds(plan: Plan, runs: Runs, task: str) -> dict[float, Config]:
    """{std: configuration with seed 0}, at the rate and epochs that are best with the default
    std."""
    like = chosen(plan, runs, task, ADAPTERS)
    if like is None:
        return {}
    return {
        std: like if std == DEFAULT_STD else {**like, "method": {**ADAPTERS, "std": std}}
        for std in plan.budget.stds
    }


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for task in tasks(plan):
        configs += plan.grid(task, ADAPTERS)
        for config in of_stds(plan, runs, task).values():
            configs += plan.with_seeds(config)
    return configs


ScoresByStd = dict[str, dict[float, Scores]]  # by task, then by std


def _results(plan: Plan, runs: Runs) -> ScoresByStd:
    found: ScoresByStd = {}
    for task in tasks(plan):
        configs, tried = of_stds(plan, runs, task), {DEFAULT_STD: plan.grid(task, ADAPTERS)}
        found[task] = {
            std: chosen_scores(plan, runs, configs.get(std), tried.get(std, []))
            for std in plan.budget.stds
        }
    return found


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """Scores by initial std as Markdown, and a figure."""
    text = (
        "Adapters of size 64 whose projections start with this standard deviation (truncated at "
        "two standard deviations), at the rate and epochs that were chosen with "
        f"{DEFAULT_STD:g}."
    )
    found = _results(plan, runs)
    if not any_finished(runs, wanted(plan, runs)):
        return section(HEADING, text, NO_RUNS)
    rows = [
        (f"{std:g}", *(str(by_std[std]) for by_std in found.values())) for std in plan.budget.stds
    ]
    table = markdown_table(rows, ("initial std", *(with_metric(task) for task in found)))
    picture = ""
    if any(scores.values for by_std in found.values() for scores in by_std.values()):
        _draw(found, folder)
        picture = image(
            NAME, "Dev score against the initial standard deviation: each seed's, and the means"
        )
    return section(HEADING, text, glue_conditions(plan), table, picture)


def _draw(found: ScoresByStd, folder: Path) -> None:
    figure = new_figure(6.0, 3.4)
    axes = figure.subplots()
    for (task, by_std), style in zip(found.items(), STYLES, strict=False):
        score_line(axes, by_std.items(), style._replace(linestyle=":"), label=title(task))
        each_seed(axes, by_std.items(), style)
    axes.set_xscale("log")
    axes.set_xlabel("standard deviation of the initial weights (log)")
    axes.set_ylabel("dev score, hundredths")
    tidy(axes)
    legend(figure)
    save(figure, folder, NAME)
