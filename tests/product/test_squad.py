"""SQuAD v1.1 (Rajpurkar et al. 2016, arXiv 1606.05250): the answer is a span of a paragraph.

Its two metrics, long contexts in overlapping windows, tokens back to the exact characters, the
head with its two softmaxes, and the training of all that (Houlsby et al. 2019, figure 5).
"""

import copy
import json
import math
import os
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autograd import grad
from command_line import minibert
from conftest import missing
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loopback import NOWHERE, Server, serve, sha256

import adapters.answering as answering
from adapters.answering import (
    TrainedSquad,
    answer_questions,
    prepare,
    span_forward,
    train_squad,
)
from adapters.methods.bottleneck import attach
from adapters.methods.method import Method
from adapters.methods.table import METHODS, method_named
from adapters.recipes import RECIPES
from adapters.task_model import TaskModel, new_task_model
from minibert import fused, ops
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.data.squad import (
    Answer,
    Question,
    Questions,
    exact_match,
    normalise,
    read_questions,
    score,
    squad_data,
    token_f1,
)
from minibert.data.windows import Window, make_windows
from minibert.errors import Diverged, InputError, Interrupted
from minibert.fetch import datasets
from minibert.fetch.datasets import find_split, squad_folder
from minibert.fetch.home import read_manifest
from minibert.heads import best_span, span_log_probabilities, span_logits, span_loss
from minibert.model import encode
from minibert.tokenizer import encode_texts
from minibert.training.gradients import value_and_grads
from minibert.training.schedule import Settings
from minibert.tree import leaves

ADAPTERS = method_named("adapters", 4)


def refusal(call: Callable[..., Any], *args: Any, **options: Any) -> str:
    """The one line of the InputError that call(*args, **options) raises."""
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ask(question: str, context: str, *answers: str, name: str = "q") -> Question:
    """A question whose answers are where they first occur in the context."""
    places = tuple(Answer(text, context.index(text)) for text in answers)
    return Question(name, question, context, places)


# ------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The Eiffel Tower.", "eiffel tower"),
        ("  a   cat,\tan\nowl & the  dog ", "cat owl dog"),
        ("theatre anthem a-b", "theatre anthem ab"),  # articles are whole words
        ("U.S.A. (1865)", "usa 1865"),
        ("\u201cNaïve\u201d \u2013 a CAFÉ", "\u201cnaïve\u201d \u2013 café"),  # other marks stay
        ("The. A! an?", ""),
        (string.punctuation, ""),
    ],
)
def test_answers_are_compared_without_case_punctuation_articles_and_spaces(answer, normal):
    assert normalise(answer) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("predicted", "gold", "same", "f1"),
    [
        ("Denver Broncos", "the Denver Broncos!", 1, 1),
        ("Broncos", "Denver Broncos", 0, 2 / 3),  # precision 1, recall 1/2
        ("in Denver the capital", "Denver, Colorado", 0, 2 / 5),  # precision 1/3, recall 1/2
        ("big big dog", "cat big big big", 0, 4 / 7),  # common: big, twice; of 3 and of 4
        ("broncos denver", "denver broncos", 0, 1),  # a bag of words has no order
        ("cat", "dog", 0, 0),
        ("", "dog", 0, 0),
        ("the", "a", 1, 0),  # both empty: the official F1 is 0 without a common word
    ],
)
def test_exact_match_and_f1_are_what_one_counts_by_hand(predicted, gold, same, f1):
    assert exact_match(predicted, gold) == exact_match(gold, predicted) == same
    assert token_f1(predicted, gold) == pytest.approx(f1, abs=1e-15)
    assert token_f1(gold, predicted) == pytest.approx(f1, abs=1e-15)


def test_of_several_gold_answers_the_best_counts_for_each_metric_and_questions_are_averaged():
    one = ask("?", "ba bi bo da", "ba", "bi bo da")
    two = ask("?", "ba bi bo da", "da")
    # "bi bo" against "bi bo da": precision 1, recall 2/3
    assert score([one, two], ["bi bo", "Da."]) == {"f1": (0.8 + 1) / 2, "exact_match": 0.5}
    assert next(iter(score([two], ["da"]))) == "f1"  # the first chooses the best epoch
    with pytest.raises(InputError, match="no questions to score"):
        score([], [])


# --------------------------------------------------------------------------------------- files

WHOLE = {
    "version": "1.1",
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "ba bi \u2013 bo \U0001f600 da",
                    "qas": [
                        {
                            "id": "a1",
                            "question": "ba?",
                            "answers": [
                                {"text": "bo \U0001f600", "answer_start": 8},
                                {"text": "ba", "answer_start": 0},
                            ],
                        },
                        {
                            "id": "a2",
                            "question": "bi?",
                            "answers": [{"text": "da", "answer_start": 13}],
                        },
                    ],
                },
            ],
        },
    ],
}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def test_a_file_is_read_in_its_order_with_characters_counted_as_python_does(tmp_path):
    questions = read_questions(write(tmp_path / "dev.json", WHOLE))
    context = "ba bi \u2013 bo \U0001f600 da"
    assert questions == [
        Question("a1", "ba?", context, (Answer("bo \U0001f600", 8), Answer("ba", 0))),
        Question("a2", "bi?", context, (Answer("da", 13),)),
    ]


