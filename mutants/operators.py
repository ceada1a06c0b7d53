"""Cosmic Ray's commands, with one more kind of change: to augmented assignments, which Cosmic Ray
leaves alone and of which the fused primitives are made."""

import sys
from collections.abc import Iterator
from typing import Any

from cosmic_ray.cli import main
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import OPERATOR_PROVIDERS, operator_names

__all__ = ["operator_names"]

OTHER = {"+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="}


class ReplaceAugmentedAssignment(Operator):  # type: ignore[misc]
    """Replaces the operator of an augmented assignment."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Where it can be applied, as (start, end)."""
        if node.type == "operator" and node.value in OTHER:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Apply it to a node."""
        node.value = OTHER[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """What it does, by example."""
        return tuple(Example(f"x {was} y", f"x {becomes} y") for was, becomes in OTHER.items())


OPERATOR_PROVIDERS["minibert"] = {"ReplaceAugmentedAssignment": ReplaceAugmentedAssignment}

if __name__ == "__main__":
    sys.exit(main())
