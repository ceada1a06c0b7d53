"""Goldens of the tiny BERT: states, losses and gradients from transformers and AdapterHub."""

import copy
import json
from pathlib import Path

import numpy as np
import torch
from masked_goldens import mask_some, masked_logits, save_masked_lm
from plain_houlsby import check_houlsby
from tiny_model import (
    LABELS,
    MAX_LENGTH,
    TEXTS,
    PaddedBatch,
    save_folder,
    tiny_bert,
    tokenize,
)
from torch.nn.functional import cross_entropy
from transformers import BertModel

import adapters  # AdapterHub's package, not this repository's folder

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]

CLASSES, BOTTLENECK = 3, 8
PRECISIONS = {"f64": torch.float64, "f32": torch.float32}


def make_tiny(out: Path) -> None:
    """Write tiny/, tiny_mlm/, tiny_texts.json and tiny.npz."""
    model = tiny_bert()
    save_folder(model, out / "tiny")
    texts = {"max_length": MAX_LENGTH, "texts": TEXTS}
    (out / "tiny_texts.json").write_text(json.dumps(texts, indent=1) + "\n", "utf-8")

    batch = tokenize(out / "tiny" / "vocab.txt")
    arrays: Arrays = {
        "ids": batch.strip(batch.ids).numpy(),
        "segments": batch.strip(batch.segments).numpy(),
        "lengths": batch.mask.sum(1).numpy(),
        "labels": np.array(LABELS),
    }
    generator = torch.Generator().manual_seed(2)
    head = {
        "head.weight": 0.5 * torch.randn(CLASSES, 32, generator=generator),
        "head.bias": 0.5 * torch.randn(CLASSES, generator=generator),
    }
    adapter = random_adapter(model, generator)
    arrays |= {name: tensor.numpy() for name, tensor in head.items()}
    arrays |= {f"adapter/{name}": tensor.numpy() for name, tensor in adapter.items()}
    mlm = save_masked_lm(model, out / "tiny_mlm")
    masked, rows = mask_some(batch)
    arrays |= {"mlm/ids": masked.strip(masked.ids).numpy(), "mlm/rows": rows}

    for name, dtype in PRECISIONS.items():
        goldens = (
            forward(cast(model, dtype), batch)
            | full_tuning(cast(model, dtype), head, batch)
            | adapter_tuning(cast(model, dtype), head, adapter, batch)
            | other_activations(model, batch, dtype)
            | {"mlm/logits": masked_logits(cast(mlm, dtype), masked, rows)}
        )
        arrays |= {f"{name}/{key}": value for key, value in goldens.items()}
    np.savez_compressed(out / "tiny.npz", **arrays)
    report(arrays)


