"""A random BERT for whole sweeps: small, and long enough for their texts."""

import json
from pathlib import Path

import numpy as np
from command_line import TINY

from minibert.tensors import read_safetensors, write_safetensors


def small_bert(folder: Path) -> Path:
    """The committed tiny BERT with 128 positions, as many as a run's texts may have tokens."""
    folder.mkdir()
    tensors, _ = read_safetensors(TINY / "model.safetensors")
    (name,) = [name for name in tensors if "position_embeddings" in name]
    longer = {**tensors, name: np.concatenate([tensors[name]] * 2)}
    write_safetensors(folder / "model.safetensors", longer, {"format": "pt"})
    config = json.loads((TINY / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 128}))
    (folder / "vocab.txt").write_bytes((TINY / "vocab.txt").read_bytes())
    return folder
