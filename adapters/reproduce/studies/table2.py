"""Table 2: text classification beyond GLUE, on any folder of tasks (`sweep.task_folder`): adapters
of the best size, full fine-tuning, variable fine-tuning (of the best number of top layers), and no
BERT at all; what they cost in parameters for all tasks together.

Everything is chosen for each task on its dev set, with seed 0; all results are test accuracies.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.reproduce.plans.choices import top_layers, validation_score
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.plans.table2_plan import Table2Plan, table2_plan
from adapters.reproduce.report.figures import (
    image,
    legend,
    method_panel,
    new_figure,
    save,
)
from adapters.reproduce.report.pages import (
    NO_RUNS,
    any_finished,
    cell,
    conditions,
    markdown_table,
    section,
)
from adapters.reproduce.report.published import TABLE_2
from adapters.reproduce.report.shares import parameter_cells
from adapters.reproduce.report.statistics import MISSING, Scores, average, hundredths
from adapters.reproduce.studies.table2_examples import examples_table
from adapters.reproduce.studies.table2_rows import (
    NO_BERT,
    ROWS,
    Row,
    constant_guesses,
    no_bert_scores,
    row_scores,
)
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.errors import several, visible

NAME = "table2"
PANELS = 5  # side by side in the picture
LONGEST = 22  # characters of a name above one of them


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    own = table2_plan(plan)
    configs: list[Config] = []
    for task in own.tasks:
        configs.append(own.without_bert(task))
        for row in ROWS:
            configs += row.tried(own, runs, task)
            if like := row.choose(own, runs, task):
                configs += own.with_seeds(like)
    return configs


def with_seeds_of(plan: Plan, runs: Runs) -> Plan:
    """The plan with as many seeds as its runs have, if these are more: a report of them then leaves
    none out."""
    mine = {run_key({**config, "seed": 0}) for config in wanted(plan, runs)}
    configs = [run["config"] for run in runs.values() if "seed" in run["config"]]
    found = [c["seed"] + 1 for c in configs if run_key({**c, "seed": 0}) in mine]
    own = table2_plan(plan)
    seeds = max([own.seeds, *found])
    if seeds == own.seeds or own.folder is None:
        return plan
    return replace(plan, seeds=seeds, folder=replace(own.folder, seeds=seeds))


# ---------------------------------------------------------------------------------- the tables


def _line(name: str, parameters: list[str], scores: dict[str, Scores]) -> list[str]:
    mean = hundredths(*average(list(scores.values())))
    return [name, *parameters, *(str(one) for one in scores.values()), mean]


def published(plan: Table2Plan, task: str, row: Row) -> float | None:
    """The paper's accuracy on a task, in hundredths, if task.toml has it."""
    return plan.task_named(task).paper.get(row.published)


def _paper_line(plan: Table2Plan, row: Row) -> list[str]:
    known = [published(plan, task, row) for task in plan.tasks]
    cells = [MISSING if number is None else f"{number:.1f}" for number in known]
    mean = MISSING if None in known else f"{np.mean([n for n in known if n is not None]):.1f}"
    total, each = TABLE_2[row.published]
    return [
        f"*paper, BERT-base:* {row.published}",
        f"{total} (17 tasks)",
        each,
        MISSING,
        *cells,
        mean,
    ]


def _table(plan: Table2Plan, runs: Runs) -> str:
    headers = [
        "",
        f"parameters of {several(len(plan.tasks), 'task')}",
        "trained per task, as the paper counts",
        "with LayerNorms, of all",
        *map(cell, plan.tasks),
        "average",
    ]
    lines = [_line(NO_BERT, [MISSING] * 3, no_bert_scores(plan, runs))]
    for row in ROWS:
        configs = [row.choose(plan, runs, task) for task in plan.tasks]
        cells = parameter_cells(plan, runs, configs, digits=2)
        lines.append(_line(row.name, cells, row_scores(plan, runs, row)))
    lines.append(_line("constant guess", [MISSING] * 3, constant_guesses(plan, runs)))
    if any(plan.task_named(task).paper for task in plan.tasks):
        lines += [_paper_line(plan, row) for row in ROWS]
    return markdown_table(lines, headers)


def _choices(plan: Table2Plan, runs: Runs) -> str:
    """What was chosen for each task and method."""
    lines = []
    for task in plan.tasks:
        lines.append([cell(task), NO_BERT, *_no_bert_choice(plan, runs, task)])
        for row in ROWS:
            config = row.choose(plan, runs, task)
            cells = _choice(plan, runs, config) if config else [MISSING] * 4
            lines.append([cell(task), row.name, *cells])
    headers = ["task", "method", "what", "rate, or C", "epochs", "dev accuracy (seed 0)"]
    return markdown_table(lines, headers)


