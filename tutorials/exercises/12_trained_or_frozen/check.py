"""What the split of exercise 12 must do. The oracle is a table of paths, written out by hand."""

import numpy as np

from adapters.exercises.assertions import Wrong, same, untouched

MAP = ("weight", "bias")


def tree_of(paths):
    """{"a.0.b": array} -> nested dicts, the layers' numbers as ints."""
    tree = {}
    for path, array in paths.items():
        *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        node = tree
        for key in way:
            node = node.setdefault(key, {})
        node[last] = array
    return tree


def paths_of(tree, prefix=""):
    """The inverse of `tree_of`; an empty dict counts as a leaf."""
    paths = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        inner = isinstance(value, dict) and value
        paths |= paths_of(value, path + ".") if inner else {path: value}
    return paths


def model(layers=2):
    """The paths of a small model: {path: whether the paper trains it}."""
    trained = {f"base.embeddings.{name}": False for name in ("word", "position", "segment")}

    def linear(path, train):
        trained.update({f"{path}.{name}": train for name in MAP})

    linear("base.embeddings.norm", True)
    for layer in range(layers):
        for name in ("query", "key", "value", "output"):
            linear(f"base.layers.{layer}.attention.{name}", False)
        linear(f"base.layers.{layer}.attention.norm", True)
        for name in ("inner", "output"):
            linear(f"base.layers.{layer}.feed_forward.{name}", False)
        linear(f"base.layers.{layer}.feed_forward.norm", True)
        for place in ("attention", "feed_forward"):
            for name in ("down", "up"):
                linear(f"adapters.{layer}.{place}.{name}", True)
    linear("base.pooler", False)
    linear("head", True)
    return trained


def numbered(paths):
    """Each path with an array of its own."""
    return {path: np.full(2, i, np.float32) for i, path in enumerate(paths)}


def compare(got, paths, trains, what, why=lambda path: ""):
    """Raise Wrong unless the two trees hold these paths, each in the tree where it belongs."""
    pair = isinstance(got, list | tuple) and len(got) == 2
    if not pair or not all(isinstance(tree, dict) for tree in got):
        raise Wrong(f"{what} should be two dicts, (trained, frozen): is that what you return?")
    found = [paths_of(tree) for tree in got]
    untrained = {path for path in paths if not trains(path)}
    if set(found[0]) == untrained and set(found[1]) == set(paths) - untrained:
        raise Wrong(f"{what}: the two trees are swapped, trained comes first")
    for path in paths:
        trained, frozen = (path in part for part in found)
        should = trains(path)
        if trained and frozen:
            raise Wrong(f"{what}: {path} is in both trees; each leaf belongs in exactly one")
        if not trained and not frozen:
            raise Wrong(f"{what}: {path} is in neither tree")
        if trained != should:
            words = ("trained", "frozen") if should else ("frozen", "trained")
            raise Wrong(f"{what}: {path} should be {words[0]}, but is {words[1]}{why(path)}")
    for name, tree, part in zip(("trained", "frozen"), got, found, strict=True):
        if empty := [path for path, value in part.items() if isinstance(value, dict)]:
            raise Wrong(f"{what}: {name} has an empty dict at {empty[0]}; leave it out")
        wanted = {path: array for path, array in paths.items() if path in part}
        if tree and set(tree) == set(wanted) != set(tree_of(wanted)):
            raise Wrong(f"{what}: {name} is a flat dict of paths; it should be nested like `tree`")
        same(tree, tree_of(wanted), f"{name} of {what}", 0.0)


def by_the_paper(path):
    """Why this leaf belongs in the other tree, by the paper's method."""
    if path.startswith("head."):
        return (
            ": the head starts from random numbers and knows nothing about the task until trained"
        )
    if path.startswith("base.embeddings.norm."):
        return ": the embeddings have a LayerNorm, too, and the paper trains every one"
    if ".norm." in path:
        return ": the paper trains every LayerNorm"
    if path.startswith("base."):
        return ": that is the base, which all tasks share; only its LayerNorms are trained"
    return ""


def check_each_leaf_is_in_the_tree_where_it_belongs(student):
    """A leaf is trained if a pattern matches its path; every other leaf is frozen."""
    paths = numbered(model())
    for patterns, trains in (
        ([r"head\."], lambda path: path.startswith("head.")),
        (
            [r"adapters\.1\.", r"base\.pooler\."],
            lambda path: path.startswith(("adapters.1.", "base.pooler.")),
        ),
        ([r".*bias"], lambda path: path.endswith("bias")),
    ):
        got = student.split(tree_of(paths), patterns)
        compare(got, paths, trains, f"split(tree, {patterns})")


def check_a_pattern_begins_at_the_path_s_beginning(student):
    """A pattern must match from the path's beginning; it is not searched for within the path."""
    paths = numbered(["head.weight", "base.head.weight", "base.masked_head.weight"])
    got = student.split(tree_of(paths), [r"head\."])
    try:
        compare(got, paths, lambda path: path == "head.weight", r"split(tree, ['head\\.'])")
    except Wrong as error:
        raise Wrong(
            f"{error}\nre.match starts at the beginning of the path, re.search anywhere"
        ) from None


def check_all_or_nothing_leaves_an_empty_dict(student):
    """With no patterns nothing is trained; with one that matches all, nothing is frozen."""
    paths = numbered(model(layers=1))
    for patterns, all_trained in (([], False), ([r""], True)):
        got = student.split(tree_of(paths), patterns)
        compare(got, paths, lambda path, every=all_trained: every, f"split(tree, {patterns})")


def check_the_tree_stays_as_it_is(student):
    """The tree itself is not changed."""
    tree = tree_of(numbered(model(layers=1)))
    with untouched(tree=tree):
        student.split(tree, [r"head\."])


def check_the_paper_s_patterns_are_the_paper_s_method(student):
    """The patterns train the adapters, every LayerNorm and the head, and nothing else."""
    patterns = student.paper_patterns()
    if not isinstance(patterns, list | tuple) or not all(isinstance(p, str) for p in patterns):
        raise Wrong("paper_patterns() should be a list of strings: is the return missing?")
    expected = model(layers=12)
    paths = numbered(expected)
    got = student.split(tree_of(paths), patterns)
    compare(got, paths, expected.get, "split(tree, paper_patterns())", by_the_paper)
