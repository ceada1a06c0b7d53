"""PEFT's LoRA: a folder with adapter_config.json and adapter_model.safetensors.

Which maps it adapts, and with which ranks, its tensors say by themselves; of its settings the
scaling and what else is trained count. A map's A and B are `lora_A.weight` [r, in] and
`lora_B.weight` [out, r].
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adapters.exchange.foreign import (
    Foreign,
    check_none_left,
    check_settings,
    classifier,
    method_of,
    number,
    settings_of,
    taken,
    tensors_of,
    write_settings,
    write_tensors,
)
from adapters.methods.lora import ADAPTED, ALPHA, MAPS, map_sizes
from adapters.methods.method import ADAPTERS, BIASES, HEAD, split
from adapters.methods.method import POOLER as OWN_POOLER
from adapters.methods.table import LARGEST_ALPHA, check_pattern
from adapters.task_model import POOLER, TaskModel
from minibert.checkpoint import Base, hub_name, our_path
from minibert.errors import InputError, brief
from minibert.json_files import spelled
from minibert.ops import Array
from minibert.parameters import parameter_shapes
from minibert.tensors import as_stored
from minibert.tree import leaves

CONFIG, TENSORS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
SAYS_BASE = "base_model_name_or_path"  # in CONFIG
PREFIX = "base_model.model."

# Its settings that change the mathematics, with the only values that are computed here; and those
# that say how an adapter was initialised or trained, or that are looked at below.
ONLY: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_rslora": (True, False),
    "use_dora": (False,),
    "fan_in_fan_out": (False,),
    "lora_bias": (False,),
    "use_qalora": (False,),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),  # the base as it was
    "task_type": ("SEQ_CLS", None),
}
FREE = {
    "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "r",
    "inference_mode", "target_modules", "exclude_modules", "lora_alpha", "lora_dropout", "bias",
    "modules_to_save", "layers_to_transform", "layers_pattern", "rank_pattern",
    "alpha_pattern", "megatron_core", "loftq_config", "eva_config", "qalora_group_size",
    "runtime_config", "ensure_weight_tying",
}  # fmt: skip


# ------------------------------------------------------------------------------------------ reading


def read_peft(folder: Path, base: Base) -> Foreign:
    """The adapter in a folder, on this base. Raises InputError, naming the file and the setting or
    tensor, for what cannot be computed here."""
    file, where = folder / CONFIG, folder / TENSORS
    settings = settings_of(file)
    check_settings(settings, ONLY, FREE, file)
    tensors = {
        _plain(key): values
        for key, values in tensors_of(folder, TENSORS, PICKLE).items()
        if ".original_module." not in key  # as it was before training; bias="all" saves it too
    }
    found, sizes, alpha = _low_ranks(tensors, settings, base, file)
    rest = _others(tensors, base, where)
    rest |= classifier(tensors, base.config.hidden_size, where)
    check_none_left(tensors, where)
    if "pooler" not in base.params:
        raise InputError(f"{file}: reads a pooler, which {base.folder} does not have")
    own_pooler = {p for p in rest if p.startswith("base.pooler.")}
    biases = {p for p in rest if p.startswith("base.") and p.endswith(".bias")}
    every_bias = {f"base.{path}" for path in parameter_shapes(base.config) if path.endswith("bias")}
    trained: tuple[str, ...] = (HEAD,)
    if biases >= every_bias:
        trained = (BIASES, *trained)
    elif biases - own_pooler:
        trained = (_pattern(sizes, file), *trained)
    if "base.pooler.weight" in own_pooler:
        trained = (*trained, OWN_POOLER)
    adapted = {where.partition(".")[2] for where in sizes}
    maps = tuple(name for name in MAPS if name in adapted)
    targets = () if maps == ADAPTED else maps
    layers = base.config.num_hidden_layers
    method = method_of("lora", sizes, maps, layers, trained, targets=targets, alpha=alpha)
    for path in [p for p in rest if p.startswith("base.") and not method.trains(p)]:
        raise InputError(f"{where}: has {brief(path)}, but not those of other maps")
    return Foreign("", method, found | rest, POOLER)


def _plain(name: str) -> str:
    """A tensor's name without what PEFT puts around it: modules_to_save, base_layer, bert."""
    name = name.removeprefix(PREFIX).replace(".modules_to_save.", ".").replace(".base_layer.", ".")
    return re.sub(r"\.default(?=\.|$)", "", name).removeprefix("bert.")


