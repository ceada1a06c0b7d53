"""The quantities along which the adapter step is measured, each with the others fixed.

MiniLM's shapes: 6 layers, 2,048 tokens in texts of 64, adapters of size 64.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from texts import MODELS, random_batch

TOKENS, LENGTH, SIZE = 2048, 64, 64


@dataclass(frozen=True)
class Axis:
    """One quantity and its values; `memory`: the title of a table of peak memory, if any."""

    symbol: str
    title: str
    at: tuple[int, ...]
    memory: str = ""


_TOKENS = (256, 512, 1024, 2048, 4096, 8192)
AXES = [
    Axis("N", "step time against tokens N", _TOKENS, "peak memory against tokens N"),
    Axis("T", "step time against length T (N = 2,048)", (16, 32, 64, 128, 256, 512)),
    Axis("L", "step time against layers L", (1, 2, 3, 4, 6, 8, 12)),
    Axis("m", "step time against adapter size m", (8, 16, 32, 64, 128, 256, 512)),
]


def points(axis: Axis) -> dict[int, dict[str, Any]]:
    """The work at each value of the axis."""
    return {at: point(**{axis.symbol: at}) for at in axis.at}


def point(N: int = TOKENS, T: int = LENGTH, L: int = 6, m: int = SIZE) -> dict[str, Any]:
    """One work: N tokens in texts of T, L layers, adapters of size m."""
    config = dataclasses.replace(MODELS["minilm"], num_hidden_layers=L)
    batches = random_batch(N // T, T, config.vocab_size)
    return {"config": dataclasses.asdict(config), "batches": batches, "size": m}