@pytest.mark.parametrize("name", ["train-v1.1.json", "dev-v1.1.json"])
def test_files_as_large_as_the_published_ones_are_read(tmp_path, name):
    """JSON may have blanks at its end, which stand here for the other questions."""
    path, size = tmp_path / name, read_manifest("squad.toml")["squad"]["downloads"][name]["bytes"]
    path.write_text(json.dumps(WHOLE).ljust(size), "ascii")
    assert path.stat().st_size == size
    assert [question.id for question in read_questions(path)] == ["a1", "a2"]


# what to put where, and what is said
BROKEN = [
    ([], {"x": 1}, "has no list 'data'"),
    ([], [1], "has no list 'data'"),
    (["data"], {"paragraphs": []}, "has no list 'data'"),
    (["data"], [], "has no questions"),
    (["data", 0], "T", "article 1: has no list 'paragraphs'"),
    (
        ["data", 0, "paragraphs", 0, "context"],
        None,
        "article 1, paragraph 1: has no text 'context'",
    ),
    (["data", 0, "paragraphs", 0, "qas"], 3, "article 1, paragraph 1: has no list 'qas'"),
    (
        ["data", 0, "paragraphs", 0, "qas", 1, "id"],
        7,
        "article 1, paragraph 1, question 2: has no text 'id'",
    ),
    (
        ["data", 0, "paragraphs", 0, "qas", 1, "question"],
        None,
        "question a2: has no text 'question'",
    ),
    (
        ["data", 0, "paragraphs", 0, "qas", 1, "answers"],
        [],
        "question a2: has no answer; only SQuAD v1.1 is read, not 2.0",
    ),
    (["data", 0, "paragraphs", 0, "qas", 1, "answers", 0], "da", "question a2: has no text 'text'"),
    *(
        (
            ["data", 0, "paragraphs", 0, "qas", 1, "answers", 0, "answer_start"],
            start,
            "question a2: has no whole number 'answer_start'",
        )
        for start in (None, "13", 13.0, True)
    ),
    *(
        (
            ["data", 0, "paragraphs", 0, "qas", 1, "answers", 0, "answer_start"],
            start,
            f"question a2: its context has no 'da' at character {start}",
        )
        for start in (12, 14, -2, 99)
    ),
    (
        ["data", 0, "paragraphs", 0, "qas", 0, "answers", 0, "answer_start"],
        -7,  # as Python counts
        "question a1: its context has no 'bo \U0001f600' at character -7",
    ),
    (
        ["data", 0, "paragraphs", 0, "qas", 1, "answers", 0, "text"],
        "",
        "question a2: its context has no '' at character 13",
    ),
    (["data", 0, "paragraphs", 0, "qas", 1, "id"], "a1", "question a1 occurs twice"),
]


@pytest.mark.parametrize(("way", "value", "words"), BROKEN)
def test_a_malformed_file_is_refused_with_its_name_and_the_place(tmp_path, way, value, words):
    whole = {"": copy.deepcopy(WHOLE)}
    holder: Any = whole
    *before, last = ["", *way]
    for key in before:
        holder = holder[key]
    holder[last] = value
    path = write(tmp_path / "dev.json", whole[""])
    assert refusal(read_questions, path) == f"{path}: {words}"


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b""])
def test_a_file_that_is_no_json_is_refused_with_its_name(tmp_path, data):
    path = tmp_path / "dev.json"
    path.write_bytes(data)
    assert refusal(read_questions, path).startswith(f"{path}: is not JSON: ")
    assert "No such file" in refusal(read_questions, tmp_path / "none.json")


@pytest.mark.parametrize(
    "names", [("train.json", "dev.json"), ("train-v1.1.json", "dev-v1.1.json")]
)
def test_the_files_are_found_by_either_name_where_the_environment_says(
    tmp_path, monkeypatch, names
):
    monkeypatch.setenv("MINIBERT_SQUAD", str(tmp_path))
    write(tmp_path / names[0], WHOLE)
    line = refusal(squad_data)
    assert f"{tmp_path}: has no dev-v1.1.json" in line
    assert "`minibert fetch squad`" in line
    assert "MINIBERT_SQUAD" in line
    dev = copy.deepcopy(WHOLE)
    del dev["data"][0]["paragraphs"][0]["qas"][0]
    write(tmp_path / names[1], dev)
    assert find_split("dev") == tmp_path / names[1]
    train, dev = squad_data()
    assert [q.id for q in train] == ["a1", "a2"]
    assert [q.id for q in dev] == ["a2"]


