"""The extensions that Houlsby et al. 2019 tried without gain (section 3.6, at the end), as data.

    (i) batch or layer normalisation inside the adapter, (ii) more layers in it, (iii) other
    activations (any variant takes any of `bottleneck.ACTIVATIONS`), (iv) adapters in attention
    only, (v) adapters parallel to the sublayers, possibly multiplicative.

With B the adapter without its skip connection, z a sublayer's output and x its input:

    B(v) = f(norm(v W_down + b_down)) W_up + b_up

    serial z + B(z)        parallel z + B(x)        multiplicative z (1 + B(x))

The paper does not say where it normalised; here it is the m bottleneck features, before f.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import autograd.numpy as np
import numpy as onp

from adapters.methods.bottleneck import check_activation, init_adapter, truncated_normal
from adapters.methods.bottleneck import parameter_count as serial_count
from minibert import fused
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model import ATTENTION, PLACES, Adapt
from minibert.ops import Array
from minibert.tree import Tree, merge

EPS = 1e-5  # added to a variance; a feature that never changes is then 0, not nan

# The paths of batch normalisation's population statistics. They belong to a task's file, but no
# gradient trains them: a method must not match these.
STATISTICS = r"adapters\.\d+\.\w+\.norm\.(mean|variance)$"


@dataclass(frozen=True)
class Variant:
    """An adapter's form; `what` says it to people.

    places: after which sublayers. parallel: B reads the sublayer's input x, not its output z.
    multiply: z (1 + B), not z + B. hidden: layers of m features in B. norm: of the first of them,
    "layer", "batch" or None.
    """

    name: str
    what: str
    places: tuple[str, ...] = PLACES
    parallel: bool = False
    multiply: bool = False
    hidden: int = 1
    norm: str | None = None


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("serial", "z + f(z W_down + b_down) W_up + b_up, the paper's own"),
        Variant(
            "layer-norm",
            "z + f(LayerNorm(z W_down + b_down)) W_up + b_up",
            norm="layer",
        ),
        Variant(
            "batch-norm",
            "z + f(BatchNorm(z W_down + b_down)) W_up + b_up",
            norm="batch",
        ),
        Variant(
            "deep",
            "z + f(f(z W_down + b_down) W_1 + b_1) W_up + b_up, W_1 being m x m",
            hidden=2,
        ),
        Variant(
            "attention-only",
            "z + f(z W_down + b_down) W_up + b_up, after attention only",
            places=(ATTENTION,),
        ),
        Variant(
            "parallel",
            "z + f(x W_down + b_down) W_up + b_up, x being the sublayer's input",
            parallel=True,
        ),
        Variant(
            "multiplicative",
            "z (1 + f(x W_down + b_down) W_up + b_up), x being the sublayer's input",
            parallel=True,
            multiply=True,
        ),
    )
}


def variant_named(name: str) -> Variant:
    """Raises InputError, listing the known ones, for another name."""
    if name not in VARIANTS:
        raise InputError(f"unknown variant {name!r}; known: {', '.join(VARIANTS)}")
    return VARIANTS[name]


# -------------------------------------------------------------------------- size, initialisation


def parameter_count(d: int, m: int, variant: Variant) -> int:
    """Of one adapter: 2md + d + m, another m^2 + m for each further hidden layer, and 2m for a
    normalisation's gain and bias. (Population statistics are 2m more numbers, but not trained.)"""
    return serial_count(d, m) + (variant.hidden - 1) * (m * m + m) + (2 * m if variant.norm else 0)


def init_variant(rng: onp.random.Generator, d: int, m: int, std: float, variant: Variant) -> Tree:
    """One adapter near the identity: every projection small, biases 0, normalisation's gain 1."""
    adapter = init_adapter(rng, d, m, std)
    if variant.hidden > 1:
        adapter["inner"] = {
            number: {
                "weight": truncated_normal(rng, (m, m), std).T,
                "bias": onp.zeros(m, onp.float32),
            }
            for number in range(1, variant.hidden)
        }
    if variant.norm:
        adapter["norm"] = {"weight": onp.ones(m, onp.float32), "bias": onp.zeros(m, onp.float32)}
    return adapter


def init_variants(
    rng: onp.random.Generator, config: BertConfig, m: int, std: float, variant: Variant
) -> Tree:
    """An adapter at each of the variant's places: {layer: {place: adapter}}.

    Raises InputError for a size below 1, or of 1 with layer normalisation (a single feature,
    normalised by itself, is always 0).
    """
    least = 2 if variant.norm == "layer" else 1
    if m < least:
        where = f" for variant {variant.name!r}" if least > 1 else ""
        raise InputError(f"adapter size must be at least {least}{where}, not {m}")
    return {
        layer: {
            place: init_variant(rng, config.hidden_size, m, std, variant)
            for place in variant.places
        }
        for layer in range(config.num_hidden_layers)
    }


