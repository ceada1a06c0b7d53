"""Table 1: GLUE by adapters of size 64, by adapters of the best size for each task, by full
fine-tuning, and by the head alone on frozen features; and what each costs in parameters.

Rate and epochs are chosen on the validation part with seed 0, for each task and method. Sizes that
the budget does not sweep take the rate and epochs of size 64. All results are of GLUE's dev set.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapters.reproduce.report.pages import (
    NO_RUNS,
    any_finished,
    markdown_table,
    section,
    setting,
    title,
    unit,
)
from adapters.reproduce.report.pictures import (
    GUESS,
    STYLES,
    image,
    legend,
    line,
    new_figure,
    save,
    tidy,
)
from adapters.reproduce.report.statistics import (
    MISSING,
    Scores,
    average,
    chosen_scores,
    dev_metric,
    hundredths,
    parameters_of,
    scores_of,
)
from adapters.reproduce.studies.plans import ADAPTERS, Plan, best, main_score, sized, validation
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.data.tasks import GLUE

NAME = "table1"
FULL, HEAD = {"name": "full"}, {"name": "head"}
METHODS: tuple[dict[str, Any], ...] = (ADAPTERS, FULL, HEAD)


def chosen(plan: Plan, runs: Runs, task: str, method: dict[str, Any]) -> Config | None:
    """The best configuration of a method's grid; None while it is not known."""
    return best(runs, plan.grid(task, method))


def size_grid(plan: Plan, runs: Runs, task: str, size: int) -> list[Config]:
    """What is tried of a size: the whole grid where the budget sweeps it, else the one rate and
    number of epochs that are best for size 64. Empty while that is not known."""
    if size in plan.budget.swept:
        return plan.grid(task, sized(size))
    like = chosen(plan, runs, task, ADAPTERS)
    return [] if like is None else [{**like, "method": sized(size)}]


def of_size(plan: Plan, runs: Runs, task: str, size: int) -> Config | None:
    """The best configuration of a size; None while it is not known."""
    tried = size_grid(plan, runs, task, size)
    return tried[0] if len(tried) == 1 else best(runs, tried)


def size_grids(plan: Plan, runs: Runs, task: str) -> list[Config]:
    """What is tried of all sizes of which the best is taken."""
    grids = [size_grid(plan, runs, task, size) for size in plan.budget.best_of]
    return [config for grid in grids for config in grid] if all(grids) else []


