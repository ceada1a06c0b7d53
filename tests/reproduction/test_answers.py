"""Answers packed into a word of the runs file come back as they were."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from adapters.reproduce.sweep.answers import LARGEST, packed, unpacked
from minibert.errors import InputError


@given(arrays.arrays(np.int64, st.integers(0, 300), elements=st.integers(0, 255)))
def test_classes_come_back(classes: np.ndarray) -> None:
    found = unpacked(packed(classes), "here")
    assert found.dtype == np.uint8
    assert np.array_equal(found, classes)


@given(arrays.arrays(np.float32, st.integers(0, 300)))
def test_scores_come_back_to_the_bit(scores: np.ndarray) -> None:
    found = unpacked(packed(scores), "here")
    assert found.dtype == np.float32
    assert found.tobytes() == scores.tobytes()


def test_two_classes_of_cola_are_a_short_word() -> None:
    answers = np.random.default_rng(0).integers(0, 2, 1043)
    assert len(packed(answers)) < 400


@pytest.mark.parametrize("classes", [[0, 256], [-1, 3]])
def test_a_class_that_is_no_byte_is_refused(classes: list[int]) -> None:
    with pytest.raises(InputError, match="at most 256 classes"):
        packed(np.array(classes))


def _word(data: bytes) -> str:
    return "float32:" + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "word",
    [
        "",
        "uint8",
        "int64:" + packed(np.arange(3)).partition(":")[2],
        "uint8:not base64!",
        "uint8:" + base64.b64encode(b"no zlib").decode(),
        _word(zlib.compress(b"12345")),
        _word(zlib.compress(bytes(4000))[:-3]),
        _word(zlib.compress(bytes(LARGEST + 4))),
        _word(zlib.compress(bytes(8)) + b"more"),
        packed(np.arange(9)) + "\u00e9",
    ],
)
def test_a_damaged_word_is_refused_in_one_line(word: str) -> None:
    with pytest.raises(InputError, match=r"^runs.jsonl row 3: its answers are damaged$"):
        unpacked(word, "runs.jsonl row 3")
