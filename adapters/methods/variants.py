"""The extensions that Houlsby et al. 2019 tried without gain (section 3.6, at the end), as data.

    (i) batch or layer normalisation inside the adapter, (ii) more layers in it, (iii) other
    activations (any variant takes any of `bottleneck.ACTIVATIONS`), (iv) adapters in attention
    only, (v) adapters parallel to the sublayers, possibly multiplicative.

With B the adapter without its skip connection, z a sublayer's output and x its input:

    B(v) = f(norm(v W_down + b_down)) W_up + b_up

    serial z + B(z)        parallel z + B(x)        multiplicative z (1 + B(x))

The paper does not say what it normalised; here it is the m bottleneck features, before f. Batch
normalisation needs more than the others, and has its own file: `batch_norm`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from adapters.methods import bottleneck
from adapters.methods.method import Method
from minibert import fused
from minibert.config import BertConfig
from minibert.model import ATTENTION, PLACES, Adapt
from minibert.ops import Array
from minibert.tree import Tree

EPS = 1e-5  # added to a variance, so that a feature that never changes becomes 0 and not nan

Norm = Callable[[Array, Tree, ModuleType], Array]  # (features [N, m], its parameters, ops)


def layer_norm(features: Array, norm: Tree, ops: ModuleType) -> Array:
    """Each token's m features to mean 0 and variance 1, then gain and bias. [N, m] -> [N, m]"""
    return ops.layer_norm(features, norm["weight"], norm["bias"], EPS)


@dataclass(frozen=True)
class Variant:
    """An adapter's form; `what` describes it.

    places: after which sublayers. parallel: B reads the sublayer's input x instead of its output z.
    multiply: z (1 + B) instead of z + B. hidden: layers of m features in B. norm: normalises the
    first of them. least_size: the smallest m that makes sense.
    """

    name: str
    what: str
    places: tuple[str, ...] = PLACES
    parallel: bool = False
    multiply: bool = False
    hidden: int = 1
    norm: Norm | None = None
    least_size: int = 1


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(
            "layer-norm",
            "z + f(LayerNorm(z W_down + b_down)) W_up + b_up",
            norm=layer_norm,
            least_size=2,  # one feature, normalised by itself, is always 0
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


# ------------------------------------------------------------------------------------------ formula


def down(adapter: Tree, v: Array, ops: ModuleType) -> Array:
    """The bottleneck features v W_down + b_down, before any normalisation. [N, d] -> [N, m]"""
    return ops.linear(v, adapter["down"]["weight"], adapter["down"]["bias"])


def branch(adapter: Tree, v: Array, activation: str, variant: Variant, ops: ModuleType) -> Array:
    """B(v), the adapter without its skip connection. [N, d] -> [N, m] -> [N, d]"""
    f = getattr(ops, activation)
    features = down(adapter, v, ops)  # [N, m]
    if variant.norm:
        features = variant.norm(features, adapter["norm"], ops)
    features = f(features)
    for number in range(1, variant.hidden):
        inner = adapter["inner"][number]
        features = f(ops.linear(features, inner["weight"], inner["bias"]))  # [N, m]
    return ops.linear(features, adapter["up"]["weight"], adapter["up"]["bias"])


def apply(
    adapter: Tree, z: Array, x: Array, activation: str, variant: Variant, ops: ModuleType = fused
) -> Array:
    """The sublayer's output z as the adapter changes it; x is the sublayer's input.
    [N, d], [N, d] -> [N, d]"""
    change = branch(adapter, x if variant.parallel else z, activation, variant, ops)
    return z * (1.0 + change) if variant.multiply else z + change


def attach(tree: Tree, config: BertConfig, method: Method, ops: ModuleType = fused) -> Adapt:
    """The hook that the encoder calls: tree["adapters"][layer][place], where there is one.

    A layer or place without an adapter is left as it is. Raises InputError for an unknown
    activation.
    """
    return attach_variant(tree, VARIANTS[method.variant], method.activation, ops)


def attach_variant(tree: Tree, variant: Variant, activation: str, ops: ModuleType) -> Adapt:
    """`attach` for a variant of any kind."""
    bottleneck.check_activation(activation)

    def adapt(layer: int, place: str, z: Array, x: Array) -> Array:
        adapter = tree["adapters"].get(layer, {}).get(place)
        return z if adapter is None else apply(adapter, z, x, activation, variant, ops)

    return adapt


# -------------------------------------------------------------------------- initialisation, size


def init(rng: np.random.Generator, config: BertConfig, method: Method) -> Tree:
    """An adapter at each of the variant's places: {layer: {place: adapter}}.

    The method says their size m and initial std. Raises InputError for too small a size.
    """
    return init_variant(rng, config, method, VARIANTS[method.variant])


def init_variant(
    rng: np.random.Generator, config: BertConfig, method: Method, variant: Variant
) -> Tree:
    """`init` for a variant of any kind."""
    m, std = bottleneck.size_and_std(method, variant.least_size)
    d = config.hidden_size
    return {
        layer: {place: init_adapter(rng, d, m, std, variant) for place in variant.places}
        for layer in range(config.num_hidden_layers)
    }


def init_adapter(rng: np.random.Generator, d: int, m: int, std: float, variant: Variant) -> Tree:
    """One adapter near the identity: every projection small, biases 0, normalisation's gain 1."""
    adapter = bottleneck.init_adapter(rng, d, m, std)
    zeros = np.zeros(m, np.float32)
    if variant.hidden > 1:
        adapter["inner"] = {
            number: {
                "weight": bottleneck.truncated_normal(rng, (m, m), std).T,
                "bias": zeros.copy(),
            }
            for number in range(1, variant.hidden)
        }
    if variant.norm:
        adapter["norm"] = {"weight": np.ones(m, np.float32), "bias": zeros.copy()}
    return adapter


def variant_parameters(d: int, m: int, variant: Variant) -> int:
    """Of one adapter: 2md + d + m, another m^2 + m for each further hidden layer, and 2m for a
    normalisation's gain and bias."""
    deeper = (variant.hidden - 1) * (m * m + m)
    return bottleneck.parameter_count(d, m) + deeper + (2 * m if variant.norm else 0)


def layer_parameters(config: BertConfig, method: Method) -> int:
    """Of one layer's adapters."""
    variant = VARIANTS[method.variant]
    return len(variant.places) * variant_parameters(config.hidden_size, method.size or 0, variant)
