"""Ways to have many tasks, beside each other: adapters, one network fine-tuned on task after task,
one network trained on all tasks together. What each scores, and what one more task costs it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from adapters.pictures import STYLES
from adapters.reproduce.report.figures import legend, new_figure, save, score_line, tidy
from adapters.reproduce.report.pages import markdown_table, title, with_metric
from adapters.reproduce.report.statistics import (
    MISSING,
    Scores,
    hundredths,
    main_score,
    standard_error,
)

TaskScores = list[dict[str, float]]  # every task's so far


@dataclass(frozen=True)
class Way:
    """One way to have many tasks, with what is known of it.

    learned: for each seed that has run, out of `seeds`, {number of the task learned last, from 0:
    the scores of the tasks so far}. diverged: by the same number, how many seeds diverged.
    parameters: of all tasks together; added: those of the last one. changed: how many texts'
    answers had changed after each task since their own was learned, summed over the seeds. again:
    how many examples of earlier tasks the last one is trained with.
    """

    name: str
    seeds: int
    learned: list[dict[int, TaskScores]]
    diverged: dict[int, int]
    parameters: int | None
    added: int | None
    again: int | None
    changed: list[int] | None

    def task(self, task: str, number: int, after: int) -> Scores:
        """The score of the task of this number after another one, over the seeds."""
        rows = [rows[after] for rows in self.learned if after in rows]
        return self._scores(after, (main_score(task, row[number]) for row in rows))

    def average(self, tasks: Sequence[str]) -> Scores:
        """The mean over the tasks at the end, over the seeds: one network's tasks vary together."""
        rows = [rows[len(tasks) - 1] for rows in self.learned if len(tasks) - 1 in rows]
        return self._scores(len(tasks) - 1, (mean(map(main_score, tasks, row)) for row in rows))

    def _scores(self, after: int, values: Iterable[float]) -> Scores:
        return Scores(tuple(values), self.diverged.get(after, 0), self.seeds)

    def change(self, tasks: Sequence[str]) -> str:
        """By how much the last task changes the mean score of those before it, over the seeds that
        have learned both."""
        *earlier, last = range(len(tasks))
        values = [
            mean(main_score(tasks[j], rows[last][j]) for j in earlier)
            - mean(main_score(tasks[j], rows[last - 1][j]) for j in earlier)
            for rows in self.learned
            if {last - 1, last} <= rows.keys()
        ]
        return hundredths(mean(values) if values else None, standard_error(values), sign=True)


def by_task(ways: Sequence[Way], tasks: Sequence[str]) -> str:
    """The scores after each task as a table, and how many answers had changed."""
    rows = []
    for way in ways:
        learned = {after for rows in way.learned for after in rows}
        for after in sorted(learned | way.diverged.keys()):
            cells = [
                str(way.task(task, j, after)) if j <= after else "" for j, task in enumerate(tasks)
            ]
            changed = MISSING if way.changed is None else f"{way.changed[after]:,}"
            rows.append((f"{way.name}, after {title(tasks[after])}", *cells, changed))
    changed_since = "texts whose logits have changed since their task was learned, over all seeds"
    return markdown_table(rows, ("learned by", *map(with_metric, tasks), changed_since))


def costs(ways: Sequence[Way], tasks: Sequence[str]) -> str:
    """What the ways score in the end, and what the last task has cost each, as a table."""
    end = len(tasks) - 1
    rows = [
        (with_metric(task), *(str(way.task(task, j, end)) for way in ways))
        for j, task in enumerate(tasks)
    ]
    rows += [
        ("average", *(str(way.average(tasks)) for way in ways)),
        ("all parameters", *(_number(way.parameters) for way in ways)),
    ]
    if end:
        more = f"for {title(tasks[end])}"
        rows += [
            (f"{more}: parameters added", *(_number(way.added) for way in ways)),
            (f"{more}: earlier tasks' examples needed", *(_number(way.again) for way in ways)),
            (f"{more}: change of the earlier tasks' mean", *(way.change(tasks) for way in ways)),
            (f"{more}: earlier tasks' answers", *(_answers(way) for way in ways)),
        ]
    return markdown_table(rows, ("", *(way.name for way in ways)))


def _number(value: int | None) -> str:
    return MISSING if value is None else f"{value:,}"


def _answers(way: Way) -> str:
    """Whether the earlier tasks' answers are as before: only measured where there is one network to
    measure. Training anew gives another."""
    if not way.learned:
        return MISSING
    if way.changed is None:
        return "change: all is trained anew"
    return "change" if way.changed[-1] else "the same, to the bit"


def heading(way: Way, tasks: Sequence[str]) -> str:
    """A panel's: the way, its parameters, and what the last task costs it, as far as known."""
    last, lines = title(tasks[-1]), [way.name]
    if way.parameters is not None:
        lines.append(f"{way.parameters / 1e6:.1f} million parameters")
    if way.added is not None and len(tasks) > 1:
        lines.append(f"{last} adds {way.added:,} of them")
    if way.again:
        lines.append(f"and needs {way.again:,} old examples")
    return "\n".join(lines)


def draw(ways: Sequence[Way], tasks: Sequence[str], folder: Path, name: str) -> None:
    """The scores after each task, a panel for each way that has any."""
    ways = [way for way in ways if way.learned]
    figure = new_figure(9.0, 3.6)
    panels = figure.subplots(1, len(ways), sharey=True, squeeze=False)[0]
    for axes, way in zip(panels, ways, strict=True):
        for j, (task, style) in enumerate(zip(tasks, STYLES, strict=False)):
            points = [(after, way.task(task, j, after)) for after in range(j, len(tasks))]
            score_line(axes, points, style, label=title(task))
        axes.set_title(heading(way, tasks))
        axes.set_xlim(-0.3, len(tasks) - 0.7)
        axes.set_xticks(range(len(tasks)), [title(task) for task in tasks])
        axes.set_xlabel("task added last")
        tidy(axes)
    panels[0].set_ylabel("dev score, hundredths")
    legend(figure, 5)
    save(figure, folder, name)
