"""Exercise 12: what is trained, and what stays frozen."""

import re


def split(tree: dict, patterns: list[str], prefix: str = "") -> tuple[dict, dict]:
    """(trained, frozen): two trees with each leaf in exactly one of them."""
    trained, frozen = {}, {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            picked, others = split(value, patterns, path + ".")
            if picked:
                trained[key] = picked
            if others:
                frozen[key] = others
        elif any(re.match(pattern, path) for pattern in patterns):
            trained[key] = value
        else:
            frozen[key] = value
    return trained, frozen


def paper_patterns() -> list[str]:
    """Adapters, every LayerNorm, the head."""
    return [r"adapters\.", r"base\..*\.norm\.", r"head\."]
