"""A score of two texts as their cosine, learned from there.

A sentence-embedding model was trained to give similar texts vectors with a large cosine (Reimers
& Gurevych 2019, arXiv 1908.10084, section 3). So both texts are read apart, each with its own
[CLS] and [SEP], and the head reads the product of the two vectors, entry by entry:

    u * v / (|u| |v|),    whose entries add up to the cosine of u and v

With equal weights the head is a line through the cosine: training starts from what the base can do.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import autograd.numpy as anp
import numpy as np

from minibert.ops import Array
from minibert.tokenizer import Encoded, Text, encode_texts
from minibert.tree import Tree

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def encode_apart(tokenizer: "Tokenizer", pairs: Sequence[Text], max_length: int) -> list[Encoded]:
    """Each pair as two sequences end to end, each at most `max_length` tokens long."""
    texts = [text for pair in pairs for text in pair]
    encoded = encode_texts(tokenizer, texts, max_length)
    return [_end_to_end(*two) for two in zip(encoded[::2], encoded[1::2], strict=True)]


def _end_to_end(first: Encoded, second: Encoded) -> Encoded:
    return Encoded(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.segments, second.segments]),
        first.lost + second.lost,
        (len(first.ids), len(second.ids)),
    )


def cosine_rows(means: Array) -> Array:
    """The product of each pair's vectors, scaled to length 1. [2B, D] -> [B, D]"""
    lengths = anp.sqrt(anp.sum(means * means, axis=1, keepdims=True))  # [2B, 1]
    units = means / lengths
    return units[::2] * units[1::2]


def cosine_head(size: int) -> Tree:
    """The head whose score is the cosine itself: equal weights [D, 1], no bias."""
    return {"weight": np.ones((size, 1), np.float32), "bias": np.zeros(1, np.float32)}


def fitted_head(head: Tree, cosines: np.ndarray, scores: np.ndarray) -> Tree:
    """The head that gives the line a cosine + b nearest to the scores [B] by least squares, made
    from `cosine_head` and the cosines [B] that it gives. Equal cosines have a = 0."""
    centred = cosines - cosines.mean()
    spread = float(centred @ centred)
    a = float(centred @ scores) / spread if spread > 1e-12 else 0.0
    b = float(scores.mean() - a * cosines.mean())
    kind = head["weight"].dtype.type
    return {"weight": kind(a) * head["weight"], "bias": head["bias"] + kind(b)}
