"""The goldens of the tiny BERT as our batches, trees and gradients, for all tests of parity.

They were computed by transformers and AdapterHub on torch; `tests/goldens/README.md` says how.
"""

from typing import Any

import numpy as np
import pytest

from minibert.batch import Batch, make_batch
from minibert.checkpoint import Base, our_path
from minibert.parameters import cast
from minibert.tensors import as_stored
from minibert.tokenizer import Encoded
from minibert.tree import Tree, from_leaves, merge

# (the goldens' prefix, dtype, tolerance). In float64 two libraries differ by the order of their
# sums alone.
PRECISIONS = [
    pytest.param("f64", np.float64, 1e-9, id="float64"),
    pytest.param("f32", np.float32, 2e-5, id="float32"),
]


def golden_texts(goldens: dict[str, np.ndarray]) -> list[Encoded]:
    """The six texts and pairs, as the tokenizers of transformers encode them."""
    ends = np.cumsum(goldens["lengths"])[:-1]
    pieces = zip(np.split(goldens["ids"], ends), np.split(goldens["segments"], ends), strict=True)
    return [Encoded(ids, segments) for ids, segments in pieces]


def golden_batch(goldens: dict[str, np.ndarray]) -> Batch:
    """All of them in one batch."""
    return make_batch(golden_texts(goldens))


def golden_tree(tiny: Base, goldens: dict[str, np.ndarray], adapters: bool, dtype: Any) -> Tree:
    """The tiny BERT with the goldens' head, and with their adapters if asked for."""
    named = {f"head.{n}": goldens[f"head.{n}"] for n in ("weight", "bias")}
    if adapters:
        prefix = "adapter/"
        named |= {
            f"adapters.{key.removeprefix(prefix)}": value
            for key, value in goldens.items()
            if key.startswith(prefix)
        }
    own = from_leaves({path: as_stored(path, value) for path, value in named.items()})
    return cast(merge({"base": tiny.params}, own), dtype)


def golden_gradients(
    goldens: dict[str, np.ndarray], prefix: str, method: str
) -> dict[str, np.ndarray]:
    """{path in our tree: gradient} of all that the method trains; weights are [out, in] as torch
    has them."""
    start = f"{prefix}/grad/{method}/"
    return {
        _path(key.removeprefix(start)): gradient
        for key, gradient in goldens.items()
        if key.startswith(start)
    }


def _path(name: str) -> str:
    """Where a golden's tensor is in our tree: in the head, in an adapter, or in the base."""
    if name.startswith("head."):
        return name
    return f"adapters.{name}" if name[0].isdigit() else f"base.{our_path(name)}"


def compare_gradients(grads: dict, theirs: dict, dtype: Any, tolerance: float) -> None:
    """Ours, [in, out], against theirs, [out, in]: the same leaves, of this type and near enough."""
    assert grads.keys() == theirs.keys()
    for path, gradient in grads.items():
        assert gradient.dtype == dtype, path
        # absolute for small gradients, relative to the leaf's largest for large ones
        scale = max(1.0, float(np.abs(theirs[path]).max()))
        np.testing.assert_allclose(
            gradient, as_stored(path, theirs[path]), rtol=0, atol=tolerance * scale, err_msg=path
        )
