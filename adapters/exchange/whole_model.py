"""transformers' folder of a whole classifier: config.json, model.safetensors and the tokenizer's
files, as `AutoModelForSequenceClassification.from_pretrained` loads it.

It holds every parameter, so any task fits that needs no new layers: full fine-tuning, the top
layers, biases, LayerNorms, the head alone, and LoRA merged into its weights.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.exchange.bases import public_name
from adapters.exchange.foreign import (
    Foreign,
    check_none_left,
    classifier,
    label_names,
    settings_of,
    write_settings,
    write_tensors,
)
from adapters.methods.lora import merge_lora
from adapters.methods.method import Method
from adapters.methods.table import METHODS
from adapters.task_model import POOLER, TaskModel, base_tree
from minibert.checkpoint import Base, hub_tensors, load_base
from minibert.errors import InputError
from minibert.json_files import spelled
from minibert.ops import Array
from minibert.tensors import as_stored
from minibert.tree import Tree, leaves
from minibert.weight_files import SINGLE, read_weights

CONFIG, CLASS = "config.json", "BertForSequenceClassification"
SAYS_BASE = "_name_or_path"  # in CONFIG


# ------------------------------------------------------------------------------------------ reading


def read_whole_model(folder: Path, base: Base) -> Foreign:
    """A classifier's folder as a task of this base: what differs from it was trained. Raises
    InputError where it is no BERT classifier, or its encoder has other sizes than the base."""
    file = folder / CONFIG
    settings = settings_of(file)
    if settings.get("architectures") not in (None, [CLASS]):
        said = spelled(settings["architectures"])
        raise InputError(f"{file}: architectures is {said}; only {CLASS} is supported")
    own = load_base(folder, pooler=True)  # as strict as for any base
    for name in ("hidden_act", "layer_norm_eps", "num_attention_heads"):
        if getattr(own.config, name) != getattr(base.config, name):
            raise InputError(f"{file}: {name} is not that of {base.name}")
    tensors = {key: v for key, v in read_weights(folder).tensors.items() if "classifier" in key}
    where = folder / SINGLE
    head = classifier(tensors, base.config.hidden_size, where)
    outputs = len(head["head.bias"])
    check_none_left(tensors, where)
    ours = dict(leaves({"base": base_tree(base, POOLER)}))
    theirs = dict(leaves({"base": base_tree(own, POOLER)}))
    our_shapes, their_shapes = ({(p, v.shape) for p, v in t.items()} for t in (ours, theirs))
    if differing := our_shapes ^ their_shapes:
        raise InputError(f"{where}: {min(differing)[0]} is not as in {base.name}")
    changed = {p for p, v in ours.items() if not np.array_equal(v, theirs[p])}
    method = _smallest(changed, base)
    trained = {p: v for p, v in (theirs | head).items() if method.trains(p)}
    trained = {p: np.array(v, np.float32) for p, v in trained.items()}
    if settings.get("problem_type") == "multi_label_classification":
        raise InputError(f"{file}: problem_type is multi_label_classification; not supported")
    return Foreign("", method, trained, POOLER, label_names(settings, outputs, file))


def _smallest(changed: set[str], base: Base) -> Method:
    """Of head, LayerNorms, biases and all, the first that trains all that has changed, in the
    fewest of the top layers."""
    methods = (METHODS[name] for name in ("head", "norms", "biases", "full"))
    method = next(m for m in methods if all(map(m.trains, changed)))  # full trains everything
    layers = [int(p.split(".")[2]) for p in changed if p.startswith("base.layers.")]
    below = any(path.startswith("base.embeddings.") for path in changed)
    if below or method.name == "head":
        return method
    top = base.config.num_hidden_layers - 1
    return replace(method, first_layer=min(layers, default=top))


# ------------------------------------------------------------------------------------------ writing


def write_whole_model(folder: Path, model: TaskModel, labels: tuple[str, ...]) -> None:
    """Write the task's model, LoRA merged, with its configuration and the base's tokenizer."""
    tree: Tree = model.tree
    if "adapters" in tree:
        tree = merge_lora(tree, model.method.alpha)
    tensors = hub_tensors(_encoder(tree), "bert.")
    for kind in ("weight", "bias"):
        tensors[f"classifier.{kind}"] = as_stored(kind, tree["head"][kind])
    outputs = int(tree["head"]["bias"].size)
    named = labels or tuple(f"LABEL_{n}" for n in range(outputs))
    settings: dict[str, Any] = {
        **settings_of(model.base.folder / CONFIG),
        "_name_or_path": public_name(model.base),  # there may be its own ancestor's
        "architectures": [CLASS],
        "id2label": {str(n): label for n, label in enumerate(named)},
        "label2id": {label: n for n, label in enumerate(named)},
        "problem_type": "regression" if outputs == 1 else "single_label_classification",
        "torch_dtype": "float32",
    }
    settings.pop("dtype", None)
    _write(folder, model.base, settings, tensors)


def write_base(folder: Path, model: TaskModel) -> None:
    """Write the task's base alone, with the parameters of it that the task has trained."""
    settings = settings_of(model.base.folder / CONFIG) | {"architectures": ["BertModel"]}
    settings.pop("_name_or_path", None)
    _write(folder, model.base, settings, hub_tensors(_encoder(model.tree)))


def _encoder(tree: Tree) -> Tree:
    """The base without the masked-token head, which no task uses."""
    return {name: part for name, part in tree["base"].items() if name != "masked_tokens"}


def _write(folder: Path, base: Base, settings: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Write a model, with whichever tokenizer files the base has."""
    write_settings(folder / CONFIG, settings)
    write_tensors(folder / SINGLE, tensors)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (base.folder / name).exists():
            shutil.copyfile(base.folder / name, folder / name)


def refuse(model: TaskModel) -> str:
    """Why the format has no place for a task of this model, in words; "" where it has."""
    if "adapters" in model.tree and model.method.name != "lora":
        return (
            "its adapters are layers with an activation, which no weight of the base can take in; "
            "LoRA, which is linear, can be merged"
        )
    if model.pooling != POOLER:
        return (
            f"its classifier reads the pooler, not {model.pooling!r}; train with --pooling pooler"
        )
    return ""