# --------------------------------------------------------------------------------------- fetch


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mirror with two small files under SQuAD's names, and the table that promises them."""
    text = json.dumps(WHOLE).encode()
    data = {"train-v1.1.json": text + b" " * 100_000, "dev-v1.1.json": text}

    def table(name: str) -> dict[str, Any]:
        assert name == "squad.toml"
        facts = {
            name: {"url": f"{NOWHERE}/{name}", "bytes": len(content), "sha256": sha256(content)}
            for name, content in data.items()
        }
        return {"squad": {"files": [*data], "downloads": facts}}

    monkeypatch.setattr(datasets, "read_manifest", table)
    for server in serve(Server({f"/{name}": content for name, content in data.items()})):
        monkeypatch.setenv("MINIBERT_SQUAD_URL", server.url + "/")
        yield server


@pytest.mark.parametrize("name", ["squad", "SQuAD"])
def test_minibert_fetch_squad_fetches_both_files_once(home, server, name):
    for _ in range(2):
        result = minibert("fetch", name)
        assert (result.code, result.out) == (0, f"{home / 'SQuAD'}\n"), result.err
    assert {f"/{p.name}": p.read_bytes() for p in squad_folder().iterdir()} == server.files
    assert len(server.asked) == 2
    train, dev = squad_data()
    assert len(train) == len(dev) == 2
    assert {p.name for p in home.iterdir()} <= {"SQuAD", ".SQuAD.lock"}


def test_files_put_into_the_folder_by_hand_are_taken_and_a_missing_one_is_fetched(
    tmp_path, server, monkeypatch
):
    mine = tmp_path / "mine"
    mine.mkdir()
    monkeypatch.setenv("MINIBERT_SQUAD", str(mine))
    write(mine / "dev.json", WHOLE)
    assert datasets.fetch_squad(progress=False) == mine
    assert (mine / "train-v1.1.json").is_file()
    (mine / "train-v1.1.json").rename(mine / "train.json")
    asked = len(server.asked)
    assert datasets.fetch_squad(progress=False) == mine
    assert len(server.asked) == asked


def test_a_file_with_another_hash_is_refused_and_removed(home, server):
    right = server.files["/dev-v1.1.json"]
    server.files["/dev-v1.1.json"] = wrong = right[:-1] + b" "
    line = refusal(datasets.fetch_squad, False)
    assert sha256(right) in line
    assert sha256(wrong) in line
    assert find_split("train") is None  # an incomplete folder does not count
    server.files["/dev-v1.1.json"] = right
    assert datasets.fetch_squad(progress=False) == squad_folder()


def test_without_a_mirror_the_authors_own_place_is_asked(home, server, monkeypatch):
    monkeypatch.delenv("MINIBERT_SQUAD_URL")
    line = refusal(datasets.fetch_squad, False)
    assert line == f"{NOWHERE}/train-v1.1.json: Connection refused"


def test_the_table_has_the_two_official_files():
    table = read_manifest("squad.toml")["squad"]
    assert list(table["downloads"]) == table["files"] == ["train-v1.1.json", "dev-v1.1.json"]
    for name, source in table["downloads"].items():
        assert source["url"] == f"https://rajpurkar.github.io/SQuAD-explorer/dataset/{name}"
        assert re.fullmatch("[0-9a-f]{64}", source["sha256"])
    assert [source["bytes"] for source in table["downloads"].values()] == [30_288_272, 4_854_279]
    minibert_knows = minibert("fetch", "nonsense").err
    assert minibert_knows.rstrip().endswith(", squad")


# ------------------------------------------------------------------------------------- windows

# halves of surrogate pairs too, which JSON can hold
TEXT = st.text(
    st.characters(exclude_categories=()) | st.sampled_from("aby \u0301éß\u4e2d,\ud83d"), max_size=60
)


def characters(text: str) -> str:
    """What a tokenizer can read: half a surrogate pair is unreadable."""
    return text.encode("utf-8", "replace").decode("utf-8")


