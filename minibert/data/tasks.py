"""Tasks as data: the nine of GLUE, and a user's own.

Each says where its sentences and labels are in its files, and how it is scored. GLUE: Wang et al.
2018, arXiv 1804.07461.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from minibert.data.metrics import METRICS, OF_SCORES
from minibert.errors import InputError, several, shown
from minibert.tokenizer import Text

Column = int | str  # by number in a file without header, by name otherwise


class Example(NamedTuple):
    """A sentence or pair, and its class number or score."""

    text: Text
    label: int | float


@dataclass(frozen=True)
class Task:
    """What a task's files look like and how it is scored.

    text: one or two columns; values: the labels as the file spells them, names: as people read
    them (both empty: regression). The first metric chooses the best epoch.
    """

    name: str
    folder: str
    text: tuple[Column, ...]
    label: Column
    values: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    files: dict[str, str] = field(default_factory=lambda: {"train": "train.tsv", "dev": "dev.tsv"})
    header: bool = True
    skip_short_rows: bool = False  # QQP's official files have a few broken lines

    @property
    def regression(self) -> bool:
        """Whether the label is a number rather than a class."""
        return not self.values

    @property
    def pairs(self) -> bool:
        """Whether it reads two sentences rather than one."""
        return len(self.text) == 2

    @property
    def outputs(self) -> int:
        """C, the size of the head's output."""
        return max(1, len(self.values))


@dataclass(frozen=True)
class Data:
    """A task with its training and development examples; `source` says in words which they are,
    `notes` what else a reader should know of how they were read."""

    task: Task
    train: list[Example]
    dev: list[Example]
    source: str
    notes: tuple[str, ...] = ()


_ENTAILMENT = ("entailment", "not_entailment")

GLUE = {
    task.name: task
    for task in (
        Task("cola", "CoLA", (3,), 1, ("0", "1"), ("unacceptable", "acceptable"), ("matthews",),
             header=False),
        Task("sst-2", "SST-2", ("sentence",), "label", ("0", "1"), ("negative", "positive")),
        Task("mrpc", "MRPC", ("#1 String", "#2 String"), "Quality", ("0", "1"),
             ("different", "paraphrase"), ("accuracy", "f1")),
        Task("sts-b", "STS-B", ("sentence1", "sentence2"), "score",
             metrics=("pearson", "spearman")),
        Task("qqp", "QQP", ("question1", "question2"), "is_duplicate", ("0", "1"),
             ("different", "duplicate"), ("accuracy", "f1"), skip_short_rows=True),
        Task("mnli", "MNLI", ("sentence1", "sentence2"), "gold_label",
             ("entailment", "neutral", "contradiction"), ("entailment", "neutral", "contradiction"),
             files={"train": "train.tsv", "dev": "dev_matched.tsv",
                    "dev_mismatched": "dev_mismatched.tsv"}),
        Task("qnli", "QNLI", ("question", "sentence"), "label", _ENTAILMENT, _ENTAILMENT),
        Task("rte", "RTE", ("sentence1", "sentence2"), "label", _ENTAILMENT, _ENTAILMENT),
        Task("wnli", "WNLI", ("sentence1", "sentence2"), "label", ("0", "1"),
             ("not_entailment", "entailment")),
    )
}  # fmt: skip


def glue_task(name: str) -> Task:
    """The GLUE task of that name, in any case and with or without hyphen.
    Raises InputError, listing the nine, for another name."""
    for key, task in GLUE.items():
        if name.lower().replace("-", "") == key.replace("-", ""):
            return task
    raise InputError(f"unknown task {name!r}; known: {', '.join(GLUE)}")


def check_text_columns(task: Task, columns: Sequence[str]) -> None:
    """Raises InputError where these are more or fewer columns than the task reads texts, or one
    twice."""
    if len(columns) != len(task.text):
        wanted = several(len(task.text), "text column")
        raise InputError(f"{task.name} takes {wanted}, not {len(columns)}")
    check_apart(columns)


def check_apart(columns: Sequence[str]) -> None:
    """Raises InputError for a pair of texts that is one column twice."""
    if len(set(columns)) < len(columns):
        raise InputError(f"a pair of texts is two columns, not {columns[0]!r} twice")


def check_task(task: Task) -> None:
    """Raises InputError for a task that cannot be learned or scored: of another number of texts
    than one or two, without two classes of different names, or with metrics that are unknown or of
    the other kind."""
    if len(task.text) not in (1, 2):
        raise InputError(f"task {shown(task.name)}: has {len(task.text)} text columns, not 1 or 2")
    for classes in (task.values, task.names):
        if len(classes) != len(task.values) or len(set(classes)) != len(classes):
            raise InputError(f"task {shown(task.name)}: its labels {shown(classes)} are damaged")
    if len(task.values) == 1:
        raise InputError(f"task {shown(task.name)}: has one class only")
    known = [name for name in METRICS if (name in OF_SCORES) == task.regression]
    for name in task.metrics or ("",):
        if name not in known:
            kind = "scores" if task.regression else "classes"
            raise InputError(f"unknown metric {shown(name)} of {kind}; known: {', '.join(known)}")


def predictions(task: Task, logits: np.ndarray) -> np.ndarray:
    """Class numbers [B], or scores [B] for regression, from logits [B, C]."""
    return logits[:, 0] if task.regression else logits.argmax(axis=1)


def score(task: Task, logits: np.ndarray, gold: Sequence[int | float]) -> dict[str, float]:
    """Every metric of the task."""
    predicted = predictions(task, logits)
    return {name: METRICS[name](predicted, np.asarray(gold)) for name in task.metrics}


def majority_logits(task: Task, train: Sequence[Example], number: int) -> np.ndarray:
    """The logits of a guess that needs no model: always the most frequent class of `train`, or its
    mean score. [number, C]"""
    labels = np.array([example.label for example in train])
    if task.regression:
        return np.full((number, 1), labels.mean())
    counts = np.bincount(labels, minlength=task.outputs)  # [C]
    return np.tile(counts.astype(np.float64), (number, 1))


def constant_score(
    task: Task, train: Sequence[Example], dev: Sequence[Example]
) -> dict[str, float]:
    """The metrics of always guessing the training set's majority class (regression: its mean)."""
    logits = majority_logits(task, train, len(dev))
    return score(task, logits, [example.label for example in dev])
