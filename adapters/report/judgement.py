"""Every figure by which a task's answers are judged, as small frozen values.

The answers are compared with the labels (gold) of the same examples. Whatever is about single
classes comes from the confusion matrix. A share whose definition gives 0/0 is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minibert.data.tasks import Example, Task, predictions, score
from minibert.errors import InputError
from minibert.heads import probabilities
from minibert.tokenizer import Text

BINS = 10
MISTAKES = 20  # kept of each judgement


class Bin(NamedTuple):
    """The answers whose probability is above `low` and at most `high`: how many, their mean
    probability, and the share of them that is right (both 0 without answers)."""

    low: float
    high: float
    texts: int
    probability: float
    accuracy: float


class Mistake(NamedTuple):
    """A wrong class: the text, the names of two classes, and the probability of each."""

    text: Text
    gold: str
    answer: str
    probability: float
    gold_probability: float


class Miss(NamedTuple):
    """A score beside the gold one; the residual is answer - gold."""

    text: Text
    gold: float
    answer: float

    @property
    def residual(self) -> float:
        """How much too high the answer is."""
        return self.answer - self.gold


@dataclass(frozen=True, eq=False)
class ClassJudgement:
    """Classes judged. `confusion` [C, C]: how many texts of class i (row) were answered with class
    j (column). `metrics`: the task's own. `bins`: BINS of equal width from 0 to 1; `mistakes`:
    the most confident first."""

    names: tuple[str, ...]
    confusion: np.ndarray
    metrics: dict[str, float]
    bins: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]

    @property
    def count(self) -> int:
        """How many texts were judged."""
        return int(self.confusion.sum())

    @property
    def right(self) -> np.ndarray:
        """Right answers of each class: [C]."""
        return self.confusion.diagonal()

    @property
    def support(self) -> np.ndarray:
        """Texts of each class: [C]."""
        return self.confusion.sum(axis=1)

    @property
    def answered(self) -> np.ndarray:
        """How often each class was the answer: [C]."""
        return self.confusion.sum(axis=0)

    @property
    def precision(self) -> np.ndarray:
        """Of the answers that name a class, the share that is right: [C]."""
        return _share(self.right, self.answered)

    @property
    def recall(self) -> np.ndarray:
        """Of the texts of a class, the share that was found: [C]."""
        return _share(self.right, self.support)

    @property
    def f1(self) -> np.ndarray:
        """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN): [C]."""
        return _share(2 * self.right, self.support + self.answered)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return int(self.right.sum()) / self.count

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that some text has or some answer names."""
        return float(self.f1[self.support + self.answered > 0].mean())

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: how far each bin's accuracy is from its mean
        probability, weighted by its answers. Guo et al. 2017, arXiv 1706.04599, eq. 3."""
        gaps = [bin.texts * abs(bin.accuracy - bin.probability) for bin in self.bins]
        return sum(gaps) / self.count

    def confused_pairs(self) -> list[tuple[int, int, int]]:
        """(gold class, wrong answer, how often) of every pair that occurs, the most frequent
        first."""
        wrong = self.confusion - np.diag(self.right)
        pairs = [(int(i), int(j), int(wrong[i, j])) for i, j in np.argwhere(wrong)]
        return sorted(pairs, key=lambda pair: -pair[2])


@dataclass(frozen=True, eq=False)
class ScoreJudgement:
    """Scores (a regression) judged. gold, answers: [B]; `metrics`: the task's own, the two
    correlations; `misses`: the largest errors first."""

    gold: np.ndarray
    answers: np.ndarray
    metrics: dict[str, float]
    misses: tuple[Miss, ...]

    @property
    def count(self) -> int:
        """How many texts were judged."""
        return len(self.gold)

    @cached_property
    def residuals(self) -> np.ndarray:
        """answer - gold: [B]."""
        return self.answers - self.gold

    @property
    def mean_absolute_error(self) -> float:
        """The mean distance from the gold score."""
        return float(np.abs(self.residuals).mean())

    @property
    def root_mean_squared_error(self) -> float:
        """The root of the mean squared distance from the gold score."""
        return float(np.sqrt(np.mean(self.residuals**2)))


Judgement = ClassJudgement | ScoreJudgement


def judge(task: Task, examples: Sequence[Example], logits: np.ndarray) -> Judgement:
    """Judge the logits [B, C] (regression: [B, 1]) that a task gave for B labelled examples.

    Raises InputError when there are no examples, when the logits are not theirs, or when some are
    not finite.
    """
    logits = np.asarray(logits, np.float64)
    if not examples:
        raise InputError(f"{task.name}: there are no examples to judge")
    if logits.shape != (len(examples), task.outputs):
        raise InputError(
            f"{task.name}: {len(examples)} examples have logits of shape "
            f"{(len(examples), task.outputs)}, not {logits.shape}"
        )
    if bad := int(np.sum(~np.isfinite(logits).all(axis=1))):
        raise InputError(f"{task.name}: the logits of {bad} examples are not finite")
    return (
        _judge_scores(task, examples, logits)
        if task.regression
        else _judge_classes(task, examples, logits)
    )


def _judge_classes(task: Task, examples: Sequence[Example], logits: np.ndarray) -> ClassJudgement:
    gold = np.array([example.label for example in examples], np.int64)
    answers, chances = predictions(task, logits), probabilities(logits)
    confusion = np.zeros((task.outputs, task.outputs), np.int64)
    np.add.at(confusion, (gold, answers), 1)
    chosen = chances.max(axis=1)  # [B]
    wrong = np.flatnonzero(answers != gold)
    first = wrong[np.argsort(-chosen[wrong], kind="stable")][:MISTAKES]
    mistakes = tuple(
        Mistake(
            examples[i].text,
            task.names[gold[i]],
            task.names[answers[i]],
            float(chosen[i]),
            float(chances[i, gold[i]]),
        )
        for i in first
    )
    metrics = score(task, logits, gold.tolist())
    return ClassJudgement(task.names, confusion, metrics, _bins(chosen, answers == gold), mistakes)


def _bins(chosen: np.ndarray, right: np.ndarray) -> tuple[Bin, ...]:
    """The answers by their probability: [B], whether each is right [B] -> BINS bins."""
    edges = np.arange(BINS + 1) / BINS
    which = np.maximum(np.searchsorted(edges, chosen, side="left") - 1, 0)  # low < p <= high
    bins = []
    for number in range(BINS):
        inside = which == number
        count = int(inside.sum())
        probability = float(chosen[inside].mean()) if count else 0.0
        accuracy = float(right[inside].mean()) if count else 0.0
        low, high = float(edges[number]), float(edges[number + 1])
        bins.append(Bin(low, high, count, probability, accuracy))
    return tuple(bins)


def _judge_scores(task: Task, examples: Sequence[Example], logits: np.ndarray) -> ScoreJudgement:
    gold, answers = np.array([example.label for example in examples], np.float64), logits[:, 0]
    largest = np.argsort(-np.abs(answers - gold), kind="stable")[:MISTAKES]
    misses = tuple(Miss(examples[i].text, float(gold[i]), float(answers[i])) for i in largest)
    return ScoreJudgement(gold, answers, score(task, logits, gold.tolist()), misses)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0: [C], [C] -> [C]."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
