"""Tokens: text becomes numbers, one text after the other, without padding.

BERT reads `[CLS] first [SEP]` or `[CLS] first [SEP] second [SEP]`: Devlin et al. 2018, section 3.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import SEEDS
from conftest import GOLDENS
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from minibert.batch import make_batch
from minibert.errors import InputError
from minibert.tokenizer import Encoded, encode_texts, load_tokenizer, wordpiece

TINY = GOLDENS / "tiny"
VOCABULARY = (TINY / "vocab.txt").read_text("utf-8").split("\n")[:-1]
ID = {token: number for number, token in enumerate(VOCABULARY)}
ROOM = 64  # tokens: more than any short text here needs


def tokens(text, tokenizer: Tokenizer | None = None, max_length: int = ROOM) -> list[str]:
    """The text's tokens, spelled out by the vocabulary file itself."""
    [encoded] = encode_texts(tokenizer or load_tokenizer(TINY), [text], max_length)
    return [VOCABULARY[number] for number in encoded.ids]


def segments(text, max_length: int = ROOM) -> list[int]:
    return encode_texts(load_tokenizer(TINY), [text], max_length)[0].segments.tolist()


class TestOneText:
    def test_a_sentence_stands_between_cls_and_sep_in_segment_0(self):
        assert tokens("morulan tikora!") == ["[CLS]", "morulan", "tikora", "!", "[SEP]"]
        assert segments("morulan tikora!") == [0, 0, 0, 0, 0]

    def test_a_pairs_second_sentence_and_its_sep_are_in_segment_1(self):
        pair = ("zaf ba", "bi bo da")
        expected = ["[CLS]", "zaf", "ba", "[SEP]", "bi", "bo", "da", "[SEP]"]
        assert tokens(pair) == expected
        assert segments(pair) == [0, 0, 0, 0, 1, 1, 1, 1]

    def test_an_empty_sentence_is_cls_and_sep_alone(self):
        assert tokens("") == tokens(" \n\t ") == ["[CLS]", "[SEP]"]

    def test_an_empty_sentence_of_a_pair_keeps_its_sep(self):
        assert tokens(("", "")) == ["[CLS]", "[SEP]", "[SEP]"]
        assert tokens(("ba", "")) == ["[CLS]", "ba", "[SEP]", "[SEP]"]
        assert segments(("", "ba")) == [0, 0, 1, 1]

    def test_an_uncased_vocabulary_ignores_capitals_and_accents(self):
        assert tokens("MORULÁN Tïkora") == tokens("morulan tikora")

    def test_a_word_that_the_vocabulary_cannot_spell_is_unk(self):
        assert tokens("ba Ω bi") == ["[CLS]", "ba", "[UNK]", "bi", "[SEP]"]

    def test_each_chinese_character_is_a_word_of_its_own(self):
        assert tokens("ba東京") == ["[CLS]", "ba", "[UNK]", "[UNK]", "[SEP]"]

    def test_special_tokens_typed_into_a_text_are_special_tokens(self):
        """How one asks for a masked word; as in transformers."""
        assert tokens("ba [MASK] bi") == ["[CLS]", "ba", "[MASK]", "bi", "[SEP]"]

    def test_control_characters_and_lone_surrogates_are_dropped(self):
        assert tokens("mor\x00ulan \ufffd\u200b\ud800tikora") == tokens("morulan tikora")

    def test_ids_and_segments_are_int64_and_equally_long(self):
        [encoded] = encode_texts(load_tokenizer(TINY), [("ba", "bi")], ROOM)
        assert encoded.ids.dtype == encoded.segments.dtype == np.int64
        assert encoded.ids.shape == encoded.segments.shape == (5,)

    def test_transformers_gives_the_same_tokens(self, goldens):
        """Goldens: the texts through both of transformers' BERT tokenizers."""
        texts = json.loads((GOLDENS / "tiny_texts.json").read_text("utf-8"))
        texts_or_pairs = [t if isinstance(t, str) else tuple(t) for t in texts["texts"]]
        batch = make_batch(encode_texts(load_tokenizer(TINY), texts_or_pairs, texts["max_length"]))
        np.testing.assert_array_equal(batch.ids, goldens["ids"])
        np.testing.assert_array_equal(batch.segments, goldens["segments"])
        np.testing.assert_array_equal(batch.lengths, goldens["lengths"])


