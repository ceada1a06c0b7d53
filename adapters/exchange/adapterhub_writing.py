"""A task -> AdapterHub's files, with every setting that `adapters` 1.3.0 writes itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.exchange.adapterhub import (
    ACTIVATIONS,
    CONFIG,
    HEAD_CONFIG,
    HEAD_TENSORS,
    PARTS,
    PLACES,
    TENSORS,
)
from adapters.exchange.foreign import write_settings, write_tensors
from adapters.methods.method import NORMS, Method
from adapters.task_model import CLS, POOLER, TaskModel
from minibert.config import BertConfig
from minibert.errors import brief
from minibert.model import ATTENTION, FEED_FORWARD
from minibert.tensors import as_stored
from minibert.tree import leaves

VERSION = "adapters.1.3.0"  # whose files these are, field by field


def write_adapterhub(
    folder: Path, name: str, model: TaskModel, labels: tuple[str, ...], base_said: str
) -> None:
    """Write the adapters and head of a task that the format has a place for (`refuse`)."""
    method, config, d = model.method, model.base.config, model.base.config.hidden_size
    sizes = {
        f"{layer}.{place}": adapter["down"]["bias"].size
        for layer, places in model.tree["adapters"].items()
        for place, adapter in places.items()
    }
    about = {
        "hidden_size": d,
        "model_class": "BertAdapterModel",
        "model_name": base_said,
        "model_type": "bert",
        "name": name,
        "version": VERSION,
    }
    settings = _settings(method, sizes, config)
    tensors = {}
    for path, leaf in leaves(model.tree["adapters"]):
        layer, place, part, kind = path.split(".")
        stem = f"bert.encoder.layer.{layer}.{PLACES[place]}.adapters.{name}"
        tensors[f"{stem}.{PARTS[part]}.{kind}"] = as_stored(path, leaf)
    write_settings(folder / CONFIG, {"config": settings, **about})
    write_tensors(folder / TENSORS, tensors)
    own_pooler = method.trains("base.pooler.weight")
    two_layers = model.pooling == POOLER and own_pooler
    numbers = {"base.pooler": 1, "head": 4} if two_layers else {"head": 1}
    parts = {"base.pooler": model.tree["base"].get("pooler", {}), "head": model.tree["head"]}
    tensors = {
        f"heads.{name}.{number}.{kind}": as_stored(kind, parts[part][kind])
        for part, number in numbers.items()
        for kind in ("weight", "bias")
    }
    head = {
        "head_type": "classification",
        "num_labels": int(model.tree["head"]["bias"].size),
        "layers": len(numbers),
        "activation_function": "tanh" if two_layers else None,
        "label2id": {label: n for n, label in enumerate(labels)} or None,
        "use_pooler": model.pooling == POOLER and not two_layers,
        "bias": True,
        "dropout_prob": None,
    }
    write_settings(folder / HEAD_CONFIG, {"config": head, **about})
    write_tensors(folder / HEAD_TENSORS, tensors)


def refuse(model: TaskModel) -> str:
    """Why the format has no place for a task of this model, in words; "" where it has."""
    method = model.method
    if "adapters" not in model.tree or method.name not in ("adapters", "pfeiffer"):
        return f"method {brief(method.name)!r} is none of its adapters"
    if method.variant not in ("serial", "parallel", "attention-only"):
        return f"it has no adapters of the variant {method.variant!r}"
    if model.pooling not in (POOLER, CLS):
        return (
            f"its heads read the pooled or raw [CLS], not {model.pooling!r}; train with --pooling "
            "pooler or cls"
        )
    by_layer = (
        {adapter["down"]["bias"].size for adapter in places.values()}
        for places in model.tree["adapters"].values()
    )
    if any(len(sizes) > 1 for sizes in by_layer):
        return "it has one size for all adapters of a layer"
    places = [{*layer} for layer in model.tree["adapters"].values()]
    if any(layer != places[0] for layer in places):
        return "its adapters are at the same places in each layer"
    return ""


def trains_norms(method: Method) -> bool:
    """Whether a task has LayerNorms of its own, which the format has no place for."""
    return NORMS in method.trained


def _settings(method: Method, sizes: Mapping[str, int], config: BertConfig) -> dict[str, Any]:
    """The library's settings of an adapter, all of them."""
    of_layer = {int(where.partition(".")[0]): m for where, m in sizes.items()}
    places = {where.partition(".")[2] for where in sizes}
    factors = {layer: _factor(config.hidden_size, m) for layer, m in of_layer.items()}
    first, *others = factors.values()
    same = all(factor == first for factor in others)
    theirs = {ours: name for name, ours in reversed(ACTIVATIONS.items())}
    return {
        "mh_adapter": ATTENTION in places,
        "output_adapter": FEED_FORWARD in places,
        "reduction_factor": first if same else {str(n): f for n, f in factors.items()},
        "non_linearity": theirs[method.activation],
        "original_ln_before": method.name == "pfeiffer",
        "original_ln_after": True,
        "ln_before": False,
        "ln_after": False,
        "init_weights": "houlsby",
        "init_weights_seed": None,
        "is_parallel": method.variant == "parallel",
        "scaling": 1.0,
        "use_gating": False,
        "residual_before_ln": True,
        "adapter_residual_before_ln": False,
        "inv_adapter": None,
        "inv_adapter_reduction_factor": None,
        "cross_adapter": False,
        "leave_out": [n for n in range(config.num_hidden_layers) if n not in of_layer],
        "dropout": 0.0,
        "phm_layer": False,
        "phm_dim": 4,
        "factorized_phm_W": True,
        "shared_W_phm": False,
        "shared_phm_rule": True,
        "factorized_phm_rule": False,
        "phm_c_init": "normal",
        "phm_init_range": 0.0001,
        "learn_phm": True,
        "hypercomplex_nonlinearity": "glorot-uniform",
        "phm_rank": 1,
        "phm_bias": True,
        "stochastic_depth": 0.0,
    }


def _factor(d: int, m: int) -> float:
    """A reduction factor r with int(d // r) == m: d / m, unless rounding spoils it."""
    return d / m if int(d // (d / m)) == m else d / (m + 0.5)
