"""Logistic regression of two classes: what frozen vectors tell without any training of a network.

With x_i a vector, y_i its class (0 or 1) and p_i = 1 / (1 + exp(-(x_i w + b))), it minimises

    sum_i -log p(y_i) + penalty/2 |w|^2

(scikit-learn's LogisticRegression with C = 1 / penalty). The bias b bears no penalty. By Newton's
method, which on this loss is iteratively reweighted least squares (Bishop 2006, section 4.3.3).
With X~ the vectors and a column of ones, u = (w, b), and P a diagonal of the penalties, b's 0:

    gradient  X~' (p - y) + P u        Hessian  X~' diag(p (1 - p)) X~ + P
"""

from dataclasses import dataclass

import numpy as np

STEPS = 100  # some ten are enough


@dataclass(frozen=True)
class Logistic:
    """weight [D] and bias, in float64."""

    weight: np.ndarray
    bias: float

    def probability(self, vectors: np.ndarray) -> np.ndarray:
        """Of class 1, for each vector. [n, D] -> [n]"""
        return _sigmoid(vectors @ self.weight + self.bias)


def fit_logistic(vectors: np.ndarray, classes: np.ndarray, penalty: float = 1.0) -> Logistic:
    """The minimum, computed in float64. vectors [n, D], as they are: none is scaled; classes [n],
    each 0 or 1. Raises ValueError unless both classes and a penalty above 0 are there, without
    which there is no minimum, or when the steps do not get there."""
    y = np.asarray(classes, np.float64)
    if set(y.tolist()) != {0.0, 1.0} or not penalty > 0:
        raise ValueError("logistic regression needs classes 0 and 1, and a penalty above 0")
    x = np.column_stack([np.asarray(vectors, np.float64), np.ones(len(y))])
    diagonal = np.append(np.full(x.shape[1] - 1, float(penalty)), 0.0)
    u = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = _sigmoid(x @ u)
        gradient = x.T @ (p - y) + diagonal * u
        if np.abs(gradient).max() < 1e-8 * len(y):
            return Logistic(u[:-1], float(u[-1]))
        hessian = (x.T * (p * (1 - p))) @ x + np.diag(diagonal)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        while size > 1e-6 and _loss(x, y, diagonal, u - size * step) > _loss(x, y, diagonal, u):
            size /= 2  # Newton's step may be too long while the minimum is far away
        u = u - size * step
    raise ValueError(f"logistic regression has not converged in {STEPS} steps")


def _loss(x: np.ndarray, y: np.ndarray, diagonal: np.ndarray, u: np.ndarray) -> float:
    scores = x @ u
    return float(np.sum(np.logaddexp(0, scores) - y * scores) + diagonal @ u**2 / 2)


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-s)), which does not overflow in this form."""
    return np.exp(-np.logaddexp(0, -scores))
