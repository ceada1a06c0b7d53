"""Texts from Python: what is no text, or not the kind that a task reads, is named by its index."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy

from adapters.answering import answer_questions
from adapters.bank import Bank
from adapters.methods.table import METHODS
from adapters.predict import evaluate_task, predict_texts
from adapters.recipes import recipe_named
from adapters.task_file import TaskFile, save_task
from adapters.task_model import new_task_model
from minibert.data.squad import Answer, Question
from minibert.data.tasks import Example
from minibert.data.windows import make_windows
from minibert.errors import InputError
from minibert.tokenizer import check_texts, encode_texts

SINGLE, PAIR, EITHER = "a string", "a pair of strings", "a string or a pair of strings"
# what is no text, and how it is shown
NEITHER = [
    pytest.param(None, "None", id="None"),
    pytest.param(float("nan"), "nan", id="NaN"),
    pytest.param(pd.NA, "<NA>", id="pandas' NA"),
    pytest.param(7, "7", id="number"),
    pytest.param(b"ba", "b'ba'", id="bytes"),
    pytest.param(("ba", None), "('ba', None)", id="half a pair"),
    pytest.param(("ba", b"bi"), "('ba', b'bi')", id="a pair with bytes"),
    pytest.param(("ba", "bi", "bo"), "('ba', 'bi', 'bo')", id="three strings"),
    pytest.param(("ba",), "('ba',)", id="one string in a tuple"),
    pytest.param({"ba": 1}, "{'ba': 1}", id="a dict"),
]


@pytest.fixture(scope="module")
def task(tiny) -> TaskFile:
    return toy.train(tiny, settings=replace(toy.SETTINGS, epochs=1)).task


@pytest.fixture(scope="module")
def pair_task(task) -> TaskFile:
    return replace(task, task=replace(task.task, text=("first", "second")))


@pytest.fixture(scope="module")
def bank(tiny, task, pair_task, tmp_path_factory) -> Bank:
    folder = tmp_path_factory.mktemp("tasks")
    opened = Bank(tiny)
    for name, one in (("single", task), ("pairs", pair_task)):
        save_task(folder / name, one)
        opened.open(folder / name, name)
    return opened


@pytest.fixture(scope="module")
def entries(tiny, bank, task, pair_task) -> dict[str, tuple[Callable[[Any], Any], str, str]]:
    """Every public entry that takes texts: what to call, how it names them, what it expects."""

    def examples(texts: Any) -> list[Example]:
        return [Example(text, 0) for text in texts]

    def train(texts: Any, part: str) -> Any:
        return toy.train(tiny, data=replace(toy.toy_data(), **{part: examples(texts)}))

    names = "example texts"
    return {
        "encode_texts": (lambda t: encode_texts(tiny.tokenizer, t, 16), "texts", EITHER),
        "predict_texts": (lambda t: predict_texts(task, tiny, t), "texts", SINGLE),
        "predict_texts, pairs": (lambda t: predict_texts(pair_task, tiny, t), "texts", PAIR),
        "Bank.logits": (lambda t: bank.logits("single", t), "texts", SINGLE),
        "Bank.logits, pairs": (lambda t: bank.logits("pairs", t), "texts", PAIR),
        "evaluate_task": (lambda t: evaluate_task(task, tiny, examples(t)), names, SINGLE),
        "evaluate_task, pairs": (
            lambda t: evaluate_task(pair_task, tiny, examples(t)),
            names,
            PAIR,
        ),
        "train_task": (lambda t: train(t, "train"), names, SINGLE),
        "train_task, dev": (lambda t: train(t, "dev"), names, SINGLE),
    }


ENTRIES = [
    *("encode_texts", "predict_texts", "predict_texts, pairs", "Bank.logits", "Bank.logits, pairs"),
    *("evaluate_task", "evaluate_task, pairs", "train_task", "train_task, dev"),
]


@pytest.mark.parametrize("text, shown", NEITHER)
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_no_text_is_named_with_its_index_and_what_is_expected(entries, entry, text, shown):
    call, name, expected = entries[entry]
    good = ("ba", "bi") if expected == PAIR else "ba"
    with pytest.raises(InputError) as error:
        call([good, good, text, good])
    assert str(error.value) == f"{name}[2] is {shown}; {expected} is expected"


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "encode_texts"])
def test_a_pair_for_a_task_of_single_texts_is_refused_and_the_other_way_round(entries, entry):
    call, name, expected = entries[entry]
    good, other = (("ba", "bi"), "ba") if expected == PAIR else ("ba", ("ba", "bi"))
    with pytest.raises(InputError) as error:
        call([good, other])
    assert str(error.value) == f"{name}[1] is {other!r}; {expected} is expected"


@pytest.mark.parametrize("entry", [e for e in ENTRIES if not e.startswith(("eval", "train"))])
@pytest.mark.parametrize(
    "given, shown",
    [
        ("What a lovely day.", "'What a lovely day.'"),
        (np.str_("ba"), "np.str_('ba')"),
        (b"ba", "b'ba'"),
        (None, "None"),
        (3, "3"),
        ({"text": ["ba"]}, "{'text': ['ba']}"),
        ({"ba"}, "{'ba'}"),
        (pd.DataFrame({"text": ["ba"]}), "text 0 ba"),
        (np.array("ba"), "array('ba', dtype='<U2')"),
    ],
)
def test_something_else_than_a_list_of_texts_is_refused(entries, entry, given, shown):
    """A string above all: it is a sequence of strings, one a letter."""
    call, _, expected = entries[entry]
    with pytest.raises(InputError) as error:
        call(given)
    assert str(error.value) == f"texts is {shown}; a list is expected, each item {expected}"


def test_an_array_of_two_columns_is_refused_whole():
    with pytest.raises(
        InputError, match=r"^texts is array.*; a list is expected, each item a pair"
    ):
        check_texts(np.array([["ba", "bi"]]), True)


def test_a_long_text_is_shown_shortened_and_in_one_line():
    with pytest.raises(InputError) as error:
        check_texts(["ba", ("ba\n" * 500, 3)], None)
    assert len(str(error.value)) < 150
    assert "\n" not in str(error.value)


class TestWhatIsFine:
    def test_lists_tuples_arrays_series_and_generators_of_strings(self, tiny, bank):
        texts = ["ba bi", "bo"]
        expected = bank.logits("single", texts)
        for same in (
            tuple(texts),
            np.array(texts),
            np.array(texts, object),
            pd.Series(texts),
            pd.Series(texts, dtype="string"),
            (text for text in texts),
            [np.str_(text) for text in texts],
        ):
            np.testing.assert_array_equal(bank.logits("single", same), expected)

    def test_a_list_of_two_strings_is_a_pair_as_a_tuple_is(self, bank):
        """JSON has no tuples."""
        expected = bank.logits("pairs", [("ba", "bi")])
        np.testing.assert_array_equal(bank.logits("pairs", [["ba", "bi"]]), expected)
        with pytest.raises(InputError, match=r"texts\[0\] is \['ba', 'bi'\]; a string is expected"):
            bank.logits("single", [["ba", "bi"]])

    def test_no_texts_have_no_logits(self, bank):
        assert bank.logits("single", []).shape == (0, 2)


@pytest.fixture(scope="module")
def asking(tiny) -> list[Callable[[Any], Any]]:
    spans = new_task_model(tiny, METHODS["head"], recipe_named("paper"), 2, 0)
    return [
        lambda given: make_windows(tiny.tokenizer, given, 32, 8),
        lambda given: answer_questions(spans, given, max_length=32, stride=8),
    ]


GOOD = Question("q", "ba?", "ba bi bo", (Answer("bi", 3),))


@pytest.mark.parametrize(
    "given, complaint",
    [
        (GOOD, "questions is Question("),
        (None, "questions is None; a list of questions is expected"),
        ("What?", "questions[0] is 'W', which is no question"),
        ([GOOD, None], "questions[1] is None, which is no question"),
        ([GOOD, ("ba?", "ba bi")], "questions[1] is ('ba?', 'ba bi'), which is no question"),
        (
            [GOOD, replace(GOOD, question=None)],
            "question texts[1] is None; a string is expected",
        ),
        (
            [GOOD, replace(GOOD, context=float("nan"))],
            "contexts[1] is nan; a string is expected",
        ),
        (
            [replace(GOOD, context=("ba", "bi"))],
            "contexts[0] is ('ba', 'bi'); a string is expected",
        ),
    ],
)
def test_what_is_no_question_is_named_with_its_index(asking, given, complaint):
    for ask in asking:
        with pytest.raises(InputError) as error:
            ask(given)
        assert str(error.value).startswith(complaint)


@pytest.mark.parametrize("given", [None, "ba", ("ba", 0), toy.examples(1, 1)])
def test_what_is_no_example_is_named_with_its_index(tiny, task, given):
    """A tuple is none: nobody knows which of its values is the label."""
    examples = [toy.examples(1, 0)[0], given]
    for call in (
        lambda: evaluate_task(task, tiny, examples),
        lambda: toy.train(tiny, data=replace(toy.toy_data(), train=examples)),
    ):
        with pytest.raises(InputError, match=r"^examples\[1\] is .*, which is no Example$"):
            call()
