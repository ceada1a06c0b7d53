"""How many texts were cut at the maximum length is counted and said."""

import json

import pytest
import toy
from command_line import TINY, works

from adapters.cut_texts import CutTexts
from adapters.predict import evaluate_task, predict_texts
from minibert.tokenizer import encode_texts

LONG = " ".join(["ba"] * 20)  # 22 tokens with [CLS] and [SEP]


def test_texts_that_are_cut_are_counted_with_their_tokens(tiny):
    """Of 3 + 22 + 24 tokens 12 stay of the second and third each: 10 + 12 are lost."""
    texts = ["ba", LONG, (LONG, "ba")]
    cut = CutTexts(12)
    for part in (texts[:1], texts[1:]):
        cut(encode_texts(tiny.tokenizer, part, 12))
    assert (cut.texts, cut.cut, cut.tokens, cut.lost) == (3, 2, 49, 22)
    assert str(cut) == "texts cut at 12 tokens: 2 of 3 (66.7 %), with 44.9 % of all tokens lost"


def test_when_no_text_is_cut_that_is_said(tiny):
    cut = CutTexts(64)
    cut(encode_texts(tiny.tokenizer, ["ba"] * 1200, 64))
    assert str(cut) == "texts cut at 64 tokens: none of 1,200"
    assert str(CutTexts(8)) == "texts cut at 8 tokens: none of 0"


def test_training_evaluation_and_prediction_tell_a_caller_of_their_texts(tiny):
    cut, data = CutTexts(toy.MAX_LENGTH), toy.toy_data()
    task = toy.train(tiny, data=data, on_encoded=cut).task
    assert cut.texts == len(data.train) + len(data.dev)
    evaluate_task(task, tiny, data.dev, on_encoded=cut)
    predict_texts(task, tiny, [LONG], on_encoded=cut)
    assert cut.texts == len(data.train) + 2 * len(data.dev) + 1
    assert cut.cut >= 1


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "mine.csv"
    rows = [f"{LONG if i < 5 else 'bi'},{'good' if i % 2 else 'bad'}" for i in range(20)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def test_the_command_line_says_it_in_training_evaluation_and_prediction(table):
    out = table.parent / "run"
    quick = ("--base", TINY, "--method", "head", "--epochs", 1, "--max-length", 12)
    said = "texts cut at 12 tokens: 5 of 20 (25.0 %), with "
    assert said in works("train", table, *quick, "--out", out).out
    task = out / "task.safetensors"
    words = ("evaluate", task, "--base", TINY, "--data", table)
    assert said in works(*words).out
    found = json.loads(works(*words, "--json").out)
    assert (found["texts_cut"], found["tokens_lost"]) == (5, 50)
    scored = table.parent / "scored.csv"
    words = ("predict", task, "--base", TINY)
    assert said in works(*words, "--input", table, "--text", "text", "--output", scored).out
    result = works(*words, LONG, "bi")
    assert "minibert: texts cut at 12 tokens: 1 of 2 (50.0 %), with " in result.err
    assert works(*words, "bi").err == ""
