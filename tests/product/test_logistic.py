"""Logistic regression by hand, held to scikit-learn's and to what a minimum is."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from adapters.logistic import fit_logistic


def drawn(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [n, d] off the origin and of unequal scales, and classes that lean on them."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, d)) + 0.5) * np.linspace(0.1, 3, d)
    return x, (x @ rng.standard_normal(d) + rng.standard_normal(n) > 0.3).astype(int)


@pytest.mark.parametrize("n, d, penalty", [(60, 3, 1.0), (50, 80, 0.1), (400, 20, 5.0)])
def test_it_is_scikit_learns(n, d, penalty):
    x, y = drawn(n, d, seed=n)
    ours = fit_logistic(x, y, penalty)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10_000).fit(x, y)
    # theirs stops where its loss no longer changes in float64
    np.testing.assert_allclose(ours.weight, theirs.coef_[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.bias, theirs.intercept_[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.probability(x), theirs.predict_proba(x)[:, 1], atol=1e-6)


def test_no_direction_leads_further_down():
    """The loss as it is defined, one example at a time, by differences in every direction."""
    x, y = drawn(40, 4, seed=1)
    found = fit_logistic(x.astype(np.float32), y, penalty=0.5)
    assert found.weight.dtype == np.float64
    x = x.astype(np.float32).astype(np.float64)

    def loss(u):
        scores = [sum(a * b for a, b in zip(row, u[:-1], strict=True)) + u[-1] for row in x]
        chances = [1 / (1 + np.exp(-score)) for score in scores]
        surprise = [-np.log(p if c else 1 - p) for p, c in zip(chances, y, strict=True)]
        return sum(surprise) + 0.5 / 2 * sum(w**2 for w in u[:-1])

    u = np.append(found.weight, found.bias)
    for i in range(len(u)):
        shift = 1e-4 * np.eye(len(u))[i]
        assert loss(u + shift) > loss(u) < loss(u - shift)
        assert abs(loss(u + shift) - loss(u - shift)) / 2e-4 < 1e-5


def test_classes_far_apart_and_vectors_far_out_are_no_trouble():
    """The first Newton step would overshoot, and exp would overflow."""
    x = np.array([[-1e4], [-9e3], [9e3], [1e4]])
    found = fit_logistic(x, np.array([0, 0, 1, 1]), penalty=1e-3)
    np.testing.assert_allclose(found.probability(x), [0, 0, 1, 1], atol=1e-2)
    far = found.probability(np.array([[-1e9], [1e9]]))
    assert far.tolist() == [0, 1]


@pytest.mark.parametrize("classes, penalty", [([0, 0, 0], 1.0), ([0, 1, 2], 1.0), ([0, 1, 1], 0.0)])
def test_what_has_no_minimum_is_refused(classes, penalty):
    with pytest.raises(ValueError, match="needs classes 0 and 1, and a penalty above 0"):
        fit_logistic(np.eye(3), np.array(classes), penalty)