def distance_bound(
    variant: Variant, d: int, m: int, std: float, z_norm: float, x_norm: float
) -> float:
    """An upper bound of how far an adapter moves z right after initialisation, for any z and x of
    these norms; with batch normalisation, of the root mean square distance of the batch's rows.

    As in `bottleneck.distance_bound`: a projection's norm is at most 2 std sqrt(m d) (from m to m
    features 2 std m), |f(v)| <= |v| and all biases are 0, so one hidden layer gives
    |B(v)| <= (2 std)^2 m d |v|. Normalised features have a mean square of at most 1, however small
    W_down is, so there |B| <= (2 std sqrt(m d)) sqrt(m): it falls with std, no longer with std^2,
    and does not fall with |v|. For the product, |z B| <= |z| max |B_i|, and a single output's
    weights have a norm of at most 2 std sqrt(m).
    """
    projection = 2.0 * std * math.sqrt(m * d)
    features = projection * (x_norm if variant.parallel else z_norm)
    if variant.norm:
        features = math.sqrt(m)
    features *= (2.0 * std * m) ** (variant.hidden - 1)
    if variant.multiply:
        return 2.0 * std * math.sqrt(m) * features * z_norm
    return projection * features


# ------------------------------------------------------------------------------------------ formula


def moments(features: Array) -> tuple[Array, Array]:
    """Each feature's mean and (biased) variance over the rows. [N, m] -> [m], [m]"""
    share = 1.0 / len(features)
    mean = np.sum(features, axis=0) * share
    centred = features - mean  # [N, m]
    return mean, np.sum(centred * centred, axis=0) * share


def batch_norm(features: Array, norm: Tree) -> Array:
    """Each feature to mean 0 and variance 1, then a learned gain and bias. [N, m] -> [N, m]

    Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 1. Without "mean" and "variance" in `norm`,
    as while training, they are those of the rows given: all tokens of one shard of the batch, and
    in the last layer, which computes [CLS] only, one row a text. (A shard of one text then has
    features of 0 there.)
    """
    mean, variance = (norm["mean"], norm["variance"]) if "mean" in norm else moments(features)
    return (features - mean) / np.sqrt(variance + EPS) * norm["weight"] + norm["bias"]


def down(adapter: Tree, v: Array, ops: ModuleType) -> Array:
    """v W_down + b_down, which a normalisation sees. [N, d] -> [N, m]"""
    return ops.linear(v, adapter["down"]["weight"], adapter["down"]["bias"])


def branch(adapter: Tree, v: Array, activation: str, variant: Variant, ops: ModuleType) -> Array:
    """B(v), the adapter without its skip connection. [N, d] -> [N, m] -> [N, d]"""
    f = getattr(ops, activation)
    features = down(adapter, v, ops)  # [N, m]
    if variant.norm == "layer":
        norm = adapter["norm"]
        features = ops.layer_norm(features, norm["weight"], norm["bias"], EPS)
    elif variant.norm == "batch":
        features = batch_norm(features, adapter["norm"])
    features = f(features)
    for number in range(1, variant.hidden):
        inner = adapter["inner"][number]
        features = f(ops.linear(features, inner["weight"], inner["bias"]))  # [N, m]
    return ops.linear(features, adapter["up"]["weight"], adapter["up"]["bias"])


def apply_variant(
    adapter: Tree,
    z: Array,
    x: Array,
    activation: str,
    variant: Variant,
    ops: ModuleType = fused,
) -> Array:
    """The sublayer's output z as the adapter changes it; x is the sublayer's input.
    [N, d], [N, d] -> [N, d]"""
    change = branch(adapter, x if variant.parallel else z, activation, variant, ops)
    return z * (1.0 + change) if variant.multiply else z + change


def attach_variant(
    adapters: Tree, activation: str, variant: Variant, ops: ModuleType = fused
) -> Adapt:
    """The `adapt` that `minibert.model.encode` calls: adapters[layer][place], where there is one.

    A layer or place without an adapter is left as it is.
    """
    check_activation(activation)

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = adapters.get(layer, {}).get(place)
        return z if adapter is None else apply_variant(adapter, z, x, activation, variant, ops)

    return adapt


def population_statistics(
    adapters: Tree,
    variant: Variant,
    activation: str,
    run: Callable[[Adapt], Any],
    ops: ModuleType = fused,
) -> Tree:
    """The adapters with batch normalisation's mean and variance filled in: a text's output then
    no longer depends on the texts beside it. Other variants: the adapters as they are.

    Algorithm 2 of Ioffe & Szegedy: after training, from training texts. `run(adapt)` sends a
    sample of them, as one batch and without dropout, through the frozen model with this hook; each
    adapter's statistics are those that the adapters below it, already settled, let through. They
    are the sample's own, so the sample itself comes out the same before and after; for that the
    variance is the biased one (algorithm 2 has it N / (N - 1) times as large). Older statistics in
    `adapters` are replaced. Raises ValueError when `run` asks for an adapter twice.
    """
    if variant.norm != "batch":
        return adapters
    settled: Tree = {}

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = adapters.get(layer, {}).get(place)
        if adapter is None:
            return z
        if place in settled.setdefault(layer, {}):
            raise ValueError(f"the statistics' sample must be one batch: layer {layer} came twice")
        mean, variance = moments(down(adapter, x if variant.parallel else z, ops))
        norm = {**adapter["norm"], "mean": mean, "variance": variance}
        settled[layer][place] = {**adapter, "norm": norm}
        return apply_variant(settled[layer][place], z, x, activation, variant, ops)

    run(adapt)
    return merge(adapters, settled)