@settings(max_examples=60)
@given(TEXT, TEXT, st.integers(4, 40), st.integers(1, 50))
@example("a " * 80, "b " * 50, 40, 3)
def test_windows_are_those_that_the_tokenizers_library_cuts(
    tiny, question, context, length, stride
):
    """The library cuts `only_second` with an overlap, ours is the distance of the beginnings."""
    windows = make_windows(tiny.tokenizer, [ask(question, context)], length, stride)
    tokenizer = tiny.tokenizer
    tokenizer.no_truncation()
    asked = tokenizer.encode(characters(question), add_special_tokens=False)
    kept = min(len(asked.ids), 64, (length - 3) // 2)
    room = length - 3 - kept
    cut = characters(question)[: asked.offsets[kept - 1][1] if kept else 0]
    tokenizer.enable_truncation(length, stride=max(0, room - stride), strategy="only_second")
    first = tokenizer.encode(cut, characters(context))
    if len(tokenizer.encode(cut, add_special_tokens=False).ids) != kept:
        return  # cut off in the middle of a word, it is other tokens
    theirs = [first, *first.overflowing]
    assert len(windows) == len(theirs)
    for ours, other in zip(windows, theirs, strict=True):
        assert ours.encoded.ids.tolist() == other.ids
        assert ours.encoded.segments.tolist() == other.type_ids
        rows = [i for i, s in enumerate(other.sequence_ids) if s == 1]
        assert list(range(len(other.ids)))[ours.rows] == rows
        assert ours.offsets.tolist() == [list(other.offsets[i]) for i in rows]
        assert ours.encoded.ids.dtype == ours.encoded.segments.dtype == np.int64


def context_tokens(base: Base, context: str) -> tuple[list[int], list[tuple[int, int]]]:
    base.tokenizer.no_truncation()
    whole = base.tokenizer.encode(characters(context), add_special_tokens=False)
    return whole.ids, whole.offsets


@settings(max_examples=60)
@given(TEXT, TEXT, st.integers(5, 30), st.integers(1, 30))
def test_windows_cover_every_token_of_the_context_and_overlap_as_said(
    tiny, question, context, length, stride
):
    ids, _ = context_tokens(tiny, context)
    windows = make_windows(tiny.tokenizer, [ask(question, context)], length, stride)
    room = length - windows[0].first - 1
    assert room >= (length - 3) / 2
    step = min(stride, room)
    seen: list[int] = []
    for number, window in enumerate(windows):
        own = window.encoded.ids[window.rows].tolist()
        assert own == ids[number * step : number * step + room]
        seen[number * step :] = own
        assert len(window.encoded.ids) <= length
    assert seen == ids
    assert len(windows) == 1 or (len(windows) - 2) * step + room < len(ids)  # none is idle


@settings(max_examples=100)
@given(st.data(), TEXT.filter(len), st.integers(8, 40), st.integers(1, 30))
def test_an_answer_is_pointed_at_where_it_is_whole_and_maps_back_to_its_characters(
    tiny, data, context, length, stride
):
    """Which tokens have a character of the answer is found here character by character."""
    begin = data.draw(st.integers(0, len(context) - 1))
    stop = data.draw(st.integers(begin + 1, len(context)))
    question = Question("q", "ba", context, (Answer(context[begin:stop], begin),))
    _, offsets = context_tokens(tiny, context)
    own = [i for i, (a, b) in enumerate(offsets) if set(range(a, b)) & set(range(begin, stop))]
    windows = make_windows(tiny.tokenizer, [question], length, stride)
    step, held = min(stride, length - windows[0].first - 1), 0
    for number, window in enumerate(windows):
        here = range(number * step, number * step + len(window.offsets))
        if not own or not set(own) <= set(here):
            assert (window.start, window.end) == (0, 0)  # [CLS]
            continue
        held += 1
        assert window.start - window.first + number * step == own[0]
        assert window.end - window.first + number * step == own[-1]
        found = window.characters(window.start - window.first, window.end - window.first)
        assert found == slice(offsets[own[0]][0], offsets[own[-1]][1])
    assert held or not own or own[-1] - own[0] >= len(windows[0].offsets) - step


def test_whole_words_map_back_to_exactly_themselves(tiny):
    encode_texts(tiny.tokenizer, ["ba"], 4)  # leaves the tokenizer cutting to 4 tokens
    context = "\ud83d Ba\u0301 bi,  \u00c9o\u2013da (\u4e2d\u6587) \U0001f600 so-so\ttikora!"
    words = ("bi", "\u00c9o\u2013da", "(\u4e2d\u6587)", "\U0001f600", "so-so\ttikora", "tikora!")
    for text in words:
        (window,) = make_windows(tiny.tokenizer, [ask("ka?", context, text)], 60, 8)
        span = window.characters(window.start - window.first, window.end - window.first)
        assert context[span] == text


def test_windows_without_the_whole_answer_point_at_cls_and_one_with_it_at_the_answer(tiny):
    words = ["ba"] * 10 + ["morulan", "tikora"] + ["bi"] * 10
    asked = ask("ka", " ".join(words), "morulan tikora")
    # [CLS] ka [SEP], 6 of the context, [SEP]: windows begin at 0, 4, ..., 16
    windows = make_windows(tiny.tokenizer, [ask("ka", "ko", "ko"), asked], 10, 4)
    assert [w.question for w in windows] == [0, 1, 1, 1, 1, 1]
    assert [(w.start, w.end) for w in windows[1:]] == [(0, 0), (0, 0), (5, 6), (0, 0), (0, 0)]
    assert windows[3].encoded.ids[0] == tiny.tokenizer.token_to_id("[CLS]")


def test_a_question_is_cut_to_64_tokens_and_to_half_of_the_room(tiny):
    asked = ask(" ".join(["ba"] * 100), "bi bo", "bo")
    assert [make_windows(tiny.tokenizer, [asked], n, 9)[0].first for n in (384, 131, 23, 5, 4)] == [
        66,
        66,
        12,
        3,
        2,
    ]


def test_bad_lengths_and_strides_are_refused(tiny):
    asked = [ask("ba", "bi bo", "bo")]
    with pytest.raises(InputError, match="stride must be at least 1, not 0"):
        make_windows(tiny.tokenizer, asked, 20, 0)
    with pytest.raises(InputError, match="max length must be at least 4, not 3"):
        make_windows(tiny.tokenizer, asked, 3, 1)
    with pytest.raises(InputError, match=r"max length must be from 4 to 64 .*, not 65"):
        answer_questions(model(tiny, ADAPTERS), asked, max_length=65)
    with pytest.raises(InputError, match=r"max length must be from 4 to 64 .*, not 384"):
        train_squad(tiny, Questions(asked, asked), ADAPTERS, Settings())


# ---------------------------------------------------------------------------------------- head

LENGTHS = np.array([3, 1, 5, 2])
STARTS, ENDS = np.array([1, 0, 0, 1]), np.array([2, 0, 4, 0])


def draw_logits(dtype: Any = np.float64, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((11, 2)) * scale).astype(dtype)


def loop_loss(logits: np.ndarray) -> float:
    """The definition, in Python floats."""
    losses, begin = [], 0
    for length, start, end in zip(LENGTHS, STARTS, ENDS, strict=True):
        for column, row in ((0, start), (1, end)):
            own = [float(logits[begin + t, column]) for t in range(length)]
            top = max(own)
            log_sum = top + math.log(math.fsum(math.exp(value - top) for value in own))
            losses.append(log_sum - own[row])
        begin += length
    return math.fsum(losses) / len(losses)


def test_the_loss_is_the_mean_cross_entropy_of_each_texts_own_tokens():
    logits = draw_logits()
    assert span_loss(logits, LENGTHS, STARTS, ENDS) == pytest.approx(loop_loss(logits), rel=1e-14)
    alone = [
        float(span_loss(logits[[3]], [1], np.array([0]), np.array([0]))),  # the only token: sure
        float(span_loss(np.zeros((8, 2)), [8], np.array([2]), np.array([5]))),
    ]
    assert alone == pytest.approx([0, math.log(8)], abs=1e-15)


def test_the_loss_and_its_gradient_stay_float32_and_close_to_float64():
    logits = draw_logits(np.float32)
    value, grads = value_and_grads(
        lambda leaves: span_loss(leaves["logits"], LENGTHS, STARTS, ENDS), {"logits": logits}
    )
    exact = grad(lambda x: span_loss(x, LENGTHS, STARTS, ENDS))(logits.astype(np.float64))
    assert span_loss(logits, LENGTHS, STARTS, ENDS).dtype == np.float32
    assert grads["logits"].dtype == np.float32
    # a few roundings of numbers up to 10, the mean of which is about 2
    assert value == pytest.approx(loop_loss(logits), rel=1e-6)
    np.testing.assert_allclose(grads["logits"], exact, rtol=0, atol=1e-7)


def test_the_gradient_is_that_of_finite_differences():
    logits = draw_logits()
    gradient = grad(lambda x: span_loss(x, LENGTHS, STARTS, ENDS))(logits)
    step = 1e-5  # the error is about step^2 / 6 of the third derivative, and 1e-16 / step
    for index in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[index] += step
        down[index] -= step
        assert gradient[index] == pytest.approx(
            (loop_loss(up) - loop_loss(down)) / (2 * step), abs=1e-10
        )


def test_large_logits_overflow_nowhere():
    logits = draw_logits(np.float32, scale=1e4)
    with np.errstate(all="raise", under="ignore"):
        value = span_loss(logits, LENGTHS, STARTS, ENDS)
        log_p = span_log_probabilities(logits, LENGTHS)
    assert value == pytest.approx(loop_loss(logits), rel=1e-6)
    assert log_p.dtype == np.float32
    sums = [np.exp(part).sum(0) for part in np.split(log_p, np.cumsum(LENGTHS)[:-1])]
    np.testing.assert_allclose(sums, 1, atol=1e-6)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=12),
    st.integers(1, 14),
)
def test_the_best_span_is_that_of_trying_all(rows, longest):
    """Small whole numbers, so that there are ties: the shortest, then the leftmost."""
    tried = [
        (rows[a][0] + rows[b][1], a - b, -a, a, b)
        for a in range(len(rows))
        for b in range(a, min(a + longest, len(rows)))
    ]
    total, _, _, start, end = max(tried)
    assert best_span(np.array(rows, np.float32), longest) == (total, start, end)


