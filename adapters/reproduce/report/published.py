"""The paper's own numbers, as its tables print them."""

from collections.abc import Sequence
from typing import NamedTuple


class Published(NamedTuple):
    """A row of the paper's table 1: total and trained parameters, and the score for each task."""

    name: str
    total: str
    trained: str
    scores: dict[str, float]

    def mean(self, tasks: Sequence[str]) -> float | None:
        """The mean score over these tasks; None unless the row has each."""
        known = [self.scores[task] for task in tasks if task in self.scores]
        return sum(known) / len(known) if known and len(known) == len(tasks) else None


# BERT-large on GLUE's test server, for the tasks that a budget has.
_TASKS = ("cola", "sst-2", "mrpc", "sts-b", "rte")


def _published(name: str, total: str, trained: str, *scores: float) -> Published:
    return Published(name, total, trained, dict(zip(_TASKS, scores, strict=True)))


TABLE_1 = (
    _published("full fine-tuning", "9.0x", "100.0 %", 60.5, 94.9, 89.3, 87.6, 70.1),
    _published("adapters, best of 8 to 256", "1.3x", "3.6 %", 59.5, 94.0, 89.5, 86.9, 71.5),
    _published("adapters, m = 64", "1.2x", "2.1 %", 56.9, 94.2, 89.6, 87.3, 68.8),
)

# Table 2, BERT-base: the parameters of all 17 tasks together, and the trained ones of each. What it
# says of a task is in the task's own folder.
TABLE_2 = {
    "full fine-tuning": ("17x (17 tasks)", "100 %"),
    "variable fine-tuning": ("9.9x (17 tasks)", "52.9 %"),
    "adapters": ("1.19x (17 tasks)", "1.14 %"),
}
