"""Goldens of a real checkpoint, all-MiniLM-L6-v2: token ids of odd texts, and states."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import BertModel, BertTokenizer, BertTokenizerFast

Text = str | tuple[str, str]

ROWS_A_TEXT = 4

STORY = (
    "The lighthouse keeper counted the ships that passed before dawn, wrote their names in a "
    "ledger, and wondered which of them would come back before the winter storms closed the strait."
)

# (text, max_length). Texts are invented.
CASES: list[tuple[Text, int]] = [
    ("", 128),
    ("a", 128),
    ("Hello, world!", 128),
    ("The committee approved the proposal after a short debate.", 128),
    ("McDonald's iPhone cost $1,299.99 IN NEW YORK, didn't it?", 128),
    ("Où est passé le café crème de l'élève naïf? Über Ångström, señor, Żółć.", 128),
    ("decomposed: cafe\u0301, nai\u0308ve, A\u030angstro\u0308m", 128),
    ("🙂 good news 🎉👩‍🚀 from the 🌍!", 128),
    ("我们在北京大学学习自然语言处理。", 128),
    ("mixed 中文 and English 混合在一起", 128),
    ("東京タワーは高いです。カタカナとひらがな", 128),
    ("안녕하세요 세계", 128),
    ("مرحبا بالعالم، كيف حالك؟", 128),
    ("Привет, мир! Это проверка.", 128),
    ("שלום עולם", 128),
    ("3.14159 + 2,718 = 5.85959; 1e-12 < 10% of 0x1F on 2019-06-13", 128),
    ("See https://example.org/a/b?c=d&e=%20f#g or mail me@example.org.", 128),
    ("...!?;:,-()[]{}<>@#$%^&*_+=|\\~`'\"/", 128),
    ("—“quoted”… ‘single’ • ™ © ½ № ∑≠∞", 128),
    ("x" * 300, 128),
    ("a word of a hundred: " + "b" * 100 + " and of a hundred and one: " + "b" * 101, 128),
    ("pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism", 128),
    ("tabs\tand\nnew lines\r\nand\u00a0no-break, zero\u200bwidth, soft\u00adhyphen \x00\x07", 128),
    ("Paris is the [MASK] of France. [SEP] [UNK]", 128),
    ("  leading   and trailing   spaces  ", 128),
    (("The cat sat on the mat.", "A cat is sitting on a mat."), 128),
    (("", "an empty first sentence"), 128),
    (("Which ship came back?", " ".join([STORY] * 8)), 128),
    # 127 leaves an even number for the two: of an odd one, the slow tokenizer gives the odd token
    # to the first sentence, and the fast one to the longer
    ((" ".join([STORY] * 4), " ".join(["Nobody knew the answer, 42."] * 30)), 127),
    ((STORY, "Too short a limit for both."), 16),
    (STORY, 8),
    (" ".join([STORY] * 20), 512),
]


def make_minilm(out: Path, folder: Path) -> None:
    """Write minilm_texts.json and minilm.npz from the files of all-MiniLM-L6-v2."""
    encoded = tokenize(folder)
    lengths = np.array([len(ids) for ids, _ in encoded])
    assert lengths.max() == 512
    starts = np.cumsum(lengths) - lengths
    picked = [evenly_spaced(int(length)) for length in lengths]

    states, pooled = encode(folder, encoded, picked, torch.float64)
    states32, pooled32 = encode(folder, encoded, picked, torch.float32)
    errors = [float(np.abs(a - b).max()) for a, b in zip(states32, states, strict=True)]
    errors.append(float(np.abs(pooled32 - pooled).max()))

    np.savez_compressed(
        out / "minilm.npz",
        ids=np.concatenate([ids for ids, _ in encoded]).astype(np.int32),
        segments=np.concatenate([segments for _, segments in encoded]).astype(np.int32),
        lengths=lengths,
        rows=np.concatenate([start + p for start, p in zip(starts, picked, strict=True)]),
        states=states.astype(np.float32),
        pooled=pooled.astype(np.float32),
        torch_float32_error=np.array(errors),
    )
    texts = [{"text": text, "max_length": max_length} for text, max_length in CASES]
    (out / "minilm_texts.json").write_text(
        json.dumps(texts, ensure_ascii=False, indent=1) + "\n", "utf-8"
    )
    print(f"{len(CASES)} texts, lengths {lengths.tolist()}")
    print("torch float32 against float64, each layer, pooled:", [f"{e:.1e}" for e in errors])


def tokenize(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ids, segments) of each case; the fast tokenizer and the slow one must agree."""
    fast = BertTokenizerFast.from_pretrained(folder)
    slow = BertTokenizer.from_pretrained(folder)
    encoded, different = [], []
    for text, max_length in CASES:
        pair = text if isinstance(text, tuple) else (text, None)
        a, b = (
            dict(tokenizer(*pair, truncation="longest_first", max_length=max_length))
            for tokenizer in (fast, slow)
        )
        if a != b:
            different.append((text, a["input_ids"], b["input_ids"]))
        encoded.append((np.array(a["input_ids"]), np.array(a["token_type_ids"])))
    assert not different, f"fast and slow tokenizer differ: {different}"
    return encoded


def evenly_spaced(length: int) -> np.ndarray:
    """At most ROWS_A_TEXT rows of a text, its first and last among them."""
    return np.unique(np.linspace(0, length - 1, ROWS_A_TEXT).round().astype(int))


def encode(
    folder: Path,
    encoded: list[tuple[np.ndarray, np.ndarray]],
    picked: list[np.ndarray],
    dtype: torch.dtype,
) -> tuple[np.ndarray, np.ndarray]:
    """Every layer's states at the picked rows [L + 1, R, D], and pooled [B, D].

    One text at a time, hence without padding."""
    model = BertModel.from_pretrained(folder, attn_implementation="eager").to(dtype).eval()
    states, pooled = [], []
    with torch.no_grad():
        for (ids, segments), rows in zip(encoded, picked, strict=True):
            result = model(
                input_ids=torch.tensor(ids)[None],
                token_type_ids=torch.tensor(segments)[None],
                output_hidden_states=True,
            )
            states.append(torch.stack([h[0, rows] for h in result.hidden_states]))  # [L+1, r, D]
            pooled.append(result.pooler_output[0])
    return torch.cat(states, dim=1).numpy(), torch.stack(pooled).numpy()
