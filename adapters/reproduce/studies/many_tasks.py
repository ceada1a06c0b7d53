"""Tasks that arrive one after the other (section 1): adapters keep every earlier task to the bit,
while fine-tuning one network for task after task forgets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
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
from adapters.reproduce.report.statistics import Scores, main_score
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
        for config in sequences(plan, runs, method):
            # adapters are those of table 1: only once trained, so that no two workers train one
            steps = [] if config["shared"] else config["steps"]
            configs += steps
            if all(run_key(step) in runs for step in steps):
                configs.append(config)
    return configs


def sequences(plan: Plan, runs: Runs, method: dict[str, Any]) -> list[Config]:
    """A method's sequence with each seed of the curves; none until its rates are known."""
    seeds = range(min(plan.budget.curve_seeds, plan.seeds))
    found = [sequence(plan, runs, method, seed) for seed in seeds]
    return [config for config in found if config]


def finished(plan: Plan, runs: Runs, method: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a method's sequence, one for each seed that has run without diverging."""
    keys = [run_key(config) for config in sequences(plan, runs, method)]
    results = [runs[key]["result"] for key in keys if key in runs]
    return [result for result in results if "scores" in result]


def task_scores(results: Sequence[dict[str, Any]], task: str, after: int, number: int) -> Scores:
    """A task's score after task `after` was learned, over the seeds. `number`: which it is."""
    return Scores(tuple(main_score(task, one["scores"][after][number]) for one in results))


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
        if results := finished(plan, runs, method):
            made[name] = results
    if not made:
        return section(heading, text, NO_RUNS)
    _draw(plan, made, folder)
    return section(
        heading,
        text,
        glue_conditions(plan, plan.budget.curve_seeds),
        _table(plan, made),
        _sizes(plan, made),
        image(NAME, "Each task's score after every further task, by both methods"),
    )


Made = dict[str, list[dict[str, Any]]]  # each method's results, one for each seed


def _table(plan: Plan, made: Made) -> str:
    rows = []
    for name, results in made.items():
        for after, learned in enumerate(plan.tasks):
            cells = [
                str(task_scores(results, task, after, j)) if j <= after else ""
                for j, task in enumerate(plan.tasks)
            ]
            changed = sum(sum(result["changed"][after]) for result in results)
            rows.append((f"{name}, after {title(learned)}", *cells, f"{changed:,}"))
    changed_since = "texts whose logits have changed since their task was learned, in all seeds"
    return markdown_table(
        rows, ("learned by", *(scored(task) for task in plan.tasks), changed_since)
    )


def _sizes(plan: Plan, made: Made) -> str:
    totals = ", ".join(f"{name} {results[0]['parameters']:,}" for name, results in made.items())
    number = len(plan.tasks)
    return (
        f"All parameters after {number} tasks: {totals}. {number} networks, each fine-tuned in "
        f"full and kept, are {number} times the base."
    )


def _draw(plan: Plan, made: Made, folder: Path) -> None:
    figure = new_figure(8.0, 3.4)
    panels = figure.subplots(1, len(made), sharey=True, squeeze=False)[0]
    for axes, (name, results) in zip(panels, made.items(), strict=True):
        for j, (task, style) in enumerate(zip(plan.tasks, STYLES, strict=False)):
            scores = [(i, task_scores(results, task, i, j)) for i in range(j, len(plan.tasks))]
            score_line(axes, scores, style, label=title(task))
        axes.set_title(name)
        axes.set_xticks(range(len(plan.tasks)), [title(task) for task in plan.tasks])
        axes.set_xlabel("task just learned")
        tidy(axes)
    panels[0].set_ylabel("dev score, hundredths")
    legend(figure)
    save(figure, folder, NAME)
