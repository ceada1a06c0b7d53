"""Files that some rows need, created in a temporary folder."""

import json
from pathlib import Path

from minibert.checkpoint import hub_tensors
from minibert.config import BertConfig
from minibert.parameters import random_params
from minibert.tensors import write_safetensors


def random_checkpoint(folder: Path, config: BertConfig) -> Path:
    """An untrained BERT as a checkpoint folder without a tokenizer; an existing one is reused."""
    path = folder / "model.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
        write_safetensors(path, hub_tensors(random_params(config)))
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
