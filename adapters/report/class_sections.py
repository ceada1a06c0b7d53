"""The page's sections about classes: each class, the confusion matrix, calibration, mistakes."""

import math
from collections.abc import Sequence

from adapters.report import figures
from adapters.report.elements import (
    NAME,
    Html,
    figure,
    html,
    paragraph,
    scrolling,
    section,
    shortened,
    side_by_side,
    table,
    text_block,
)
from adapters.report.judgement import ClassJudgement, Mistake

MATRIX_CLASSES = 40  # more make no matrix that one can read
LARGE_CELLS = 12  # classes whose matrix fits in cells of the usual size
NAMES_ABOVE = 60  # characters of all names together that fit above its columns
PAIRS = 25  # of confused classes shown in its place


def class_sections(judgement: ClassJudgement) -> list[Html]:
    """The sections, in the order of the page."""
    return [
        _classes(judgement),
        _confusion(judgement),
        _calibration(judgement),
        _mistakes(judgement.mistakes),
    ]


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
            "Rows: the label of the text. Columns: the answer. The stronger a cell's colour, the "
            "larger its share of its row; framed cells, on the diagonal, are right answers."
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
    """The confusion matrix as a table. Its columns have the classes' names, or, where these would
    not fit, numbers that the rows explain."""
    names = judgement.names
    named = sum(map(len, names)) <= NAMES_ABOVE
    rows = [shortened(name, NAME) for name in names]
    head = "".join(f'<th scope="col">{name}</th>' for name in rows)
    if not named:
        rows = [Html(f"{number} {name}") for number, name in enumerate(rows, start=1)]
        head = "".join(
            f'<th scope="col"><abbr title="{html(name)}">{number}</abbr></th>'
            for number, name in enumerate(names, start=1)
        )
    body = []
    for i, row in enumerate(rows):
        texts = max(1, int(judgement.support[i]))
        cells = "".join(
            _matrix_cell(int(judgement.confusion[i, j]), texts, i == j) for j in range(len(rows))
        )
        body.append(f'<tr><th scope="row">{row}</th>{cells}</tr>')
    size = " small" * (len(names) > LARGE_CELLS)
    return scrolling(
        f'<table class="matrix{size}"><caption>Label (row) and answer (column)</caption>'
        f'<thead><tr><th scope="col">label</th>{head}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table>",
        "Confusion matrix",
    )


def _matrix_cell(number: int, texts: int, right: bool) -> str:
    """A cell, coloured by the root of its share of its row's texts: small shares matter."""
    kinds = ["right"] * right + ["none"] * (number == 0)
    strength = math.sqrt(number / texts)
    return f'<td class="{" ".join(kinds)}" style="--strength:{strength:.3f}">{number:,}</td>'


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
        f"The expected calibration error is {100 * judgement.calibration_error:.1f} %: on average, "
        "the share of right answers differs by this much from the probability that the task gave. "
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
        "Calibration", paragraph(told), side_by_side(picture, Html(f"<div>{numbers}</div>"))
    )


def _mistakes(mistakes: Sequence[Mistake]) -> Html:
    """The most confident mistakes: often wrong labels, or what the task has not learned."""
    title = "Most confident mistakes"
    if not mistakes:
        return section(title, paragraph("There are none: every answer is right."))
    rows = [
        (
            number,
            text_block(mistake.text),
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
