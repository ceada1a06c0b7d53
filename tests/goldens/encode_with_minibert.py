"""Encode a batch with minibert: the other side of shape_goldens.py's comparison.

    PYTHONPATH=. python tests/goldens/encode_with_minibert.py FOLDER INPUTS.npz OUTPUTS.npz

FOLDER has config.json and model.safetensors; INPUTS.npz has ids [N], segments [N] and
lengths [B]; OUTPUTS.npz gets the last layer's states `hidden` [N, D] and `pooled` [B, D].
"""

import sys

import numpy as np

from minibert.batch import make_batch
from minibert.checkpoint import load_base
from minibert.model import encode, pool
from minibert.tokenizer import Encoded


def main(folder: str, inputs: str, outputs: str) -> None:
    """Read, encode, write."""
    base = load_base(folder)
    with np.load(inputs) as arrays:
        cuts = np.cumsum(arrays["lengths"])[:-1]
        ids, segments = np.split(arrays["ids"], cuts), np.split(arrays["segments"], cuts)
    batch = make_batch([Encoded(*text) for text in zip(ids, segments, strict=True)])
    hidden = encode(base.params, batch, base.config)[-1]
    np.savez(outputs, hidden=hidden, pooled=pool(base.params, hidden, batch))


if __name__ == "__main__":
    main(*sys.argv[1:])
