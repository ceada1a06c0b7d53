"""What a BERT of one's own needs besides its training: sizes, random parameters, a checkpoint's
files."""

import json
from pathlib import Path

import numpy as np

from minibert import BertConfig
from minibert.checkpoint import hub_tensors
from minibert.files import atomic_write
from minibert.parameters import masked_token_shapes, random_params
from minibert.tensors import write_safetensors
from minibert.tree import Tree, from_leaves, merge


def tiny_config(vocab_size: int) -> BertConfig:
    """Two layers of 64 numbers a token, without dropout; for texts of up to 32 tokens."""
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,  # about 1 / sqrt(64)
    )


def untrained_bert(config: BertConfig, seed: int = 0) -> Tree:
    """A random encoder without pooler, and a random head for masked tokens."""
    encoder = random_params(config, seed)
    del encoder["pooler"]
    shapes = masked_token_shapes(config)
    flat = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    path = "masked_tokens.transform.weight"
    noise = np.random.default_rng(seed).standard_normal(flat[path].shape, np.float32)
    flat[path] += config.initializer_range * noise
    flat["masked_tokens.norm.weight"] += 1
    return merge(encoder, from_leaves(flat))


def write_checkpoint(folder: Path, config: BertConfig, params: Tree) -> None:
    """config.json and model.safetensors, with the hub's names and layout.

    Raises InputError when they cannot be written.
    """
    atomic_write(folder / "config.json", json.dumps(config.to_dict(), indent=1) + "\n")
    tensors = hub_tensors(params, "bert.")
    write_safetensors(folder / "model.safetensors", tensors, {"format": "pt"})
