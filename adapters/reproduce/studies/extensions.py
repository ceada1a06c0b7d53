"""The extensions that the paper tried without gain (section 3.6, at its end), beside the adapter
itself: normalisation inside, another layer, other activations, attention only, parallel."""

from pathlib import Path
from typing import Any

from adapters.methods.table import VARIANTS
from adapters.reproduce.report.pages import NO_RUNS, markdown_table, section, setting, title, unit
from adapters.reproduce.report.statistics import Scores, parameters_of, scores_of
from adapters.reproduce.studies.plans import ADAPTERS, Plan
from adapters.reproduce.studies.table1 import chosen
from adapters.reproduce.sweep.runs_file import Config, Runs

NAME = "extensions"
ACTIVATIONS = ("tanh",)
# Normalised features do not shrink with the initial weights, so that these variants start as near
# to the identity as the others only with a smaller std.
NORMALISED, NORMALISED_STD = ("layer-norm", "batch-norm"), 1e-3


def methods() -> dict[str, dict[str, Any]]:
    """Each extension as a tuning method, by a name for people; the first is the paper's adapter."""
    found: dict[str, dict[str, Any]] = {"serial": ADAPTERS}
    for name in NORMALISED:
        found[name] = {**ADAPTERS, "variant": name, "std": NORMALISED_STD}
    for name in VARIANTS:
        if name not in found:
            found[name] = {**ADAPTERS, "variant": name}
    for activation in ACTIVATIONS:
        found[activation] = {**ADAPTERS, "activation": activation}
    return found


def tasks(plan: Plan) -> list[str]:
    """The budget's tasks for this comparison that the plan has."""
    return [task for task in plan.budget.variant_tasks if task in plan.tasks]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in tasks(plan):
        configs += plan.grid(task, ADAPTERS)
        if like := chosen(plan, runs, task, ADAPTERS):
            for method in methods().values():
                config = {**like, "method": method}
                configs += plan.with_seeds(config, plan.budget.curve_seeds)
    return configs


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """Each extension's scores as Markdown, and a picture."""
    from adapters.reproduce.report.pictures import (
        STYLES,
        image,
        legend,
        line,
        new_figure,
        save,
        tidy,
    )

    heading = "Section 3.6: the extensions"
    text = (
        "What the paper tried without gain, each as `minibert train --variant NAME` or "
        "`--activation NAME`, at size 64 and the rate and epochs that were chosen for the adapter "
        f"itself (`serial`, GELU). The normalised ones start with std {NORMALISED_STD:g}, as near "
        f"to the identity as the others. Seeds of an extension: {plan.budget.curve_seeds}."
    )
    names = methods()
    found: dict[str, dict[str, Scores]] = {}
    counts: dict[str, str] = {}
    for name, method in names.items():
        found[name] = {}
        for task in tasks(plan):
            like = chosen(plan, runs, task, ADAPTERS)
            configs = plan.with_seeds({**like, "method": method}) if like else []
            made = configs[: plan.budget.curve_seeds] if name != "serial" else configs
            found[name][task] = scores_of(runs, made)
            if made and (parameters := parameters_of(runs, made)):
                counts[name] = f"{parameters['adapters']:,}"
    if not any(scores.values for by_task in found.values() for scores in by_task.values()):
        return section(heading, text, NO_RUNS)
    rows = [
        (name, counts.get(name, "-"), *(str(scores) for scores in by_task.values()))
        for name, by_task in found.items()
    ]
    figure = new_figure(7.5, 3.4)
    axes = figure.subplots()
    for number, (task, style) in enumerate(zip(tasks(plan), STYLES, strict=False)):
        known = {
            i: scores
            for i, scores in enumerate(by_task[task] for by_task in found.values())
            if scores.mean is not None
        }
        shift = 0.16 * (number - (len(tasks(plan)) - 1) / 2)
        means = [100 * (scores.mean or 0.0) for scores in known.values()]
        errors = [100 * (scores.error or 0.0) for scores in known.values()]
        line(
            axes,
            [i + shift for i in known],
            means,
            style,
            yerr=errors,
            ls="none",
            label=title(task),
        )
        if 0 in known:
            axes.axhline(100 * (known[0].mean or 0.0), color=style.color, lw=0.8, ls=":")
    axes.set_xticks(range(len(found)), list(found), rotation=25, ha="right")
    axes.set_ylabel("dev score, hundredths")
    tidy(axes, "y")
    legend(figure)
    save(figure, folder, NAME)
    picture = image(NAME, "Dev score of each extension; dotted, the adapter itself")
    scored = (f"{title(task)} ({unit(task)})" for task in tasks(plan))
    headers = ("extension", "adapters' parameters", *scored)
    return section(heading, text, setting(plan), markdown_table(rows, headers), picture)
