"""The parameters of a BERT by name and shape; random ones; casts. A linear weight is [in, out]."""

from typing import Any

import numpy as np

from minibert.config import BertConfig
from minibert.ops import Array
from minibert.tree import Tree, from_leaves, transform

Shapes = dict[str, tuple[int, ...]]


def parameter_shapes(config: BertConfig) -> Shapes:
    """The encoder's parameters by path, with their shapes: what a checkpoint must hold."""
    d, f = config.hidden_size, config.intermediate_size

    def linear(path: str, size_in: int, size_out: int) -> Shapes:
        return {f"{path}.weight": (size_in, size_out), f"{path}.bias": (size_out,)}

    def norm(path: str) -> Shapes:
        return {f"{path}.weight": (d,), f"{path}.bias": (d,)}

    shapes: Shapes = {
        "embeddings.word": (config.vocab_size, d),
        "embeddings.position": (config.max_position_embeddings, d),
        "embeddings.segment": (config.type_vocab_size, d),
        **norm("embeddings.norm"),
    }
    for i in range(config.num_hidden_layers):
        for name in ("query", "key", "value", "output"):
            shapes |= linear(f"layers.{i}.attention.{name}", d, d)
        shapes |= norm(f"layers.{i}.attention.norm")
        shapes |= linear(f"layers.{i}.feed_forward.inner", d, f)
        shapes |= linear(f"layers.{i}.feed_forward.output", f, d)
        shapes |= norm(f"layers.{i}.feed_forward.norm")
    return shapes | linear("pooler", d, d)


def masked_token_shapes(config: BertConfig) -> Shapes:
    """The masked-token head's parameters by path, which a checkpoint may hold."""
    d = config.hidden_size
    return {
        "masked_tokens.transform.weight": (d, d),
        "masked_tokens.transform.bias": (d,),
        "masked_tokens.norm.weight": (d,),
        "masked_tokens.norm.bias": (d,),
        "masked_tokens.bias": (config.vocab_size,),
    }


def random_params(config: BertConfig, seed: int = 0) -> Tree:
    """An untrained BERT, float32: weights N(0, initializer_range), biases 0, LayerNorm gains 1."""
    rng = np.random.default_rng(seed)

    def leaf(path: str, shape: tuple[int, ...]) -> Array:
        if path.endswith("norm.weight"):
            return np.ones(shape, np.float32)
        if path.endswith("bias"):
            return np.zeros(shape, np.float32)
        # drawn as [out, in] and seen as [in, out], the way a checkpoint lies in memory
        drawn = rng.standard_normal(shape[::-1], np.float32) * config.initializer_range
        return drawn.T

    return from_leaves({p: leaf(p, shape) for p, shape in parameter_shapes(config).items()})


def cast(params: Tree, dtype: Any) -> Tree:
    """The same parameters in another floating type: float64 for the tutorials' gradient checks."""
    return transform(lambda leaf: np.asarray(leaf).astype(dtype), params)
