"""`minibert embed`: sentence vectors, as sentence-transformers computes them."""

import contextlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, minibert, works

import adapters.embed as embed
import minibert.batch as batching
from adapters.cli.help_text import python_lines
from adapters.embed import embed_texts, json_line, longest_text
from minibert import ops
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.model import encode
from minibert.tokenizer import encode_texts

GOLDENS = Path(__file__).parents[1] / "goldens"
TEXTS = ["What a lovely day.", "Never again!", "", "Ünïcode 🦊 ok", "ba di fo " * 40]


@pytest.fixture(scope="module")
def theirs() -> dict[str, np.ndarray]:
    """What sentence-transformers computes for MiniLM."""
    with np.load(GOLDENS / "sentences.npz") as file:
        return dict(file)


class TestAgainstSentenceTransformers:
    """float32 on both sides, and other orders of summation: MiniLM's own float32 error is below
    1e-5, as issue and documentation promise. Vectors have length 1 or entries of about 1."""

    @pytest.mark.parametrize(
        "key, pooling, normalize",
        [("mean", "mean", False), ("normalized", "mean", True), ("cls", "cls", False)],
    )
    def test_the_vectors_of_minilm_are_the_same_to_1e_5(
        self, minilm: Base, theirs, key, pooling, normalize
    ):
        ours = embed_texts(minilm, list(theirs["texts"]), pooling, normalize)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs[key], rtol=0, atol=1e-5)

    def test_the_length_decides_for_a_long_text(self, minilm: Base, theirs):
        """One of the texts is longer than the 256 tokens that are read without being told."""
        lengths = [len(e.ids) for e in encode_texts(minilm.tokenizer, list(theirs["texts"]), 512)]
        (long,) = np.flatnonzero(np.array(lengths) > 256)
        text = [str(theirs["texts"][long])]
        whole = embed_texts(minilm, text, max_length=512)
        assert np.abs(whole - theirs["mean"][long]).max() > 1e-3
        np.testing.assert_array_equal(
            embed_texts(minilm, text, max_length=256), embed_texts(minilm, text)
        )


class TestVectors:
    @pytest.mark.parametrize("pooling", ["mean", "cls"])
    def test_they_are_pooled_from_the_last_states_by_a_plain_loop(self, tiny: Base, pooling):
        """Text by text, with the plain operations, in float64 from the states on."""
        ours = embed_texts(tiny, TEXTS, pooling, max_length=48)
        assert (ours.dtype, ours.shape) == (np.float32, (len(TEXTS), 32))
        for text, vector in zip(TEXTS, ours, strict=True):
            batch = make_batch(encode_texts(tiny.tokenizer, [text], 48))
            states = encode(tiny.params, batch, tiny.config, ops=ops)[-1].astype(np.float64)
            expected = states[0] if pooling == "cls" else sum(states) / len(states)
            np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-5)  # float32, 2 layers

    def test_normalised_they_are_the_same_directions_of_length_1(self, tiny: Base):
        plain = embed_texts(tiny, TEXTS, max_length=48).astype(np.float64)
        scaled = embed_texts(tiny, TEXTS, normalize=True, max_length=48)
        assert scaled.dtype == np.float32
        for long, short in zip(plain, scaled, strict=True):
            length = sum(number * number for number in long) ** 0.5
            np.testing.assert_allclose(short, long / length, rtol=0, atol=1e-7)  # one rounding

    def test_a_vector_of_zeros_has_no_direction_and_stays(self):
        np.testing.assert_array_equal(
            embed.unit_length(np.zeros((1, 4), np.float32)), np.zeros((1, 4), np.float32)
        )

    @pytest.mark.parametrize("pooling", ["mean", "cls"])
    def test_the_bits_are_the_same_for_any_number_of_threads(
        self, tiny: Base, monkeypatch, pooling
    ):
        monkeypatch.setattr(batching, "GROUP_TOKENS", 40)
        monkeypatch.setattr(embed, "BLOCK", 7)
        texts = TEXTS * 6
        one = embed_texts(tiny, texts, pooling, max_length=48, threads=1)
        for threads in (2, 3, 5):
            more = embed_texts(tiny, texts, pooling, max_length=48, threads=threads)
            assert one.tobytes() == more.tobytes()

    def test_blocks_change_nothing_but_how_much_is_in_memory(self, tiny: Base, monkeypatch):
        whole = embed_texts(tiny, TEXTS, max_length=48)
        monkeypatch.setattr(embed, "BLOCK", 2)
        parts = [*embed.embed_blocks(tiny, iter(TEXTS), max_length=48)]
        assert [text for block, _ in parts for text in block] == TEXTS
        assert [len(vectors) for _, vectors in parts] == [2, 2, 1]
        # products of other shapes may round differently in BLAS
        np.testing.assert_allclose(np.concatenate([v for _, v in parts]), whole, rtol=0, atol=1e-5)

    def test_no_texts_make_no_vectors(self, tiny: Base):
        vectors = embed_texts(tiny, [], max_length=48)
        assert (vectors.dtype, vectors.shape) == (np.float32, (0, 32))


