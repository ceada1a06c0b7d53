"""Table 2: text classification beyond GLUE, on any folder of tasks (`sweep.task_folder`): adapters
of the best size, full fine-tuning, variable fine-tuning (of the best number of top layers), and no
BERT at all; what they cost in parameters for all tasks together.

Everything is chosen for each task on its dev set, with seed 0; all results are test accuracies.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from adapters.reproduce.plans.choices import top_layers
from adapters.reproduce.plans.foreseen import seedless_keys
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.plans.table2_plan import Table2Plan, table2_plan
from adapters.reproduce.report.figures import image
from adapters.reproduce.report.pages import NO_RUNS, any_finished, conditions, section
from adapters.reproduce.studies.table2_differences import differences_table
from adapters.reproduce.studies.table2_examples import examples_table
from adapters.reproduce.studies.table2_picture import draw
from adapters.reproduce.studies.table2_rows import ROWS
from adapters.reproduce.studies.table2_tables import choices_table, scores_table
from adapters.reproduce.sweep.runs_file import Config, Runs, seedless_key

NAME = "table2"
HEADING = "Table 2: classification beyond GLUE"


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
    mine = seedless_keys(partial(wanted, plan), runs)
    configs = [run["config"] for run in runs.values() if "seed" in run["config"]]
    found = [config["seed"] + 1 for config in configs if seedless_key(config) in mine]
    seeds = max([plan.curve_seeds, *found])
    return plan if seeds == plan.curve_seeds else replace(plan, asked_seeds=seeds)


def left_out(plan: Plan, runs: Runs) -> int:
    """How many runs will have no place in the plan's table: they are of other data, or of another
    base or budget."""
    mine = seedless_keys(partial(wanted, plan), runs)
    return sum(seedless_key(run["config"]) not in mine for run in runs.values())


def _introduction(plan: Table2Plan) -> str:
    sizes = ", ".join(map(str, plan.budget.best_of))
    tops = ", ".join(map(str, [*top_layers(plan), plan.layers]))
    what = [
        f"the adapters' size out of {sizes}",
        f"the number of fine-tuned top layers out of {tops}",
    ]
    grids = plan.numbers.grids.values()
    for name, place in (("the number of epochs", 1), ("the learning rate", 0)):
        if any(len({pair[place] for pair in grid}) > 1 for grid in grids):
            what.insert(0, name)
    listed = f"{', '.join(what[:-1])} and {what[-1]}"
    return (
        "Each task is trained alone from the same base, as the paper trained BERT-base on 17 "
        f"further tasks. {listed[0].upper()}{listed[1:]} are chosen for each task on its dev set, "
        "with seed 0 (of equals, the first that is tried: fewer layers, smaller sizes, lower "
        "rates); so is the epoch that is kept of each run. No interval includes what another "
        "choice would have given. Scores are accuracies on the test set, by which nothing is "
        "chosen. Without BERT: logistic regression on TF-IDF of 1- and 2-grams of words, alone "
        "or with 2- to 5-grams of characters, chosen on the dev set, too; it has no seed."
    )


COUNTING = (
    "The paper counts a task's adapters, or its fine-tuned layers, relative to the encoder's "
    "layers; the next column counts everything that a task trains except its head, relative to "
    "all parameters. All tasks together have each task's share and, once, what of the base any of "
    "them uses. With adapters that is all of it: 17 tasks cost 1 + 17 x 1.14 % = 1.19x. Fine-tuned "
    "layers take the place of the base's: a task needs the base only below its lowest fine-tuned "
    "layer, so all together need what the task with the fewest fine-tuned layers needs, which is "
    "nothing if every task's best n is all layers. (The paper's 52.9 % and 9.9x fit 108 of 17 x 12 "
    "layers, which are 9.0x, and 11 layers of the base below a task whose best n is 1.) On its 17 "
    "tasks the paper averages 72.7 without BERT (the best network that AutoML found), 73.7 with "
    "full fine-tuning, 74.0 with variable fine-tuning and 73.3 with adapters."
)


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown, with whatever has finished; its figure is saved in folder/figures."""
    own = table2_plan(plan)
    beginning = (HEADING, _introduction(own), conditions(own, data=own.budget.what))
    if not any_finished(runs, wanted(plan, runs)):
        return section(*beginning, examples_table(own), NO_RUNS)
    drawn = draw(own, runs, folder, NAME)
    alt = "Test accuracy of each task by each method, with standard errors over the seeds"
    return section(
        *beginning,
        scores_table(own, runs),
        image(NAME, alt) if drawn else "",
        differences_table(own, runs),
        COUNTING,
        choices_table(own, runs),
        examples_table(own),
    )
