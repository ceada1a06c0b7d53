"""How many multiply-adds the matrix products of a forward pass or a training step take.

This work per second, relative to the speed of one large matrix product in the same run, is the
share of the machine. Everything that is not a matrix product (softmax, GELU, LayerNorm, dropout,
Adam) counts as no work, and so do products with a vector of ones (sums).
"""

from collections.abc import Sequence

from minibert.config import BertConfig


def products(
    config: BertConfig,
    lengths: Sequence[int],
    *,
    trained: str = "nothing",
    size: int | None = None,
    outputs: int = 0,
    first_only: bool = True,
) -> int:
    """The multiply-adds for texts of these lengths: of one forward pass and, if `trained` is
    "adapters" or "full", of the gradients.

    `size`: the adapters' m; `outputs`: the head's C (0 for encoding alone). With `first_only`, the
    last layer's states are computed only for each text's [CLS] row, as in classification; of the
    other tokens only the keys and values are needed there.
    """
    d, f, count = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    tokens, texts = sum(lengths), len(lengths)
    linear = attention = adapters = 0
    for layer in range(count):
        one_row = first_only and layer == count - 1
        rows = texts if one_row else tokens  # M: the rows whose new states are computed
        pairs = tokens if one_row else sum(length * length for length in lengths)
        linear += 2 * rows * d * d + 2 * tokens * d * d  # query and output; key and value
        linear += 2 * rows * d * f  # up to F, and back to D
        attention += 2 * pairs * d  # Q K^T and P V: H heads of D/H each
        if size is not None:
            adapters += 2 * 2 * rows * d * size  # two of them, down and up
    pooler, head = texts * d * d, texts * d * outputs
    forward = linear + attention + adapters + pooler + head
    # In the backward pass, every linear map takes as much again for dx = g W^T, and once more for
    # dW = x^T g if its weight is trained; attention takes two products for each forward one.
    # Nothing takes any below the embeddings' LayerNorm, which both methods train.
    backward = {
        "nothing": 0,
        "adapters": linear + pooler + 2 * attention + 2 * adapters + 2 * head,
        "full": 2 * linear + 2 * pooler + 2 * attention + 2 * head,
    }[trained]
    return forward + backward
