"""Sentence vectors of a frozen base: its last hidden states, pooled to one vector a text.

This is what sentence-embedding models are trained for (Reimers & Gurevych 2019, arXiv 1908.10084,
section 3): the mean over a text's tokens, [CLS] and [SEP] included, or [CLS] alone; then perhaps
scaled to length 1, so that a dot product is a cosine.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from adapters.task_model import check_length
from minibert.batch import Batch, group_by_length, make_batch
from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.files import atomic_write
from minibert.heads import mean_pool
from minibert.json_files import read_json
from minibert.machine.threads import each, thread_count
from minibert.model import encode
from minibert.ops import Array
from minibert.tokenizer import Encoded, Text, check_texts, encode_texts

MAX_LENGTH = 256  # tokens, as all-MiniLM-L6-v2 on the hub has it
BLOCK = 4096  # texts that are in memory as tokens at a time
POOLINGS = ("mean", "cls")


def pooled(base: Base, batch: Batch, pooling: str) -> Array:
    """One vector for each text, from the last layer. -> [B, D]"""
    if pooling == "cls":
        return encode(base.params, batch, base.config, first_only=True)[-1]
    return mean_pool(encode(base.params, batch, base.config)[-1], batch.lengths)


def embed_texts(
    base: Base,
    texts: Sequence[str],
    pooling: str = "mean",
    normalize: bool = False,
    max_length: int | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """One vector for each text: float32 [B, D]. Its bits are the same for any number of threads.

    pooling: "mean" or "cls"; normalize: scale each vector to length 1; max_length: longer texts are
    cut to so many tokens (None: `longest_text`); threads: default one per core. Raises InputError
    for an unknown pooling, a bad length, or texts that are no sequence of strings.

    >>> embed_texts(base, ["It rains.", "It is wet."], normalize=True)  # doctest: +SKIP
    """
    checked = check_texts(texts, pairs=False)
    blocks = [*embed_blocks(base, checked, pooling, normalize, max_length, threads)]
    empty = np.empty((0, base.config.hidden_size), np.float32)
    return np.concatenate([vectors for _, vectors in blocks]) if blocks else empty


def embed_blocks(
    base: Base,
    texts: Iterable[Text],
    pooling: str = "mean",
    normalize: bool = False,
    max_length: int | None = None,
    threads: int | None = None,
) -> Iterator[tuple[list[Text], np.ndarray]]:
    """The same in blocks, for texts that come one after the other and need not all be in memory:
    (texts, their vectors [BLOCK, D]). The arguments, and what is refused, are as in
    `embed_texts`."""
    if pooling not in POOLINGS:
        raise InputError(f"unknown pooling {pooling!r}; known: {', '.join(POOLINGS)}")
    if isinstance(texts, str):
        check_texts(texts, pairs=False)
    longest = longest_text(base) if max_length is None else check_length(base, max_length)

    def blocks() -> Iterator[tuple[list[Text], np.ndarray]]:
        rest = iter(texts)
        while block := check_texts([*islice(rest, BLOCK)], pairs=False):
            encoded = encode_texts(base.tokenizer, block, longest)
            vectors = _vectors(base, encoded, pooling, threads)
            yield block, unit_length(vectors) if normalize else vectors

    return blocks()


def longest_text(base: Base) -> int:
    """How many tokens of a text are read: what sentence_bert_config.json in the base's folder says,
    else MAX_LENGTH, or fewer if the base has fewer positions.

    Raises InputError when that file is unreadable, asks for more than the base has positions for,
    or for lower case, which the tokenizer alone decides here.
    """
    path = base.folder / "sentence_bert_config.json"
    if not path.exists():
        return min(MAX_LENGTH, base.config.max_position_embeddings)
    settings = read_json(path)
    longest = settings.get("max_seq_length") if isinstance(settings, dict) else None
    if type(longest) is not int:
        raise InputError(
            f"{path}: max_seq_length is {json.dumps(longest)[:99]}, not a whole number"
        )
    if settings.get("do_lower_case"):
        raise InputError(f"{path}: do_lower_case is not supported; the tokenizer decides")
    try:
        return check_length(base, longest)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Each vector scaled to length 1; one of zeros stays. [B, D] -> [B, D]"""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-12))


def _vectors(
    base: Base, encoded: Sequence[Encoded], pooling: str, threads: int | None
) -> np.ndarray:
    """The pooled vectors of encoded texts, groups of similar length at a time: [B, D]."""

    def run(numbers: list[int]) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # looked at below
            return pooled(base, make_batch([encoded[i] for i in numbers]), pooling)

    groups = group_by_length([len(text.ids) for text in encoded])
    vectors = np.empty((len(encoded), base.config.hidden_size), np.float32)
    number = thread_count(threads, len(groups))
    for rows, computed in zip(groups, each(run, groups, number), strict=True):
        vectors[rows] = computed
    if not np.isfinite(vectors).all():
        raise InputError(f"{base.folder}: its weights are too large: a text's vector overflows")
    return vectors


def save_vectors(path: Path | str, vectors: np.ndarray) -> None:
    """Write vectors [B, D] as a .npy file, atomically. Raises InputError when it cannot be
    written."""
    file = io.BytesIO()
    np.save(file, vectors)
    atomic_write(path, file.getvalue())


def json_line(text: Text, vector: np.ndarray) -> str:
    """`{"text": ..., "vector": [...]}` in ASCII. Each number has as many digits as give back the
    same float32. [D] -> a line"""
    return json.dumps({"text": text, "vector": [float(str(number)) for number in vector]})
