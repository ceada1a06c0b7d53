"""The estimator of classes."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from adapters.estimators.texts import BadInput
from adapters.estimators.training import AdapterEstimator, checked, text_columns
from adapters.task_file import TaskFile
from minibert.data.labels import check_spellings, is_missing, is_numeric
from minibert.data.own import class_metrics
from minibert.data.tasks import Task
from minibert.errors import InputError, shown
from minibert.heads import probabilities

KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float"}  # of NumPy's types


class AdapterClassifier(ClassifierMixin, AdapterEstimator):
    """A text classifier: adapters on a frozen BERT.

    base: a model name or folder; method, size, top_layers: what is trained; fast: half the time
    at a price; pooling: what the head reads (all six as in `minibert train`); rate, epochs:
    None for those that suit the method; class_weight: None, "balanced" or {label: weight};
    dev_share: the part of the examples that chooses the best epoch (0: the training examples do);
    stop_after: end after so many epochs without gain; random_state: seed of all randomness.

    >>> model = AdapterClassifier(epochs=3).fit(texts, labels)   # doctest: +SKIP
    >>> model.predict(["What a lovely day."])                    # doctest: +SKIP

    After `fit`: classes_ [C], task_ (a `TaskFile`), epochs_ (the dev scores of each epoch).
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts [n] (see `as_texts`) and labels [n]. Raises BadInput, a ValueError."""
        texts, labels = checked(X, y)
        missing = np.flatnonzero([_is_missing(label) for label in labels])
        if len(missing):
            raise BadInput(f"input y contains NaN: label {missing[0]} is missing")
        _check_spelled(labels)
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise BadInput(f"the labels have 1 class ({classes[0]}); 2 are needed")
        names = tuple(map(str, classes))
        metrics = class_metrics(len(names))
        task = Task("task", "", text_columns(texts), "label", names, names, metrics)
        weights = _class_weights(self.class_weight, classes)
        self._train(texts, [int(n) for n in numbers], task, weights)
        self.classes_ = classes
        self.task_ = replace(self.task_, label_kind=KINDS.get(classes.dtype.kind, "str"))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class of each text: [n], of the labels' own type."""
        check_is_fitted(self, "task_")
        return self.classes_[self._logits(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class: float64 [n, C], in the order of `classes_`."""
        return probabilities(self._logits(X).astype(np.float64))

    def _restore(self, task: TaskFile) -> None:
        """A task file has labels as text, and their type if an estimator wrote it; of other files,
        labels that are spelled like integers come back as integers, all others as strings."""
        super()._restore(task)
        names, kind = task.task.names, task.label_kind
        if not kind and all(re.fullmatch("0|-?[1-9][0-9]{0,17}", name) for name in names):
            kind = "int"
        readers: dict[str, Callable[[str], Any]] = {
            "bool": lambda name: name == "True",
            "int": int,
            "float": float,
        }
        read = readers.get(kind, str)
        try:
            self.classes_ = np.array([read(name) for name in names])
        except ValueError:
            raise BadInput(f"the task's labels {shown(names)} are not of kind {kind}") from None


def _class_weights(chosen: Any, classes: np.ndarray) -> str | list[float] | None:
    """As `train_task` takes them; scikit-learn's {label: weight}, by class number."""
    if not isinstance(chosen, Mapping):
        return chosen
    if strange := [label for label in chosen if label not in classes.tolist()]:
        raise BadInput(f"class_weight has {strange[0]!r}, which is no label")
    return [float(chosen.get(label, 1)) for label in classes.tolist()]


def _check_spelled(labels: np.ndarray) -> None:
    """Raise BadInput for labels of several types, and for text labels that are no label, or look
    like another: as in a table of one's own."""
    kinds = {type(label).__name__ for label in labels.tolist()}
    if "str" in kinds and len(kinds) > 1:
        raise BadInput(f"the labels are of several types: {', '.join(sorted(kinds))}")
    if kinds != {"str"}:
        return
    counts = Counter(labels.tolist())
    numeric = is_numeric(counts)
    for i, label in enumerate(labels.tolist()):
        if label != label.strip() or is_missing(label, numeric):
            raise BadInput(f"label {i} is {label!r}, which is no label or has blanks around it")
    try:
        check_spellings(counts, "y")
    except InputError as error:
        raise BadInput(str(error).partition("; make them one")[0]) from None


def _is_missing(label: Any) -> bool:
    """None, NaN, and pandas' NA, which is not even equal to itself."""
    return label is None or type(label).__name__ in ("NAType", "NaTType") or label != label
