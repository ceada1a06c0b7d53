"""What the estimators that train adapters share: from texts and labels to a task, and its files."""

from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from adapters.estimators.texts import BadInput, as_texts, shared_base, text_tags, without_base
from adapters.fast import fast_method, fast_stop
from adapters.finetune import train_task
from adapters.methods.table import method_named, top_layers
from adapters.predict import predict_texts
from adapters.progress import Progress
from adapters.recipes import default_rate_epochs, enough_epochs
from adapters.task_file import TaskFile, load_task, on_base, save_task
from adapters.train_data import split_dev
from minibert.checkpoint import Base
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError
from minibert.tokenizer import Text
from minibert.training.schedule import Settings


class AdapterEstimator(BaseEstimator):
    """What the classifier and the regressor share. Every argument is one of `__init__`, as
    scikit-learn wants it; the classifier explains them."""

    def __init__(
        self,
        base: Base | Path | str = "minilm",
        *,
        method: str = "adapters",
        size: int | None = None,
        top_layers: int | None = None,
        fast: bool = False,
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
        self.fast = fast
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
        elif self.fast:
            method = fast_method(method, base.config)
        seed = _seed(self.random_state)
        examples = [Example(text, label) for text, label in zip(texts, labels, strict=True)]
        data = Data(task, examples, examples, "the texts given to fit")
        if self.dev_share:
            data = split_dev(data, self.dev_share, seed)
        rate, epochs = default_rate_epochs(method.name, "", base.sha256)
        epochs = enough_epochs(epochs, len(data.train), self.batch_size)
        epochs = epochs if self.epochs is None else self.epochs
        settings = Settings(
            rate=rate if self.rate is None else self.rate,
            epochs=epochs,
            batch_size=self.batch_size,
            seed=seed,
            stop_after=fast_stop(self.stop_after, epochs) if self.fast else self.stop_after,
        )
        progress = Progress(type(self).__name__, task)
        try:
            trained = train_task(
                base,
                data,
                method,
                settings,
                max_length=self.max_length,
                class_weights=class_weights,
                pooling=self.pooling,
                threads=self.threads,
                on_report=progress if self.verbose else lambda report: None,
            )
        finally:
            progress.close()
        return trained.task, trained.epochs

    def _logits(self, texts: Any) -> np.ndarray:
        check_is_fitted(self, "task_")
        found = as_texts(texts)
        if not found:
            raise BadInput("found array with 0 samples: at least one text is needed")
        pairs = self.task_.task.pairs
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
        """An estimator from a task file; `base` if it cannot be found by the name in the file. To
        fit it or its clone again trains the same method, size, top layers, pooling and max_length.
        All other arguments are the defaults; activation, variant and frozen LayerNorms are lost.

        Raises InputError for a file that is damaged, of another base, or of another kind.
        """
        task = load_task(path)
        if task.task.regression != issubclass(cls, RegressorMixin):
            raise BadInput(
                f"{path}: is a task of {'scores' if task.task.regression else 'classes'}"
            )
        name, method = task.base_model if base is None else base, task.method
        layers = on_base(task, shared_base(name), path).base.config.num_hidden_layers
        top = method.first_layer > 0 and method.last_layer is None
        estimator = cls(
            name,
            method=method.name,
            size=method.size,
            top_layers=layers - method.first_layer if top else None,
            pooling=task.pooling,
            max_length=task.max_length,
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


def _seed(random_state: Any) -> int:
    """A seed from what scikit-learn allows: an integer, a RandomState, or None for any."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def text_columns(texts: list[Text]) -> tuple[str, ...]:
    """The text columns of a task on these texts."""
    return ("text",) if isinstance(texts[0], str) else ("text", "second")


def checked(texts: Any, labels: Any) -> tuple[list[Text], np.ndarray]:
    """Texts and labels of one length, at least one."""
    if labels is None:
        raise BadInput("requires y to be passed, but the target y is None")
    found = as_texts(texts)
    if not found:
        raise BadInput("found array with 0 samples: at least one text is needed")
    given = column_or_1d(labels, warn=True)
    check_consistent_length(found, given)
    return found, given
