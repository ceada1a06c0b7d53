"""The estimator that trains nothing: texts to sentence vectors."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from adapters.embed import embed_texts
from adapters.estimators.texts import BadInput, as_texts, shared_base, text_tags, without_base
from minibert.checkpoint import Base


class SentenceEmbedder(TransformerMixin, BaseEstimator):
    """Texts to a base's sentence vectors, a step of a pipeline; nothing is trained.

    The arguments are those of `adapters.embed_texts`.

    >>> model = make_pipeline(SentenceEmbedder(), LogisticRegression())   # doctest: +SKIP
    """

    def __init__(
        self,
        base: Base | Path | str = "minilm",
        *,
        pooling: str = "mean",
        normalize: bool = False,
        max_length: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.base = base
        self.pooling = pooling
        self.normalize = normalize
        self.max_length = max_length
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> Self:
        """Nothing to learn; the texts are looked at. Raises BadInput, a ValueError."""
        _single(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The vectors of the texts: float32 [n, D]."""
        base, texts = shared_base(self.base), _single(X)
        return embed_texts(base, texts, self.pooling, self.normalize, self.max_length, self.threads)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: a base that was given as one is left where it is."""
        return without_base(dict(super().__getstate__()))

    def __sklearn_tags__(self) -> Any:
        """For scikit-learn: texts go in, and `fit` needs no labels."""
        tags = text_tags(super().__sklearn_tags__())
        tags.requires_fit = False
        return tags


def _single(texts: Any) -> list[str]:
    """The texts, if none is a pair."""
    found = as_texts(texts)
    if any(not isinstance(text, str) for text in found):
        raise BadInput("single texts have vectors, not pairs")
    return [str(text) for text in found]
