"""Text -> token ids, on the `tokenizers` library.

BERT reads `[CLS] first sentence [SEP]` (segment 0), and for a pair also `second sentence
[SEP]` (segment 1). WordPiece cuts unknown words into known pieces, so any Unicode text works.

A tokenizer is shared by all that use its base, at the same time too: nothing is ever set on it.
Texts are encoded whole and cut here.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert.errors import InputError, brief, shown
from minibert.files import read_bounded
from minibert.tokenizer_files import (
    DEFAULTS,
    LARGEST,
    add_tokens,
    check_normalizers,
    check_template,
    read_settings,
    set_normalizer,
)

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Text = str | tuple[str, str]  # one sentence, or a pair


class Encoded(NamedTuple):
    """One text as numbers: ids [T] and segments [T], both int64; `lost` more tokens were cut.

    `lengths`: of the sequences, one after the other, that a text read in several has.
    """

    ids: np.ndarray
    segments: np.ndarray
    lost: int = 0
    lengths: tuple[int, ...] = ()


def load_tokenizer(folder: Path | str) -> "Tokenizer":
    """The tokenizer of a checkpoint folder: its tokenizer.json, else its vocab.txt, and the files
    beside them. It neither pads nor cuts, whatever they say.

    Raises InputError when neither is there or readable, or when texts would have other ids than
    with `transformers`, which `tokenizer_files` knows.
    """
    from tokenizers import Tokenizer

    folder = Path(folder)
    settings = read_settings(folder)
    file = folder / ("tokenizer.json" if settings.use_json else "vocab.txt")
    if not file.exists():
        raise InputError(f"{folder}: has neither tokenizer.json nor vocab.txt")
    if settings.use_json:
        check_template(file, settings.json)
        check_normalizers(file, settings.json)
        with refused(f"{file}: cannot be read"):
            tokenizer = Tokenizer.from_file(str(file))
        if tokenizer.truncation and tokenizer.truncation["direction"] != "right":
            raise InputError(f"{file}: truncation cuts the beginning; only the end is supported")
    else:
        special = {role: settings.name(role) for role in ("unk_token", "cls_token", "sep_token")}
        options = (settings.lower, settings.strip_accents, settings.chinese)
        tokenizer = _without_added_tokens(file, special, *options)
    with refused(f"{file}: cannot be used"):
        add_tokens(tokenizer, settings)
        set_normalizer(tokenizer, settings, file)
        tokenizer.no_padding()
        tokenizer.no_truncation()
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown is not None and tokenizer.model.token_to_id(unknown) is None:
        raise InputError(f"{file}: lacks its unk_token {unknown!r}")
    with refused(f"{file}: cannot be used"):
        try:
            frame(tokenizer)
        except InputError as error:
            raise InputError(f"{file}: post_processor: {error}") from None
    return tokenizer


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Within the block, whatever the library raises is an InputError that begins with `what`. It
    raises bare Exception, and where its Rust code panics, what is no Exception at all."""
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise InputError(f"{what}: {brief(str(error))}") from None


def wordpiece(
    vocab: Path | str,
    lower: bool = True,
    strip_accents: bool | None = None,
    chinese: bool = True,
) -> "Tokenizer":
    """BERT's tokenizer from vocab.txt, one token per line; of a repeated one, the last line counts.

    `lower`: convert to lower case. `strip_accents`: None means as `lower`. `chinese`: each Chinese
    character is a word of its own. Raises InputError when the file is unreadable or lacks a
    special token.
    """
    tokenizer = _without_added_tokens(Path(vocab), DEFAULTS, lower, strip_accents, chinese)
    tokenizer.add_special_tokens(
        [t for t in DEFAULTS.values() if tokenizer.token_to_id(t) is not None]
    )
    return tokenizer


def _without_added_tokens(
    vocab: Path,
    special: Mapping[str, str],
    lower: bool,
    strip_accents: bool | None,
    chinese: bool,
) -> "Tokenizer":
    """As `wordpiece`, but special tokens in a text are not yet recognised."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    text = io.TextIOWrapper(io.BytesIO(read_bounded(vocab, LARGEST)), "utf-8")
    try:
        tokens = text.read().removesuffix("\n").split("\n")  # of any system's line ends
    except UnicodeDecodeError as error:
        raise InputError(f"{vocab}: cannot be read: {error}") from None
    ids = {token: number for number, token in enumerate(tokens)}
    unk, cls, sep = (special[role] for role in ("unk_token", "cls_token", "sep_token"))
    for token in (unk, cls, sep):
        if token not in ids:
            raise InputError(f"{vocab}: lacks the token {brief(token)}")
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=unk))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lower, strip_accents=strip_accents, handle_chinese_chars=chinese
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[cls, "$A", sep],
        pair=[cls, "$A", sep, "$B:1", f"{sep}:1"],
        special_tokens=[(cls, ids[cls]), (sep, ids[sep])],
    )
    return tokenizer


def frame(tokenizer: "Tokenizer") -> tuple[int, int]:
    """The ids of [CLS] and [SEP], whatever their names. Raises InputError for a tokenizer that
    does not put them around a text and a pair as BERT reads them, or gives them other ids than its
    vocabulary."""
    whole = uncut(tokenizer)
    single, pair = whole.encode(""), whole.encode("", "")
    cls, sep = single.ids if len(single.ids) == 2 else (-1, -1)
    segments = single.type_ids + pair.type_ids
    if pair.ids != [cls, sep, sep] or segments != [0, 0, 0, 0, 1]:
        raise InputError(
            f"an empty text is {shown(single.tokens)} and an empty pair {shown(pair.tokens)}; "
            "BERT reads [CLS] [SEP] and, the last in segment 1, [CLS] [SEP] [SEP]"
        )
    for token, number in zip(single.tokens, (cls, sep), strict=True):
        if (known := whole.token_to_id(token)) != number:
            raise InputError(f"{shown(token)} is token {number}, but in the vocabulary {known}")
    for probe in (whole.encode("a"), whole.encode("a", "b")):
        _check_segments(probe)
    return cls, sep


def _check_segments(text: "Encoding") -> None:
    """Raises InputError unless a text is [CLS] its tokens [SEP], all in segment 0, and a pair has
    its second one's tokens and another [SEP] behind that, in segment 1."""
    parts = text.sequence_ids  # of each token, None for the special ones
    first, second = parts.count(0), parts.count(1)
    wanted, segments = [None, *[0] * first, None], [0] * (first + 2)
    if text.n_sequences == 2:
        wanted, segments = [*wanted, *[1] * second, None], segments + [1] * (second + 1)
    if parts != wanted or text.type_ids != segments:
        raise InputError(
            f"a text is {shown(text.tokens)} in segments {shown(text.type_ids)}; BERT reads "
            "[CLS] text [SEP] in segment 0 and a pair's second text [SEP] in segment 1"
        )


