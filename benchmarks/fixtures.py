"""Files that some rows need, created in a temporary folder."""

import json
import re
from pathlib import Path

from minibert.checkpoint import our_path
from minibert.config import BertConfig
from minibert.parameters import random_params
from minibert.tensors import as_stored, write_safetensors
from minibert.tree import leaves

# From our paths to the hub's names, the inverse of `minibert.checkpoint.our_path`.
_HUB = [
    (r"embeddings\.(word|position)", r"embeddings.\1_embeddings.weight"),
    (r"embeddings\.segment", "embeddings.token_type_embeddings.weight"),
    (r"embeddings\.norm", "embeddings.LayerNorm"),
    (r"layers\.(\d+)\.attention\.(query|key|value)", r"encoder.layer.\1.attention.self.\2"),
    (r"layers\.(\d+)\.attention\.output", r"encoder.layer.\1.attention.output.dense"),
    (r"layers\.(\d+)\.attention\.norm", r"encoder.layer.\1.attention.output.LayerNorm"),
    (r"layers\.(\d+)\.feed_forward\.inner", r"encoder.layer.\1.intermediate.dense"),
    (r"layers\.(\d+)\.feed_forward\.output", r"encoder.layer.\1.output.dense"),
    (r"layers\.(\d+)\.feed_forward\.norm", r"encoder.layer.\1.output.LayerNorm"),
    (r"pooler", "pooler.dense"),
]


def hub_name(path: str) -> str:
    """The hub's name of a parameter.

    >>> hub_name("layers.3.attention.norm.weight")
    'encoder.layer.3.attention.output.LayerNorm.weight'
    """
    for pattern, name in _HUB:
        if found := re.fullmatch(rf"{pattern}(\.weight|\.bias|)", path):
            return found.expand(name) + found[found.re.groups]
    raise KeyError(path)


def random_checkpoint(folder: Path, config: BertConfig) -> Path:
    """An untrained BERT as a checkpoint folder without a tokenizer; an existing one is reused."""
    path = folder / "model.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
        tensors = {}
        for our, leaf in leaves(random_params(config)):
            assert our_path(hub_name(our)) == our
            tensors[hub_name(our)] = as_stored(our, leaf)
        write_safetensors(path, tensors)
    return folder


def small_task(folder: Path, base_folder: Path) -> Path:
    """A task file for the given base: adapters trained on a few of the sample's sentences."""
    from adapters.finetune import train_task
    from adapters.methods.table import METHODS
    from adapters.train_data import subset
    from minibert.checkpoint import load_base
    from minibert.data.glue import glue_data
    from minibert.training.schedule import Settings

    path = folder / "task.safetensors"
    if not path.exists():
        data = subset(glue_data("sst-2", sample=True), 64, 0)
        settings = Settings(epochs=1)
        train_task(load_base(base_folder), data, METHODS["adapters"], settings, out=folder)
    return path
