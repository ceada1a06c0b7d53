"""Table 2's tables: scores and parameters beside the paper's, and what was chosen."""

from adapters.reproduce.plans.choices import validation_score
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.plans.table2_plan import Table2Plan
from adapters.reproduce.report.pages import cell, markdown_table
from adapters.reproduce.report.published import TABLE_2
from adapters.reproduce.report.shares import parameter_cells
from adapters.reproduce.report.statistics import MISSING, Scores, average, hundredths
from adapters.reproduce.studies.table2_rows import (
    NO_BERT,
    PAPER_ROWS,
    ROWS,
    constant_guesses,
    no_bert_scores,
    published,
    published_mean,
    row_scores,
)
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.errors import several


def _line(name: str, parameters: list[str], scores: dict[str, Scores]) -> list[str]:
    mean = hundredths(*average(list(scores.values())))
    return [name, *parameters, *(str(one) for one in scores.values()), mean]


def _paper_line(plan: Table2Plan, name: str) -> list[str] | None:
    known = [published(plan, task, name) for task in plan.tasks]
    if not any(known):
        return None
    known.append(published_mean(plan, plan.tasks, name))
    cells = [MISSING if number is None else f"{number:.1f}" for number in known]
    total, each = TABLE_2.get(name, (MISSING, MISSING))
    base = ", BERT-base" if name in TABLE_2 else ""
    return [f"*paper{base}:* {name}", total, each, MISSING, *cells]


def scores_table(plan: Table2Plan, runs: Runs) -> str:
    """Parameters and test accuracies of each method, and the paper's, as Markdown."""
    headers = [
        "",
        f"parameters of {several(len(plan.tasks), 'task')}",
        "trained per task, as the paper counts",
        "all but the head, of all parameters",
        *map(cell, plan.tasks),
        "average",
    ]
    lines = [_line(NO_BERT, [MISSING] * 3, no_bert_scores(plan, runs))]
    for row in ROWS:
        configs = [row.choose(plan, runs, task) for task in plan.tasks]
        cells = parameter_cells(plan, runs, configs, digits=2)
        lines.append(_line(row.name, cells, row_scores(plan, runs, row)))
    lines.append(_line("constant guess", [MISSING] * 3, constant_guesses(plan, runs)))
    lines += [line for name in PAPER_ROWS if (line := _paper_line(plan, name))]
    return markdown_table(lines, headers)


def choices_table(plan: Table2Plan, runs: Runs) -> str:
    """What was chosen for each task and method, as Markdown."""
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
    dev = validation_score(runs[run_key(config)]["result"])
    return [what, f"{config['rate']:g}", str(config["epochs"]), hundredths(dev)]


def _no_bert_choice(plan: Table2Plan, runs: Runs, task: str) -> list[str]:
    run = runs.get(run_key(plan.without_bert(task)))
    if run is None:
        return [MISSING] * 4
    result = run["result"]
    features, cost = result.get("features", MISSING), result.get("cost")
    shown = MISSING if cost is None else f"C = {cost:g}"
    return [features, shown, MISSING, hundredths(validation_score(run["result"]))]