def _low_ranks(
    tensors: dict[str, Array], settings: dict[str, Any], base: Base, file: Path
) -> tuple[dict[str, Array], dict[str, int], float]:
    """(our leaves, {"layer.map": rank}, alpha). Where alpha / r is not the same function of r for
    all maps, it is multiplied into B."""
    config, where = base.config, file.parent / TENSORS
    by_path = {f"layers.{n}.{path}": f"{n}.{name}" for n in range(config.num_hidden_layers)
               for name, path in MAPS.items()}  # fmt: skip
    found, sizes, alphas = {}, {}, {}
    for key in [key for key in tensors if key.endswith(".lora_A.weight")]:
        stem = key.removesuffix(".lora_A.weight")
        place = by_path.get(our_path(f"{stem}.weight").removesuffix(".weight"))
        if place is None:
            raise InputError(f"{where}: adapts {brief(stem)}, which is no linear map of a layer")
        size_in, size_out = map_sizes(config, place.partition(".")[2])
        r, *_ = tensors[key].shape or (0,)
        if r < 1:
            raise InputError(f"{where}: {brief(key)} has rank 0")
        said = _of_module(settings, "r", "rank_pattern", stem, file)
        if type(said) is not int or said != r:
            raise InputError(f"{file}: r is {spelled(said)} for {brief(stem)}, whose rank is {r}")
        found[f"adapters.{place}.down.weight"] = taken(tensors, key, (r, size_in), where)
        up = taken(tensors, f"{stem}.lora_B.weight", (size_out, r), where)
        found[f"adapters.{place}.up.weight"] = up
        sizes[place], alphas[place] = r, _alpha(settings, stem, r, file)
    if not sizes:
        raise InputError(f"{where}: has no lora_A")
    every = {*alphas.values()}
    alpha = every.pop() if len(every) == 1 else ALPHA
    for place, own in alphas.items():
        if own != alpha:
            path = f"adapters.{place}.up.weight"
            found[path] = (found[path].T * np.float32(own / alpha)).T
    return found, sizes, alpha


def _alpha(settings: dict[str, Any], module: str, r: int, file: Path) -> float:
    """alpha with which alpha / r is this module's scaling: rank-stabilised LoRA (Kalajdzievski
    2023, arXiv 2312.03732) divides by sqrt(r)."""
    alpha = _of_module(settings, "lora_alpha", "alpha_pattern", module, file)
    alpha = number(alpha, "lora_alpha", LARGEST_ALPHA, file)
    return alpha * (math.sqrt(r) if settings.get("use_rslora") else 1.0)


def _of_module(
    settings: dict[str, Any], name: str, pattern_name: str, module: str, file: Path
) -> Any:
    """A module's own setting, by the first pattern that means it, or else that of all."""
    patterns = settings.get(pattern_name) or {}
    if not isinstance(patterns, dict):
        raise InputError(f"{file}: {pattern_name} is {spelled(patterns)}, not an object")
    for pattern, value in patterns.items():
        if _matches(pattern, f"bert.{module}", file):
            return value
    return settings.get(name, 8)  # both r's and alpha's default


def _matches(pattern: str, module: str, file: Path) -> bool:
    """Whether a pattern of PEFT means this module: the end of its name, from a dot on."""
    try:
        check_pattern(pattern)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    if ")?" in pattern:
        raise InputError(f"{file}: the pattern {spelled(pattern)} is too complicated")
    try:
        return re.fullmatch(rf"(.*\.)?({pattern})", module) is not None
    except re.error:  # flags, which are for a whole pattern
        raise InputError(f"{file}: {spelled(pattern)} is no pattern") from None


