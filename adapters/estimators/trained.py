"""The estimators that train adapters: a classifier and a regressor."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from adapters.estimators.texts import BadInput, as_texts, shared_base, text_tags, without_base
from adapters.finetune import train_task
from adapters.methods.table import method_named, top_layers
from adapters.predict import predict_texts
from adapters.progress import Progress
from adapters.recipes import default_rate_epochs, enough_epochs
from adapters.task_file import TaskFile, load_task, on_base, save_task
from adapters.train_data import split_dev
from minibert.checkpoint import Base
from minibert.data.labels import check_spellings, is_missing, is_numeric
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError
from minibert.heads import probabilities
from minibert.tokenizer import Text
from minibert.training.schedule import Settings


class _AdapterEstimator(BaseEstimator):
    """What the classifier and the regressor share."""

    def __init__(
        self,
        base: Base | Path | str = "minilm",
        *,
        method: str = "adapters",
        size: int | None = None,
        top_layers: int | None = None,
        pooling: str | None = None,
        rate: float | None = None,
        epochs: int | None = None,
        batch_size: int = 32,
        max_length: int = 128,
        class_weight: str | dict[Any, float] | None = None,
        dev_share: float = 0.1,
        stop_after: int | None = None,
        random_state: Any = 0,
        threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.base = base
        self.method = method
        self.size = size
        self.top_layers = top_layers
        self.pooling = pooling
        self.rate = rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.max_length = max_length
        self.class_weight = class_weight
        self.dev_share = dev_share
        self.stop_after = stop_after
        self.random_state = random_state
        self.threads = threads
        self.verbose = verbose

    def _train(
        self,
        texts: list[Text],
        labels: list[int] | list[float],
        task: Task,
        class_weights: str | list[float] | None = None,
    ) -> None:
        """Train and keep `task_`, the best epoch by the dev part, and `epochs_`, its scores."""
        try:
            self.task_, self.epochs_ = self._trained(texts, labels, task, class_weights)
        except InputError as error:
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from error

    def _trained(
        self,
        texts: list[Text],
        labels: list[int] | list[float],
        task: Task,
        class_weights: str | list[float] | None,
    ) -> tuple[TaskFile, list[dict[str, float]]]:
        base, method = shared_base(self.base), method_named(self.method, self.size)
        if self.top_layers is not None:
            method = top_layers(method, self.top_layers, base.config)
        rate, epochs = default_rate_epochs(method.name, "")
        epochs = enough_epochs(epochs, len(texts), self.batch_size)
        settings = Settings(
            rate=rate if self.rate is None else self.rate,
            epochs=epochs if self.epochs is None else self.epochs,
            batch_size=self.batch_size,
            seed=_seed(self.random_state),
            stop_after=self.stop_after,
        )
        examples = [Example(text, label) for text, label in zip(texts, labels, strict=True)]
        data = Data(task, examples, examples, "the texts given to fit")
        if self.dev_share:
            data = split_dev(data, self.dev_share, settings.seed)
        progress = Progress(type(self).__name__, task) if self.verbose else (lambda report: None)
        trained = train_task(
            base,
            data,
            method,
            settings,
            max_length=self.max_length,
            class_weights=class_weights,
            pooling=self.pooling,
            threads=self.threads,
            on_report=progress,
        )
        return trained.task, trained.epochs

    def _logits(self, texts: Any) -> np.ndarray:
        check_is_fitted(self, "task_")
        found = as_texts(texts)
        if not found:
            raise BadInput("found array with 0 samples: at least one text is needed")
        pairs = len(self.task_.task.text) == 2
        if isinstance(found[0], str) == pairs:
            raise BadInput(f"it was fitted on {'pairs of texts' if pairs else 'single texts'}")
        return predict_texts(self.task_, shared_base(self.base), found, self.threads)

    def save(self, path: Path | str) -> None:
        """Write the trained task as one file, for any other use of it. Raises NotFittedError before
        `fit`, InputError when it cannot be written."""
        check_is_fitted(self, "task_")
        save_task(path, self.task_)

    @classmethod
    def load(cls, path: Path | str, base: Base | Path | str | None = None) -> Self:
        """An estimator from a task file; `base` if it cannot be found by the name in the file.
        Raises InputError for a file that is damaged, of another base, or of another kind."""
        task = load_task(path)
        if task.task.regression != issubclass(cls, RegressorMixin):
            raise BadInput(
                f"{path}: is a task of {'scores' if task.task.regression else 'classes'}"
            )
        name = task.base_name.replace("--", "/") if base is None else base
        on_base(task, shared_base(name), path)
        method, longest = task.method.name, task.max_length
        estimator = cls(
            name, method=method, size=task.method.size, pooling=task.pooling, max_length=longest
        )
        estimator._restore(task)
        return estimator

    def _restore(self, task: TaskFile) -> None:
        self.task_ = task

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: a base that was given as one is left where it is."""
        return without_base(dict(super().__getstate__()))

    def __sklearn_tags__(self) -> Any:
        """For scikit-learn: texts go in, not numbers."""
        return text_tags(super().__sklearn_tags__())


