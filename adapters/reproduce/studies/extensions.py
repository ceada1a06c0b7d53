"""The extensions that the paper tried without gain (end of section 3.6), beside the adapter itself:
normalisation inside, another layer, other activations, attention only, parallel."""

from pathlib import Path
from typing import Any

from adapters.methods.table import VARIANTS
from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.report.figures import (
    STYLES,
    image,
    legend,
    new_figure,
    save,
    score_line,
    tidy,
)
from adapters.reproduce.report.pages import (
    NO_RUNS,
    glue_conditions,
    markdown_table,
    scored,
    section,
    title,
)
from adapters.reproduce.report.shares import parameters_of
from adapters.reproduce.report.statistics import MISSING, Scores, scores_of
from adapters.reproduce.sweep.runs_file import Config, Runs

NAME = "extensions"
ADAPTER = "serial"  # the paper's adapter itself
ACTIVATIONS = ("tanh",)
# Normalised features do not shrink with the initial weights, so these variants need a smaller std
# to start as close to the identity as the others.
NORMALISED, NORMALISED_STD = ("layer-norm", "batch-norm"), 1e-3


def methods() -> dict[str, dict[str, Any]]:
    """Each extension as a tuning method, by a readable name; first the paper's adapter."""
    found: dict[str, dict[str, Any]] = {ADAPTER: ADAPTERS}
    for name in NORMALISED:
        found[name] = {**ADAPTERS, "variant": name, "std": NORMALISED_STD}
    for name in VARIANTS:
        if name not in found:
            found[name] = {**ADAPTERS, "variant": name}
    for activation in ACTIVATIONS:
        found[activation] = {**ADAPTERS, "activation": activation}
    return found


def tasks(plan: Plan) -> list[str]:
    """The budget's tasks for this comparison, as far as the plan has them."""
    return [task for task in plan.budget.variant_tasks if task in plan.tasks]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for task in tasks(plan):
        configs += plan.grid(task, ADAPTERS)
        if like := chosen(plan, runs, task, ADAPTERS):
            for method in methods().values():
                config = {**like, "method": method}
                configs += plan.with_seeds(config, plan.budget.curve_seeds)
    return configs


ScoresByExtension = dict[str, dict[str, Scores]]  # by extension, then by task


def _results(plan: Plan, runs: Runs) -> tuple[ScoresByExtension, dict[str, str]]:
    """Each extension's scores, and the number of its adapters' parameters where known."""
    found: ScoresByExtension = {}
    counts: dict[str, str] = {}
    for name, method in methods().items():
        found[name] = {}
        seeds = None if name == ADAPTER else plan.budget.curve_seeds
        for task in tasks(plan):
            like = chosen(plan, runs, task, ADAPTERS)
            configs = plan.with_seeds({**like, "method": method}, seeds) if like else []
            found[name][task] = scores_of(runs, configs)
            if parameters := parameters_of(runs, configs):
                counts[name] = f"{parameters['adapters']:,}"
    return found, counts


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """Each extension's scores as Markdown, and a figure."""
    heading = "Section 3.6: the extensions"
    text = (
        "What the paper tried without gain, each as `minibert train --variant NAME` or "
        "`--activation NAME`, at size 64 and the rate and epochs that were chosen for the adapter "
        f"itself (`serial`, GELU). The normalised ones start with std {NORMALISED_STD:g}, as close "
        f"to the identity as the others. Seeds of an extension: {plan.budget.curve_seeds}."
    )
    found, counts = _results(plan, runs)
    if not any(scores.values for by_task in found.values() for scores in by_task.values()):
        return section(heading, text, NO_RUNS)
    rows = [
        (name, counts.get(name, MISSING), *(str(scores) for scores in by_task.values()))
        for name, by_task in found.items()
    ]
    headers = ("extension", "adapters' parameters", *(scored(task) for task in tasks(plan)))
    _draw(found, tasks(plan), folder)
    picture = image(NAME, "Dev score of each extension; dotted, the adapter itself")
    return section(heading, text, glue_conditions(plan), markdown_table(rows, headers), picture)


def _draw(found: ScoresByExtension, tasks: list[str], folder: Path) -> None:
    figure = new_figure(7.5, 3.4)
    axes = figure.subplots()
    for number, (task, style) in enumerate(zip(tasks, STYLES, strict=False)):
        shift = 0.16 * (number - (len(tasks) - 1) / 2)
        points = [(i + shift, by_task[task]) for i, by_task in enumerate(found.values())]
        score_line(axes, points, style, ls="none", label=title(task))
        reference = found[ADAPTER][task].mean
        if reference is not None:
            axes.axhline(100 * reference, color=style.color, lw=0.8, ls=":")
    axes.set_xticks(range(len(found)), list(found), rotation=25, ha="right")
    axes.set_ylabel("dev score, hundredths")
    tidy(axes, "y")
    legend(figure)
    save(figure, folder, NAME)