def test_an_answer_has_at_most_30_tokens():
    scores = np.zeros((50, 2), np.float32)
    scores[5, 0] = scores[40, 1] = 9
    scores[34, 1], scores[35, 1] = 1, 2
    assert best_span(scores) == (10, 5, 34)
    assert best_span(scores, 29)[0] == 9


# ----------------------------------------------------------------------------- the whole model


def model(base: Base, method: Method, seed: int = 0) -> TaskModel:
    """A whole model whose adapters and head have much to say."""
    loud = replace(RECIPES["paper"], adapter_std=0.3, head_std=1.0)
    return new_task_model(base, method, loud, 2, seed)


QUESTIONS = [
    ask("who is morulan?", "so ba na morulan vi tikora ko", "tikora", name="1"),
    ask("where is ba?", "so ba na morulan vi tikora ko", "na morulan", name="2"),
    ask("what is zaf ko?", "li lo ma zaf ko te ti, ro ra ri ka pi po la", "zaf ko te ti", name="3"),
]
LONG = ask("what?", " ".join(f"{a}{b}" for a in "bdfgk" for b in "aio") + " zaf quin", "ga gi go")


def windows_of(base: Base, questions: list[Question], length: int = 40) -> list[Window]:
    return make_windows(base.tokenizer, questions, length, 8)


