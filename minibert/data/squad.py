"""SQuAD v1.1: questions whose answer is a span of a paragraph. Its files and its two metrics.

Rajpurkar et al. 2016, arXiv 1606.05250.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from minibert.errors import InputError, brief, shown
from minibert.fetch.datasets import find_split, squad_folder
from minibert.json_files import read_json

LARGEST = 1 << 27  # bytes of a file; the published training questions have 30 million


class Answer(NamedTuple):
    """A piece of the context, and where its first character is."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question, the paragraph to find the answer in, and what people answered."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]


class Questions(NamedTuple):
    """The questions to train on, and those to score each epoch on."""

    train: Sequence[Question]
    dev: Sequence[Question]


# ------------------------------------------------------------------------------------- the files


def squad_data() -> Questions:
    """The questions to train on, and those to score each epoch on.

    Raises InputError when a file is missing, saying how to get it, or malformed.
    """
    found = {split: find_split(split) for split in ("train", "dev")}
    for split, path in found.items():
        if path is None:
            raise InputError(
                f"{squad_folder()}: has no {split}-v1.1.json; run `minibert fetch squad`, or set "
                "MINIBERT_SQUAD to its folder"
            )
    train, dev = (read_questions(path) for path in found.values() if path)
    return Questions(train, dev)


def read_questions(path: Path | str) -> list[Question]:
    """The questions of a file, in its order. Raises InputError, naming the file and the question or
    paragraph, when it is malformed, an answer is not in the context where it says, or an id occurs
    twice."""
    whole = read_json(Path(path), LARGEST)
    questions: list[Question] = []
    ids: set[str] = set()
    for a, article in enumerate(_field(whole, "data", list, str(path))):
        where = f"{path}: article {a + 1}"
        for p, paragraph in enumerate(_field(article, "paragraphs", list, where)):
            for question in _questions(paragraph, str(path), f"{where}, paragraph {p + 1}"):
                if question.id in ids:
                    raise InputError(f"{path}: question {brief(question.id)} occurs twice")
                ids.add(question.id)
                questions.append(question)
    if not questions:
        raise InputError(f"{path}: has no questions")
    return questions


def _questions(paragraph: Any, path: str, where: str) -> Iterator[Question]:
    context = _field(paragraph, "context", str, where)
    for q, asked in enumerate(_field(paragraph, "qas", list, where)):
        name = _field(asked, "id", str, f"{where}, question {q + 1}")
        here = f"{path}: question {brief(name)}"
        text = _field(asked, "question", str, here)
        answers = []
        for answer in _field(asked, "answers", list, here):
            words = _field(answer, "text", str, here)
            start = _field(answer, "answer_start", int, here)
            if not words or start < 0 or context[start : start + len(words)] != words:
                raise InputError(f"{here}: its context has no {shown(words)} at character {start}")
            answers.append(Answer(words, start))
        if not answers:
            raise InputError(f"{here}: has no answer; only SQuAD v1.1 is read, not 2.0")
        yield Question(name, text, context, tuple(answers))


def _field(holder: Any, name: str, kind: type, where: str) -> Any:
    """holder[name], which must be of that kind."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        words = {list: "list", str: "text", int: "whole number"}[kind]
        raise InputError(f"{where}: has no {words} {name!r}")
    return value


# ----------------------------------------------------------------------------------- the metrics
# Section 6.1 of the paper, with the details of the official evaluation of v1.1.


def normalise(answer: str) -> str:
    """An answer as it is compared: in lower case, without punctuation (ASCII's), without the words
    a, an and the, with single spaces between words."""
    bare = answer.lower().translate({ord(mark): None for mark in string.punctuation})
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def exact_match(predicted: str, gold: str) -> float:
    """1 for equal normalised answers, else 0."""
    return float(normalise(predicted) == normalise(gold))


def token_f1(predicted: str, gold: str) -> float:
    """The harmonic mean of precision and recall of the words, counted with repetition; 0 without
    a common word, even for two answers that are both empty once normalised."""
    said, true = normalise(predicted).split(), normalise(gold).split()
    common = (Counter(said) & Counter(true)).total()
    return 2 * common / (len(said) + len(true)) if common else 0.0


Metric = Callable[[str, str], float]  # (predicted, gold) -> 0 to 1


def question_scores(
    metric: Metric, questions: Sequence[Question], predicted: Sequence[str]
) -> list[float]:
    """For each question, the metric's best value over the question's answers."""
    return [
        max(metric(text, answer.text) for answer in question.answers)
        for question, text in zip(questions, predicted, strict=True)
    ]


def score(questions: Sequence[Question], predicted: Sequence[str]) -> dict[str, float]:
    """The mean over the questions of each metric's `question_scores`, as fractions: {"f1",
    "exact_match"}. Raises InputError without questions."""
    if not questions:
        raise InputError("there are no questions to score")
    return {
        name: sum(question_scores(metric, questions, predicted)) / len(questions)
        for name, metric in (("f1", token_f1), ("exact_match", exact_match))
    }