def longest_match_first(word: str) -> list[str]:
    """WordPiece in a loop: from the left, always the longest piece that the vocabulary has."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in ID:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


class TestWordPiece:
    """Wu et al. 2016, arXiv 1609.08144, section 4.1, as BERT's own tokenizer applies it."""

    def test_a_word_is_cut_into_the_longest_pieces_from_the_left(self):
        assert tokens("morulannolim") == ["[CLS]", "morulan", "##nolim", "[SEP]"]
        assert tokens("tikoraveskx") == ["[CLS]", "tikora", "##vesk", "##x", "[SEP]"]

    @settings(max_examples=50)
    @given(
        st.lists(
            st.text("abdfgiklmnopqrstuvxz09", min_size=1, max_size=12)
            | st.sampled_from(["morulan", "tikoravesk", "zafquinba", "bonolim"]),
            max_size=4,
        )
    )
    def test_the_pieces_of_any_word_are_those_of_a_plain_loop(self, words):
        expected = [piece for word in words for piece in longest_match_first(word)]
        assert tokens(" ".join(words)) == ["[CLS]", *expected, "[SEP]"]

    def test_a_word_of_more_than_100_characters_is_unk(self):
        assert tokens("a" * 101) == ["[CLS]", "[UNK]", "[SEP]"]
        assert tokens("a" * 100, max_length=200) == ["[CLS]", "a", *["##a"] * 99, "[SEP]"]


