r"""Exercise 12: what is trained, and what stays frozen.

All parameters of a task's model form one tree, a dict of dicts with arrays at its leaves (layer
numbers are int keys):

    {"base": {"embeddings": {"word": ..., "norm": {"weight": ..., "bias": ...}, ...},
              "layers": {0: {"attention": {"query": {"weight": ..., "bias": ...}, ...,
                                           "norm": {"weight": ..., "bias": ...}},
                             "feed_forward": {"inner": ..., "output": ..., "norm": ...}},
                         1: ...},
              "pooler": {"weight": ..., "bias": ...}},
     "adapters": {0: {"attention": {"down": ..., "up": ...}, "feed_forward": ...}, 1: ...},
     "head": {"weight": ..., "bias": ...}}

A leaf's *path* is its keys with dots between them: `base.layers.0.attention.norm.weight`. To freeze
is then a question of data: a tuning method is a list of patterns, regular expressions. A leaf whose
path one of them matches, from the path's beginning (`re.match`), is trained. Every other leaf is
frozen, that is to say, it never gets near the optimiser.

In a pattern `.` stands for any character, `.*` for any number of them, and `\.` for a dot. So
r"head\." matches every path that begins with "head.", and r"base\..*bias" each bias of the base.

The paper's method (section 2.1) trains the adapters, every LayerNorm (all of those named `norm`,
the embeddings' too) and the head. Everything else is frozen, the pooler too.
"""

import re  # noqa: F401  re.match(pattern, path)


def split(tree: dict, patterns: list[str]) -> tuple[dict, dict]:
    """(trained, frozen): two trees, built like `tree`, that have each leaf in just one of them.
    No empty dicts: what has no leaf in one of the trees does not appear there."""
    raise NotImplementedError


def paper_patterns() -> list[str]:
    """The patterns of the paper's method, a list of strings."""
    raise NotImplementedError
