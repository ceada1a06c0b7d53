"""The report page: one HTML file that needs neither network nor script.

It shows what a judgement says, and of a training also its learning curve.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from adapters.finetune import Trained
from adapters.report import figures
from adapters.report.class_sections import class_sections
from adapters.report.elements import (
    Html,
    details,
    facts_table,
    figure,
    html,
    paragraph,
    section,
    side_by_side,
    table,
)
from adapters.report.judgement import ClassJudgement, Judgement
from adapters.report.score_sections import score_sections
from adapters.show import metric_name
from adapters.task_file import TaskFile
from minibert.tree import count


@dataclass(frozen=True)
class About:
    """What a page says around its figures.

    data: what was judged, in words; facts: (name, value) of whatever else is worth a line;
    baseline: the judgement of the guess that needs no model, and its name; trained: the run that
    made the task, for the learning curve; command: how the task is used.
    """

    data: str
    facts: Sequence[tuple[str, str]] = ()
    baseline: Judgement | None = None
    baseline_name: str = "always the majority class"
    trained: Trained | None = None
    command: str = ""


def report_page(task: TaskFile, judgement: Judgement, about: About) -> str:
    """The whole page, as HTML. Texts, labels and names in it are escaped. Needs matplotlib.

    >>> judgement = judge(task.task, examples, logits)                      # doctest: +SKIP
    >>> page = report_page(task, judgement, About("the examples of June"))  # doctest: +SKIP
    >>> atomic_write("page.html", page)                                     # doctest: +SKIP
    """
    sections = [_headline(judgement, about), _made(task, about)]
    if about.trained:
        sections.append(_curves(about.trained))
    sections.append(_metrics(task, judgement, about))
    if isinstance(judgement, ClassJudgement):
        sections += class_sections(judgement)
    else:
        sections += score_sections(judgement)
    if about.command:
        sections.append(section("Use it", Html(f"<pre><code>{html(about.command)}</code></pre>")))
    template = Template(files("adapters.report").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=html(f"{task.task.name}: report"),
        subtitle=html(f"{judgement.count:,} labelled texts judged: {about.data}"),
        sections="\n\n".join(sections),
    )


def _summary(task: TaskFile, judgement: Judgement) -> Iterator[tuple[str, str]]:
    """(metric, value) of all that is one number."""
    shown = {}
    for name, value in judgement.metrics.items():
        shown[metric_name(name, task.task)] = f"{100 * value:.1f}"
    if isinstance(judgement, ClassJudgement):
        shown["accuracy"] = f"{100 * judgement.accuracy:.1f}"
        shown["macro f1"] = f"{100 * judgement.macro_f1:.1f}"
    else:
        shown["mean absolute error"] = f"{judgement.mean_absolute_error:.4g}"
        shown["root mean squared error"] = f"{judgement.root_mean_squared_error:.4g}"
    yield from shown.items()


def _headline(judgement: Judgement, about: About) -> Html:
    """The two or three numbers that one looks for first."""
    if isinstance(judgement, ClassJudgement):
        numbers = [
            ("accuracy", f"{100 * judgement.accuracy:.1f} %"),
            ("macro f1", f"{100 * judgement.macro_f1:.1f} %"),
            ("calibration error", f"{100 * judgement.calibration_error:.1f} %"),
        ]
        if isinstance(about.baseline, ClassJudgement):
            numbers.insert(1, ("without a model", f"{100 * about.baseline.accuracy:.1f} %"))
    else:
        numbers = [(name, f"{value:.3f}") for name, value in judgement.metrics.items()]
        numbers.append(("mean absolute error", f"{judgement.mean_absolute_error:.3g}"))
    items = "".join(f"<li><b>{value}</b>{html(name)}</li>" for name, value in numbers)
    return Html(f'<ul class="headline">{items}</ul>')


def _made(task: TaskFile, about: About) -> Html:
    """What was trained, on what and how."""
    what = task.task
    kept = task.results.get("epoch")
    rows: list[tuple[str, object]] = [
        ("task", what.name),
        ("takes", "pairs of texts" if what.pairs else "single texts"),
        ("gives", "a score" if what.regression else f"one of {len(what.names)} classes"),
        ("base", f"{task.base_name}, weights sha256 {task.base_sha256[:12]}…"),
        ("method", f"{task.method}; recipe {task.recipe}"),
        ("trained parameters", f"{count(task.trained):,}"),
        ("longest text", f"{task.max_length} tokens"),
        *([("epoch kept", f"{kept}")] if kept is not None else []),
        *about.facts,
    ]
    return section("What was trained", facts_table(rows))


def _curves(trained: Trained) -> Html:
    """The learning curve, and its numbers."""
    runs = {str(trained.task.method): (trained.losses, trained.epochs)}
    metric = next(iter(trained.epochs[0]))
    names = list(trained.epochs[0])
    rows = [
        (number, *(f"{100 * epoch[name]:.1f}" for name in names))
        for number, epoch in enumerate(trained.epochs, start=1)
    ]
    pictures = (
        figure(figures.loss_figure(runs), "Training loss: every step, and its running mean."),
        figure(figures.metric_figure(runs, trained.constant), f"Dev {metric} after each epoch."),
    )
    numbers = table(("epoch", *names), rows, "Dev metrics after each epoch, in hundredths")
    return section("Learning curve", side_by_side(*pictures), details("The numbers", numbers))


def _metrics(task: TaskFile, judgement: Judgement, about: About) -> Html:
    """Every metric, beside the guess that needs no model."""
    headers, rows = ["metric", "this task"], [*_summary(task, judgement)]
    cells: list[tuple[str, ...]] = list(rows)
    if about.baseline:
        headers.append(about.baseline_name)
        constant = dict(_summary(task, about.baseline))
        cells = [(name, value, constant[name]) for name, value in rows]
    said = "Correlations" if task.task.regression else "Metrics"
    notes = (
        "Errors are in the unit of the labels."
        if task.task.regression
        else "Macro f1 is the mean F1 of all classes that occur, rare ones counting like others."
    )
    return section("Metrics", table(headers, cells, f"{said} are in hundredths"), paragraph(notes))
