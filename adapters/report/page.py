"""The report page: one HTML file that needs neither network nor script.

It shows what a judgement says, and of a training also its learning curve.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from adapters.finetune import Trained
from adapters.report import figures
from adapters.report.elements import (
    NAME,
    Html,
    facts_table,
    figure,
    html,
    paragraph,
    scrolling,
    section,
    shortened,
    table,
    text_cell,
)
from adapters.report.judgement import ClassJudgement, Judgement, Miss, Mistake, ScoreJudgement
from adapters.task_file import TaskFile
from minibert.tree import count

MATRIX_CLASSES = 40  # more make no matrix that one can read
LARGE_CELLS = 12  # classes whose matrix fits in cells of the usual size
PAIRS = 25  # of confused classes shown in its place


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
        sections += [
            _classes(judgement),
            _confusion(judgement),
            _calibration(judgement),
            _mistakes(judgement.mistakes),
        ]
    else:
        sections += [_scores(judgement), _misses(judgement.misses)]
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
        # `metrics.f1` is that of class 1
        full = f"f1 of {task.task.names[1]}" if name == "f1" else name.replace("_", " ")
        shown[full] = f"{100 * value:.1f}"
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
        ("takes", "pairs of texts" if len(what.text) == 2 else "single texts"),
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
    return section("Learning curve", _side_by_side(*pictures), _details("The numbers", numbers))


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


def _classes(judgement: ClassJudgement) -> Html:
    """Precision, recall and F1 of every class; of many classes, the weakest first."""
    precision, recall, f1 = judgement.precision, judgement.recall, judgement.f1
    order = list(range(len(judgement.names)))
    weakest_first = len(order) > MATRIX_CLASSES
    if weakest_first:
        order.sort(key=lambda i: (f1[i], i))
    rows = [
        (
            shortened(judgement.names[i], NAME),
            *(_bar(float(share[i])) for share in (precision, recall, f1)),
            f"{judgement.support[i]:,}",
            f"{judgement.answered[i]:,}",
        )
        for i in order
    ]
    headers = ("class", "precision", "recall", "f1", "texts", "answers")
    how = "Shares in percent" + (", the lowest f1 first" if weakest_first else "")
    note = paragraph(
        "Precision: of the answers that name this class, how many are right. Recall: of the texts "
        "of this class, how many were found. Texts: how many have this class; answers: how many "
        "got it."
    )
    return section("Class by class", table(headers, rows, how), note)


def _bar(share: float) -> Html:
    """A percentage with a bar of that length below it."""
    return Html(
        f'<span class="bar" style="--share:{share:.3f};display:block;padding-bottom:4px;'
        f'min-width:4rem">{100 * share:.1f}</span>'
    )


def _confusion(judgement: ClassJudgement) -> Html:
    """The confusion matrix, or, of very many classes, the pairs confused most often."""
    classes = len(judgement.names)
    if classes <= MATRIX_CLASSES:
        note = (
            "Rows: the label of the text. Columns: the answer. A cell is shaded by its share of "
            "its row; framed cells, on the diagonal, are right answers."
        )
        return section("Confusion matrix", _matrix(judgement), paragraph(note))
    pairs = judgement.confused_pairs()
    rows = [
        (
            shortened(judgement.names[gold], NAME),
            shortened(judgement.names[answer], NAME),
            f"{times:,}",
            f"{100 * times / judgement.support[gold]:.1f}",
        )
        for gold, answer, times in pairs[:PAIRS]
    ]
    headers = ("label", "answered as", "texts", "% of the label's texts")
    caption = f"The {len(rows)} most frequent of {len(pairs)} confused pairs"
    return section("Most confused classes", table(headers, rows, caption, words=[1]))


def _matrix(judgement: ClassJudgement) -> Html:
    """The confusion matrix as a table; its columns have numbers, which the rows explain."""
    names = judgement.names
    head = "".join(
        f'<th scope="col"><abbr title="{html(name)}">{number}</abbr></th>'
        for number, name in enumerate(names, start=1)
    )
    body = []
    for i, name in enumerate(names):
        total = max(1, int(judgement.support[i]))
        cells = "".join(
            _matrix_cell(int(judgement.confusion[i, j]), total, i == j) for j in range(len(names))
        )
        body.append(f'<tr><th scope="row">{i + 1} {shortened(name, NAME)}</th>{cells}</tr>')
    size = " small" * (len(names) > LARGE_CELLS)
    return scrolling(
        f'<table class="matrix{size}"><caption>Label (row) and answer (column)</caption>'
        f'<thead><tr><th scope="col">label</th>{head}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table>",
        "Confusion matrix",
    )


def _matrix_cell(number: int, total: int, right: bool) -> str:
    share = number / total
    kinds = ["right"] * right + ["strong"] * (share > 0.5) + ["none"] * (number == 0)
    return f'<td class="{" ".join(kinds)}" style="--share:{share:.3f}">{number:,}</td>'


def _calibration(judgement: ClassJudgement) -> Html:
    """The reliability diagram and its numbers."""
    rows = [
        (
            f"{100 * bin.low:.0f}–{100 * bin.high:.0f}",
            f"{bin.texts:,}",
            f"{100 * bin.probability:.1f}" if bin.texts else "-",
            f"{100 * bin.accuracy:.1f}" if bin.texts else "-",
        )
        for bin in judgement.bins
    ]
    told = (
        f"The expected calibration error is {100 * judgement.calibration_error:.1f} %: so far, on "
        "average, is the share of right answers from the probability that the task gives them. "
        "Points below the diagonal: more confident than right."
    )
    picture = figure(
        figures.reliability_figure(judgement.bins),
        "Bars and points: the share of right answers by the probability of the answer; below, "
        "how many texts.",
    )
    headers = ("probability (%)", "texts", "mean (%)", "right (%)")
    numbers = table(headers, rows, "Answers by their probability")
    return section(
        "Calibration", paragraph(told), _side_by_side(picture, Html(f"<div>{numbers}</div>"))
    )


def _mistakes(mistakes: Sequence[Mistake]) -> Html:
    """The most confident mistakes: often wrong labels, or what the task has not learned."""
    title = "Most confident mistakes"
    if not mistakes:
        return section(title, paragraph("There are none: every answer is right."))
    rows = [
        (
            number,
            _text(text_cell(mistake.text)),
            shortened(mistake.gold, NAME),
            shortened(mistake.answer, NAME),
            f"{100 * mistake.probability:.1f}",
            f"{100 * mistake.gold_probability:.1f}",
        )
        for number, mistake in enumerate(mistakes, start=1)
    ]
    headers = ("", "text", "label", "answer", "its probability (%)", "the label's (%)")
    caption = "Look here first: these are often wrong labels, or a kind of text unknown in training"
    return section(title, table(headers, rows, caption, words=[1, 2, 3]))


def _scores(judgement: ScoreJudgement) -> Html:
    """Answers against gold scores, and the residuals."""
    pictures = (
        figure(figures.scatter_figure(judgement), "Each point is a text."),
        figure(figures.residual_figure(judgement), "Residuals: right of 0 is too high."),
    )
    return section("Answers and errors", _side_by_side(*pictures))


def _misses(misses: Sequence[Miss]) -> Html:
    """The largest errors."""
    rows = [
        (
            number,
            _text(text_cell(miss.text)),
            f"{miss.gold:.4g}",
            f"{miss.answer:.4g}",
            f"{miss.residual:+.4g}",
        )
        for number, miss in enumerate(misses, start=1)
    ]
    headers = ("", "text", "label", "answer", "residual")
    return section(
        "Largest errors", table(headers, rows, "The answers farthest from the label", words=[1])
    )


def _text(content: Html) -> Html:
    return Html(f'<div class="text">{content}</div>')


def _side_by_side(*parts: str) -> Html:
    return Html(f'<div class="figures">{"".join(parts)}</div>')


def _details(summary: str, content: str) -> Html:
    return Html(f"<details><summary>{html(summary)}</summary>{content}</details>")
