"""Parameters are nested dicts with arrays at the leaves; these functions flatten, rebuild,
transform, merge, split and count them.

A *path* is the dotted way to a leaf: `layers.3.attention.query.weight`. Layer numbers are int
keys, so that `params["layers"][3]` reads naturally. A tree may be sparse: the trained
LayerNorms alone are a tree too, and `merge` lays them over the frozen rest.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Tree = dict[Any, Any]


def leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, array) for every leaf, in the tree's own order."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from leaves(value, path + ".")
        else:
            yield path, value


def from_leaves(pairs: "dict[str, Any] | Iterator[tuple[str, Any]]") -> Tree:
    """The inverse of `leaves`: {path: array} -> nested dicts, all-digit keys as int."""
    tree: Tree = {}
    for path, value in dict(pairs).items():
        *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        node = tree
        for key in way:
            node = node.setdefault(key, {})
        node[last] = value
    return tree


def transform(fn: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """A tree of fn(leaf, leaf of the 2nd tree, ...); the trees have the same paths."""
    return {
        key: transform(fn, value, *(r[key] for r in rest))
        if isinstance(value, dict)
        else fn(value, *(r[key] for r in rest))
        for key, value in tree.items()
    }


def merge(lower: Tree, upper: Tree) -> Tree:
    """`lower` with the leaves of `upper` laid over it. Copies dicts, never an array."""
    merged = dict(lower)
    for key, value in upper.items():
        both_dicts = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both_dicts else value
    return merged


def partition(tree: Tree, chosen: Callable[[str], bool]) -> tuple[Tree, Tree]:
    """Split a tree by its paths: (leaves where chosen(path), all the others)."""
    picked: Tree = {}
    others: Tree = {}
    for path, value in leaves(tree):
        (picked if chosen(path) else others)[path] = value
    return from_leaves(picked), from_leaves(others)


def count(tree: Tree) -> int:
    """The number of parameters: the sum of all leaf sizes."""
    return sum(int(np.size(value)) for _, value in leaves(tree))