def _class_weights(chosen: Any, classes: np.ndarray) -> str | list[float] | None:
    """As `train_task` takes them; scikit-learn's {label: weight}, by class number."""
    if not isinstance(chosen, Mapping):
        return chosen
    if strange := [label for label in chosen if label not in classes.tolist()]:
        raise BadInput(f"class_weight has {strange[0]!r}, which is no label")
    return [float(chosen.get(label, 1)) for label in classes.tolist()]


def _seed(random_state: Any) -> int:
    """A seed from what scikit-learn allows: an integer, a RandomState, or None for any."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


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
            raise BadInput(
                f"label {i} is {label!r}, which is no label: blank, or for a missing one"
            )
    try:
        check_spellings(counts, "y")
    except InputError as error:
        raise BadInput(str(error).partition("; make them one")[0]) from None


def _is_missing(label: Any) -> bool:
    """None, NaN, and pandas' NA, which is not even equal to itself."""
    return label is None or type(label).__name__ in ("NAType", "NaTType") or label != label


KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float"}  # of NumPy's types


def _text_columns(texts: list[Text]) -> tuple[str, ...]:
    return ("text",) if isinstance(texts[0], str) else ("text", "second")


def _checked(texts: Any, labels: Any) -> tuple[list[Text], np.ndarray]:
    """Texts and labels of one length, at least one."""
    if labels is None:
        raise BadInput("requires y to be passed, but the target y is None")
    found = as_texts(texts)
    if not found:
        raise BadInput("found array with 0 samples: at least one text is needed")
    given = column_or_1d(labels, warn=True)
    check_consistent_length(found, given)
    return found, given


class AdapterClassifier(ClassifierMixin, _AdapterEstimator):
    """A text classifier: adapters on a frozen BERT.

    base: a model name or folder; method, size, top_layers: what is trained; pooling: what the head
    reads (all four as in `minibert train`); rate, epochs: None for those that suit the method;
    class_weight: None, "balanced" or {label: weight}; dev_share: the part of the examples that
    chooses the best epoch (0: the training examples do); stop_after: end after so many epochs
    without gain; random_state: seed of all randomness.

    >>> model = AdapterClassifier(epochs=3).fit(texts, labels)   # doctest: +SKIP
    >>> model.predict(["What a lovely day."])                    # doctest: +SKIP

    After `fit`: classes_ [C], task_ (a `TaskFile`), epochs_ (the dev scores of each epoch).
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts [n] (see `as_texts`) and labels [n]. Raises BadInput, a ValueError."""
        texts, labels = _checked(X, y)
        missing = np.flatnonzero([_is_missing(label) for label in labels])
        if len(missing):
            raise BadInput(f"input y contains NaN: label {missing[0]} is missing")
        _check_spelled(labels)
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise BadInput(f"the labels have 1 class ({classes[0]}); 2 are needed")
        names = tuple(map(str, classes))
        metrics = ("accuracy", "macro_f1", "f1") if len(names) == 2 else ("accuracy", "macro_f1")
        task = Task("task", "", _text_columns(texts), "label", names, names, metrics)
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
        if not kind and all(n.removeprefix("-").isdecimal() and str(int(n)) == n for n in names):
            kind = "int"
        readers: dict[str, Callable[[str], Any]] = {
            "bool": lambda name: name == "True",
            "int": int,
            "float": float,
        }
        read = readers.get(kind, str)
        self.classes_ = np.array([read(name) for name in names])


class AdapterRegressor(RegressorMixin, _AdapterEstimator):
    """A regression of scores on texts: adapters on a frozen BERT. The arguments are those of
    `AdapterClassifier`; there are no classes, so class_weight must be None."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts [n] (see `as_texts`) and scores [n]. Raises BadInput, a ValueError."""
        texts, scores = _checked(X, y)
        try:
            scores = scores.astype(np.float64)
        except (TypeError, ValueError):
            raise BadInput("the scores must be numbers") from None
        if not np.isfinite(scores).all():
            raise BadInput(f"score {int(np.argmin(np.isfinite(scores)))} is NaN or infinity")
        if self.class_weight is not None:
            raise BadInput("class_weight is for classes, not for scores")
        task = Task(
            "task", "", _text_columns(texts), "label", metrics=("r2", "pearson", "spearman")
        )
        self._train(texts, scores.tolist(), task)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The score of each text: float64 [n], in the units of those it was trained on."""
        return self._logits(X)[:, 0].astype(np.float64)
