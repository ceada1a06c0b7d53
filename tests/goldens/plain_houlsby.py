"""The Houlsby forward pass written out, to check that AdapterHub computes the paper's formula."""

import math

import numpy as np
import torch
from tiny_model import PaddedBatch
from torch.nn.functional import gelu, layer_norm
from transformers import BertConfig

Tensors = dict[str, torch.Tensor]


def check_houlsby(
    weights: Tensors,
    adapter: Tensors,
    config: BertConfig,
    batch: PaddedBatch,
    last: np.ndarray,
    tolerance: float,
) -> float:
    """Compare AdapterHub's last states [N, D] with the plain ones; return the difference."""
    lengths = batch.mask.sum(1).tolist()
    plain = torch.cat(
        [
            plain_states(weights, adapter, config, batch.ids[b, :t], batch.segments[b, :t])
            for b, t in enumerate(lengths)
        ]
    )
    difference = float(np.abs(plain.numpy() - last).max())
    assert difference < tolerance, f"AdapterHub is not LN(x + z + up(gelu(down(z)))): {difference}"
    return difference


def plain_states(
    weights: Tensors,
    adapter: Tensors,
    config: BertConfig,
    ids: torch.Tensor,
    segments: torch.Tensor,
) -> torch.Tensor:
    """One text's last states, [T] -> [T, D]. Sublayer by sublayer, with A the adapter:

    x = LN(x + A(attention(x))), x = LN(x + A(feed_forward(x))), A(z) = z + up(gelu(down(z)))."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"]
        return layer_norm(x, x.shape[-1:], weight, bias, config.layer_norm_eps)

    def adapt(z: torch.Tensor, name: str) -> torch.Tensor:
        a = {key: adapter[f"{name}.{key}"].to(z.dtype) for key in KEYS}
        inner = gelu(z @ a["down.weight"].T + a["down.bias"], approximate="tanh")
        return z + inner @ a["up.weight"].T + a["up.bias"]

    def attention(x: torch.Tensor, name: str) -> torch.Tensor:
        heads, (length, size) = config.num_attention_heads, x.shape
        query, key, value = (
            linear(x, f"{name}.self.{part}").view(length, heads, -1).transpose(0, 1)
            for part in ("query", "key", "value")
        )  # [H, T, D/H]
        scores = query @ key.transpose(1, 2) / math.sqrt(size / heads)
        mixed = scores.softmax(-1) @ value
        return linear(mixed.transpose(0, 1).reshape(length, size), f"{name}.output.dense")

    word, position, segment = (
        weights[f"embeddings.{part}_embeddings.weight"]
        for part in ("word", "position", "token_type")
    )
    x = norm(word[ids] + position[: len(ids)] + segment[segments], "embeddings")
    for i in range(config.num_hidden_layers):
        layer = f"encoder.layer.{i}"
        z = attention(x, f"{layer}.attention")
        x = norm(x + adapt(z, f"{i}.attention"), f"{layer}.attention.output")
        z = linear(gelu(linear(x, f"{layer}.intermediate.dense")), f"{layer}.output.dense")
        x = norm(x + adapt(z, f"{i}.feed_forward"), f"{layer}.output")
    return x


KEYS = ("down.weight", "down.bias", "up.weight", "up.bias")
