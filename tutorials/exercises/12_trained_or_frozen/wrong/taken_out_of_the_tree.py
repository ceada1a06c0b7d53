# says: changed its argument tree['head']: tree['head']['weight'] is gone. Build a new dict
import re


def split(tree: dict, patterns: list[str], prefix: str = "") -> tuple[dict, dict]:
    trained, frozen = {}, {}
    for key, value in list(tree.items()):
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            picked, others = split(value, patterns, path + ".")
            if picked:
                trained[key] = picked
            if others:
                frozen[key] = others
        elif any(re.match(pattern, path) for pattern in patterns):
            trained[key] = tree.pop(key)
        else:
            frozen[key] = value
    return trained, frozen


def paper_patterns() -> list[str]:
    return [r"adapters\.", r"base\..*\bnorm\.", r"head\."]
