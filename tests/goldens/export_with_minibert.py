"""Export tasks with minibert, for `exchange_goldens.py check` to load: those of exchange/, imported
first, and one of every kind that can be trained here.

    PYTHONPATH=. python tests/goldens/export_with_minibert.py FOLDER
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.exchange import export_adapter, import_adapter
from adapters.methods.method import Method, split
from adapters.methods.table import layer_span, method_named, top_layers
from adapters.recipes import recipe_named
from adapters.task_file import TaskFile, on_base
from adapters.task_model import forward, new_task_model
from minibert.batch import make_batch
from minibert.checkpoint import Base, load_base
from minibert.data.tasks import Task
from minibert.tokenizer import encode_texts
from minibert.tree import from_leaves, leaves

HERE = Path(__file__).parent
TEXTS = [tuple(t) if isinstance(t, list) else t
         for t in json.loads((HERE / "tiny_texts.json").read_text())["texts"]]  # fmt: skip


def kinds(base: Base) -> dict[str, tuple[str, Method, str, dict[str, Any]]]:
    """name: (format, method, pooling, options of the export)."""
    config, houlsby = base.config, method_named("adapters", 5)
    frozen = method_named("adapters", 7, "swish", freeze_layernorm=True)
    maps = ("query", "attention_output", "feed_forward_output")
    return {
        "our-houlsby": ("adapterhub", houlsby, "pooler", {"merge_base": True}),
        "our-houlsby-frozen": ("adapterhub", frozen, "cls", {}),
        "our-houlsby-top": ("adapterhub", top_layers(frozen, 1, config), "pooler", {}),
        "our-parallel": ("adapterhub", replace(frozen, variant="parallel"), "pooler", {}),
        "our-attention": ("adapterhub", replace(frozen, variant="attention-only"), "cls", {}),
        "our-pfeiffer": ("adapterhub", method_named("pfeiffer", 3), "pooler", {}),
        "our-lora": ("peft", method_named("lora"), "pooler", {}),
        "our-lora-maps": ("peft", method_named("lora", 3, targets=maps, alpha=5.0), "pooler", {}),
        "our-lora-layer": ("peft", layer_span(method_named("lora", 2), 0, 0, config), "pooler", {}),
        "our-lora-merged": ("transformers", method_named("lora", 4), "pooler", {}),
        "our-full": ("transformers", method_named("full"), "pooler", {}),
        "our-top": ("transformers", top_layers(method_named("full"), 1, config), "pooler", {}),
        "our-norms": ("transformers", method_named("norms"), "pooler", {}),
        "our-biases": ("transformers", method_named("biases"), "pooler", {}),
        "our-head": ("transformers", method_named("head"), "pooler", {}),
    }


def some_task(base: Base, method: Method, pooling: str, seed: int) -> TaskFile:
    """A task of three classes whose parameters are drawn."""
    rng = np.random.default_rng(seed)
    model = new_task_model(base, method, recipe_named("paper"), 3, seed, pooling)
    trained, _ = split(model.tree, method)
    drawn = {
        path: leaf + rng.normal(0, 0.2, leaf.shape).astype(np.float32)
        for path, leaf in leaves(trained)
    }
    names = ("no", "maybe", "yes")
    task = Task("drawn", "", ("sentence",), "label", names, names)
    about = TaskFile(task, method, "paper", 40, base.name, base.sha256, pooling=pooling)
    return replace(about, trained=from_leaves(drawn), base_tensors_sha256=base.tensors_sha256)


def logits_of(task: TaskFile, base: Base) -> list[list[float]]:
    """The task's logits of all texts."""
    encoded = encode_texts(base.tokenizer, TEXTS, 40)
    rows = [forward(on_base(task, base), make_batch([text])) for text in encoded]
    logits: list[list[float]] = np.concatenate(rows).tolist()
    return logits


def main(out: Path) -> None:
    """Export all of them into folders of `out`, each with its logits."""
    base = load_base(HERE / "tiny")
    for folder in sorted((HERE / "exchange").glob("*/")):
        task = import_adapter(folder, base)
        kind = "transformers" if folder.name.startswith("whole") else "adapterhub"
        kind = "peft" if folder.name.startswith("lora") else kind
        write(task, base, out / folder.name, kind)
    for seed, (name, (kind, method, pooling, options)) in enumerate(kinds(base).items()):
        write(some_task(base, method, pooling, seed), base, out / name, kind, **options)


def write(task: TaskFile, base: Base, folder: Path, kind: str, **options: Any) -> None:
    """Export one, and what `check` needs of it."""
    export_adapter(task, base, folder, kind, **options)
    about = {"format": kind, "method": str(task.method), "logits": logits_of(task, base)}
    (folder / "logits.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