def check_texts(texts: Iterable[Any], pairs: bool | None, name: str = "texts") -> list[Text]:
    """The texts as a list, each a string or, for `pairs`, a tuple of two (None: either). A list of
    two strings is a pair, too: JSON knows no tuples.

    Raises InputError, naming the first that is anything else, as a `None` or NaN of a table is; and
    for a single string where a list is meant.
    """
    expected = {True: "a pair of strings", False: "a string", None: "a string or a pair of strings"}
    # a data frame would be read as the names of its columns
    one_by_one = isinstance(texts, Iterable) and getattr(texts, "ndim", 1) == 1
    if not one_by_one or isinstance(texts, (str, bytes, Mapping, Set)):
        raise InputError(
            f"{name} is {shown(texts)}; a list is expected, each item {expected[pairs]}"
        )
    checked: list[Text] = []
    for number, text in enumerate(texts):
        if isinstance(text, str) and pairs is not True:
            checked.append(text)
        elif _is_pair(text) and pairs is not False:
            checked.append((text[0], text[1]))
        else:
            raise InputError(f"{name}[{number}] is {shown(text)}; {expected[pairs]} is expected")
    return checked


def _is_pair(text: Any) -> bool:
    return (
        isinstance(text, (tuple, list)) and len(text) == 2 and all(isinstance(t, str) for t in text)
    )


def encode_texts(tokenizer: "Tokenizer", texts: Sequence[Text], max_length: int) -> list[Encoded]:
    """Token ids and segments of each text, at most `max_length` tokens long.

    A pair that is too long loses tokens from the end of its longer sentence first. Lone surrogates,
    which are not characters, are dropped. Raises InputError for what `check_texts` refuses, or when
    `max_length` has no room for [CLS] and [SEP].
    """
    clean = [
        _characters(text) if isinstance(text, str) else (_characters(text[0]), _characters(text[1]))
        for text in check_texts(texts, None)
    ]
    for pair in {not isinstance(text, str) for text in clean}:
        if max_length < tokenizer.num_special_tokens_to_add(pair):
            raise InputError(f"max length {max_length} has no room for [CLS] and [SEP]")
    with refused("the tokenizer fails on a text"):
        encoded = uncut(tokenizer).encode_batch(clean)
    return [_cut(e, max_length) for e in encoded]


def uncut(tokenizer: "Tokenizer") -> "Tokenizer":
    """The tokenizer, or a copy of one that pads or cuts which does neither."""
    if tokenizer.padding is None and tokenizer.truncation is None:
        return tokenizer
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.encode_special_tokens = tokenizer.encode_special_tokens
    copy.no_padding()
    copy.no_truncation()
    return copy


def _cut(text: "Encoding", max_length: int) -> Encoded:
    """The special tokens of a text, and of each sentence as many as there is room for."""
    ids, segments = np.array(text.ids, np.int64), np.array(text.type_ids, np.int64)
    lost = max(0, len(ids) - max_length)
    if not lost:
        return Encoded(ids, segments)
    sentence = np.array([-1 if s is None else s for s in text.sequence_ids])  # -1: special
    first, second = (np.flatnonzero(sentence == number) for number in (0, 1))
    room = max_length - (len(ids) - len(first) - len(second))
    of_first, of_second = kept(len(first), len(second), room)
    keep = np.ones(len(ids), bool)
    keep[first[of_first:]] = keep[second[of_second:]] = False
    return Encoded(ids[keep], segments[keep], lost)


def kept(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens each sentence of a pair keeps where only `room` fit.

    Tokens are dropped one at a time from the sentence that is longer then; of an odd number, the
    longer one keeps one more.
    """
    shorter = min(first, second, room // 2)
    return (shorter, room - shorter) if first <= second else (room - shorter, shorter)


def _characters(text: str) -> str:
    return text.encode("utf-8", "ignore").decode("utf-8")
