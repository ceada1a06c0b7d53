"""Goldens of the tiny BERT with a head that reads the mean of the states, or [CLS]: pooling.npz."""

import copy
from pathlib import Path

import numpy as np
import torch
from tiny_model import LABELS, PaddedBatch, tiny_bert, tokenize
from torch.nn.functional import cross_entropy
from transformers import BertModel

PRECISIONS = {"f64": torch.float64, "f32": torch.float32}


def make_pooling(out: Path) -> None:
    """Write pooling.npz; the weights, texts and head are those of tiny/ and tiny.npz."""
    batch = tokenize(out / "tiny" / "vocab.txt")
    with np.load(out / "tiny.npz") as file:
        head = {name: torch.tensor(file[name]) for name in ("head.weight", "head.bias")}
    arrays: dict[str, np.ndarray] = {}
    for precision, dtype in PRECISIONS.items():
        for pooling in ("mean", "cls"):
            model = copy.deepcopy(tiny_bert()).to(dtype).eval()
            leaves = {name: t.clone().to(dtype).requires_grad_() for name, t in head.items()}
            pooled = pool(model, batch, pooling)
            logits = pooled @ leaves["head.weight"].T + leaves["head.bias"]
            loss = cross_entropy(logits, torch.tensor(LABELS))
            loss.backward()
            trained = {n: p for n, p in model.named_parameters() if not n.startswith("pooler.")}
            grads = {name: p.grad for name, p in (trained | leaves).items()}
            values = {"pooled": pooled, "logits": logits, "loss": loss}
            values |= {f"grad/{name}": grad for name, grad in grads.items()}
            arrays |= {f"{precision}/{pooling}/{n}": t.detach().numpy() for n, t in values.items()}
    np.savez_compressed(out / "pooling.npz", **arrays)


def pool(model: BertModel, batch: PaddedBatch, pooling: str) -> torch.Tensor:
    """The vector of each text [B, D]: the mean as the model card of all-MiniLM-L6-v2 has it (a sum
    over the real tokens' states, by their number), or the last state of [CLS]."""
    states = model(
        input_ids=batch.ids, token_type_ids=batch.segments, attention_mask=batch.mask
    ).last_hidden_state  # [B, T, D]
    if pooling == "cls":
        return states[:, 0]
    mask = batch.mask.unsqueeze(-1).to(states.dtype)  # [B, T, 1]
    return (states * mask).sum(1) / mask.sum(1)