def best_size(plan: Plan, runs: Runs, task: str) -> Config | None:
    """The best of the sizes on validation; None while it is not known."""
    return best(runs, size_grids(plan, runs, task))


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations that are known to be needed by now."""
    configs: list[Config] = []
    for task in plan.tasks:
        for method in METHODS:
            configs += plan.grid(task, method)
            if like := chosen(plan, runs, task, method):
                configs += plan.with_seeds(like)
        configs += size_grids(plan, runs, task)
        if like := best_size(plan, runs, task):
            configs += plan.with_seeds(like)
    return configs


class Row(NamedTuple):
    """A row of the table: what it is called, what was tried for a task, and what was chosen."""

    name: str
    tried: Callable[[Plan, Runs, str], list[Config]]
    choose: Callable[[Plan, Runs, str], Config | None]


def _row(name: str, method: dict[str, Any]) -> Row:
    return Row(
        name,
        lambda plan, runs, task: plan.grid(task, method),
        lambda plan, runs, task: chosen(plan, runs, task, method),
    )


BEST = Row(
    "adapters, best size for each task",
    size_grids,
    best_size,
)
ROWS = (
    _row("full fine-tuning", FULL),
    BEST,
    _row("adapters, m = 64", ADAPTERS),
    _row("head only (frozen features)", HEAD),
)

# The paper's table 1: total and trained parameters, scores. BERT-large, GLUE's test server.
PAPER: dict[str, tuple[str, str, dict[str, float]]] = {
    "full fine-tuning": ("9.0x", "100.0 %", {
        "cola": 60.5, "sst-2": 94.9, "mrpc": 89.3, "sts-b": 87.6, "qqp": 72.1, "qnli": 91.1,
        "rte": 70.1,
    }),
    "adapters, best of 8 to 256": ("1.3x", "3.6 %", {
        "cola": 59.5, "sst-2": 94.0, "mrpc": 89.5, "sts-b": 86.9, "qqp": 71.8, "qnli": 90.7,
        "rte": 71.5,
    }),
    "adapters, m = 64": ("1.2x", "2.1 %", {
        "cola": 56.9, "sst-2": 94.2, "mrpc": 89.6, "sts-b": 87.3, "qqp": 71.8, "qnli": 91.4,
        "rte": 68.8,
    }),
}  # fmt: skip


def paper_share(counts: dict[str, int]) -> float:
    """A task's trained parameters as the paper counts them: adapters over the encoder's layers,
    1 when the layers themselves are trained. `counts`: see `runs.parameter_counts`."""
    return 1.0 if counts["task"] == counts["all"] else counts["adapters"] / counts["layers"]


def paper_total(shares: Sequence[float]) -> float:
    """The parameters of all tasks together over those of one network: tasks by adapters share the
    base, a fully fine-tuned task has a network of its own."""
    return sum(1.0 for share in shares if share == 1) or 1 + sum(shares)


def row_scores(plan: Plan, runs: Runs, row: Row) -> dict[str, Scores]:
    """A row's dev scores for each task, over the seeds."""
    return {
        task: chosen_scores(plan, runs, row.choose(plan, runs, task), row.tried(plan, runs, task))
        for task in plan.tasks
    }


def constant(plan: Plan, runs: Runs, task: str) -> float | None:
    """The score of always guessing the majority class; any run of the task knows it."""
    for row in ROWS:
        for config in row.tried(plan, runs, task):
            result = runs.get(run_key(config), {"result": {}})["result"]
            if "constant" in result:
                return main_score(task, result["constant"])
    return None


def _parameter_cells(plan: Plan, runs: Runs, row: Row) -> list[str]:
    found = []
    for task in plan.tasks:
        config = row.choose(plan, runs, task)
        counts = parameters_of(runs, plan.with_seeds(config)) if config else None
        if counts is None:
            return [MISSING] * 3
        found.append(counts)
    shares = [paper_share(counts) for counts in found]
    own = np.mean([counts["task"] / counts["all"] for counts in found])
    return [f"{paper_total(shares):.1f}x", f"{100 * np.mean(shares):.1f} %", f"{100 * own:.1f} %"]


def _table(plan: Plan, runs: Runs) -> str:
    metrics = [f"{title(task)} ({unit(task)})" for task in plan.tasks]
    headers = ["", "total parameters", "trained per task, as the paper counts",
               "with LayerNorms, of all", *metrics, "average"]  # fmt: skip
    lines = []
    for row in ROWS:
        scores = row_scores(plan, runs, row)
        cells = [str(scores[task]) for task in plan.tasks]
        mean = hundredths(*average(list(scores.values())))
        lines.append([row.name, *_parameter_cells(plan, runs, row), *cells, mean])
    guesses = [constant(plan, runs, task) for task in plan.tasks]
    mean = hundredths(average([Scores(() if g is None else (g,)) for g in guesses])[0])
    lines.append(["constant guess", *[MISSING] * 3, *map(hundredths, guesses), mean])
    for name, (total, share, published) in PAPER.items():
        there = [published.get(task) for task in plan.tasks]
        cells = [MISSING if value is None else f"{value:.1f}" for value in there]
        numbers = [value for value in there if value is not None]
        mean = f"{np.mean(numbers):.1f}" if len(numbers) == len(there) else MISSING
        name = f"*paper, BERT-large, test server:* {name}"
        lines.append([name, f"{total} (9 tasks)", share, MISSING, *cells, mean])
    return markdown_table(lines, headers)


