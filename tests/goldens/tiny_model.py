"""The tiny random BERT of the goldens: its vocabulary, texts, weights and batch."""

import string
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizer, BertTokenizerFast

Text = str | tuple[str, str]

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aio"]
WORDS = ["morulan", "tikora", "##vesk", "##nolim", "zaf", "##quin"]
MAX_LENGTH = 40

# Six texts of different lengths: 2 tokens (nothing but [CLS] [SEP]) to 40 (truncated).
TEXTS: list[Text] = [
    "",
    "Morulan tikora!",
    ("Zaf dorimo kala?", "bilano."),
    "The quick brown fox",
    ("tikoravesk, 42 sima", "rotala morulannolim gavi-pano (zafquin) molira"),
    (
        "Kalimo dara rolani, sita pavo",
        "nimora talisko gabino: vizola, fonika; marida pilato. zodina, gimola karito",
    ),
]
LABELS = [2, 0, 1, 0, 2, 1]


@dataclass
class PaddedBatch:
    """torch's view of a batch: ids, segments and mask are [B, T], the mask 1 on real tokens."""

    ids: torch.Tensor
    segments: torch.Tensor
    mask: torch.Tensor

    def strip(self, x: torch.Tensor) -> torch.Tensor:
        """Drop the padding: [B, T, ...] -> [N, ...], the texts end to end."""
        return x[self.mask.bool()]


def vocabulary() -> list[str]:
    """About 200 tokens; the single characters and their ## forms spell any ASCII word."""
    characters = list(string.ascii_lowercase + string.digits)
    pieces = characters + SYLLABLES
    tokens = SPECIALS + pieces + [f"##{p}" for p in pieces] + list(string.punctuation) + WORDS
    assert len(set(tokens)) == len(tokens)
    return tokens


def tiny_config() -> BertConfig:
    """2 layers, hidden size 32, 4 heads, gelu."""
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_act="gelu",
        attn_implementation="eager",
    )


def randomise(module: torch.nn.Module, generator: torch.Generator, std: float, norm: float) -> None:
    """Weights and embeddings N(0, std); biases N(0, norm / 2); LayerNorm gains N(1, norm)."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(noise * (norm / 2))
            elif name.endswith("LayerNorm.weight"):
                parameter.copy_(1 + noise * norm)
            else:
                parameter.copy_(noise * std)


def tiny_bert() -> BertModel:
    """The tiny BERT with weights large enough that no part of it is near-trivial."""
    model = BertModel(tiny_config()).eval()
    randomise(model, torch.Generator().manual_seed(1), std=0.2, norm=0.2)
    return model


def save_folder(model: torch.nn.Module, folder: Path) -> None:
    """A checkpoint folder as transformers saves it, and the vocabulary."""
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", "utf-8")


def tokenize(vocab: Path) -> PaddedBatch:
    """TEXTS as a padded batch; the slow and the fast tokenizer must agree."""
    first, second = [], []
    for text in TEXTS:
        pair = text if isinstance(text, tuple) else (text, None)
        settings = {"truncation": "longest_first", "max_length": MAX_LENGTH}
        first.append(dict(BertTokenizer(str(vocab))(*pair, **settings)))
        second.append(dict(BertTokenizerFast(str(vocab))(*pair, **settings)))
    assert first == second
    padded = BertTokenizer(str(vocab)).pad(first, return_tensors="pt")
    return PaddedBatch(padded["input_ids"], padded["token_type_ids"], padded["attention_mask"])
