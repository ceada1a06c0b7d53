"""Questions as token windows, and tokens back to the characters of the context.

BERT reads `[CLS] question [SEP] context [SEP]`. A context that is too long is read in overlapping
windows, each with the whole question, so that an answer near one window's edge has its
surroundings in another. Devlin et al. 2018, section 4.2, and their released code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minibert.data.squad import Answer, Question
from minibert.errors import InputError, shown
from minibert.tokenizer import Encoded, check_texts, frame, uncut

if TYPE_CHECKING:
    from tokenizers import Tokenizer

QUESTION_TOKENS = 64  # longer ones are cut


@dataclass(frozen=True)
class Window:
    """One reading of a question: T tokens, of which C are of the context.

    question: its number; first: the row of the first context token; offsets: int64 [C, 2], where
    each context token's characters begin and end in the context; start, end: the rows of the
    answer's first and last token, both 0, which is [CLS], if this window lacks some of it.
    """

    encoded: Encoded
    question: int
    first: int
    offsets: np.ndarray
    start: int
    end: int

    @property
    def rows(self) -> slice:
        """The rows of the context."""
        return slice(self.first, self.first + len(self.offsets))

    def characters(self, start: int, end: int) -> slice:
        """The characters of the context from context token `start` up to and including `end`."""
        return slice(int(self.offsets[start, 0]), int(self.offsets[end, 1]))


def make_windows(
    tokenizer: "Tokenizer", questions: Sequence[Question], max_length: int, stride: int
) -> list[Window]:
    """The windows of every question in turn, at most `max_length` tokens long.

    A context's windows begin `stride` tokens apart (or as many as one holds, if that is less), so
    that they overlap; the last one ends with the context. A question is cut to QUESTION_TOKENS,
    and to half of the room that [CLS] and both [SEP] leave. The answer is the first one given.
    Raises InputError for a stride below 1, a `max_length` below 4, or what is no question.
    """
    if stride < 1:
        raise InputError(f"stride must be at least 1, not {stride}")
    if max_length < 4:
        raise InputError(f"max length must be at least 4, not {max_length}")
    _check_questions(questions)
    asked = _tokens(tokenizer, [q.question for q in questions])
    contexts = list(dict.fromkeys(q.context for q in questions))  # several questions share one
    known = dict(zip(contexts, _tokens(tokenizer, contexts), strict=True))
    cls, sep = frame(tokenizer)
    windows = []
    for number, question in enumerate(questions):
        words = asked[number][0][: min(QUESTION_TOKENS, (max_length - 3) // 2)]
        ids, offsets = known[question.context]
        span = answer_tokens(offsets, question.answers[0]) if question.answers else None
        head = np.concatenate([[cls], words, [sep]])
        room = max_length - len(head) - 1
        for begin in window_starts(len(ids), room, stride):
            part = slice(begin, begin + room)
            texts = np.concatenate([head, ids[part], [sep]])  # [T]
            segments = (np.arange(len(texts)) >= len(head)).astype(np.int64)
            start, end = 0, 0
            if span is not None and begin <= span[0] and span[1] < begin + room:
                start, end = (len(head) - begin + token for token in span)
            windows.append(
                Window(Encoded(texts, segments), number, len(head), offsets[part], start, end)
            )
    return windows


def window_starts(tokens: int, room: int, stride: int) -> list[int]:
    """The index of each window's first token, for a context of `tokens`, of which `room` fit."""
    starts = [0]
    while starts[-1] + room < tokens:
        starts.append(starts[-1] + min(stride, room))
    return starts


def answer_tokens(offsets: np.ndarray, answer: Answer) -> tuple[int, int] | None:
    """The first and last token with a character of the answer; None when no token has any."""
    begins, ends = offsets[:, 0], offsets[:, 1]
    touched = (ends > answer.start) & (begins < answer.start + len(answer.text))
    found = np.flatnonzero(touched)
    return (int(found[0]), int(found[-1])) if len(found) else None


def _check_questions(questions: Sequence[Question]) -> None:
    if not isinstance(questions, Iterable):
        raise InputError(f"questions is {shown(questions)}; a list of questions is expected")
    for number, question in enumerate(questions):
        if not isinstance(question, Question):
            raise InputError(f"questions[{number}] is {shown(question)}, which is no question")
    check_texts([q.question for q in questions], False, "question texts")
    check_texts([q.context for q in questions], False, "contexts")


def _tokens(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids [T] and character offsets [T, 2] of each text. Half a surrogate pair, which is no
    character, is read as a question mark: leaving it out would shift the offsets."""
    clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    return [
        (np.array(e.ids, np.int64), np.array(e.offsets, np.int64).reshape(-1, 2))
        for e in uncut(tokenizer).encode_batch(clean, add_special_tokens=False)
    ]