def _choices(plan: Plan, runs: Runs) -> str:
    """What was chosen, with the other metrics of the dev set where a task has some."""
    headers = ["task", "method", "learning rate", "epochs", "m", "validation (seed 0)",
               "other dev metric"]  # fmt: skip
    lines = []
    for task in plan.tasks:
        for row in ROWS:
            config = row.choose(plan, runs, task)
            if config is None:
                lines.append([title(task), row.name, *[MISSING] * 5])
                continue
            first = GLUE[task].metrics[0]
            others = [name for name in GLUE[task].metrics if name.lower() != unit(task).lower()]
            further = [
                f"{name} {scores_of(runs, plan.with_seeds(config), dev_metric(name))}"
                for name in others
            ]
            on_validation = hundredths(validation(runs[run_key(config)]))
            lines.append([
                title(task), row.name, f"{config['rate']:g}", str(config["epochs"]),
                str(config["method"].get("size", MISSING)), f"{first} {on_validation}",
                ", ".join(further) or MISSING,
            ])  # fmt: skip
    return markdown_table(lines, headers)


def _draw(plan: Plan, runs: Runs, folder: Path) -> bool:
    """A panel for each task, as their scores lie far apart, and for the average."""
    found = {row.name: row_scores(plan, runs, row) for row in ROWS}
    if not any(scores.values for row in found.values() for scores in row.values()):
        return False
    figure = new_figure(9, 3.4)
    panels = figure.subplots(1, len(plan.tasks) + 1, squeeze=False)[0]
    for axes, task in zip(panels, [*plan.tasks, ""], strict=True):
        for x, (row, style) in enumerate(zip(ROWS, STYLES, strict=False)):
            scores = found[row.name]
            one = scores[task] if task else None
            mean, error = (one.mean, one.error) if one else average(list(scores.values()))
            if mean is not None:
                bar = None if error is None else [100 * error]
                line(axes, [x], [100 * mean], style, yerr=bar, ls="none", ms=7, label=row.name)
        guess = constant(plan, runs, task) if task else None
        if guess is not None:
            axes.axhline(100 * guess, **GUESS, label="constant guess")
        axes.set_title(f"{title(task)} ({unit(task)})" if task else "average")
        axes.set_xticks([])
        axes.set_xlim(-0.7, len(ROWS) - 0.3)
        axes.margins(y=0.12)
        tidy(axes, "y")
    panels[0].set_ylabel("dev score, hundredths")
    legend(figure, 3)
    save(figure, folder, NAME)
    return True


def _as_64(plan: Plan) -> str:
    """A clause on the sizes without a grid of their own."""
    like = [f"m = {size}" for size in plan.budget.best_of if size not in plan.budget.swept]
    return f" ({' and '.join(like)} at the rate and epochs of m = 64)" if like else ""


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown; its picture goes to folder/figures. Shows what there is by now."""
    heading = "Table 1: GLUE with adapters and with full fine-tuning"
    what = (
        "Each task is trained alone from the same base. Rate and epochs are chosen for each task "
        "and method on a validation part of the training set, with seed 0, and so is the best of "
        f"the sizes {', '.join(map(str, plan.budget.best_of))}{_as_64(plan)}. Scores are of GLUE's "
        "dev sets, which nothing is chosen on."
    )
    if not any_finished(runs, wanted(plan, runs)):
        return section(heading, what, setting(plan), NO_RUNS)
    sizes = []
    for task in plan.tasks:
        config = best_size(plan, runs, task)
        sizes.append(f"{title(task)} {config['method']['size'] if config else MISSING}")
    drawn = _draw(plan, runs, folder)
    alt = "Dev scores of each task by each method, with standard errors over the seeds"
    return section(
        heading,
        what,
        setting(plan),
        _table(plan, runs),
        f"Best sizes: {', '.join(sizes)}. The paper counts the adapters' parameters over those of "
        "the encoder's layers; beside it everything that a task trains but its head, over all "
        "parameters. The paper's average here is over the same tasks.",
        _choices(plan, runs),
        image(NAME, alt) if drawn else "",
    )
