"""Table 1: GLUE with adapters of size 64, with adapters of the best size for each task, with full
fine-tuning, and with only a head on frozen features; and what each costs in parameters.

Rate and epochs are chosen for each task and method on the validation part, with seed 0. Sizes that
the budget does not sweep use the rate and epochs of size 64. All results are on GLUE's dev sets.

The paper's head reads the pooled [CLS], and the claims are judged by it. Beside it are rows whose
head reads the mean of the last states, at the rate and epochs chosen for the other.
"""

from pathlib import Path

from adapters.reproduce.plans.choices import best_size, chosen, size_grids, validation_score
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.figures import (
    GUESS_LINE,
    image,
    legend,
    method_panel,
    new_figure,
    save,
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
from adapters.reproduce.report.published import TABLE_1, Published
from adapters.reproduce.report.shares import parameter_cells
from adapters.reproduce.report.statistics import (
    MISSING,
    Scores,
    average,
    dev_metric,
    hundredths,
    reported_metric,
    scores_of,
)
from adapters.reproduce.studies.table1_differences import differences_table
from adapters.reproduce.studies.table1_rows import (
    MEAN_ROWS,
    METHODS,
    ROWS,
    Row,
    by_mean,
    constant,
    row_scores,
)
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.data.tasks import GLUE

NAME = "table1"
HEADING = "Table 1: GLUE with adapters and with full fine-tuning"


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for task in plan.tasks:
        for method in METHODS:
            configs += plan.grid(task, method)
            if like := chosen(plan, runs, task, method):
                configs += plan.with_seeds(like)
            if like := by_mean(plan, runs, task, method):
                configs += plan.with_seeds(like, plan.curve_seeds)
        configs += size_grids(plan, runs, task)
        if like := best_size(plan, runs, task):
            configs += plan.with_seeds(like)
    return configs


def _our_cells(plan: Plan, runs: Runs, row: Row) -> list[str]:
    scores = row_scores(plan, runs, row)
    cells = [str(scores[task]) for task in plan.tasks]
    mean = hundredths(*average(list(scores.values())))
    chosen_ones = [row.choose(plan, runs, task) for task in plan.tasks]
    return [row.name, *parameter_cells(plan, runs, chosen_ones), *cells, mean]


def _constant_cells(plan: Plan, runs: Runs) -> list[str]:
    guesses = [constant(plan, runs, task) for task in plan.tasks]
    mean = hundredths(_mean_guess(plan, runs))
    return ["constant guess", *[MISSING] * 3, *map(hundredths, guesses), mean]


def _mean_guess(plan: Plan, runs: Runs) -> float | None:
    guesses = [constant(plan, runs, task) for task in plan.tasks]
    return average([Scores(() if guess is None else (guess,)) for guess in guesses])[0]


def _paper_cells(plan: Plan, row: Published) -> list[str]:
    cells = [f"{row.scores[task]:.1f}" if task in row.scores else MISSING for task in plan.tasks]
    mean = row.mean(plan.tasks)
    cells.append(MISSING if mean is None else f"{mean:.1f}")
    name = f"*paper, BERT-large, test server:* {row.name}"
    return [name, f"{row.total} (9 tasks)", row.trained, MISSING, *cells]


def _table(plan: Plan, runs: Runs) -> str:
    headers = [
        "",
        "total parameters",
        "trained per task, as the paper counts",
        "all but the head, of all parameters",
        *(with_metric(task) for task in plan.tasks),
        "average",
    ]
    shown = (*ROWS, *MEAN_ROWS) if plan.budget.both_poolings else ROWS
    lines = [_our_cells(plan, runs, row) for row in shown]
    lines.append(_constant_cells(plan, runs))
    lines += [_paper_cells(plan, row) for row in TABLE_1]
    return markdown_table(lines, headers)


def _choice_cells(plan: Plan, runs: Runs, task: str, config: Config) -> list[str]:
    """Rate, epochs, size and validation score of a chosen configuration, and its dev scores in the
    metrics that the main table leaves out."""
    first, others = GLUE[task].metrics[0], []
    for name in GLUE[task].metrics:
        if name != reported_metric(task):
            others.append(f"{name} {scores_of(runs, plan.with_seeds(config), dev_metric(name))}")
    return [
        f"{config['rate']:g}",
        str(config["epochs"]),
        str(config["method"].get("size", MISSING)),
        f"{first} {hundredths(validation_score(runs[run_key(config)]['result']))}",
        ", ".join(others) or MISSING,
    ]


def _choices(plan: Plan, runs: Runs) -> str:
    """A table of what was chosen for each task and method."""
    choice = ["learning rate", "epochs", "m", "validation (seed 0)", "other dev metric"]
    lines = []
    for task in plan.tasks:
        for row in ROWS:
            config = row.choose(plan, runs, task)
            cells = _choice_cells(plan, runs, task, config) if config else [MISSING] * len(choice)
            lines.append([title(task), row.name, *cells])
    return markdown_table(lines, ["task", "method", *choice])


def _draw(plan: Plan, runs: Runs, folder: Path) -> bool:
    """One panel for each task, since their scores are far apart, and one for the average."""
    found = {row.name: row_scores(plan, runs, row) for row in ROWS}
    if not any(scores.values for row in found.values() for scores in row.values()):
        return False
    figure = new_figure(9, 3.4)
    panels = figure.subplots(1, len(plan.tasks) + 1, squeeze=False)[0]
    for axes, task in zip(panels, [*plan.tasks, ""], strict=True):
        method_panel(axes, found, task, with_metric(task) if task else "")
        guess = constant(plan, runs, task) if task else _mean_guess(plan, runs)
        if guess is not None:
            axes.axhline(100 * guess, **GUESS_LINE, label="constant guess")
    panels[0].set_ylabel("dev score, hundredths (scales differ)")
    legend(figure, 3)
    save(figure, folder, NAME)
    return True


def _introduction(plan: Plan) -> str:
    sizes = ", ".join(map(str, plan.budget.best_of))
    like = [f"m = {size}" for size in plan.budget.best_of if size not in plan.budget.swept]
    as_64 = f" ({' and '.join(like)} at the rate and epochs of m = 64)" if like else ""
    return (
        "Each task is trained alone from the same base. Rate and epochs are chosen for each task "
        "and method on a validation part of the training set, with seed 0, and so is the best of "
        f"the sizes {sizes}{as_64}. Scores are on GLUE's dev sets, on which nothing is chosen."
    )


def _about_mean(plan: Plan) -> str:
    if not plan.budget.both_poolings:
        return ""
    return (
        "The head reads the pooled [CLS], as the paper's does; in the rows marked `mean` it reads "
        "the mean of the last states, at the same rate and epochs "
        f"(seeds: {plan.curve_seeds})."
    )


def _best_sizes(plan: Plan, runs: Runs) -> str:
    sizes = []
    for task in plan.tasks:
        config = best_size(plan, runs, task)
        sizes.append(f"{title(task)} {config['method']['size'] if config else MISSING}")
    return (
        f"Best sizes: {', '.join(sizes)}. The paper counts the adapters' parameters relative to "
        "those of the encoder's layers; the next column counts everything that a task trains "
        "except its head, relative to all parameters. The paper's average here is over the same "
        "tasks."
    )


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown, with whatever has finished; its figure is saved in folder/figures."""
    beginning = (HEADING, _introduction(plan), _about_mean(plan), glue_conditions(plan))
    if not any_finished(runs, wanted(plan, runs)):
        return section(*beginning, NO_RUNS)
    drawn = _draw(plan, runs, folder)
    alt = "Dev scores of each task by each method, with standard errors over the seeds"
    return section(
        *beginning,
        _table(plan, runs),
        _best_sizes(plan, runs),
        differences_table(plan, runs),
        _choices(plan, runs),
        image(NAME, alt) if drawn else "",
    )