def test_blocks_refuse_a_string_for_a_list_and_pairs_and_an_unknown_pooling_at_once(tiny: Base):
    for texts in ("abc", [("a", "b")]):
        with pytest.raises(InputError, match="is expected"):
            list(embed.embed_blocks(tiny, texts))
    with pytest.raises(InputError, match="unknown pooling 'max'"):
        embed.embed_blocks(tiny, ["a"], pooling="max")


class TestHowMuchOfATextIsRead:
    def base(self, tiny: Base, folder: Path, settings: str | None, positions: int = 512) -> Base:
        if settings is not None:
            (folder / "sentence_bert_config.json").write_text(settings, "utf-8")
        config = replace(tiny.config, max_position_embeddings=positions)
        return replace(tiny, folder=folder, config=config)

    @pytest.mark.parametrize(
        "settings, positions, longest",
        [
            (None, 512, 256),
            (None, 64, 64),
            ('{"max_seq_length": 128, "do_lower_case": false}', 512, 128),
            ('{"max_seq_length": 384}', 512, 384),
        ],
    )
    def test_what_the_models_own_file_says_else_256_tokens(
        self, tiny: Base, tmp_path, settings, positions, longest
    ):
        assert longest_text(self.base(tiny, tmp_path, settings, positions)) == longest

    @pytest.mark.parametrize(
        "settings, why",
        [
            ("{", "is not JSON"),
            ("[]", "max_seq_length is null, not a whole number"),
            ('{"max_seq_length": "128"}', 'max_seq_length is "128", not a whole number'),
            ('{"max_seq_length": true}', "max_seq_length is true, not a whole number"),
            ('{"max_seq_length": 128, "do_lower_case": true}', "do_lower_case is not supported"),
        ],
    )
    def test_a_file_that_says_something_else_is_named(self, tiny: Base, tmp_path, settings, why):
        with pytest.raises(InputError) as error:
            longest_text(self.base(tiny, tmp_path, settings))
        assert str(error.value).startswith(f"{tmp_path / 'sentence_bert_config.json'}: {why}")

    def test_more_than_the_base_has_positions_is_refused(self, tiny: Base, tmp_path):
        base = self.base(tiny, tmp_path, '{"max_seq_length": 128}', positions=64)
        with pytest.raises(InputError, match="max length must be from 4 to 64"):
            embed_texts(base, ["a"])


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "texts, why",
        [
            ("It rains.", "texts is 'It rains.'; a list is expected, each item a string"),
            (["a", None], "texts[1] is None; a string is expected"),
            ([float("nan")], "texts[0] is nan; a string is expected"),
            ([("a", "b")], "texts[0] is ('a', 'b'); a string is expected"),
        ],
    )
    def test_texts_that_are_no_list_of_strings(self, tiny: Base, texts, why):
        with pytest.raises(InputError) as error:
            embed_texts(tiny, texts, max_length=48)
        assert str(error.value) == why

    def test_a_pooling_that_there_is_not(self, tiny: Base):
        with pytest.raises(InputError, match="unknown pooling 'max'; known: mean, cls"):
            embed_texts(tiny, ["a"], "max")


