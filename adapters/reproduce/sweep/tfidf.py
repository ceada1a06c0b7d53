"""Table 2's row without BERT: TF-IDF and logistic regression, chosen on the development examples.

The paper's is a search by AutoML over architectures of its own; this is what most people would try
first, and often enough. Needs scikit-learn.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from adapters.reproduce.sweep.answers import packed
from minibert.data.tasks import Data, Example, constant_score
from minibert.errors import InputError

WORDS = (1, 2)  # n-grams of words; a mark by itself is a word, as in BERT's vocabulary
WORD = r"(?u)\w+|[^\w\s]"
CHARACTERS = (2, 5)  # n-grams of characters, within words
FEATURES = ("words", "words and characters")
COSTS = (1.0, 4.0, 16.0, 64.0)  # C, the inverse of the penalty
STEPS = 1000


class Fit(NamedTuple):
    """One try: what it was made of, its classes of the test examples, its accuracies."""

    features: str
    cost: float
    answers: np.ndarray  # [B], class numbers
    dev: float
    test: float


def check_installed() -> None:
    """Raise InputError where scikit-learn is missing."""
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise InputError(
            "table2's row without BERT needs: pip install 'minibert-adapters[sklearn]'"
        ) from None


def tfidf(data: Data, test: Sequence[Example]) -> dict[str, Any]:
    """The run: every kind of features with every C, the first of the best on `data.dev` scored on
    `test`. There is no chance in it, hence no seed."""
    fits = list(_fits(data, test))
    best = max(fits, key=lambda fit: fit.dev)
    return {
        "test": {"accuracy": best.test},
        "answers": packed(best.answers),
        "validation": [{"accuracy": fit.dev} for fit in fits],
        "features": best.features,
        "cost": best.cost,
        "constant": constant_score(data.task, data.train, test),
        "examples": [len(data.train), len(data.dev), len(test)],
    }


def _fits(data: Data, test: Sequence[Example]) -> Iterator[Fit]:
    from sklearn.linear_model import LogisticRegression

    parts = (data.train, data.dev, test)
    train, dev, held = (np.array([example.label for example in part]) for part in parts)
    for features in FEATURES:
        vectorizer = _vectorizer(features)
        x = vectorizer.fit_transform([example.text for example in data.train])
        x_dev, x_test = (vectorizer.transform([e.text for e in part]) for part in (data.dev, test))
        for cost in COSTS:
            model = LogisticRegression(C=cost, max_iter=STEPS).fit(x, train)
            answers = model.predict(x_test)
            accuracies = (np.mean(model.predict(x_dev) == dev), np.mean(answers == held))
            yield Fit(features, cost, answers, *map(float, accuracies))


def _vectorizer(features: str) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    words = TfidfVectorizer(ngram_range=WORDS, token_pattern=WORD, sublinear_tf=True)
    if features == FEATURES[0]:
        return words
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=CHARACTERS, sublinear_tf=True)
    return make_union(words, characters)
