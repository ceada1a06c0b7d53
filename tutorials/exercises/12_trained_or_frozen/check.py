"""What the split of exercise 12 must do. The oracle is a table of paths, written out by hand."""

import re

import numpy as np

from adapters.exercises.assertions import Wrong, same, untouched

MAP = ("weight", "bias")


def tree_of(paths):
    """{"a.0.b": array} -> nested dicts, the layers' numbers as ints; with arrays of their own, as a
    student's function may change its own."""
    tree = {}
    for path, array in paths.items():
        *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        node = tree
        for key in way:
            node = node.setdefault(key, {})
        node[last] = np.array(array)
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


def numbered(paths, size=2):
    """Each path with an array of its own."""
    return {path: np.full(size, i, np.float32) for i, path in enumerate(paths)}


def mistakes(patterns):
    """[(a wrong rule for what is trained, what it means)]"""

    def any_of(matches, of=lambda path: path):
        return lambda path: any(matches(pattern, of(path)) for pattern in patterns)

    def key(path):
        return path.rpartition(".")[2]

    return [
        (
            lambda path: False,
            "No pattern matched anything: what your code matches should be the leaf's whole path, "
            "its keys joined by dots, and the pattern is a regular expression, re.match(pattern, "
            "path)",
        ),
        (
            any_of(re.match, key),
            "That matches the last key alone; a pattern is for the whole path, base.pooler.bias",
        ),
        (
            any_of(lambda pattern, path: path.startswith(pattern)),
            "A pattern is a regular expression, re.match(pattern, path), not plain text",
        ),
        (
            any_of(lambda pattern, path: pattern in path),
            "A pattern is a regular expression, re.match(pattern, path), not plain text",
        ),
        (
            any_of(re.fullmatch),
            "A pattern need not match all of the path, only from its beginning: re.match",
        ),
        (any_of(re.search), "re.match starts at the beginning of the path, re.search anywhere"),
        (
            lambda path: all(re.match(pattern, path) for pattern in patterns),
            "One pattern that matches is enough: any, not all",
        ),
        (
            lambda path: patterns and re.match(patterns[0], path),
            "Only the first pattern counts there; any of them may match",
        ),
        (
            lambda path: patterns and re.match(patterns[-1], path),
            "Only the last pattern counts there; any of them may match",
        ),
        (any_of(re.match, lambda path: "." + path), "The path begins with a dot there"),
        (
            any_of(re.match, lambda path: path.replace(".", "")),
            "The keys of a path are joined by dots: are they missing?",
        ),
        (
            any_of(re.match, lambda path: path.replace(".", "/")),
            "The keys of a path are joined by dots, not by slashes",
        ),
        (
            any_of(re.match, lambda path: path + "."),
            "A path has no dot at its end: a leaf's path is base.pooler.bias",
        ),
        (
            any_of(re.match, lambda path: path.partition(".")[0]),
            "That matches the first key alone; the pattern is for the whole path of a leaf",
        ),
        (
            any_of(re.match, lambda path: ".".join(path.split(".")[-2:])),
            "That matches the last two keys alone: the path so far must be passed on to the end",
        ),
        (
            lambda path: any_of(re.match)(path) == (len(path.split(".")) % 2 == 0),
            "The two trees are swapped at every level: return trained, frozen",
        ),
        (lambda path: True, "Everything is trained there: is the path that is matched right?"),
    ]


def compare(got, paths, trains, what, why=lambda path: "", patterns=None):
    """Raise Wrong unless the two trees hold these paths, each in the tree where it belongs. With
    `patterns`, a wrong rule that puts every leaf where it is now is named."""
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
            flat = path.rpartition(".")[2] in found[0].keys() | found[1].keys()
            long = any(key.endswith(f".{path}") for part in found for key in part)
            if flat or long:
                raise Wrong(
                    f"{what}: {path} is not where it should be. The two trees have the same keys "
                    "and the same nesting as `tree`: a key is one part of the path, and what the "
                    "recursion returns goes under that key"
                )
            raise Wrong(f"{what}: {path} is in neither tree")
        if trained != should:
            words = ("trained", "frozen") if should else ("frozen", "trained")
            wrong = f"{what}: {path} should be {words[0]}, but is {words[1]}{why(path)}"
            raise Wrong(wrong, _rule(found[0], paths, patterns))
    for name, tree, part in zip(("trained", "frozen"), got, found, strict=True):
        if empty := [path for path, value in part.items() if isinstance(value, dict)]:
            raise Wrong(f"{what}: {name} has an empty dict at {empty[0]}; leave it out")
        wanted = {path: array for path, array in paths.items() if path in part}
        if tree and set(tree) == set(wanted) != set(tree_of(wanted)):
            raise Wrong(f"{what}: {name} is a flat dict of paths; it should be nested like `tree`")
        same(tree, tree_of(wanted), f"{name} of {what}", 0.0)


