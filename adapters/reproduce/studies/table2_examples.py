"""Table 2's examples: how many are used, and what to know of their texts."""

from adapters.reproduce.plans.table2_plan import Table2Plan
from adapters.reproduce.report.pages import cell, markdown_table
from minibert.data.own import empty_texts, known_texts


def examples_table(plan: Table2Plan) -> str:
    """How many examples of each task are used, of how many; how many of these have no text; and how
    many dev and test texts are among the training texts."""
    lines = []
    for name in plan.tasks:
        task, parts = plan.task_named(name), plan.parts(name)
        there = (task.data.train, task.data.dev, task.test)
        sizes = [_size(len(part), len(whole)) for part, whole in zip(parts, there, strict=True)]
        train, dev, test = parts
        empty = f"{empty_texts([*train, *dev, *test]):,}"
        repeated = [f"{known_texts(train, part):,}" for part in (dev, test)]
        classes = str(len(task.data.task.names))
        lines.append([cell(name), classes, *sizes, empty, *repeated, task.sha256[:12]])
    about_texts = ["empty texts", "dev texts also in train", "test texts also in train"]
    headers = ["task", "classes", "train", "dev", "test", *about_texts, "sha256"]
    return markdown_table(lines, headers)


def _size(used: int, there: int) -> str:
    return f"{used:,}" if used == there else f"{used:,} of {there:,}"
