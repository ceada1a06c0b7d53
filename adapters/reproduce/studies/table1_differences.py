"""Table 1's methods against full fine-tuning, on the same dev examples."""

from adapters.reproduce.comparison.estimates import SEEDS_ONLY, difference
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.pages import title
from adapters.reproduce.studies.differences import Differences, differences_markdown
from adapters.reproduce.studies.table1_rows import MEAN_ROWS, ROWS
from adapters.reproduce.sweep.runs_file import Runs

WHAT = "The difference to full fine-tuning by the same pooling, on the same dev examples."
INTERVALS = (
    "In brackets is the 95 % interval, for other seeds *and* other examples; with "
    f"{SEEDS_ONLY}, where too few runs kept answers or the labels to compare them with are not "
    "here, for other seeds alone. In the table above, ± is over the seeds."
)


def differences(plan: Plan, runs: Runs) -> Differences:
    """Each other method's mean dev score less full fine-tuning's, in hundredths, for each task and
    at last on average; None where there are no runs to compare. Raises InputError for damaged
    answers."""
    found: Differences = {}
    for full, *others in (ROWS, MEAN_ROWS) if plan.budget.both_poolings else (ROWS,):
        for row in others:
            pairs = [
                (row.choose(plan, runs, task), full.choose(plan, runs, task)) for task in plan.tasks
            ]
            each = [difference(plan, runs, [pair]) for pair in pairs]
            found[row.name] = [*each, difference(plan, runs, pairs)]
    return found


def differences_table(plan: Plan, runs: Runs) -> str:
    """The differences as Markdown, and what they mean; "" where nothing is compared yet."""
    return differences_markdown(differences(plan, runs), [*map(title, plan.tasks)], WHAT, INTERVALS)
