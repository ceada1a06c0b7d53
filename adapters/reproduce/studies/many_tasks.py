"""Tasks that arrive one after the other (section 1): adapters keep every earlier task to the bit,
while fine-tuning one network for task after task forgets."""

from pathlib import Path
from typing import Any

from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
from adapters.reproduce.report.figures import STYLES, image, legend, line, new_figure, save, tidy
from adapters.reproduce.report.pages import (
    NO_RUNS,
    glue_conditions,
    markdown_table,
    scored,
    section,
    title,
)
from adapters.reproduce.report.statistics import hundredths, main_score
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

NAME = "many-tasks"


def sequence(plan: Plan, runs: Runs, method: dict[str, Any], seed: int = 0) -> Config | None:
    """All tasks in turn by one method, each at its own best rate and epochs; None until these are
    known."""
    steps = [chosen(plan, runs, task, method) for task in plan.tasks]
    if None in steps:
        return None
    return {
        "kind": "sequence",
        "shared": method["name"] == "full",
        "steps": [{**step, "seed": seed} for step in steps if step],
    }


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for method in (ADAPTERS, FULL):
        for task in plan.tasks:
            configs += plan.grid(task, method)
        if config := sequence(plan, runs, method):
            configs.append(config)
    return configs


def finished(plan: Plan, runs: Runs, method: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a method's sequence; None until it has run."""
    config = sequence(plan, runs, method)
    run = runs.get(run_key(config)) if config else None
    return run["result"] if run and "scores" in run["result"] else None


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """Every task's score after each task was learned, as Markdown, and the forgetting curve."""
    heading = "Section 1: many tasks, one after the other"
    text = (
        "Each task is learned at its own best rate and epochs. With adapters the base stays frozen "
        "and every task keeps its own few parameters; with full fine-tuning one network goes from "
        "task to task, and every task keeps its head. After each task, all tasks so far are scored "
        "on their dev sets, in one process over one base."
    )
    made = {}
    for name, method in (("adapters", ADAPTERS), ("full fine-tuning", FULL)):
        if result := finished(plan, runs, method):
            made[name] = result
    if not made:
        return section(heading, text, NO_RUNS)
    _draw(plan, made, folder)
    return section(
        heading,
        text,
        glue_conditions(plan, 1),
        _table(plan, made),
        _sizes(plan, made),
        image(NAME, "Each task's score after every further task, by both methods"),
    )


def _table(plan: Plan, made: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, result in made.items():
        for after, learned in enumerate(plan.tasks):
            scores = result["scores"][after]
            cells = [
                hundredths(main_score(task, scores[j])) if j <= after else ""
                for j, task in enumerate(plan.tasks)
            ]
            changed = sum(result["changed"][after])
            rows.append((f"{name}, after {title(learned)}", *cells, f"{changed:,}"))
    changed_since = "texts whose logits have changed since their task was learned"
    return markdown_table(
        rows, ("learned by", *(scored(task) for task in plan.tasks), changed_since)
    )


def _sizes(plan: Plan, made: dict[str, dict[str, Any]]) -> str:
    totals = ", ".join(f"{name} {result['parameters']:,}" for name, result in made.items())
    number = len(plan.tasks)
    return (
        f"All parameters after {number} tasks: {totals}. {number} networks, each fine-tuned in "
        f"full and kept, are {number} times the base."
    )


def _draw(plan: Plan, made: dict[str, dict[str, Any]], folder: Path) -> None:
    figure = new_figure(8.0, 3.4)
    panels = figure.subplots(1, len(made), sharey=True, squeeze=False)[0]
    for axes, (name, result) in zip(panels, made.items(), strict=True):
        for j, (task, style) in enumerate(zip(plan.tasks, STYLES, strict=False)):
            after = range(j, len(plan.tasks))
            scores = [100 * main_score(task, result["scores"][i][j]) for i in after]
            line(axes, list(after), scores, style, label=title(task))
        axes.set_title(name)
        axes.set_xticks(range(len(plan.tasks)), [title(task) for task in plan.tasks])
        axes.set_xlabel("task just learned")
        tidy(axes)
    panels[0].set_ylabel("dev score, hundredths")
    legend(figure)
    save(figure, folder, NAME)