def _others(tensors: dict[str, Array], base: Base, where: Path) -> dict[str, Array]:
    """The base's own parameters that were trained too: biases, and the pooler."""
    shapes, found = parameter_shapes(base.config), {}
    for key in [*tensors]:
        path = our_path(key)
        if path in shapes and (path.endswith(".bias") or path.startswith("pooler.")):
            found[f"base.{path}"] = taken(tensors, key, shapes[path][::-1], where)
    return found


def _pattern(sizes: Mapping[str, int], file: Path) -> str:
    """The pattern of the adapted maps' own biases. Raises InputError where these are other maps in
    each layer."""
    by_layer: dict[str, set[str]] = {}
    for where in sizes:
        layer, _, place = where.partition(".")
        by_layer.setdefault(layer, set()).add(MAPS[place].replace(".", r"\."))
    first, *others = by_layer.values()
    if any(maps != first for maps in others):
        raise InputError(f"{file}: bias is 'lora_only', of other maps in each layer: not supported")
    return rf"base\.layers\.({'|'.join(sorted(by_layer))})\.({'|'.join(sorted(first))})\.bias$"


# ------------------------------------------------------------------------------------------ writing


def write_peft(folder: Path, model: TaskModel, base_said: str) -> None:
    """Write a task's LoRA, its classifier and what else it trains."""
    method, tensors, ranks = model.method, {}, {}
    for layer, maps in model.tree["adapters"].items():
        for name, part in maps.items():
            module = "bert." + hub_name(f"layers.{layer}.{MAPS[name]}")
            ranks[module] = part["down"]["weight"].shape[1]
            tensors[f"{PREFIX}{module}.lora_A.weight"] = part["down"]["weight"].T
            tensors[f"{PREFIX}{module}.lora_B.weight"] = part["up"]["weight"].T
    for kind in ("weight", "bias"):
        tensors[f"{PREFIX}classifier.{kind}"] = as_stored(kind, model.tree["head"][kind])
    trained, _ = split({"base": model.tree["base"]}, method)
    paths = [path for path, _ in leaves(trained.get("base", {}))]
    for path, leaf in leaves(trained.get("base", {})):
        module, _, kind = f"bert.{hub_name(path)}".rpartition(".")
        module = f"{module}.base_layer" if module in ranks else module
        tensors[f"{PREFIX}{module}.{kind}"] = as_stored(path, leaf)
    r = max(ranks.values())
    own_pooler = "pooler.weight" in paths
    biases = [path for path in paths if not path.startswith("pooler.")]
    settings = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "auto_mapping": None,
        "base_model_name_or_path": base_said,
        "revision": None,
        "inference_mode": True,
        "r": r,
        "lora_alpha": ALPHA if method.alpha is None else method.alpha,
        "lora_dropout": 0.0,
        "fan_in_fan_out": False,
        "bias": "none" if not biases else "all" if BIASES in method.trained else "lora_only",
        "use_rslora": False,
        "use_dora": False,
        "target_modules": [*ranks],
        "rank_pattern": {module: rank for module, rank in ranks.items() if rank != r},
        "alpha_pattern": {},
        "modules_to_save": ["classifier", *(["pooler"] if own_pooler else [])],
        "init_lora_weights": True,
    }
    write_settings(folder / CONFIG, settings)
    write_tensors(folder / TENSORS, tensors)


def refuse(model: TaskModel) -> str:
    """Why the format has no place for a task of this model, in words; "" where it has."""
    method = model.method
    if method.name != "lora":
        return f"of the methods here it has 'lora' alone, not {brief(method.name)!r}"
    if model.pooling != POOLER:
        return (
            f"its classifier reads the pooler, not {model.pooling!r}; train with --pooling pooler"
        )
    others = {*method.trained} - {ADAPTERS, HEAD, OWN_POOLER, BIASES}
    if any(not pattern.endswith(r"\.bias$") for pattern in others):
        return "it has no place for what else the task trains"
    return ""
