"""The tiny BERT with its masked-language-model head, and the scores of three masked tokens."""

import copy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tiny_model import PaddedBatch, randomise, save_folder, vocabulary
from transformers import BertForMaskedLM, BertForPreTraining, BertModel

MASKED_ROWS = [4, 20, 50]  # rows of the batch without padding


def save_masked_lm(model: BertModel, folder: Path) -> BertForMaskedLM:
    """The same weights with the masked-language-model head, in the old hub files' names.

    As in those: the prefix `bert.`, no tensor for the tied decoder, a next-sentence head as an
    extra, and (here in the first layer only) LayerNorm `gamma` and `beta`."""
    full = BertForPreTraining(copy.deepcopy(model.config)).eval()
    randomise(full.cls, torch.Generator().manual_seed(3), std=0.2, norm=0.2)
    full.bert.load_state_dict(model.state_dict())
    full.tie_weights()
    save_folder(full, folder)  # its weights are replaced below
    tensors = {
        old_name(name): tensor.clone().contiguous()
        for name, tensor in full.state_dict().items()
        if not name.startswith("cls.predictions.decoder.")
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    masked_lm = BertForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    for name, tensor in masked_lm.state_dict().items():
        assert torch.equal(tensor, full.state_dict()[name]), name
    return masked_lm


def old_name(name: str) -> str:
    """The first layer's LayerNorm weight and bias under their TensorFlow names."""
    if "encoder.layer.0." in name and "LayerNorm" in name:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )
    return name


def mask_some(batch: PaddedBatch) -> tuple[PaddedBatch, np.ndarray]:
    """The batch with [MASK] at MASKED_ROWS, and those rows."""
    ids = batch.ids.clone()
    real = torch.nonzero(batch.mask)  # [N, 2]: text and position of each row
    for row in MASKED_ROWS:
        ids[tuple(real[row])] = vocabulary().index("[MASK]")
    return PaddedBatch(ids, batch.segments, batch.mask), np.array(MASKED_ROWS)


def masked_logits(model: BertForMaskedLM, batch: PaddedBatch, rows: np.ndarray) -> np.ndarray:
    """Scores of every token at the masked rows. [R, V]"""
    with torch.no_grad():
        logits = model(
            input_ids=batch.ids, token_type_ids=batch.segments, attention_mask=batch.mask
        ).logits
    return batch.strip(logits)[rows].numpy()
