"""minibert against transformers at the real sizes: random weights, so nothing to download.

The two run in separate processes, and meet in files of a temporary folder.
"""

import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

LENGTHS = (5, 37, 128, 512)
THREADS = 2
STD = 0.02
SIZES = {
    "BERT-base": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12},
    "BERT-large": {"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16},
}

Pair = tuple[np.ndarray, np.ndarray]  # last states [N, D] and pooled [B, D]


def make_shapes(out: Path, python: str, root: Path) -> None:
    """Compare, and write what was found to shapes.txt."""
    torch.set_num_threads(THREADS)
    lines = [
        "Largest absolute differences of the last hidden states and of the pooled vectors.",
        f"Random weights N(0, {STD}), LayerNorm gains N(1, {STD}); one batch of {len(LENGTHS)}",
        f"texts, {', '.join(map(str, LENGTHS))} tokens long. torch {torch.__version__},",
        f"transformers {transformers.__version__}, {platform.machine()}, {THREADS} threads.",
        "",
        f"{'':42}{'hidden':>10}{'pooled':>10}",
    ]
    for name, size in SIZES.items():
        lines += compare(name, size, python, root)
    torch.set_num_threads(1)
    (out / "shapes.txt").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


def compare(name: str, size: dict[str, int], python: str, root: Path) -> list[str]:
    """One size: torch in float64 and float32, minibert in float32; the table's lines."""
    config = BertConfig(
        intermediate_size=4 * size["hidden_size"], attn_implementation="eager", **size
    )
    model = random_bert(config)
    ids, segments = random_inputs(config.vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        theirs = encode_with_minibert(model, ids, segments, python, root, Path(folder))
    ours = encode(model, ids, segments)
    exact = encode(model.double(), ids, segments)
    assert theirs[0].dtype == ours[0].dtype == np.float32
    assert theirs[0].shape == ours[0].shape
    assert theirs[1].shape == ours[1].shape
    count = sum(p.numel() for p in model.parameters())
    print(
        f"{name}: {count} parameters, states' std {ours[0].std():.3f}, largest "
        f"{np.abs(ours[0]).max():.2f}, pooled's std {ours[1].std():.3f}"
    )
    return [
        line(f"{name}, minibert f32 against torch f32", theirs, ours),
        line(f"{name}, minibert f32 against torch f64", theirs, exact),
        line(f"{name}, torch f32 against torch f64", ours, exact),
    ]


def line(title: str, a: Pair, b: Pair) -> str:
    """One row of the table."""
    hidden, pooled = (np.abs(x - y).max() for x, y in zip(a, b, strict=True))
    return f"{title:42}{hidden:10.1e}{pooled:10.1e}"


def random_bert(config: BertConfig) -> BertModel:
    """Every weight and bias N(0, STD), LayerNorm gains N(1, STD)."""
    with torch.device("meta"):
        model = BertModel(config)
    model = model.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, STD, generator=generator)
            if name.endswith("LayerNorm.weight"):
                parameter += 1
    # the buffers, which to_empty left unset
    model.embeddings.position_ids = torch.arange(config.max_position_embeddings)[None]
    model.embeddings.token_type_ids = torch.zeros_like(model.embeddings.position_ids)
    return model


def random_inputs(vocab_size: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Ids and segments of each text; the second half of a text is segment 1."""
    rng = np.random.default_rng(7)
    ids = [rng.integers(0, vocab_size, length) for length in LENGTHS]
    segments = [(np.arange(length) >= length // 2).astype(np.int64) for length in LENGTHS]
    return ids, segments


def encode(model: BertModel, ids: list[np.ndarray], segments: list[np.ndarray]) -> Pair:
    """transformers, one text at a time, the texts' states end to end."""
    states, pooled = [], []
    with torch.no_grad():
        for text, segment in zip(ids, segments, strict=True):
            result = model(
                input_ids=torch.tensor(text)[None], token_type_ids=torch.tensor(segment)[None]
            )
            states.append(result.last_hidden_state[0].numpy())
            pooled.append(result.pooler_output[0].numpy())
    return np.concatenate(states), np.stack(pooled)


def encode_with_minibert(
    model: BertModel,
    ids: list[np.ndarray],
    segments: list[np.ndarray],
    python: str,
    root: Path,
    folder: Path,
) -> Pair:
    """Run encode_with_minibert.py on the same weights, all texts as one batch."""
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(model.config.to_dict()), "utf-8")
    np.savez(
        folder / "inputs.npz",
        ids=np.concatenate(ids),
        segments=np.concatenate(segments),
        lengths=np.array(LENGTHS),
    )
    script = Path(__file__).with_name("encode_with_minibert.py")
    threads = {f"{library}_NUM_THREADS": str(THREADS) for library in ("OMP", "OPENBLAS", "MKL")}
    subprocess.run(
        [python, script, folder, folder / "inputs.npz", folder / "outputs.npz"],
        env={**os.environ, **threads, "PYTHONPATH": str(root)},
        check=True,
    )
    with np.load(folder / "outputs.npz") as outputs:
        return outputs["hidden"], outputs["pooled"]
