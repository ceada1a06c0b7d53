"""A table of differences to full fine-tuning, on the same examples: of table 1, and of table 2."""

from collections.abc import Mapping, Sequence

from adapters.reproduce.comparison.estimates import Estimate
from adapters.reproduce.report.pages import markdown_table
from adapters.reproduce.report.statistics import MISSING

SAME = "same"  # the answers, so that the difference is 0

Differences = dict[str, list[Estimate | None]]  # of each method: one for each task, and the mean


def differences_markdown(
    found: Mapping[str, Sequence[Estimate | None]], tasks: Sequence[str], what: str, intervals: str
) -> str:
    """The table, with the tasks' names as its headers, after `what` is compared and, if there are
    any, what the `intervals` are of; "" where nothing is compared yet."""
    cells = {name: [difference_cell(one) for one in each] for name, each in found.items()}
    shown = {cell for each in cells.values() for cell in each}
    if shown <= {MISSING}:
        return ""
    meaning = f"{what} {intervals}" if any("[" in cell for cell in shown) else what
    lines = [[name, *each] for name, each in cells.items()]
    return f"{meaning}\n\n{markdown_table(lines, ['', *tasks, 'average'])}"


def difference_cell(found: Estimate | None) -> str:
    """A difference as the table shows it."""
    if found is None:
        return MISSING
    varies = found.variance is None or found.variance.value or found.seeds_only or found.diverged
    return str(found) if found.value or varies else SAME
