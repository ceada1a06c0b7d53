"""Goldens of the tiny BERT with AdapterHub's LoRA and Pfeiffer adapters: beyond.npz."""

from pathlib import Path

import numpy as np
import torch
from tiny_goldens import BOTTLENECK, PRECISIONS, Arrays, Tensors, cast, classify, gradients, named
from tiny_model import tiny_bert, tokenize
from transformers import BertModel

import adapters  # AdapterHub's package, not this repository's folder

RANK = 4  # with alpha 8, so that the scale alpha / r is not 1


def make_beyond(out: Path) -> None:
    """Write beyond.npz; the weights, texts and head are those of tiny/ and tiny.npz."""
    model, batch = tiny_bert(), tokenize(out / "tiny" / "vocab.txt")
    with np.load(out / "tiny.npz") as file:
        head = {name: torch.tensor(file[name]) for name in ("head.weight", "head.bias")}
    generator = torch.Generator().manual_seed(3)
    added = {
        "lora": random_tensors(lora_shapes(model), generator),
        "pfeiffer": random_tensors(pfeiffer_shapes(model), generator),
    }
    arrays: Arrays = {}
    for method, tensors in added.items():
        arrays |= {f"{method}/{name}": tensor.numpy() for name, tensor in tensors.items()}
        for precision, dtype in PRECISIONS.items():
            own = cast(model, dtype)
            parameters = add(method, own, tensors)
            values, loss, leaves = classify(own, head, batch)
            loss.backward()
            ours = {id(parameter) for parameter in parameters.values()}
            assert all(p.grad is None for p in own.parameters() if id(p) not in ours), "frozen"
            grads = gradients(parameters | leaves)
            prefix = f"{precision}/{method}/"
            arrays |= named(prefix, values) | named(f"{prefix}grad/", grads)
    np.savez_compressed(out / "beyond.npz", **arrays)
    for key, wide in arrays.items():
        if key.startswith("f64/"):
            error = np.abs(arrays["f32" + key[3:]] - wide).max() / np.abs(wide).max()
            assert error < 1e-4, f"{key}: float32 and float64 differ by {error}"


def lora_shapes(model: BertModel) -> dict[str, tuple[int, ...]]:
    """<layer>.<query|value>.<down|up>.weight, [out, in]."""
    d = model.config.hidden_size
    return {
        f"{layer}.{name}.{way}.weight": shape
        for layer in range(model.config.num_hidden_layers)
        for name in ("query", "value")
        for way, shape in (("down", (RANK, d)), ("up", (d, RANK)))
    }


def pfeiffer_shapes(model: BertModel) -> dict[str, tuple[int, ...]]:
    """<layer>.feed_forward.<down|up>.<weight|bias>, [out, in]."""
    d, m = model.config.hidden_size, BOTTLENECK
    shapes = {"down.weight": (m, d), "down.bias": (m,), "up.weight": (d, m), "up.bias": (d,)}
    return {
        f"{layer}.feed_forward.{name}": shape
        for layer in range(model.config.num_hidden_layers)
        for name, shape in shapes.items()
    }


def random_tensors(shapes: dict[str, tuple[int, ...]], generator: torch.Generator) -> Tensors:
    """Everything N(0, 0.3)."""
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def add(method: str, model: BertModel, tensors: Tensors) -> Tensors:
    """Put the library's own modules into the model (in place), with our weights, and freeze the
    rest. Returns their parameters under our names."""
    dtype = model.dtype
    adapters.init(model)
    if method == "lora":
        config = adapters.LoRAConfig(r=RANK, alpha=8)
    else:
        config = adapters.SeqBnConfig(reduction_factor=model.config.hidden_size / BOTTLENECK)
    model.add_adapter("golden", config=config)
    model.train_adapter("golden")
    model.to(dtype).eval()
    parameters = {}
    for name in tensors:
        number, place, way, kind = name.split(".")
        layer = model.encoder.layer[int(number)]
        if method == "lora":
            lora = getattr(layer.attention.self, place).loras["golden"]
            parameters[name] = lora.lora_A if way == "down" else lora.lora_B
        else:
            module = layer.output.adapters["golden"]
            linear = module.adapter_down[0] if way == "down" else module.adapter_up
            parameters[name] = getattr(linear, kind)
        with torch.no_grad():
            parameters[name].copy_(tensors[name])
    return parameters
