"""Goldens of the metrics (scikit-learn, SciPy) and of the activation functions (torch)."""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch.nn import functional

Case = dict[str, Any]

# ----------------------------------------------------------------------------- metrics


def make_metrics(out: Path) -> None:
    """Write metrics.json: {"classification": [case, ...], "regression": [case, ...]}."""
    rng = np.random.default_rng(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the degenerate cases, which are on purpose
        goldens = {
            "classification": [classified(*case) for case in label_cases(rng)],
            "regression": [correlated(*case) for case in score_cases(rng)],
        }
    lines = [
        f' "{kind}": [\n' + ",\n".join("  " + json.dumps(case) for case in cases) + "\n ]"
        for kind, cases in goldens.items()
    ]
    (out / "metrics.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    for kind, cases in goldens.items():
        print(f"{kind}: {len(cases)} cases")


def label_cases(rng: np.random.Generator) -> list[tuple[str, list[int], list[int]]]:
    """(name, predictions, labels): random ones, better than chance, and degenerate ones."""
    cases = []
    for size in (2, 7, 50, 277):
        labels = rng.integers(0, 2, size)
        wrong = rng.random(size) < 0.3
        cases.append((f"random {size}", np.where(wrong, 1 - labels, labels), labels))
    for size in (9, 120):
        labels = rng.integers(0, 3, size)
        wrong = rng.random(size) < 0.4
        guesses = np.where(wrong, rng.integers(0, 3, size), labels)
        cases.append((f"three classes {size}", guesses, labels))
    mixed = rng.integers(0, 2, 20)
    zeros, ones = np.zeros(20, int), np.ones(20, int)
    cases += [
        ("skewed", (rng.random(200) < 0.1).astype(int), (rng.random(200) < 0.05).astype(int)),
        ("perfect", mixed, mixed),
        ("anti-perfect", 1 - mixed, mixed),
        ("all predicted 0", zeros, mixed),
        ("all predicted 1", ones, mixed),
        ("all labels 0", mixed, zeros),
        ("all labels 1", mixed, ones),
        ("all 0 and right", zeros, zeros),
        ("all 1 and right", ones, ones),
        ("all 0 and wrong", zeros, ones),
        ("all 1 and wrong", ones, zeros),
        ("one right", np.array([1]), np.array([1])),
        ("one wrong", np.array([1]), np.array([0])),
    ]
    return [(name, guesses.tolist(), labels.tolist()) for name, guesses, labels in cases]


def classified(name: str, predictions: list[int], labels: list[int]) -> Case:
    """scikit-learn's figures; F1 is of class 1. Of three classes the accuracy only."""
    binary = max(predictions + labels) < 2
    return {
        "name": name,
        "predictions": predictions,
        "labels": labels,
        "accuracy": float(accuracy_score(labels, predictions)),
        "matthews": float(matthews_corrcoef(labels, predictions)) if binary else None,
        "f1": float(f1_score(labels, predictions, zero_division=0)) if binary else None,
    }


def score_cases(rng: np.random.Generator) -> list[tuple[str, list[float], list[float]]]:
    """(name, predictions, labels): random scores with and without ties, and degenerate ones."""
    cases = []
    for size in (2, 5, 40, 300):
        labels = rng.uniform(0, 5, size)
        cases.append((f"random {size}", labels + rng.normal(0, 1, size), labels))
    for size in (6, 60, 200):
        labels = rng.integers(0, 11, size) / 2
        guesses = np.round(labels + rng.normal(0, 1, size))
        cases.append((f"ties {size}", guesses, labels))
    scores = np.round(rng.uniform(0, 5, 15), 1)
    constant = np.full(15, 2.5)
    cases += [
        ("perfect", scores, scores),
        ("anti-perfect", 5 - scores, scores),
        ("monotone, not linear", np.exp(scores), scores),
        ("large offset", 1e6 + 1e-3 * scores, scores),
        ("constant prediction", constant, scores),
        ("constant labels", scores, constant),
        ("both constant", constant, constant),
    ]
    return [(name, guesses.tolist(), labels.tolist()) for name, guesses, labels in cases]


def correlated(name: str, predictions: list[float], labels: list[float]) -> Case:
    """SciPy's correlations; null where there is none."""
    pearson, spearman = pearsonr(predictions, labels), spearmanr(predictions, labels)
    return {
        "name": name,
        "predictions": predictions,
        "labels": labels,
        "pearson": number_or_null(pearson.statistic),
        "spearman": number_or_null(spearman.statistic),
    }


def number_or_null(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)


# ----------------------------------------------------------------------------- activations

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "tanh": torch.tanh,
    "silu": functional.silu,
}


def make_activations(out: Path) -> None:
    """Write activations.npz: x, and value/NAME and grad/NAME at x, all float64."""
    tiny = [10.0**-k for k in (2, 4, 8, 16, 30, 100, 300)]
    x = np.sort(np.array([*np.linspace(-12, 12, 401), *tiny, *(-t for t in tiny), -0.0]))
    arrays = {"x": x}
    for name, function in ACTIVATIONS.items():
        leaf = torch.tensor(x, requires_grad=True)
        value = function(leaf)
        value.sum().backward()
        arrays |= {f"value/{name}": value.detach().numpy(), f"grad/{name}": leaf.grad.numpy()}
    assert all(np.isfinite(array).all() for array in arrays.values())
    np.savez_compressed(out / "activations.npz", **arrays)
    print(f"{len(x)} points")
