"""Goldens of the activations that a config.json can name: hidden_act.npz."""

from pathlib import Path

import numpy as np
import torch
from transformers.activations import ACT2FN


def make_hidden_act(out: Path) -> None:
    """Write hidden_act.npz: `x` and transformers' values there, float32, of every activation whose
    name has "gelu" or "relu" in it, and that needs no parameters."""
    x = torch.linspace(-12, 12, 4801)
    names = sorted(name for name in ACT2FN if "gelu" in name or name.startswith("relu"))
    values = {name: ACT2FN[name](x).numpy() for name in names}
    np.savez_compressed(out / "hidden_act.npz", x=x.numpy(), **values)
