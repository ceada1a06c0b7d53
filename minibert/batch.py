"""Encoded texts -> a batch: laid end to end, without padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minibert.tokenizer import Encoded


@dataclass(frozen=True)
class Batch:
    """B sequences end to end, without padding: N = sum(lengths) tokens. A text is one, unless it is
    a pair whose two sentences are read apart.

    ids, segments, positions: int64 [N]; lengths: int64 [B]. A sequence's first token, [CLS],
    is at row `starts[b]`.
    """

    ids: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """The row of each sequence's first token: int64 [B]."""
        return np.cumsum(self.lengths) - self.lengths


def make_batch(encoded: Sequence[Encoded]) -> Batch:
    """Lay texts end to end; positions count from 0 in each."""
    if not encoded:
        raise ValueError("a batch needs at least one text")
    lengths = np.array([n for e in encoded for n in e.lengths or (len(e.ids),)])
    return Batch(
        ids=np.concatenate([e.ids for e in encoded]),
        segments=np.concatenate([e.segments for e in encoded]),
        positions=np.concatenate([np.arange(length) for length in lengths]),
        lengths=lengths,
    )


GROUP_TOKENS = 1024


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Text numbers from short to long, in groups to compute together: at most GROUP_TOKENS tokens
    each; a longer text is a group by itself."""
    groups: list[list[int]] = []
    tokens = GROUP_TOKENS
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        tokens += lengths[i]
        if tokens > GROUP_TOKENS:
            groups.append([])
            tokens = lengths[i]
        groups[-1].append(i)
    return groups
