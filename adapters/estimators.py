"""scikit-learn's estimators over one frozen base: fit on texts and labels, predict, save.

They need scikit-learn: `pip install 'minibert[sklearn]'`. The base is loaded once in a process,
whatever the number of estimators and clones; between processes its pages are shared, as it is
mapped from its file. A pickled estimator holds its task, not the base.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from adapters.finetune import train_task
from adapters.methods.table import method_named, top_layers
from adapters.predict import predict_texts
from adapters.progress import Progress
from adapters.recipes import default_rate_epochs
from adapters.task_file import TaskFile, load_task, on_base, save_task
from adapters.train_data import split_dev
from minibert.checkpoint import Base, load_base
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError
from minibert.fetch.models import locate_model
from minibert.heads import probabilities
from minibert.tokenizer import Text
from minibert.training.schedule import Settings


class BadInput(InputError, ValueError):
    """Something given to an estimator is wrong; a ValueError, as scikit-learn's callers expect."""


def shared_base(base: Base | Path | str) -> Base:
    """A base by name or folder, loaded once in this process. Raises InputError as `load_base`."""
    return base if isinstance(base, Base) else _loaded(locate_model(base).resolve())


@lru_cache(maxsize=4)
def _loaded(folder: Path) -> Base:
    return load_base(folder)


