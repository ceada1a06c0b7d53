"""AdapterHub's library `adapters` (Poth et al. 2023, arXiv 2311.11077): a folder with
adapter_config.json and adapter.safetensors, and the head in head_config.json and
model_head.safetensors.

Its names of what is here: `double_seq_bn` is Houlsby's adapter, `seq_bn` Pfeiffer's, `par_bn` the
parallel one. It keeps LayerNorms frozen, and never saves a pooler: its two-layer head on the raw
[CLS] is a pooler of its own, and becomes the task's.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from adapters.exchange.foreign import (
    Foreign,
    check_none_left,
    check_settings,
    label_names,
    method_of,
    number,
    settings_of,
    taken,
    tensors_of,
)
from adapters.methods.method import HEAD
from adapters.methods.method import POOLER as OWN_POOLER
from adapters.task_model import CLS, POOLER
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.json_files import spelled
from minibert.model import ATTENTION, FEED_FORWARD
from minibert.ops import Array

CONFIG, TENSORS, PICKLE = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"
HEAD_CONFIG, HEAD_TENSORS = "head_config.json", "model_head.safetensors"
HEAD_PICKLE = "pytorch_model_head.bin"
SAYS_BASE = "model_name"  # in CONFIG

ACTIVATIONS = {
    "swish": "swish",
    "silu": "swish",
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "tanh": "tanh",
}
PLACES = {ATTENTION: "attention.output", FEED_FORWARD: "output"}
PARTS = {"down": "adapter_down.0", "up": "adapter_up"}

# Of its settings: the only values that are computed here, and those that say how an adapter is
# trained or initialised, or that are looked at below.
SWITCH = (True, False)
ONLY: dict[str, tuple[Any, ...]] = {
    "mh_adapter": SWITCH,
    "output_adapter": SWITCH,
    "original_ln_before": SWITCH,
    "is_parallel": SWITCH,
    "original_ln_after": (True,),
    "ln_before": (False,),
    "ln_after": (False,),
    "use_gating": (False,),
    "inv_adapter": (None, "", False),
    "phm_layer": (False,),
}
FREE = {
    "reduction_factor", "non_linearity", "scaling", "residual_before_ln", "leave_out",
    "adapter_residual_before_ln", "cross_adapter", "init_weights", "init_weights_seed",
    "inv_adapter_reduction_factor", "dropout", "phm_dim", "factorized_phm_W", "shared_W_phm",
    "shared_phm_rule", "factorized_phm_rule", "phm_c_init", "phm_init_range", "learn_phm",
    "hypercomplex_nonlinearity", "phm_rank", "phm_bias", "stochastic_depth",
}  # fmt: skip
HEAD_ONLY: dict[str, tuple[Any, ...]] = {
    "head_type": ("classification",),  # which with one label is regression
    "use_pooler": SWITCH,
    "bias": SWITCH,
}
HEAD_FREE = {"num_labels", "label2id", "dropout_prob", "layers", "activation_function"}
MOST_OUTPUTS = 100_000
LARGEST = float(np.finfo(np.float32).max)  # of a scaling
LARGEST_FACTOR = 1e6  # d / m, beyond any d


def read_adapterhub(folder: Path, head: Path, base: Base) -> Foreign:
    """The adapter in a folder, with the head in a folder, on this base. Raises InputError, naming
    the file and the setting or tensor, for what cannot be computed here."""
    file = folder / CONFIG
    about = settings_of(file)
    if about.get("model_type") not in (None, "bert"):
        raise InputError(f"{file}: is for a model of type {spelled(about['model_type'])}, not bert")
    if about.get("hidden_size") not in (None, base.config.hidden_size):
        raise InputError(
            f"{file}: is for hidden size {spelled(about['hidden_size'])}; {base.name} has "
            f"{base.config.hidden_size}"
        )
    name, settings = about.get("name"), about.get("config")
    if not isinstance(name, str) or not isinstance(settings, dict):
        raise InputError(f"{file}: has no name or no config of an adapter")
    architecture = settings.pop("architecture", None)
    if architecture is not None:
        raise InputError(f"{file}: architecture is {spelled(architecture)}; supported: null")
    kind, variant = _form(settings, file)
    activation = _activation(settings, about, file)
    sizes = _sizes(settings, base.config, file)
    tensors = tensors_of(folder, TENSORS, PICKLE)
    found = _adapters(tensors, name, sizes, settings, base.config.hidden_size, folder / TENSORS)
    of_head, pooling, labels = read_head(head, base)
    trained = (HEAD, OWN_POOLER) if "base.pooler.weight" in of_head else (HEAD,)
    places = (FEED_FORWARD,) if kind == "pfeiffer" else PLACES
    layers = base.config.num_hidden_layers
    method = method_of(kind, sizes, places, layers, trained, activation=activation, variant=variant)
    return Foreign(name, method, found | of_head, pooling, labels)


def _form(settings: dict[str, Any], file: Path) -> tuple[str, str]:
    """(method, variant) of the settings."""
    check_settings(settings, ONLY, FREE, file)
    if settings.get("is_parallel", False):
        return "adapters", "parallel"
    if not settings.get("original_ln_before", False):
        return "adapters", "serial"
    # where the skip connection around the adapter begins, which only matters then
    residual = settings.get("residual_before_ln", True)
    if residual is not True:
        raise InputError(f"{file}: residual_before_ln is {spelled(residual)}; supported: true")
    return "pfeiffer", "serial"


def _activation(settings: dict[str, Any], about: dict[str, Any], file: Path) -> str:
    name = settings.get("non_linearity")
    ours = ACTIVATIONS.get(name.lower()) if isinstance(name, str) else None
    if ours is None:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"{file}: non_linearity is {spelled(name)}; supported: {known}")
    if ours.startswith("gelu") and "version" not in about:
        raise InputError(
            f"{file}: does not say which version wrote it, and {name} has meant several functions"
        )
    return ours


def _sizes(settings: dict[str, Any], config: BertConfig, file: Path) -> dict[str, int]:
    """{"layer.place": size}. Its m is the integer part of d / reduction_factor, at least 1."""
    factors, left_out = settings.get("reduction_factor"), settings.get("leave_out") or []
    places = [
        place
        for place, key in ((ATTENTION, "mh_adapter"), (FEED_FORWARD, "output_adapter"))
        if settings.get(key)
    ]
    layers = range(config.num_hidden_layers)
    if not isinstance(left_out, list) or any(type(n) is not int for n in left_out):
        raise InputError(f"{file}: leave_out is {spelled(left_out)}, not a list of layers")
    if absent := [n for n in left_out if n not in layers]:
        raise InputError(f"{file}: leave_out names layer {spelled(absent[0])}, which there is not")
    sizes = {}
    for layer in (n for n in layers if n not in left_out):
        factor, name = factors, "reduction_factor"
        if isinstance(factors, dict):
            factor, name = factors.get(str(layer), factors.get("default")), f"{name} of {layer}"
        factor = number(factor, name, LARGEST_FACTOR, file)
        if factor * 65536 < config.hidden_size:
            raise InputError(f"{file}: {name} is {spelled(factor)}: adapters beyond any use")
        for place in places:
            sizes[f"{layer}.{place}"] = max(1, int(config.hidden_size // factor))
    if not sizes:
        raise InputError(f"{file}: leaves no layer with an adapter")
    return sizes


def _adapters(
    tensors: dict[str, Array],
    name: str,
    sizes: dict[str, int],
    settings: dict[str, Any],
    d: int,
    file: Path,
) -> dict[str, Array]:
    """Our leaves of the adapters' tensors, with the scaling of what an adapter adds multiplied into
    its up-projection."""
    tensors = {re.sub(r"^bert\.", "", key): values for key, values in tensors.items()}
    scaling = settings.get("scaling", 1.0)
    learned = {"learned": (1,), "channel": (d,)}.get(scaling) if isinstance(scaling, str) else None
    where_said = f"{file.parent / CONFIG}: scaling is {spelled(scaling)}"
    if learned is None and type(scaling) not in (int, float):
        raise InputError(f'{where_said}; a number, "learned" and "channel" are supported')
    if learned is None and not abs(scaling) <= LARGEST:  # NaN is not, either
        raise InputError(f"{where_said}, which is beyond float32")
    found = {}
    for where, m in sizes.items():
        layer, _, place = where.partition(".")
        stem = f"encoder.layer.{layer}.{PLACES[place]}.adapters.{name}"
        down, up = (f"{stem}.{part}" for part in PARTS.values())
        weight = taken(tensors, f"{up}.weight", (d, m), file)  # [m, d], as here
        bias = taken(tensors, f"{up}.bias", (d,), file)
        if learned or scaling != 1:
            factor = taken(tensors, f"{stem}.scaling", learned, file) if learned else scaling
            with np.errstate(over="ignore"):  # looked at once all is read
                by_feature = np.broadcast_to(np.asarray(factor, np.float32), d)
                weight, bias = (weight.T * by_feature[:, None]).T, bias * by_feature
        found[f"adapters.{where}.down.weight"] = taken(tensors, f"{down}.weight", (m, d), file)
        found[f"adapters.{where}.down.bias"] = taken(tensors, f"{down}.bias", (m,), file)
        found[f"adapters.{where}.up.weight"] = weight
        found[f"adapters.{where}.up.bias"] = bias
    check_none_left(tensors, file)
    return found


def read_head(folder: Path, base: Base) -> tuple[dict[str, Array], str, tuple[str, ...]]:
    """(leaves of the head, and of a pooler of its own; pooling; label names)."""
    file, d = folder / HEAD_CONFIG, base.config.hidden_size
    if not file.exists():
        raise InputError(
            f"{folder}: has no {HEAD_CONFIG}: an adapter without a head answers nothing; name the "
            "folder of the head"
        )
    about = settings_of(file)
    tensors = tensors_of(folder, HEAD_TENSORS, HEAD_PICKLE)
    name, settings = about.get("name"), about.get("config")
    if settings is None and about.get("model_class") == "BertForSequenceClassification":
        settings = {"head_type": "classification", "layers": 1, "use_pooler": True}
        settings |= {key: about.get(key) for key in ("num_labels", "label2id")}
        names = ["classifier"]
    elif isinstance(settings, dict):
        names = [f"heads.{name}.{number}" for number in (1, 4)]
    else:
        raise InputError(f"{file}: has no config of a head")
    outputs, layers = settings.get("num_labels"), settings.get("layers")
    check_settings({"head_type": None} | settings, HEAD_ONLY, HEAD_FREE, file)
    if type(outputs) is not int or not 1 <= outputs <= MOST_OUTPUTS:
        raise InputError(
            f"{file}: num_labels is {spelled(outputs)}; 1 to {MOST_OUTPUTS:,} are supported"
        )
    # a file of one head may hold others whose names begin alike
    own = {key: v for key, v in tensors.items() if any(key.startswith(f"{n}.") for n in names)}
    where, found = folder / HEAD_TENSORS, {}
    pooled, last = bool(settings.get("use_pooler")), names[0]
    activation = settings.get("activation_function")
    if layers == 2 and not pooled and activation == "tanh":
        found["base.pooler.weight"] = taken(own, f"{names[0]}.weight", (d, d), where)
        found["base.pooler.bias"] = taken(own, f"{names[0]}.bias", (d,), where)
        last, pooling = names[1], POOLER
    elif layers == 1:
        pooling = POOLER if pooled else CLS
    else:
        raise InputError(
            f"{file}: a head of {spelled(layers)} layers with {spelled(activation)} on "
            f"{'the pooled' if pooled else 'the raw'} [CLS] is not supported; those of one layer, "
            'and of two with "tanh" on the raw [CLS] are'
        )
    if pooling == POOLER and not found and "pooler" not in base.params:
        raise InputError(f"{file}: reads a pooler, which {base.folder} does not have")
    found["head.weight"] = taken(own, f"{last}.weight", (outputs, d), where)
    has_bias = settings.get("bias", True)
    zeros = np.zeros(outputs, np.float32)
    found["head.bias"] = taken(own, f"{last}.bias", (outputs,), where) if has_bias else zeros
    check_none_left(own, where)
    return found, pooling, label_names(settings, outputs, file)