def _rule(trained, paths, patterns):
    """In words, the wrong rule by which just these paths are trained; "" if none does."""
    for rule, text in mistakes(patterns) if patterns is not None else []:
        if {path for path in paths if rule(path)} == set(trained):
            return text
    return ""


def by_the_paper(path):
    """Why this leaf belongs in the other tree, by the paper's method."""
    if path.startswith("head."):
        return (
            ": the head starts from random numbers and knows nothing about the task until trained"
        )
    if path.startswith("adapters."):
        return ": the adapters are what the paper trains"
    if path.startswith("base.embeddings.norm."):
        return ": the embeddings have a LayerNorm, too, and the paper trains every one"
    if ".norm." in path:
        return ": the paper trains every LayerNorm"
    if path.startswith("base."):
        return ": that is the base, which all tasks share; only its LayerNorms are trained"
    return ""


def check_each_leaf_is_in_the_tree_where_it_belongs(student):
    """A leaf is trained if a pattern matches its path; every other leaf is frozen."""
    for layers, size, patterns, trains in (
        (2, 2, [r"head\."], lambda path: path.startswith("head.")),
        (
            3,
            1,
            [r"adapters\.1\.", r"base\.pooler\."],
            lambda path: path.startswith(("adapters.1.", "base.pooler.")),
        ),
        (2, 3, [r".*bias"], lambda path: path.endswith("bias")),
    ):
        paths = numbered(model(layers), size)
        got = student.split(tree_of(paths), patterns)
        compare(got, paths, trains, f"split(tree, {patterns})", patterns=patterns)


def check_a_pattern_begins_at_the_path_s_beginning(student):
    """A pattern must match from the path's beginning; it is not searched for within the path."""
    names = ["head.weight", "norm.bias", "base.norm.bias", "base.head.weight", "base.masked_head.w"]
    for size, patterns in ((2, [r"head\."]), (3, [r"head\.", r"norm\."])):
        paths = numbered(names, size)
        got = student.split(tree_of(paths), patterns)
        trained = ("head.", "norm.")[: len(patterns)]

        def trains(path, trained=trained):
            return path.startswith(trained)

        compare(got, paths, trains, f"split(tree, {patterns})", patterns=patterns)


def check_all_or_nothing_leaves_an_empty_dict(student):
    """With no patterns nothing is trained; with one that matches all, nothing is frozen."""
    for layers, size in ((1, 2), (3, 1)):
        paths = numbered(model(layers), size)
        for patterns, all_trained in (([], False), ([r""], True)):
            got = student.split(tree_of(paths), patterns)
            compare(got, paths, lambda path, every=all_trained: every, f"split(tree, {patterns})")


def check_the_tree_stays_as_it_is(student):
    """The tree itself is not changed."""
    for layers, size, patterns in ((1, 2, [r"head\."]), (2, 3, [r"head\.", r"adapters\."])):
        paths = numbered(model(layers), size)
        tree = tree_of(paths)
        with untouched(tree=tree):
            got = student.split(tree, patterns)
        trained = ("head.", "adapters.")[: len(patterns)]

        def trains(path, trained=trained):
            return path.startswith(trained)

        compare(got, paths, trains, f"split(tree, {patterns})")


def check_the_paper_s_patterns_are_the_paper_s_method(student):
    """The patterns train the adapters, every LayerNorm and the head, and nothing else."""
    patterns = student.paper_patterns()
    if not isinstance(patterns, list | tuple) or not all(isinstance(p, str) for p in patterns):
        raise Wrong("paper_patterns() should be a list of strings: is the return missing?")
    for layers, size in ((12, 2), (6, 3)):
        expected = model(layers)
        paths = numbered(expected, size)
        got = student.split(tree_of(paths), patterns)
        compare(got, paths, expected.get, "split(tree, paper_patterns())", by_the_paper)