class TestTruncation:
    def test_a_truncated_sentence_loses_its_end_but_not_its_sep(self):
        assert tokens("ba bi bo da", max_length=5) == ["[CLS]", "ba", "bi", "bo", "[SEP]"]

    def test_truncation_shortens_the_longer_sentence_of_a_pair_first(self):
        pair = ("ba bi", "da di do fa fi fo")
        expected = ["[CLS]", "ba", "bi", "[SEP]", "da", "di", "do", "[SEP]"]
        assert tokens(pair, max_length=8) == expected
        assert segments(pair, max_length=8) == [0, 0, 0, 0, 1, 1, 1, 1]

    @settings(max_examples=50)
    @given(
        st.lists(st.sampled_from(["ba", "bi", "bo"]), max_size=20),
        st.lists(st.sampled_from(["da", "di", "do"]), max_size=20),
        st.integers(3, 40),
    )
    def test_a_truncated_pair_fills_the_max_length_exactly(self, first, second, limit):
        """Longest first: tokens are taken one by one off whichever sentence is longer then."""
        spelled = tokens((" ".join(first), " ".join(second)), max_length=limit)
        assert spelled[0] == "[CLS]"
        assert spelled[-1] == "[SEP]"
        middle = spelled.index("[SEP]")
        kept_first, kept_second = spelled[1:middle], spelled[middle + 1 : -1]
        room = limit - 3
        assert kept_first == first[: len(kept_first)]
        assert kept_second == second[: len(kept_second)]
        assert len(kept_first) + len(kept_second) == min(room, len(first) + len(second))
        # a sentence that was cut is as long as the other, give or take the last odd token
        if kept_first != first:
            assert len(kept_first) >= len(kept_second) - 1
        if kept_second != second:
            assert len(kept_second) >= len(kept_first) - 1

    def test_what_is_kept_is_what_the_library_keeps_for_all_short_pairs(self):
        """The oracle is `tokenizers`' own truncation, on a tokenizer that nobody else uses."""
        tokenizer = load_tokenizer(TINY)
        own = Tokenizer.from_str(tokenizer.to_str())
        sentences = [" ".join(VOCABULARY[41 : 41 + n]) for n in range(25)]
        pairs = [(first, second) for first in sentences for second in sentences]
        for limit in range(3, 51):
            own.enable_truncation(limit, strategy="longest_first")
            too_long = [pair for pair in pairs if len(" ".join(pair).split()) + 3 > limit]
            ours = encode_texts(tokenizer, too_long, limit)
            for cut, expected in zip(ours, own.encode_batch(too_long), strict=True):
                assert cut.ids.tolist() == expected.ids
                assert cut.segments.tolist() == expected.type_ids

    @settings(max_examples=100)
    @given(
        st.lists(st.sampled_from(["ba", "morulan [MASK]", "tikoravesk", "[SEP]"]), max_size=30),
        st.none() | st.lists(st.sampled_from(["da", "東", "[CLS] x", "zafquin"]), max_size=30),
        st.integers(3, 60),
        st.booleans(),
    )
    def test_any_text_is_cut_as_the_library_cuts_it(self, first, second, limit, older):
        """With both post-processors that BERT's tokenizer.json files have."""
        tokenizer = load_tokenizer(TINY)
        if older:
            tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        own = Tokenizer.from_str(tokenizer.to_str())
        text = " ".join(first) if second is None else (" ".join(first), " ".join(second))
        [whole] = own.encode_batch([text])
        own.enable_truncation(limit, strategy="longest_first")
        [expected] = own.encode_batch([text])
        [cut] = encode_texts(tokenizer, [text], limit)
        assert cut.ids.tolist() == expected.ids
        assert cut.segments.tolist() == expected.type_ids
        assert cut.lost == len(whole.ids) - len(expected.ids)

    def test_how_many_tokens_were_lost_is_said(self):
        texts = ["ba", "ba bi bo da", ("ba bi", "bo da di")]
        assert [e.lost for e in encode_texts(load_tokenizer(TINY), texts, 5)] == [0, 1, 3]
        assert [e.lost for e in encode_texts(load_tokenizer(TINY), texts, 64)] == [0, 0, 0]

    def test_a_max_length_without_room_for_the_special_tokens_is_refused(self):
        assert tokens("ba", max_length=2) == ["[CLS]", "[SEP]"]
        assert tokens(("ba", "bi"), max_length=3) == ["[CLS]", "[SEP]", "[SEP]"]
        for text, limit in (("ba", 1), ("ba", -1), (("ba", "bi"), 2)):
            with pytest.raises(InputError, match=f"max length {limit} has no room"):
                tokens(text, max_length=limit)

    def test_a_text_of_100_000_characters_is_truncated_like_any_other(self):
        words = "ba bi bo da " * (100_000 // 12 + 1)
        spelled = tokens(words[:100_000], max_length=512)
        assert spelled == ["[CLS]", *(words.split()[:510]), "[SEP]"]
        assert tokens("x" * 100_000) == ["[CLS]", "[UNK]", "[SEP]"]


class TestNoPadding:
    """A batch has real tokens only: attention knows where texts end, nothing else needs to."""

    def test_padding_and_truncation_set_in_tokenizer_json_are_ignored(self, tmp_path):
        eager = load_tokenizer(TINY)
        eager.enable_padding(length=32)
        eager.enable_truncation(4)
        eager.save(str(tmp_path / "tokenizer.json"))
        as_it_says = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        assert len(as_it_says.encode("ba").ids) == 32
        for tokenizer in (load_tokenizer(tmp_path), as_it_says):
            assert tokens("ba", tokenizer) == ["[CLS]", "ba", "[SEP]"]
            assert len(tokens("ba bi bo da", tokenizer)) == 6
        assert as_it_says.padding["length"] == 32  # a copy was used: it is not ours to change
        assert as_it_says.truncation["max_length"] == 4

    def test_minilms_tokenizer_json_asks_for_padding_and_gets_none(self, minilm):
        fresh = Tokenizer.from_file(str(minilm.folder / "tokenizer.json"))
        assert len(fresh.encode("Hello").ids) == 128
        assert load_tokenizer(minilm.folder).encode("Hello").ids == [101, 7592, 102]
        [encoded] = encode_texts(fresh, ["Hello"], 512)
        # [CLS] is 101, [SEP] 102 and "hello" 7592 in the vocabulary of every uncased BERT
        assert encoded.ids.tolist() == [101, 7592, 102]

    def test_texts_encoded_together_have_the_tokens_that_they_have_alone(self):
        tokenizer = load_tokenizer(TINY)
        texts = ["ba", "", ("bi bo", "da"), "morulan " * 40]
        together = encode_texts(tokenizer, texts, 16)
        for text, encoded in zip(texts, together, strict=True):
            [alone] = encode_texts(tokenizer, [text], 16)
            np.testing.assert_array_equal(encoded.ids, alone.ids)
            np.testing.assert_array_equal(encoded.segments, alone.segments)
        assert encode_texts(tokenizer, [], 16) == []


class TestBatch:
    def test_a_batch_is_its_texts_end_to_end(self):
        batch = make_batch(encode_texts(load_tokenizer(TINY), ["ba bi", "", ("bo", "da")], 16))
        spelled = [VOCABULARY[number] for number in batch.ids]
        first, second = ["[CLS]", "ba", "bi", "[SEP]"], ["[CLS]", "[SEP]"]
        assert spelled == first + second + ["[CLS]", "bo", "[SEP]", "da", "[SEP]"]
        assert batch.segments.tolist() == [*[0, 0, 0, 0], *[0, 0], *[0, 0, 0, 1, 1]]
        assert batch.positions.tolist() == [*[0, 1, 2, 3], *[0, 1], *[0, 1, 2, 3, 4]]
        assert batch.lengths.tolist() == [4, 2, 5]
        assert batch.starts.tolist() == [0, 4, 6]

    @settings(max_examples=30)
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=12), SEEDS)
    def test_a_batchs_positions_starts_and_lengths_are_those_of_a_plain_loop(self, lengths, seed):
        rng = np.random.default_rng(seed)
        texts = [Encoded(rng.integers(0, 99, n), rng.integers(0, 2, n)) for n in lengths]
        batch = make_batch(texts)
        positions, starts = [], []
        for length in lengths:
            starts.append(len(positions))
            positions += list(range(length))
        assert batch.positions.tolist() == positions
        assert batch.starts.tolist() == starts
        assert batch.lengths.tolist() == lengths
        for array in (batch.ids, batch.segments, batch.positions, batch.lengths, batch.starts):
            assert array.dtype == np.int64
        for text, start in zip(texts, starts, strict=True):
            rows = slice(start, start + len(text.ids))
            np.testing.assert_array_equal(batch.ids[rows], text.ids)
            np.testing.assert_array_equal(batch.segments[rows], text.segments)

    def test_a_batch_of_no_texts_is_an_error(self):
        with pytest.raises(ValueError, match="at least one text"):
            make_batch([])


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the tiny vocabulary, for tests to change."""
    shutil.copy(TINY / "vocab.txt", tmp_path)
    return tmp_path


class TestVocabularyFiles:
    def test_tokenizer_json_is_preferred_to_vocab_txt(self, folder):
        shorter = [token for token in VOCABULARY if token != "morulan"]
        (folder / "other.txt").write_text("\n".join(shorter), "utf-8")
        wordpiece(folder / "other.txt").save(str(folder / "tokenizer.json"))
        spelled = [
            shorter[n] for n in encode_texts(load_tokenizer(folder), ["morulan"], ROOM)[0].ids
        ]
        assert spelled == ["[CLS]", "mo", "##r", "##u", "##la", "##n", "[SEP]"]

    def test_a_cased_vocabulary_keeps_capitals_and_accents(self, folder):
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
        cased = load_tokenizer(folder)
        assert tokens("ba Ba bá", cased) == ["[CLS]", "ba", "[UNK]", "[UNK]", "[SEP]"]

    def test_accents_and_chinese_characters_are_treated_as_tokenizer_config_json_says(self, folder):
        settings = {"strip_accents": False, "tokenize_chinese_chars": False}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        tokenizer = load_tokenizer(folder)
        assert tokens("BA bá", tokenizer) == ["[CLS]", "ba", "[UNK]", "[SEP]"]
        assert tokens("東京", tokenizer) == ["[CLS]", "[UNK]", "[SEP]"]

    def test_blank_lines_and_windows_line_ends_in_vocab_txt_keep_the_numbering(self, folder):
        spoiled = [*VOCABULARY[:5], "", *VOCABULARY[5:]]
        (folder / "vocab.txt").write_bytes("\r\n".join(spoiled).encode())
        ids = encode_texts(load_tokenizer(folder), ["ba"], ROOM)[0].ids
        assert ids.tolist() == [ID["[CLS]"], ID["ba"] + 1, ID["[SEP]"]]

    @pytest.mark.parametrize("special", ["[UNK]", "[CLS]", "[SEP]"])
    def test_a_vocabulary_without_a_special_token_is_refused(self, folder, special):
        lines = [token for token in VOCABULARY if token != special]
        (folder / "vocab.txt").write_text("\n".join(lines), "utf-8")
        with pytest.raises(InputError, match=re.escape(f"vocab.txt: lacks the token {special}")):
            load_tokenizer(folder)

    @pytest.mark.parametrize(
        "name, content, reason",
        [
            ("vocab.txt", "[CLS]\nbä\n".encode("utf-16"), "cannot be read"),
            ("tokenizer.json", b"{", "is not JSON"),
            ("tokenizer_config.json", b"{", "is not JSON"),
            ("tokenizer_config.json", b"[]", "is not a JSON object"),
        ],
    )
    def test_an_unreadable_tokenizer_file_is_refused_by_name(self, folder, name, content, reason):
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=re.escape(f"{name}: {reason}")):
            load_tokenizer(folder)

    def test_a_folder_with_neither_tokenizer_json_nor_vocab_txt_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"neither tokenizer\.json nor vocab\.txt"):
            load_tokenizer(tmp_path)


# Any Unicode, lone surrogates and unassigned characters too; and texts that are likelier to be
# spelled out than replaced by [UNK].
ODD = ["The", "naïve", "café", "isn't", "E-MAIL", "東京", "12,5%", "İstanbul", "ß", "ﬁ", "[SEP]"]
TEXT = st.text(st.characters(), max_size=40) | st.lists(
    st.sampled_from(ODD) | st.text("abcdefghijklmnopqrstuvwxyzäöüß'", min_size=1, max_size=12),
    max_size=8,
).map(" ".join)


@pytest.fixture(scope="module")
def from_json(minilm) -> Tokenizer:
    return load_tokenizer(minilm.folder)


@pytest.fixture(scope="module")
def from_vocabulary(minilm) -> Tokenizer:
    return wordpiece(minilm.folder / "vocab.txt")


class TestParity:
    """MiniLM comes with both files; they must give the same ids for any text at all."""

    @settings(max_examples=50)
    @given(text=TEXT | st.tuples(TEXT, TEXT), limit=st.integers(3, 64))
    def test_vocab_txt_and_tokenizer_json_agree_on_any_text(
        self, from_json, from_vocabulary, text, limit
    ):
        [first] = encode_texts(from_json, [text], limit)
        [second] = encode_texts(from_vocabulary, [text], limit)
        np.testing.assert_array_equal(first.ids, second.ids)
        np.testing.assert_array_equal(first.segments, second.segments)

    def test_a_sentences_ids_are_its_line_numbers_in_minilms_vocab_txt(self, minilm):
        """Line numbers (from 0) of vocab.txt, looked up in the file itself."""
        lines = (minilm.folder / "vocab.txt").read_text("utf-8").split("\n")
        words = ["[CLS]", "adapt", "##ers", "are", "near", "-", "identity", ".", "[SEP]"]
        [encoded] = encode_texts(minilm.tokenizer, ["Adapters are near-identity."], 512)
        assert [lines[number] for number in encoded.ids] == words
