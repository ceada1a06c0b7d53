"""The estimator of scores."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from adapters.estimators.texts import BadInput
from adapters.estimators.training import AdapterEstimator, checked, text_columns
from minibert.data.own import SCORE_METRICS
from minibert.data.tasks import Task


class AdapterRegressor(RegressorMixin, AdapterEstimator):
    """A regression of scores on texts: adapters on a frozen BERT. The arguments are those of
    `AdapterClassifier`; there are no classes, so class_weight must be None."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts [n] (see `as_texts`) and scores [n]. Raises BadInput, a ValueError."""
        texts, scores = checked(X, y)
        try:
            scores = scores.astype(np.float64)
        except (TypeError, ValueError):
            raise BadInput("the scores must be numbers") from None
        if not np.isfinite(scores).all():
            raise BadInput(f"score {int(np.argmin(np.isfinite(scores)))} is NaN or infinity")
        if self.class_weight is not None:
            raise BadInput("class_weight is for classes, not for scores")
        task = Task("task", "", text_columns(texts), "label", metrics=SCORE_METRICS)
        self._train(texts, scores.tolist(), task)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The score of each text: float64 [n], in the units of those it was trained on."""
        return self._logits(X)[:, 0].astype(np.float64)