def _choice(plan: Plan, runs: Runs, config: Config) -> list[str]:
    method = config["method"]
    top = plan.layers - method.get("first_layer", 0)
    what = f"m = {method['size']}" if "size" in method else f"{top} of {plan.layers} layers"
    dev = validation_score(runs[run_key(config)])
    return [what, f"{config['rate']:g}", str(config["epochs"]), hundredths(dev)]


def _no_bert_choice(plan: Table2Plan, runs: Runs, task: str) -> list[str]:
    run = runs.get(run_key(plan.without_bert(task)))
    if run is None:
        return [MISSING] * 4
    result = run["result"]
    features, cost = result.get("features", MISSING), result.get("cost")
    shown = MISSING if cost is None else f"C = {cost:g}"
    return [features, shown, MISSING, hundredths(validation_score(run))]


# --------------------------------------------------------------------------------- the picture


def _draw(plan: Table2Plan, runs: Runs, folder: Path) -> bool:
    """One panel for each task, since their scores are far apart, and one for the average."""
    found = {NO_BERT: no_bert_scores(plan, runs)}
    found |= {row.name: row_scores(plan, runs, row) for row in ROWS}
    if not any(scores.values for row in found.values() for scores in row.values()):
        return False
    names = [*plan.tasks, ""]
    columns = min(PANELS, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(9, 0.9 + 2.4 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, task in zip(panels, names, strict=False):
        method_panel(axes, found, task, _short(visible(task)))
        _draw_published(axes, plan, task)
    for axes in panels[len(names) :]:
        axes.remove()
    for axes in panels[: len(names) : columns]:
        axes.set_ylabel("test accuracy, hundredths", fontsize=9)
    legend(figure, 3)
    save(figure, folder, NAME)
    return True


def _short(name: str) -> str:
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return name.replace("$", r"\$")  # otherwise matplotlib takes it for mathematics


def _draw_published(axes: Any, plan: Table2Plan, task: str) -> None:
    """What the paper has, beside ours. (The constant guess, far below, is in the table alone: the
    methods are close together.)"""
    for x, row in enumerate(ROWS, start=1):
        known = [published(plan, name, row) for name in ([task] if task else plan.tasks)]
        if None not in known:
            mean = np.mean([number for number in known if number is not None])
            axes.plot(
                [x + 0.3], [mean], "o", ms=5, mfc="none", mec="0.45", label="the paper's, BERT-base"
            )


# ---------------------------------------------------------------------------------- the report


def _introduction(plan: Table2Plan) -> str:
    sizes = ", ".join(map(str, plan.budget.best_of))
    tops = ", ".join(map(str, [*top_layers(plan), plan.layers]))
    return (
        "Each task is trained alone from the same base, as the paper trained BERT-base on 17 "
        f"further tasks. Rate and epochs, the adapters' size out of {sizes} and the number of "
        f"fine-tuned top layers out of {tops} are chosen for each task on its dev set, with seed "
        "0; scores are accuracies on its test set, on which nothing is chosen. Without BERT: "
        "logistic regression on TF-IDF of 1- and 2-grams of words, alone or with 2- to 5-grams of "
        "characters, chosen on the dev set, too; it has no seed."
    )


COUNTING = (
    "The paper counts a task's adapters, or its fine-tuned layers, relative to the encoder's "
    "layers; the next column counts everything that a task trains except its head, relative to "
    "all parameters. All tasks together have each task's share and, once, what of the base any of "
    "them uses. With adapters that is all of it: 17 tasks cost 1 + 17 x 1.14 % = 1.19x. Fine-tuned "
    "layers take the place of the base's: a task needs the base only below its lowest fine-tuned "
    "layer, so all together need what the task with the fewest fine-tuned layers needs, which is "
    "nothing if every task's best n is all layers. (The paper's 52.9 % must be 108 of 17 x 12 "
    "layers, which are 9.0x; its 9.9x fits a task whose single layer needs the other 11 of the "
    "base.) On its 17 tasks the paper averages 72.7 without BERT (the best network that AutoML "
    "found), 73.7 with full fine-tuning, 74.0 with variable fine-tuning and 73.3 with adapters."
)


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown, with whatever has finished; its figure is saved in folder/figures."""
    own = table2_plan(plan)
    heading = "Table 2: classification beyond GLUE"
    beginning = (heading, _introduction(own), conditions(own, data=own.budget.what))
    if not any_finished(runs, wanted(plan, runs)):
        return section(*beginning, examples_table(own), NO_RUNS)
    drawn = _draw(own, runs, folder)
    alt = "Test accuracy of each task by each method, with standard errors over the seeds"
    return section(
        *beginning,
        _table(own, runs),
        COUNTING,
        _choices(own, runs),
        examples_table(own),
        image(NAME, alt) if drawn else "",
    )
