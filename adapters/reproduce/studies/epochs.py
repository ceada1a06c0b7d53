"""What closes the gap between adapters and full fine-tuning on SST-2: rate, epochs or size.

The paper trained for 3 to 20 epochs at rates up to 3e-3.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from adapters.reproduce.report.pages import NO_RUNS, any_finished, markdown_table, section, setting
from adapters.reproduce.report.pictures import (
    REFERENCE,
    STYLES,
    Style,
    image,
    legend,
    line,
    log2_axis,
    new_figure,
    save,
    tidy,
)
from adapters.reproduce.report.statistics import MISSING, Scores, hundredths, scores_of
from adapters.reproduce.studies.plans import ADAPTERS, Plan, sized, validation
from adapters.reproduce.studies.table1 import FULL, chosen, size_grids
from adapters.reproduce.studies.table1 import wanted as wanted_by_table1
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

NAME = "epochs"
TASK = "sst-2"


def longer(plan: Plan) -> list[Config]:
    """Adapters of size 64 at the budget's further rates and epochs."""
    return [plan.classify(TASK, ADAPTERS, rate, n) for rate, n in plan.budget.more_epochs]


def of_sizes(plan: Plan, runs: Runs) -> list[Config]:
    """Adapters of every size at the rate and epochs that are best for size 64."""
    like = chosen(plan, runs, TASK, ADAPTERS)
    sizes = sorted({*plan.budget.sizes, *plan.budget.best_of})
    return [] if like is None else [{**like, "method": sized(size)} for size in sizes]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    if TASK not in plan.tasks or not plan.budget.more_epochs:
        return []
    only = replace(plan, tasks=(TASK,))
    return wanted_by_table1(only, runs) + of_sizes(only, runs) + longer(plan)


class Line(NamedTuple):
    """A row of the table: one configuration, whose scores are over the seeds it has run with."""

    config: Config
    chosen: bool
    scores: Scores


def lines(plan: Plan, runs: Runs) -> list[Line]:
    """Full fine-tuning and adapters at each rate, epochs and size that is tried, each once."""
    only = replace(plan, tasks=(TASK,))
    tried = plan.grid(TASK, FULL) + plan.grid(TASK, ADAPTERS) + longer(plan)
    tried += of_sizes(only, runs) + size_grids(only, runs, TASK)
    best = [chosen(only, runs, TASK, method) for method in (FULL, ADAPTERS)]
    found = {
        run_key(config): Line(
            config,
            config in best,
            scores_of(runs, [config, *plan.with_seeds(config)[1:]], wanted=plan.seeds),
        )
        for config in tried
    }
    return list(found.values())


def _order(line: Line) -> tuple[bool, int, int, float]:
    method = line.config["method"]
    full = method["name"] == "full"
    return not full, method.get("size", 0), line.config["epochs"], line.config["rate"]


def _table(plan: Plan, runs: Runs, found: list[Line]) -> str:
    best = next((one for one in found if one.chosen and one.config["method"] == FULL), None)
    full = best.scores.mean if best else None
    rows = []
    for one in sorted(found, key=_order):
        method = one.config["method"]
        result = runs.get(run_key(one.config), {"result": {}})["result"]
        mean, on_validation, epoch = one.scores.mean, MISSING, MISSING
        if "validation" in result:
            on_validation = hundredths(validation({"result": result}))
            epoch = str(result["best_epoch"])
        gap = None if mean is None or full is None else mean - full
        name = "full fine-tuning" if method == FULL else f"adapters, m = {method['size']}"
        rows.append([
            name + (" (as in table 1)" if one.chosen else ""), f"{one.config['rate']:g}",
            str(one.config["epochs"]), epoch, on_validation, str(one.scores),
            hundredths(gap, sign=True),
        ])  # fmt: skip
    headers = ["", "learning rate", "epochs", "best epoch", "validation accuracy", "dev accuracy",
               "less full fine-tuning's"]  # fmt: skip
    return markdown_table(rows, headers)


def _curve(axes: Any, points: list[tuple[float, Scores]], style: Style, name: str) -> None:
    there = sorted((x, scores.mean, scores.error or 0) for x, scores in points if scores.values)
    if there:
        x, means, errors = zip(*there, strict=True)
        bars = [100 * error for error in errors] if any(errors) else None
        line(axes, x, [100 * (mean or 0) for mean in means], style, yerr=bars, label=name)


def _draw(found: list[Line], folder: Path) -> bool:
    """Left by learning rate, a curve for each number of epochs; right by size."""
    if not any(one.scores.values for one in found):
        return False
    figure = new_figure(9, 3.8)
    left, right = figure.subplots(1, 2, sharey=True)
    full = [one for one in found if one.config["method"] == FULL]
    usual = [one for one in found if one.config["method"] == ADAPTERS]
    curves = [
        (name, group, epochs)
        for name, group in (("adapters, m = 64", usual), ("full fine-tuning", full))
        for epochs in sorted({one.config["epochs"] for one in group})
    ]
    for (name, group, epochs), style in zip(curves, STYLES, strict=False):
        points = [(o.config["rate"], o.scores) for o in group if o.config["epochs"] == epochs]
        _curve(left, points, style, f"{name}, {epochs} epochs")
    like = next((one.config for one in usual if one.chosen), None)
    if like is not None:
        same = [o for o in found if o.config == {**like, "method": o.config["method"]}]
        sizes = [(o.config["method"]["size"], o.scores) for o in same if o not in full]
        name = f"adapters by size: rate {like['rate']:g}, {like['epochs']} epochs"
        _curve(right, sizes, STYLES[-1], name)
        log2_axis(right, sorted(size for size, _ in sizes))
    for one in (one for one in full if one.chosen and one.scores.mean is not None):
        for axes in (left, right):
            axes.axhline(
                100 * (one.scores.mean or 0), **REFERENCE, label="full fine-tuning, as in table 1"
            )
    left.set(xscale="log", xlabel="learning rate", ylabel="dev accuracy, hundredths")
    right.set_xlabel("adapter size m")
    for axes in (left, right):
        tidy(axes)
    legend(figure, 3)
    save(figure, folder, NAME)
    return True


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown; its picture goes to folder/figures. Shows what there is by now."""
    heading = "Rate, epochs and size: adapters against full fine-tuning on SST-2"
    what = (
        "Adapters at each learning rate and number of epochs, then adapters of several sizes at "
        "the rate and epochs that are best on validation for m = 64, some at others, too. "
        "Validation accuracy and best epoch are of seed 0; the best epoch of each run is chosen on "
        "validation. What is best on validation has run with all seeds, the others with fewer."
    )
    found = lines(plan, runs) if TASK in plan.tasks else []
    if not any_finished(runs, [one.config for one in found]):
        return section(heading, what, setting(plan), NO_RUNS)
    drawn = _draw(found, folder)
    alt = "Dev accuracy by learning rate for each number of epochs, and by size"
    return section(heading, what, setting(plan), _table(plan, runs, found),
                   image(NAME, alt) if drawn else "")  # fmt: skip