ON = ("embed", "--base", TINY, "--max-length", 48)


class TestTheCommand:
    def test_arguments_a_file_and_standard_input_give_the_same(self, tmp_path):
        lines = "".join(f"{text}\n" for text in TEXTS)
        (tmp_path / "texts.txt").write_text(lines, "utf-8")
        by_arguments = works(*ON, *TEXTS).out
        assert by_arguments == works(*ON, "--input", tmp_path / "texts.txt").out
        assert by_arguments == works(*ON, stdin=lines.encode()).out

    def test_a_line_is_ascii_and_gives_back_the_python_calls_bits(self, tiny: Base):
        lines = works(*ON, "--normalize", "--pooling", "cls", *TEXTS).out.splitlines()
        vectors = embed_texts(tiny, TEXTS, "cls", True, 48)
        for line, text, vector in zip(lines, TEXTS, vectors, strict=True):
            assert line.isascii()
            told = json.loads(line)
            assert list(told) == ["text", "vector"]
            assert told["text"] == text
            assert np.array(told["vector"], np.float32).tobytes() == vector.tobytes()

    def test_every_float32_comes_back_from_its_line(self):
        rng = np.random.default_rng(0)
        bits = rng.integers(0, 2**32, 3000, dtype=np.uint32).view(np.float32)
        finite = bits[np.isfinite(bits)]
        back = np.array(json.loads(json_line("", finite))["vector"], np.float32)
        assert back.tobytes() == finite.tobytes()

    def test_output_is_an_array_that_numpy_loads(self, tiny: Base, tmp_path):
        result = works(*ON, "--output", tmp_path / "vectors.npy", *TEXTS)
        assert result.out == ""
        vectors = np.load(tmp_path / "vectors.npy")
        assert vectors.dtype == np.float32
        assert vectors.tobytes() == embed_texts(tiny, TEXTS, max_length=48).tobytes()
        assert [path.name for path in tmp_path.iterdir()] == ["vectors.npy"]

    def test_a_model_without_a_pooler_has_vectors_too(self):
        assert works("embed", "--base", GOLDENS / "tiny_mlm", "--max-length", 48, "ba di").out

    @pytest.mark.parametrize(
        "words, why",
        [
            (("--output", "vectors.txt"), "vectors.txt: vectors are written to a file named .npy"),
            (("--output", "no/vectors.npy"), "cannot be written: its folder does not exist"),
            (("--pooling", "max"), "argument --pooling: invalid choice: 'max'"),
            (("--max-length", 65), "max length must be from 4 to 64"),
            (("--threads", 0), "threads must be at least 1, not 0"),
            (("--input", "no.txt"), "no.txt: cannot be read"),
        ],
    )
    def test_what_is_wrong_is_one_line(self, tmp_path, monkeypatch, words, why):
        monkeypatch.chdir(tmp_path)
        texts = () if "--input" in words else ("ba",)
        result = minibert("embed", "--base", TINY, *words, *texts)
        assert (result.code, result.out) == (2, "")
        assert re.fullmatch(r"minibert[a-z ]*: error: [^\n]*\n", result.err)
        assert why in result.err
        assert list(tmp_path.iterdir()) == []

    def test_a_text_with_a_tab_is_refused_with_its_row(self):
        result = minibert(*ON, stdin=b"ba\nba\tdi\n")
        assert result.code == 2
        assert "standard input row 2: has 2 texts, but minibert embed takes 1" in result.err

    def test_the_helps_python_does_what_the_command_does(self, tiny: Base):
        lines = python_lines("embed").replace('"minilm"', repr(str(TINY)))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(lines, {})
        first, second = (
            np.array(json.loads(line)["vector"])
            for line in works(
                "embed", "--base", TINY, "--normalize", "It rains.", "It is wet."
            ).out.splitlines()
        )
        cosine = re.fullmatch(r"\(2, 32\) (\S+)\n", out.getvalue())[1]
        assert float(cosine) == pytest.approx(first @ second, abs=1e-6)