@pytest.mark.parametrize("level", [ops, fused], ids=["ops", "fused"])
def test_the_head_reads_the_last_state_of_every_token_through_the_adapters(tiny, level):
    loud = model(tiny, ADAPTERS)
    head = loud.tree["head"]
    batch = make_batch([w.encoded for w in windows_of(tiny, QUESTIONS)])
    adapt = attach(loud.tree, tiny.config, ADAPTERS, ops)
    states = encode(loud.tree["base"], batch, tiny.config, adapt=adapt, ops=ops)[-1]
    expected = states @ head["weight"] + head["bias"]
    found = span_forward(loud, batch, ops=level)
    assert found.shape == (batch.lengths.sum(), 2)
    assert found.dtype == np.float32
    # logits up to 20 out of two layers in float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5)
    np.testing.assert_array_equal(span_logits(head, states), fused.linear(states, *head.values()))


def test_training_drops_out_in_what_is_trained_and_not_in_the_frozen_layers(tiny):
    loud = model(tiny, METHODS["head"])
    batch = make_batch([w.encoded for w in windows_of(tiny, QUESTIONS)])

    def out(seed: int | None, frozen: int | None) -> np.ndarray:
        rng = None if seed is None else np.random.default_rng(seed)
        return span_forward(loud, batch, rng, frozen)

    plain = out(None, None)
    np.testing.assert_array_equal(out(1, 2), plain)  # both layers are frozen
    for frozen in (None, 0, 1):
        np.testing.assert_array_equal(out(None, frozen), plain)
        assert np.abs(out(1, frozen) - plain).max() > 0.01
        assert np.abs(out(1, frozen) - out(2, frozen)).max() > 0.01


def test_the_training_loss_of_windows_is_the_mean_of_their_own(tiny):
    data, head = Questions([*QUESTIONS, LONG], QUESTIONS), METHODS["head"]
    training = prepare(tiny, data, head, QUICK, max_length=24, stride=8)
    windows = windows_of(tiny, data.train, 24)
    assert training.lengths == [len(window.encoded.ids) for window in windows]
    problem = replace(training, model=model(tiny, head)).problem()  # all layers frozen: no dropout
    flat, rng = problem.leaves, np.random.default_rng(0)
    assert flat.keys() == {"head.weight", "head.bias"}
    alone = [float(problem.loss(flat, np.array([i]), rng)) for i in range(len(windows))]
    assert len({round(value, 3) for value in alone}) == len(windows)
    together = float(problem.loss(flat, np.arange(len(windows)), rng))
    assert together == pytest.approx(np.mean(alone), rel=1e-5)  # float32 sums in another order


@pytest.mark.parametrize("seed", range(8))
def test_an_answer_is_the_most_probable_span_of_all_windows(tiny, seed):
    """Tried by hand: every span of every window, with the softmaxes in float64."""
    loud = model(tiny, ADAPTERS, seed)
    windows = windows_of(tiny, [LONG], 14)
    assert len(windows) > 2
    tried = []
    for window in windows:
        logits = span_forward(loud, make_batch([window.encoded]))
        log_p = logits - np.log(np.exp(logits.astype(np.float64)).sum(0))
        rows = range(len(log_p))[window.rows]
        for a in rows:
            for b in range(a, min(a + 30, rows[-1] + 1)):
                span = window.offsets[a - window.first][0], window.offsets[b - window.first][1]
                tried.append((log_p[a, 0] + log_p[b, 1], LONG.context[slice(*span)]))
    asked = answer_questions(loud, [LONG], max_length=14, stride=8)
    assert asked == [max(tried)[1]]


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int, int]]:
    """Every best span that is found, from now on."""
    found: list[tuple[float, int, int]] = []

    def note(scores: np.ndarray) -> tuple[float, int, int]:
        found.append(best_span(scores))
        return found[-1]

    monkeypatch.setattr(answering, "best_span", note)
    return found


