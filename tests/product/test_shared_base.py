"""One base for many threads: every answer is the one that is computed alone, to the bit."""

import itertools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import toy
from tokenizers import Tokenizer

from adapters.answering import answer_questions
from adapters.bank import Bank
from adapters.methods.table import METHODS
from adapters.recipes import recipe_named
from adapters.task_model import new_task_model
from minibert.data.squad import Question
from minibert.data.windows import make_windows
from minibert.tokenizer import encode_texts, uncut

LENGTHS = {"short": 8, "long": 40}
CALLS, THREADS = 3000, 8


@pytest.fixture(scope="module")
def bank(tiny, tmp_path_factory) -> Bank:
    """Two tasks of different `max_length` over one base."""
    opened = Bank(tiny)
    for name, length in LENGTHS.items():
        out: Path = tmp_path_factory.mktemp(name)
        toy.train(tiny, out, max_length=length, settings=toy.Settings(1e-2, 1, 16))
        opened.open(out / "task.safetensors", name)
    return opened


@pytest.fixture(autouse=True)
def threads_change_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def long_texts(number: int) -> list[str]:
    rng = np.random.default_rng(number)
    return [" ".join(rng.choice([*toy.WORDS, *toy.TASK.names], 60)) for _ in range(3)]


def test_two_tasks_and_question_answering_at_once_answer_as_each_alone(bank, tiny):
    """Some threads ask one task, some the other, some for spans: each sets its own length."""
    spans = new_task_model(tiny, METHODS["head"], recipe_named("paper"), 2, 0)
    texts = [long_texts(number) for number in range(4)]
    asked = [Question("q", "ba bi morulan?", " ".join(group), ()) for group in texts]

    def answers(question: Question) -> list[str]:
        return answer_questions(spans, [question], max_length=24, stride=8, threads=1)

    jobs: list[Callable[[], bytes]] = [
        *(lambda n=n, t=t: bank.logits(n, t).tobytes() for n in LENGTHS for t in texts),
        *(lambda q=q: repr(answers(q)).encode() for q in asked[:1]),
    ]
    alone = [job() for job in jobs]
    order = list(itertools.islice(itertools.cycle(range(len(jobs))), CALLS))
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda number: jobs[number](), order))
    wrong = [
        number for number, found in zip(order, together, strict=True) if found != alone[number]
    ]
    assert not wrong


def test_texts_encoded_at_once_have_the_length_that_each_call_asks_for(tiny):
    texts = [text for number in range(20) for text in long_texts(number)]
    limits = list(itertools.islice(itertools.cycle([8, 40, 16, 62]), 400))
    with ThreadPoolExecutor(THREADS) as pool:
        encoded = pool.map(lambda limit: encode_texts(tiny.tokenizer, texts, limit), limits)
        lengths = [{len(text.ids) for text in group} for group in encoded]
    assert lengths == [{min(limit, 62)} for limit in limits]


def test_a_tokenizer_of_somebody_elses_is_left_as_it_is(tiny):
    """One that pads and cuts is copied for the call."""
    theirs = Tokenizer.from_str(tiny.tokenizer.to_str())
    theirs.enable_padding(length=32)
    theirs.enable_truncation(6)
    theirs.encode_special_tokens = True
    before = theirs.to_str(), theirs.encode("ba [MASK] " * 9).ids
    questions = [Question("q", "ba [MASK]?", " ".join(long_texts(1)), ())]
    copy = uncut(theirs)
    assert copy is not theirs
    assert copy.encode_special_tokens
    for length in (8, 40):
        [encoded] = encode_texts(theirs, ["ba bi " * 30], length)
        assert len(encoded.ids) == length
        assert make_windows(theirs, questions, 24, 8)
    assert (theirs.to_str(), theirs.encode("ba [MASK] " * 9).ids) == before
    assert theirs.encode_special_tokens
    assert uncut(tiny.tokenizer) is tiny.tokenizer