def cast(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """A copy of the model in the given precision; float64 has the same weights, widened."""
    return copy.deepcopy(model).to(dtype).eval()


def run(model: BertModel, batch: PaddedBatch) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Every layer's states without padding, [N, D] each, and the pooled [B, D]."""
    result = model(
        input_ids=batch.ids,
        token_type_ids=batch.segments,
        attention_mask=batch.mask,
        output_hidden_states=True,
    )
    return [batch.strip(states) for states in result.hidden_states], result.pooler_output


def forward(model: BertModel, batch: PaddedBatch) -> Arrays:
    """Plain BERT: the states of every layer [L + 1, N, D], and pooled [B, D]."""
    with torch.no_grad():
        states, pooled = run(model, batch)
    return {"states": torch.stack(states).numpy(), "pooled": pooled.numpy()}


def classify(
    model: BertModel, head: Tensors, batch: PaddedBatch
) -> tuple[Arrays, torch.Tensor, Tensors]:
    """Last states, pooled, logits and loss; the loss to differentiate; the head's leaves."""
    leaves = {name: t.clone().to(model.dtype).requires_grad_() for name, t in head.items()}
    states, pooled = run(model, batch)
    logits = pooled @ leaves["head.weight"].T + leaves["head.bias"]
    loss = cross_entropy(logits, torch.tensor(LABELS))
    values = {"last": states[-1], "pooled": pooled, "logits": logits, "loss": loss}
    return {name: t.detach().numpy() for name, t in values.items()}, loss, leaves


def full_tuning(model: BertModel, head: Tensors, batch: PaddedBatch) -> Arrays:
    """Gradients of every weight of the base and of the head, no dropout."""
    values, loss, leaves = classify(model, head, batch)
    loss.backward()
    trained = dict(model.named_parameters()) | leaves
    return named("full/", values) | named("grad/full/", gradients(trained))


def random_adapter(model: BertModel, generator: torch.Generator) -> Tensors:
    """Weights and biases N(0, 0.3), named <layer>.<place>.<down|up>.<weight|bias>, [out, in]."""
    d, m = model.config.hidden_size, BOTTLENECK
    shapes = {"down.weight": (m, d), "down.bias": (m,), "up.weight": (d, m), "up.bias": (d,)}
    return {
        f"{layer}.{place}.{name}": 0.3 * torch.randn(shape, generator=generator)
        for layer in range(model.config.num_hidden_layers)
        for place in ("attention", "feed_forward")
        for name, shape in shapes.items()
    }


def add_adapter(model: BertModel, adapter: Tensors) -> Tensors:
    """Put AdapterHub's Houlsby adapter into the model (in place), with our weights.

    Only the adapter and the LayerNorms are left to train. Returns the adapter's parameters
    under our names."""
    d = model.config.hidden_size
    config = adapters.DoubleSeqBnConfig(
        reduction_factor=d / BOTTLENECK, non_linearity="gelu_new", init_weights="houlsby"
    )
    dtype = model.dtype
    adapters.init(model)
    model.add_adapter("golden", config=config)
    model.train_adapter("golden")  # activates it and freezes the base
    model.to(dtype).eval()
    parameters = {}
    for name in adapter:
        layer, place, way, kind = name.split(".")
        block = model.encoder.layer[int(layer)]
        output = block.attention.output if place == "attention" else block.output
        bottleneck = output.adapters["golden"]
        linear = bottleneck.adapter_down[0] if way == "down" else bottleneck.adapter_up
        parameters[name] = getattr(linear, kind)
        with torch.no_grad():
            parameters[name].copy_(adapter[name])
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name:
            parameter.requires_grad_(True)
    return parameters


def adapter_tuning(model: BertModel, head: Tensors, adapter: Tensors, batch: PaddedBatch) -> Arrays:
    """States and gradients with the adapter active: adapter, LayerNorms and head are trained."""
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parameters = add_adapter(model, adapter)
    values, loss, leaves = classify(model, head, batch)
    loss.backward()
    base = {n: p for n, p in model.named_parameters() if ".adapters." not in n}
    norms = {n: p for n, p in base.items() if "LayerNorm" in n}
    assert all(p.grad is None for n, p in base.items() if n not in norms), "the base is frozen"
    assert len(norms) == 2 * (1 + 2 * model.config.num_hidden_layers)
    tolerance = 1e-11 if model.dtype == torch.float64 else 1e-4
    difference = check_houlsby(weights, adapter, model.config, batch, values["last"], tolerance)
    print(f"AdapterHub against the plain formula, {model.dtype}: {difference:.1e}")
    trained = parameters | norms | leaves
    return named("adapters/", values) | named("grad/adapters/", gradients(trained))


def other_activations(model: BertModel, batch: PaddedBatch, dtype: torch.dtype) -> Arrays:
    """The last states of the same weights with another feed-forward activation."""
    arrays = {}
    for act in ("gelu_new", "relu"):
        config = copy.deepcopy(model.config)
        config.hidden_act = act
        other = BertModel(config)
        other.load_state_dict(model.state_dict())
        arrays[f"hidden_act/{act}/last"] = forward(cast(other, dtype), batch)["states"][-1]
    return arrays


def gradients(parameters: Tensors) -> Arrays:
    """The gradient of each parameter; there must be one."""
    return {name: parameter.grad.numpy() for name, parameter in parameters.items()}


def named(prefix: str, arrays: Arrays) -> Arrays:
    """The same arrays with a prefix to their names."""
    return {prefix + name: array for name, array in arrays.items()}


def report(arrays: Arrays) -> None:
    """Check float32 against float64, and print the largest error of each group.

    Errors are relative to the array's largest value. The gradient of a key's bias is left out: it
    is 0 but for rounding, since softmax does not see a constant added to a row of scores."""
    print("lengths", arrays["lengths"])
    worst: dict[str, float] = {}
    for key, wide in arrays.items():
        name = key.removeprefix("f64/")
        if name == key or name.endswith("self.key.bias"):
            continue
        error = float(np.abs(arrays[f"f32/{name}"] - wide).max() / np.abs(wide).max())
        assert error < 1e-4, f"{name}: float32 and float64 differ by {error}"
        group = "/".join(name.split("/")[:2])
        worst[group] = max(worst.get(group, 0.0), error)
    for group, error in worst.items():
        print(f"  float32 against float64, {group}: {error:.1e}")
