"""Text -> token ids, on the `tokenizers` library.

BERT reads `[CLS] first sentence [SEP]` (segment 0), and for a pair also `second sentence
[SEP]` (segment 1). WordPiece cuts unknown words into known pieces, so any Unicode text works.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Text = str | tuple[str, str]  # one sentence, or a pair


class Encoded(NamedTuple):
    """One text as numbers: ids [T] and segments [T], both int64."""

    ids: np.ndarray
    segments: np.ndarray


def load_tokenizer(folder: Path | str) -> "Tokenizer":
    """The tokenizer of a checkpoint folder: its tokenizer.json, else its vocab.txt.

    Raises InputError when neither is there or readable.
    """
    from tokenizers import Tokenizer

    folder = Path(folder)
    if (folder / "tokenizer.json").exists():
        try:
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"{folder / 'tokenizer.json'}: cannot be read: {error}") from None
    if (folder / "vocab.txt").exists():
        return wordpiece(folder / "vocab.txt", **_normalisation(folder))
    raise InputError(f"{folder}: has neither tokenizer.json nor vocab.txt")


def _normalisation(folder: Path) -> dict[str, bool | None]:
    """`wordpiece`'s options as tokenizer_config.json has them; BERT's defaults without it."""
    path = folder / "tokenizer_config.json"
    try:
        settings = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path}: is not a JSON object")
    return {
        "lower": settings.get("do_lower_case", True),
        "strip_accents": settings.get("strip_accents"),
        "chinese": settings.get("tokenize_chinese_chars", True),
    }


def wordpiece(
    vocab: Path | str,
    lower: bool | None = True,
    strip_accents: bool | None = None,
    chinese: bool | None = True,
) -> "Tokenizer":
    """BERT's tokenizer from vocab.txt, one token per line.

    `lower`: convert to lower case. `strip_accents`: None means as `lower`. `chinese`: each Chinese
    character is a word of its own. Raises InputError when the file is unreadable or lacks a
    special token.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    try:
        tokens = Path(vocab).read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{vocab}: cannot be read: {error}") from None
    ids = {token: number for number, token in enumerate(tokens) if token}
    for special in ("[UNK]", "[CLS]", "[SEP]"):
        if special not in ids:
            raise InputError(f"{vocab}: lacks the token {special}")
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=bool(lower), strip_accents=strip_accents, handle_chinese_chars=bool(chinese)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(
        [t for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if t in ids]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, ids[t]) for t in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def encode_texts(tokenizer: "Tokenizer", texts: Sequence[Text], max_length: int) -> list[Encoded]:
    """Token ids and segments of each text, at most `max_length` tokens long.

    A pair that is too long loses tokens from the end of its longer sentence first. Lone surrogates,
    which are not characters, are dropped. Raises InputError when `max_length` has no room for [CLS]
    and [SEP].
    """
    clean = [_characters(t) if isinstance(t, str) else tuple(map(_characters, t)) for t in texts]
    for text in clean:
        if max_length < tokenizer.num_special_tokens_to_add(not isinstance(text, str)):
            raise InputError(f"max length {max_length} has no room for [CLS] and [SEP]")
    tokenizer.no_padding()  # a tokenizer.json may ask for it; we never pad
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    return [
        Encoded(np.array(e.ids, np.int64), np.array(e.type_ids, np.int64))
        for e in tokenizer.encode_batch(clean)
    ]


def _characters(text: str) -> str:
    return text.encode("utf-8", "ignore").decode("utf-8")
