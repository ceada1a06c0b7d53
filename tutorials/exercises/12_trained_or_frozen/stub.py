r"""Exercise 12: what is trained, and what stays frozen.

All parameters of a task's model form one tree, a dict of dicts with arrays as its leaves (layer
numbers are int keys):

    {"base": {"embeddings": {"word": ..., "norm": {"weight": ..., "bias": ...}, ...},
              "layers": {0: {"attention": {"query": {"weight": ..., "bias": ...}, ...,
                                           "norm": {"weight": ..., "bias": ...}},
                             "feed_forward": {"inner": ..., "output": ..., "norm": ...}},
                         1: ...},
              "pooler": {"weight": ..., "bias": ...}},
     "adapters": {0: {"attention": {"down": ..., "up": ...}, "feed_forward": ...}, 1: ...},
     "head": {"weight": ..., "bias": ...}}

A leaf's *path* is its keys joined by dots: `base.layers.0.attention.norm.weight`. Freezing is then
a matter of data: a tuning method is a list of patterns, which are regular expressions. A leaf is
trained if one of them matches its path from the beginning (`re.match`). Every other leaf is frozen:
it never reaches the optimiser.

In a pattern `.` stands for any character, `.*` for any number of them, and `\.` for a dot. So
r"head\." matches every path that begins with "head.", and r"base\..*bias" each bias of the base.

The paper's method (section 2.1) trains the adapters, every LayerNorm (everything named `norm`,
including that of the embeddings) and the head. Everything else is frozen, including the pooler.
"""

import re  # noqa: F401  re.match(pattern, path)


def split(tree: dict, patterns: list[str]) -> tuple[dict, dict]:
    """(trained, frozen): two trees, nested like `tree`, with each leaf in exactly one of them.
    Neither contains an empty dict."""
    raise NotImplementedError


def paper_patterns() -> list[str]:
    """The patterns of the paper's method, a list of strings."""
    raise NotImplementedError
