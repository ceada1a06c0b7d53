"""A table of differences to full fine-tuning, on the same examples: of table 1, and of table 2."""

from collections.abc import Mapping, Sequence

from adapters.reproduce.comparison.estimates import Estimate
from adapters.reproduce.report.pages import markdown_table
from adapters.reproduce.report.statistics import MISSING

SAME = "same"  # the answers, so that the difference is 0

Differences = dict[str, list[Estimate | None]]  # of each method: one for each task, and the mean


def differences_markdown(
    found: Mapping[str, Sequence[Estimate | None]], tasks: Sequence[str], meaning: str
) -> str:
    """The table, with the tasks' names as its headers, after what it means; "" where nothing is
    compared yet."""
    if not any(one is not None for each in found.values() for one in each):
        return ""
    lines = [[name, *map(difference_cell, each)] for name, each in found.items()]
    return f"{meaning}\n\n{markdown_table(lines, ['', *tasks, 'average'])}"


def difference_cell(found: Estimate | None) -> str:
    """A difference as the table shows it."""
    if found is None:
        return MISSING
    same = found.variance is not None and not (found.value or found.variance.value)
    return SAME if same else str(found)
