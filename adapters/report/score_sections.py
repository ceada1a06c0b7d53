"""The page's sections about scores: answers, residuals, the largest errors."""

from collections.abc import Sequence

from adapters.report import figures
from adapters.report.elements import Html, figure, section, side_by_side, table, text_block
from adapters.report.judgement import Miss, ScoreJudgement


def score_sections(judgement: ScoreJudgement) -> list[Html]:
    """The sections, in the order of the page."""
    return [_scores(judgement), _misses(judgement.misses)]


def _scores(judgement: ScoreJudgement) -> Html:
    """Answers against gold scores, and the residuals."""
    pictures = (
        figure(figures.scatter_figure(judgement), "Each point is a text."),
        figure(figures.residual_figure(judgement), "Residuals: right of 0 is too high."),
    )
    return section("Answers and errors", side_by_side(*pictures))


def _misses(misses: Sequence[Miss]) -> Html:
    """The largest errors."""
    rows = [
        (
            number,
            text_block(miss.text),
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
