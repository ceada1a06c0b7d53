"""Whether more epochs, another rate or another size bring adapters to full fine-tuning on SST-2.

The paper trained for 3 to 20 epochs at rates up to 3e-3.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from adapters.pictures import STYLES
from adapters.reproduce.plans.choices import (
    best,
    best_of_size,
    chosen,
    size_grid,
    validation_score,
)
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
from adapters.reproduce.report.figures import (
    REFERENCE_LINE,
    image,
    legend,
    log2_axis,
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
)
from adapters.reproduce.report.statistics import MISSING, Scores, hundredths, scores_of
from adapters.reproduce.studies.table1 import wanted as wanted_by_table1
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

NAME = "epochs"
HEADING = "Rate, epochs and size: adapters against full fine-tuning on SST-2"
TASK = "sst-2"


def longer(plan: Plan) -> list[Config]:
    """Adapters of size 64 at the budget's further rates and epochs."""
    return [plan.classify(TASK, ADAPTERS, rate, n) for rate, n in plan.budget.more_epochs]


def sizes(plan: Plan) -> list[int]:
    """Every size of adapters that some study of the budget has."""
    return sorted({*plan.budget.sizes, *plan.budget.best_of})


def of_sizes(plan: Plan, runs: Runs) -> list[Config]:
    """What is tried of every size: its own grid, or the rate and epochs best for size 64."""
    return [config for size in sizes(plan) for config in size_grid(plan, runs, TASK, size)]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    if TASK not in plan.tasks:
        return []
    # this task alone, with the paper's pooling
    only = replace(plan, tasks=(TASK,), budget=replace(plan.budget, both_poolings=False))
    configs = wanted_by_table1(only, runs)
    if not plan.budget.more_epochs:
        return configs
    configs += of_sizes(plan, runs) + longer(plan)
    if like := best(runs, plan.grid(TASK, ADAPTERS) + longer(plan)):
        configs += plan.with_seeds(like)
    return configs


class Trial(NamedTuple):
    """A row of the table: one configuration, scored over the seeds that have finished.
    `in_table_1`: whether it is the one there."""

    config: Config
    in_table_1: bool
    scores: Scores


def trials(plan: Plan, runs: Runs) -> list[Trial]:
    """Full fine-tuning and adapters at each rate, number of epochs and size that is tried."""
    tried = plan.grid(TASK, FULL) + plan.grid(TASK, ADAPTERS) + longer(plan)
    tried += of_sizes(plan, runs)
    chosen_ones = [chosen(plan, runs, TASK, method) for method in (FULL, ADAPTERS)]
    found = {}
    for config in tried:
        seeds = plan.with_seeds(config)
        scores = scores_of(runs, seeds)
        found[run_key(config)] = Trial(config, config in chosen_ones, scores)
    return list(found.values())


def _order(trial: Trial) -> tuple[bool, int, int, float]:
    method = trial.config["method"]
    return method != FULL, method.get("size", 0), trial.config["epochs"], trial.config["rate"]


def _cells(runs: Runs, trial: Trial, full: float | None) -> list[str]:
    """A row of the table. `full`: the mean score of full fine-tuning in table 1."""
    config, mean, on_validation, epoch = trial.config, trial.scores.mean, MISSING, MISSING
    result = runs.get(run_key(config), {"result": {}})["result"]
    if "validation" in result:
        on_validation = hundredths(validation_score(result))
        epoch = str(result["best_epoch"])
    method = config["method"]
    name = "full fine-tuning" if method == FULL else f"adapters, m = {method['size']}"
    gap = None if mean is None or full is None else mean - full
    return [
        name + (" (as in table 1)" if trial.in_table_1 else ""),
        f"{config['rate']:g}",
        str(config["epochs"]),
        epoch,
        on_validation,
        str(trial.scores),
        hundredths(gap, sign=True),
    ]


HEADERS = (
    "",
    "learning rate",
    "epochs",
    "best epoch",
    "validation accuracy",
    "dev accuracy",
    "less full fine-tuning's",
)


def _table(runs: Runs, found: list[Trial]) -> str:
    full_one = next((one for one in found if one.in_table_1 and one.config["method"] == FULL), None)
    full = full_one.scores.mean if full_one else None
    return markdown_table([_cells(runs, one, full) for one in sorted(found, key=_order)], HEADERS)


def _draw_by_rate(axes: Any, found: list[Trial]) -> None:
    """A curve over the learning rate for each number of epochs."""
    full = [one for one in found if one.config["method"] == FULL]
    usual = [one for one in found if one.config["method"] == ADAPTERS]
    curves = [
        (name, group, epochs)
        for name, group in (("adapters, m = 64", usual), ("full fine-tuning", full))
        for epochs in sorted({one.config["epochs"] for one in group})
    ]
    for (name, group, epochs), style in zip(curves, STYLES, strict=False):
        points = [(o.config["rate"], o.scores) for o in group if o.config["epochs"] == epochs]
        points.sort(key=lambda point: point[0])
        score_line(axes, points, style, label=f"{name}, {epochs} epochs")
    axes.set(xscale="log", xlabel="learning rate", ylabel="dev accuracy, hundredths")


def _draw_by_size(axes: Any, plan: Plan, runs: Runs, found: list[Trial]) -> None:
    """A curve over the adapters' size, each as in the tables of sizes: at the best on validation of
    its own grid, or at the rate and epochs of size 64."""
    of_config = {run_key(one.config): one.scores for one in found}
    best_ones = {size: best_of_size(plan, runs, TASK, size) for size in sizes(plan)}
    scores = {size: of_config[run_key(config)] for size, config in best_ones.items() if config}
    name = "adapters by size, as in table 1 and figure 3"
    score_line(axes, [(size, scores[size]) for size in sorted(scores)], STYLES[-1], label=name)
    log2_axis(axes, sorted(scores))
    axes.set_xlabel("adapter size m")


def _draw(plan: Plan, runs: Runs, found: list[Trial], folder: Path) -> bool:
    """Left by learning rate, right by size, with full fine-tuning as a line in both."""
    if not any(one.scores.values for one in found):
        return False
    figure = new_figure(9, 3.8)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_by_rate(left, found)
    _draw_by_size(right, plan, runs, found)
    for one in found:
        if one.in_table_1 and one.config["method"] == FULL and one.scores.mean is not None:
            for axes in (left, right):
                label = "full fine-tuning, as in table 1"
                axes.axhline(100 * one.scores.mean, **REFERENCE_LINE, label=label)
    for axes in (left, right):
        tidy(axes)
    legend(figure, 3)
    save(figure, folder, NAME)
    return True


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown, with whatever has finished; its figure is saved in folder/figures."""
    text = (
        "Adapters at each learning rate and number of epochs, then adapters of several sizes. A "
        "size has either a grid of its own, or the rate and epochs that are best on validation for "
        "m = 64. Validation accuracy and best epoch are for seed 0; each run's best epoch is "
        "chosen on validation. Only what is best on validation is run with all the seeds."
    )
    beginning = (HEADING, text, glue_conditions(plan))
    found = trials(plan, runs) if TASK in plan.tasks else []
    if not any_finished(runs, [one.config for one in found]):
        return section(*beginning, NO_RUNS)
    drawn = _draw(plan, runs, found, folder)
    alt = "Dev accuracy by learning rate for each number of epochs, and by size"
    return section(*beginning, _table(runs, found), image(NAME, alt) if drawn else "")
