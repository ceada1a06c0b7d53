"""The table of tuning methods: what each trains, and the file that has its adapters.

A file of adapters exports

    init(rng, config, method)            fresh adapters: {layer: {place: adapter}}
    attach(tree, config, method, ops)    the hook `adapt` that the encoder calls
    layer_parameters(config, method)     how many parameters one layer's adapters have

and, where something is left to do after training, `settle` (see `batch_norm`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from adapters.methods import batch_norm, bottleneck, lora, pfeiffer, variants
from adapters.methods.batch_norm import STATISTICS
from adapters.methods.method import ADAPTERS, BIASES, HEAD, NORMS, Method
from minibert.config import BertConfig
from minibert.errors import InputError, check_at_most, shown
from minibert.model import PLACES
from minibert.parameters import Shapes, parameter_shapes
from minibert.tree import Tree, leaves


@dataclass(frozen=True)
class Entry:
    """A method; what it trains beside the head, in words; the file with its adapters, if it has
    any; and what may be chosen of them."""

    method: Method
    what: str
    adapters: ModuleType | None = None
    choices: tuple[str, ...] = ()


# The first is the paper's method (section 2.1): adapters, every LayerNorm (the embedding's too) and
# the head. The pooler is used and stays frozen, as in the released code.
#
# Beyond the paper: LoRA and Pfeiffer's adapters train nothing of the base, as in their papers.
# "biases" is BitFit (Ben Zaken et al. 2021, arXiv 2106.10199): every bias, the LayerNorms' too and,
# as in its released code, the pooler's.
TABLE = {
    entry.method.name: entry
    for entry in (
        Entry(
            Method("adapters", (ADAPTERS, NORMS, HEAD), size=64),
            "adapters, every LayerNorm",
            bottleneck,
            ("size", "activation", "variant", "std"),
        ),
        Entry(Method("full", (r"base\.(embeddings|layers|pooler)\.", HEAD)), "everything"),
        Entry(Method("norms", (NORMS, HEAD)), "every LayerNorm"),
        Entry(Method("head", (HEAD,)), "nothing (frozen features)"),
        Entry(
            Method("lora", (ADAPTERS, HEAD), size=8),
            "A and B beside query, value",
            lora,
            ("size", "targets", "alpha"),
        ),
        Entry(
            Method("pfeiffer", (ADAPTERS, HEAD), size=48, activation="relu"),
            "one adapter a layer",
            pfeiffer,
            ("size", "activation", "std"),
        ),
        Entry(Method("biases", (BIASES, HEAD)), "every bias (BitFit)"),
    )
}
LARGEST_SIZE, LARGEST_STD, LARGEST_ALPHA = 16_384, 1000.0, 1e6  # far beyond any use
METHODS = {name: entry.method for name, entry in TABLE.items()}

# The variants of the paper's adapters: what each computes, and the file that has it.
VARIANTS: dict[str, tuple[str, ModuleType]] = {
    "serial": ("z + f(z W_down + b_down) W_up + b_up, the paper's own", bottleneck),
    **{name: (variant.what, variants) for name, variant in variants.VARIANTS.items()},
    batch_norm.VARIANT.name: (batch_norm.VARIANT.what, batch_norm),
}


def adapters_of(method: Method) -> ModuleType:
    """The file with the method's adapters; the paper's own for a method that is not in the table.
    Raises InputError for an unknown variant."""
    if method.variant != "serial":
        check_variant(method.variant)
        return VARIANTS[method.variant][1]
    entry = TABLE.get(method.name)
    return (entry and entry.adapters) or bottleneck


def check_variant(name: str) -> None:
    """Raises InputError, listing the known ones, for another name."""
    if name not in VARIANTS:
        raise InputError(f"unknown variant {name!r}; known: {', '.join(VARIANTS)}")


def check_method(method: Method) -> None:
    """Raises InputError for a method from a file that can be none: one of the table with other
    patterns, settings that no adapter has, or patterns of its own that are no short, plain ones."""
    if known := TABLE.get(method.name):
        free = (*known.choices, "first_layer", "last_layer", "sizes", "trained")
        chosen: dict[str, Any] = {name: getattr(method, name) for name in free}
        # its LayerNorms may be frozen, and an adapter from another library may train more
        fewer = {*known.method.trained} - {NORMS} - {*method.trained}
        if replace(known.method, **chosen) != method or fewer:
            raise InputError(f"method {method.name!r} is not the one that is known by that name")
        if known.adapters and method.size is None:
            raise InputError(f"method {method.name!r} has no size")
    for size in (method.size, *(size for _, size in method.sizes)):
        if size is not None and size < 1:
            raise InputError(f"adapter size must be at least 1, not {shown(size)}")
    if len(dict(method.sizes)) < len(method.sizes):
        raise InputError("the method's sizes name a place twice")
    lora.check_targets(method.targets)
    check_alpha(method.alpha)
    check_std(method.std)
    bottleneck.check_activation(method.activation)
    check_variant(method.variant)
    first, last = method.first_layer, method.last_layer
    if first < 0 or (last is not None and last < first):
        raise InputError(f"the method's layers are from {shown(first)} to {shown(last)}")
    for pattern in method.trained:
        check_pattern(pattern)


def check_std(std: float | None) -> None:
    """Raises InputError for an initial std that is not positive, or beyond all sense."""
    _check_positive("the adapters' initial std", std, LARGEST_STD)


def check_alpha(alpha: float | None) -> None:
    """Raises InputError for a LoRA alpha that is not positive, or beyond all sense."""
    _check_positive("LoRA's alpha", alpha, LARGEST_ALPHA)


def _check_positive(name: str, value: float | None, most: float) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise InputError(f"{name} must be positive, not {value}")
    check_at_most(name, value or 0, most)


def check_pattern(pattern: str) -> None:
    """Raises InputError for what is no regular expression, or one that could search for years: with
    a repeated group, or many repetitions."""
    repeated = re.search(r"\)[*+{]", pattern)
    if len(pattern) > 200 or repeated or len(re.findall(r"[*+{]", pattern)) > 3:
        raise InputError(f"the pattern {shown(pattern)} is too long or complicated")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"{shown(pattern)} is no pattern: {error}") from None


def method_named(
    name: str,
    size: int | None = None,
    activation: str | None = None,
    variant: str = "serial",
    std: float | None = None,
    *,
    targets: Sequence[str] | None = None,
    alpha: float | None = None,
    freeze_layernorm: bool = False,
) -> Method:
    """A method of the table, with adapters of this size (m, or LoRA's rank r), activation, variant
    and initial std instead of its own.

    targets, alpha: LoRA's, the maps that it adapts (see `lora.MAPS`) and its scale;
    freeze_layernorm: leave the LayerNorms as they are. Raises InputError for another name, an
    unknown activation, variant or target, an std or alpha that is not positive, a size, std or
    alpha beyond any use, or any of these for a method that has no such thing. (Eight arguments: a
    name, and what may be chosen of it.)
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    if activation is not None:
        bottleneck.check_activation(activation)
    check_variant(variant)
    check_std(std)
    check_at_most(f"the size of method {name!r}", size or 0, LARGEST_SIZE)
    maps = tuple(targets or ())
    lora.check_targets(maps)
    check_alpha(alpha)
    entry = TABLE[name]
    form = None if variant == "serial" else variant
    asked: dict[str, Any] = {"size": size, "activation": activation, "variant": form, "std": std}
    asked |= {"targets": maps or None, "alpha": alpha}
    chosen = {what: value for what, value in asked.items() if value is not None}
    for what in chosen:
        if what not in entry.choices:
            why = "" if entry.adapters else "has no adapters, so it "
            raise InputError(f"method {name!r} {why}takes no {what}")
    method = replace(entry.method, **chosen)
    return without_layernorm(method) if freeze_layernorm else method


def without_layernorm(method: Method) -> Method:
    """The method with every LayerNorm frozen. Raises InputError for one that trains none besides
    other things."""
    rest = tuple(pattern for pattern in method.trained if pattern not in (NORMS, HEAD))
    if NORMS not in method.trained or not rest:
        raise InputError(f"method {method.name!r} has no LayerNorms that could be left frozen")
    return replace(method, trained=(*rest, HEAD))


def top_layers(method: Method, top: int, config: BertConfig) -> Method:
    """The method in the top `top` of the layers only. Raises InputError for a number of layers that
    the model does not have, or a method that trains no layer."""
    _trains_layers(method, "number of top layers")
    if not 1 <= top <= config.num_hidden_layers:
        raise InputError(
            f"top layers must be from 1 to {config.num_hidden_layers}, not {shown(top)}"
        )
    return replace(method, first_layer=config.num_hidden_layers - top)


def layer_span(method: Method, first: int, last: int, config: BertConfig) -> Method:
    """The method in the layers from `first` to `last` only, both counted from 0 and included; with
    adapters, the other layers have none. Raises InputError for layers that the model does not have,
    or a method that trains no layer."""
    _trains_layers(method, "span of layers")
    layers = config.num_hidden_layers
    if not 0 <= first <= last < layers:
        raise InputError(
            f"a span of layers is two numbers from 0 to {layers - 1}, the lower one first, not "
            f"{shown(first)} {shown(last)}"
        )
    return replace(method, first_layer=first, last_layer=None if last == layers - 1 else last)


def _trains_layers(method: Method, asked: str) -> None:
    if method.trained == (HEAD,):
        raise InputError(f"method {method.name!r} trains no layer, so it takes no {asked}")


def adapter_parameters(config: BertConfig, method: Method) -> int:
    """How many parameters all of the method's adapters have, by its file's formula."""
    if method.size is None:
        return 0
    if method.sizes:
        shapes = _shapes_by_size(config, method).values()
        return sum(math.prod(shape) for shape in shapes)
    layers = sum(map(method.has_layer, range(config.num_hidden_layers)))
    return layers * adapters_of(method).layer_parameters(config, method)


@cache
def trained_shapes(config: BertConfig, method: Method, outputs: int, pooler: bool) -> Shapes:
    """What a task of this method holds, by path: all that is trained, and all of its adapters. The
    arguments are those of `trained_parameters`. Of the adapters, whose size may come from a file,
    one layer's are made: see first that `adapter_parameters` are as many as there are."""
    d = config.hidden_size
    shapes = {
        f"base.{path}": shape
        for path, shape in parameter_shapes(config).items()
        if pooler or not path.startswith("pooler.")
    }
    shapes |= {"head.weight": (d, outputs), "head.bias": (outputs,)}
    shapes = {path: shape for path, shape in shapes.items() if method.trains(path)}
    if method.size is None:
        return shapes
    if method.sizes:
        return shapes | _shapes_by_size(config, method)
    of_layer = {path: leaf.shape for path, leaf in leaves(_one_layer(config, method))}
    for path, shape in list(of_layer.items()):
        if hasattr(adapters_of(method), "settle") and path.endswith(".norm.weight"):
            of_layer |= {path.replace("weight", name): shape for name in STATISTICS}
    for layer in filter(method.has_layer, range(config.num_hidden_layers)):
        shapes |= {f"adapters.{layer}.{path}": shape for path, shape in of_layer.items()}
    return shapes


def _one_layer(config: BertConfig, method: Method) -> Tree:
    """Fresh adapters of one layer: {place: adapter}."""
    one_layer = replace(config, num_hidden_layers=1)
    filled = replace(method, std=method.std or 1.0)
    made: Tree = adapters_of(method).init(np.random.default_rng(0), one_layer, filled)[0]
    return made


def _shapes_by_size(config: BertConfig, method: Method) -> Shapes:
    """The adapters of a method with `sizes`, by path. Raises InputError for a layer or place that
    has none."""
    file, shapes = adapters_of(method), {}
    places = lora.MAPS if file is lora else PLACES
    for where, size in method.sizes:
        layer, _, place = where.partition(".")
        if not (layer.isdecimal() and int(layer) < config.num_hidden_layers and place in places):
            raise InputError(f"method {method.name!r} has no adapter at {shown(where)}")
        targets = (place,) if file is lora else ()
        (made, *_) = _one_layer(config, replace(method, size=size, targets=targets)).values()
        for path, leaf in leaves(made):
            shapes[f"adapters.{int(layer)}.{place}.{path}"] = leaf.shape
    return shapes


def trained_parameters(
    config: BertConfig, method: Method, outputs: int, pooler: bool = True
) -> int:
    """How many parameters the method trains, with a head of `outputs` outputs; `pooler`: whether
    the head reads a pooler."""
    of_base = sum(
        math.prod(shape)
        for path, shape in parameter_shapes(config).items()
        if method.trains(f"base.{path}") and (pooler or not path.startswith("pooler."))
    )
    return of_base + adapter_parameters(config, method) + (config.hidden_size + 1) * outputs


def method_rows(
    config: BertConfig, chosen: Method | None = None, pooler: bool = True
) -> list[tuple[Method, str, int]]:
    """Every kind of method on a base: (the method, what it trains beside the head, how many
    parameters that is with the head of a task of two classes). `chosen` takes the place of the
    table's method of its name; `pooler` is that of `trained_parameters`."""
    methods = METHODS if chosen is None else {**METHODS, chosen.name: chosen}
    adapters, full = methods["adapters"], methods["full"]
    half = max(1, config.num_hidden_layers // 2)
    others = [name for name in METHODS if name not in ("adapters", "full")]
    kinds = [
        (adapters, TABLE["adapters"].what),
        (top_layers(adapters, half, config), "those of the top half"),
        (layer_span(adapters, 0, half - 1, config), "those of the lower half"),
        (full, TABLE["full"].what),
        (top_layers(full, 1, config), "the top layer, the pooler" if pooler else "the top layer"),
        *((methods[name], TABLE[name].what) for name in others),
    ]
    return [(method, what, trained_parameters(config, method, 2, pooler)) for method, what in kinds]