def as_texts(texts: Any) -> list[Text]:
    """What people call a list of texts: a list, a NumPy array or pandas Series of strings; for
    pairs a list of two-tuples, or a frame or array of two columns. Raises BadInput, naming the
    first that is no text."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise BadInput(f"a list of texts is needed, not {type(texts).__name__}")
    rows = texts.to_numpy() if hasattr(texts, "to_numpy") else texts
    if isinstance(rows, np.ndarray):
        if rows.ndim not in (1, 2) or (rows.ndim == 2 and rows.shape[1] not in (1, 2)):
            raise BadInput(f"one or two columns of texts are needed, not shape {rows.shape}")
        rows = rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows
    found = [_as_text(i, row) for i, row in enumerate(rows)]
    if len({isinstance(text, str) for text in found}) == 2:
        raise BadInput("all must be single texts, or all pairs")
    return found


def _as_text(number: int, row: Any) -> Text:
    parts = (row,) if isinstance(row, str) or not isinstance(row, Iterable) else tuple(row)
    for part in parts:
        if not isinstance(part, str):
            raise BadInput(
                f"text {number} is {str(part)[:40]!r} ({type(part).__name__}), not a text"
            )
    if len(parts) == 1 and isinstance(row, str):
        return str(row)
    if len(parts) != 2:
        raise BadInput(f"text {number} has {len(parts)} parts; a text or a pair is needed")
    return str(parts[0]), str(parts[1])


class _AdapterEstimator(BaseEstimator):
    """What the classifier and the regressor share."""

    def __init__(
        self,
        base: Base | Path | str = "minilm",
        *,
        method: str = "adapters",
        size: int | None = None,
        top_layers: int | None = None,
        rate: float | None = None,
        epochs: int | None = None,
        batch_size: int = 32,
        max_length: int = 128,
        class_weight: str | dict[Any, float] | None = None,
        dev_share: float = 0.1,
        stop_after: int | None = None,
        random_state: int = 0,
        threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.base = base
        self.method = method
        self.size = size
        self.top_layers = top_layers
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

    def _train(self, texts: list[Text], labels: list[int] | list[float], task: Task) -> None:
        """Train and keep `task_`, the best epoch by the dev part, and `epochs_`, its scores."""
        base, method = shared_base(self.base), method_named(self.method, self.size)
        if self.top_layers is not None:
            method = top_layers(method, self.top_layers, base.config)
        rate, epochs = default_rate_epochs(method.name, "")
        settings = Settings(
            rate=rate if self.rate is None else self.rate,
            epochs=epochs if self.epochs is None else self.epochs,
            batch_size=self.batch_size,
            seed=int(self.random_state),
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
            class_weights=self._class_weights(),
            threads=self.threads,
            on_report=progress,
        )
        self.task_, self.epochs_ = trained.task, trained.epochs

    def _class_weights(self) -> str | list[float] | None:
        """As `train_task` takes them; scikit-learn's {label: weight}, by class number."""
        if not isinstance(self.class_weight, Mapping):
            return self.class_weight
        if strange := self.class_weight.keys() - set(self.classes_):
            raise BadInput(f"class_weight has {min(strange)!r}, which is no label")
        return [float(self.class_weight.get(label, 1)) for label in self.classes_]

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
        estimator = cls(name, method=task.method.name, max_length=task.max_length)
        estimator._restore(task)
        return estimator

    def _restore(self, task: TaskFile) -> None:
        self.task_ = task

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: a base that was given as one is left where it is."""
        state = dict(super().__getstate__())
        if isinstance(state["base"], Base):
            state["base"] = state["base"].folder
        return state

    def __sklearn_tags__(self) -> Any:
        """For scikit-learn: texts go in, not numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


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

    base: a model name or folder; method, size, top_layers: what is trained (as `minibert train`);
    rate, epochs: None for those that suit the method; class_weight: None, "balanced" or {label:
    weight}; dev_share: the part of the examples that chooses the best epoch (0: the training
    examples do); stop_after: end after so many epochs without gain; random_state: seed of all
    randomness.

    >>> model = AdapterClassifier(epochs=3).fit(texts, labels)   # doctest: +SKIP
    >>> model.predict(["What a lovely day."])                    # doctest: +SKIP

    After `fit`: classes_ [C], task_ (a `TaskFile`), epochs_ (the dev scores of each epoch).
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts [n] (see `as_texts`) and labels [n]. Raises BadInput, a ValueError."""
        texts, labels = _checked(X, y)
        check_classification_targets(labels)
        missing = [i for i, label in enumerate(labels) if label is None or label != label]
        if missing:
            raise BadInput(f"label {missing[0]} is missing ({labels[missing[0]]})")
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise BadInput(f"the labels have 1 class ({self.classes_[0]}); 2 are needed")
        names = tuple(map(str, self.classes_))
        metrics = ("accuracy", "macro_f1", "f1") if len(names) == 2 else ("accuracy", "macro_f1")
        task = Task("task", "", _text_columns(texts), "label", names, names, metrics)
        self._train(texts, [int(n) for n in numbers], task)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class of each text: [n], of the labels' own type."""
        check_is_fitted(self, "task_")
        return self.classes_[self._logits(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class: float64 [n, C], in the order of `classes_`."""
        return probabilities(self._logits(X).astype(np.float64))

    def _restore(self, task: TaskFile) -> None:
        """Labels that are spelled like integers come back as integers."""
        super()._restore(task)
        names = task.task.names
        numbers = all(
            name.removeprefix("-").isdecimal() and str(int(name)) == name for name in names
        )
        self.classes_ = np.array([int(name) for name in names] if numbers else names)


class AdapterRegressor(RegressorMixin, _AdapterEstimator):
    """A regression of scores on texts: adapters on a frozen BERT. The arguments are those of
    `AdapterClassifier`, without class_weight."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts [n] (see `as_texts`) and scores [n]. Raises BadInput, a ValueError."""
        texts, scores = _checked(X, y)
        try:
            scores = scores.astype(np.float64)
        except (TypeError, ValueError):
            raise BadInput("the scores must be numbers") from None
        if not np.isfinite(scores).all():
            raise BadInput(f"score {int(np.argmin(np.isfinite(scores)))} is NaN or infinity")
        task = Task("task", "", _text_columns(texts), "label", metrics=("pearson", "spearman"))
        self._train(texts, scores.tolist(), task)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The score of each text: float64 [n], in the units of those it was trained on."""
        return self._logits(X)[:, 0].astype(np.float64)