def test_an_answer_depends_by_no_bit_on_what_else_is_asked(tiny, monkeypatch):
    questions = [*QUESTIONS, LONG, *(ask(f"{w} ko?", LONG.context, "ga") for w in "abcdefgh")]
    loud = model(tiny, ADAPTERS)
    found = recorded(monkeypatch)

    def answers(asked: list[Question], threads: int = 1) -> tuple[list[str], list[Any]]:
        found.clear()
        said = answer_questions(loud, asked, max_length=32, stride=8, threads=threads)
        return said, sorted(found)

    together, spans = answers(questions)
    single = [answers([question]) for question in questions]
    assert together == [said for (said,), _ in single]
    assert spans == sorted(span for _, own in single for span in own)
    assert answers(questions[::-1])[0] == together[::-1]
    for threads in (2, 3, 5):
        assert answers(questions, threads) == (together, spans)


def test_batch_normalisation_is_settled_on_all_tokens_so_that_answers_stay_independent(
    tiny, monkeypatch
):
    """Every variant of the adapter trains; this is the one that remembers its training texts."""
    method = method_named("adapters", 4, variant="batch-norm")
    found = recorded(monkeypatch)
    trained = run(tiny, method=method)
    found.clear()
    assert score(QUESTIONS, trained.answers(QUESTIONS)) == max(
        trained.epochs, key=lambda scores: scores["f1"]
    )
    together = sorted(found)
    found.clear()
    for question in QUESTIONS:
        trained.answers([question])
    assert sorted(found) == together
    # the statistics of the last adapter, from all tokens: with them it normalises those to 0 and 1
    windows = make_windows(tiny.tokenizer, [*QUESTIONS, LONG], 24, 6)
    seen = []
    adapters = trained.model.attach()

    def adapt(layer: int, place: str, z: np.ndarray, x: np.ndarray) -> np.ndarray:
        seen.append(z)
        return adapters(layer, place, z, x)

    params, batch = trained.model.tree["base"], make_batch([w.encoded for w in windows])
    encode(params, batch, tiny.config, adapt=adapt)
    last = trained.trained["adapters"][1]["feed_forward"]
    inner = seen[-1] @ last["down"]["weight"] + last["down"]["bias"]  # [N, m]
    assert len(inner) == sum(len(w.encoded.ids) for w in windows)
    # float32 sums in another order
    np.testing.assert_allclose(last["norm"]["mean"], inner.mean(0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(last["norm"]["variance"], inner.var(0), rtol=1e-3)


def test_a_context_without_tokens_has_the_empty_answer(tiny):
    blank = Question("q", "ba", " \t ", (Answer(" ", 0),))
    loud = model(tiny, ADAPTERS)
    asked = answer_questions(loud, [blank, QUESTIONS[0]], max_length=40)
    alone = answer_questions(loud, [QUESTIONS[0]], max_length=40)
    assert asked == ["", *alone]
    assert alone[0]
    assert answer_questions(loud, [], max_length=40) == []


# ------------------------------------------------------------------------------------ training

QUICK = Settings(rate=1e-2, epochs=2, batch_size=2)


def run(base: Base, out: Path | None = None, **changes: Any) -> TrainedSquad:
    usual: dict[str, Any] = {"method": ADAPTERS, "settings": QUICK, "max_length": 24, "stride": 6}
    data = Questions([*QUESTIONS, LONG], QUESTIONS)
    return train_squad(base, data, out=out, **{**usual, **changes})


@pytest.mark.parametrize("method", [ADAPTERS, METHODS["full"]], ids=str)
def test_a_tiny_bert_learns_three_questions_by_heart(tiny, method):
    settings = Settings(rate=2e-2 if method is ADAPTERS else 3e-3, epochs=60, batch_size=3)
    trained = train_squad(tiny, Questions(QUESTIONS, QUESTIONS), method, settings, max_length=40)
    assert trained.epochs[0]["f1"] < 1
    assert trained.epochs[-10:] == [{"f1": 1.0, "exact_match": 1.0}] * 10
    assert trained.losses[-1] < 1 < trained.losses[0]  # dropout is on
    assert trained.answers(QUESTIONS) == [question.answers[0].text for question in QUESTIONS]


def test_only_the_methods_leaves_are_trained_and_all_of_them(tiny):
    before = dict(leaves(new_task_model(tiny, ADAPTERS, RECIPES["paper"], 2, 0).tree))
    after = dict(leaves(run(tiny).trained))
    pooler = [path for path in before if "pooler" in path]
    assert set(after) == {path for path in before if ADAPTERS.trains(path)}
    assert pooler
    assert not set(pooler) & set(after)
    assert all(leaf.dtype == np.float32 for leaf in after.values())
    assert all((after[path] != before[path]).any() for path in after)


def test_any_number_of_threads_trains_the_same_bits(tiny):
    one, *others = [run(tiny, threads=threads) for threads in (1, 2, 5)]
    for other in others:
        assert other.losses == one.losses
        assert other.epochs == one.epochs
        for (path, mine), (_, theirs) in zip(
            leaves(one.trained), leaves(other.trained), strict=True
        ):
            assert mine.tobytes() == theirs.tobytes(), path


def test_a_stopped_run_resumes_to_the_same_bits_and_other_options_are_refused(tiny, tmp_path):
    run(tiny, tmp_path / "whole")

    def stop(report: Any) -> None:
        if report.step == 3:
            raise KeyboardInterrupt

    folder = tmp_path / "stopped"
    with pytest.raises(Interrupted, match="stopped after step 3 of"):
        run(tiny, folder, on_report=stop)
    assert "already holds a run" in refusal(run, tiny, folder)
    assert "stride 6, not 7" in refusal(run, tiny, folder, resume=True, stride=7)
    with pytest.raises(InputError, match="questions 4, not 3"):
        train_squad(
            tiny,
            Questions(QUESTIONS, QUESTIONS),
            ADAPTERS,
            QUICK,
            max_length=24,
            stride=6,
            out=folder,
            resume=True,
        )
    run(tiny, folder, resume=True)
    for name in ("checkpoint.safetensors", "report.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["task"] == "squad"
    assert len(report["epochs"]) == 2


def test_a_dev_question_without_an_answer_is_named_before_anything_is_trained(tiny):
    lacking = replace(QUESTIONS[0], id="q9", answers=())
    with pytest.raises(InputError, match="squad: dev question q9 has no answer to score by"):
        train_squad(tiny, Questions(QUESTIONS, [lacking]), ADAPTERS, QUICK, max_length=24)


def test_full_fine_tuning_leaves_the_pooler_which_no_span_head_reads(tiny):
    trained = [path for path, _ in leaves(run(tiny, method=METHODS["full"]).trained)]
    assert any(path.startswith("base.embeddings.") for path in trained)
    assert not any(path.startswith("base.pooler") for path in trained)


def test_no_questions_and_a_diverging_rate_are_refused(tiny):
    for name, questions in (("train", ([], QUESTIONS)), ("dev", (QUESTIONS, []))):
        with pytest.raises(InputError, match=f"squad: there are no {name} questions"):
            train_squad(tiny, Questions(*questions), ADAPTERS, QUICK, max_length=24)
    with pytest.raises(Diverged, match=r"no longer finite.* learning rate 1e\+30 diverges"):
        run(tiny, settings=replace(QUICK, rate=1e30, warm_up=0.0))


# ----------------------------------------------------------------------------------- real data

CUT, OFFICIAL = (5_696, 1_539), (87_599, 10_570)  # questions to train on, to develop on


@pytest.fixture(scope="module")
def real() -> tuple[list[Question], list[Question]]:
    """SQuAD v1.1 itself, or the official development file cut in two by article."""
    if not os.environ.get("MINIBERT_SQUAD"):
        missing("SQuAD v1.1 (MINIBERT_SQUAD is not set)")
    try:
        return squad_data()
    except InputError as error:
        missing(str(error))
        raise


def test_the_real_files_have_so_many_questions_and_every_answer_is_in_its_context(real):
    assert tuple(map(len, real)) in (CUT, OFFICIAL)
    for question in (*real[0], *real[1]):
        for text, start in question.answers:
            assert question.context[start : start + len(text)] == text


def test_real_answers_survive_the_way_to_tokens_and_back(real, minilm):
    """Every answer is contained in its tokens' characters; 28 of 7,235 are a part of their first
    or last word, which WordPiece does not cut there."""
    questions = [*real[0], *real[1]]
    windows = make_windows(minilm.tokenizer, questions, 4096, 4096)  # every context whole
    contained = equal = long = 0
    for window, question in zip(windows, questions, strict=True):
        gold = question.answers[0].text
        span = window.characters(window.start - window.first, window.end - window.first)
        contained += gold in question.context[span]
        equal += gold == question.context[span]
        long += window.end - window.start >= 30
    if tuple(map(len, real)) == CUT:
        assert (contained, equal, long, len(questions)) == (7_235, 7_207, 8, 7_235)
    assert contained / len(questions) > 0.999
    assert equal / len(questions) > 0.99


def test_every_real_answer_is_whole_in_some_window_of_384_tokens(real, minilm):
    train, _ = real
    windows = make_windows(minilm.tokenizer, train, 384, 128)
    assert {w.question for w in windows if w.start} == set(range(len(train)))
    if tuple(map(len, real)) == CUT:
        assert (len(windows), sum(w.start > 0 for w in windows)) == (5_915, 5_769)
