"""The project's own sample: small, written from scratch, in GLUE's file formats.

It stands in where no real GLUE data can be had, so it has to be worth learning from: balanced, no
sentence stamped from a template, nothing in dev that train gives away.
"""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from minibert.data.glue import SAMPLE, SAMPLE_TASKS, SAMPLES, glue_data, sample_folder
from minibert.data.own import own_data
from minibert.data.tasks import Data, Example

HARD = {"sst-2": (320, 160)}
SIZES = {"sst-2": (640, 240), "cola": (320, 160), "rte": (240, 120), "sts-b": (160, 80)}


EVERY = [*((name, "plain") for name in SAMPLE_TASKS), *((name, "hard") for name in HARD)]


@pytest.fixture(scope="module", params=EVERY, ids="-".join)
def kind(request) -> tuple[str, str]:
    """A task, and which of its samples."""
    return request.param


@pytest.fixture(scope="module")
def data(kind) -> Data:
    return glue_data(kind[0], sample=kind[1])


def parts(example: Example) -> tuple[str, ...]:
    """The sentence, or the two."""
    return (example.text,) if isinstance(example.text, str) else example.text


def sentences(examples: list[Example]) -> list[str]:
    return [sentence for example in examples for sentence in parts(example)]


def words(text: str) -> list[str]:
    """Lower-case words, without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def test_the_sample_has_four_tasks_of_glues_and_requests_to_eight_teams():
    """One of each kind: sentiment, acceptability, entailment of pairs, similarity as a score."""
    assert set(SAMPLE_TASKS) == set(SIZES)
    folders = {path.name for path in SAMPLE.iterdir() if path.is_dir()}
    used = {folder for kind in SAMPLES.values() for folder in kind.values()}
    assert folders == {"requests", *used}


class TestTheSample:
    def test_the_sample_has_the_promised_number_of_examples(self, data, kind):
        sizes = HARD if kind[1] == "hard" else SIZES
        assert (len(data.train), len(data.dev)) == sizes[data.task.name]

    def test_the_sample_is_balanced(self, data):
        """Classes in equal numbers; scores in equal numbers in [0, 1), [1, 2), ... [4, 5]."""
        for examples in (data.train, data.dev):
            labels = np.array([example.label for example in examples])
            if data.task.regression:
                assert labels.min() >= 0
                assert labels.max() <= 5
                classes = np.minimum(labels.astype(int), 4)
                expected = [len(labels) // 5] * 5
            else:
                classes, expected = labels, [len(labels) // 2] * 2
            assert np.bincount(classes).tolist() == expected

    def test_the_sample_is_printable_ascii_on_clean_lines(self, data, kind):
        for file in data.task.files.values():
            text = (sample_folder(data.task, kind[1]) / file).read_bytes().decode("ascii")
            assert re.fullmatch(r"[\t\n -~]*", text), "a character that is not printable"
            assert text.endswith("\n")
            assert not text.endswith("\n\n")
            for row, line in enumerate(text.splitlines(), start=1):
                for cell in line.split("\t"):
                    assert cell == cell.strip(), f"{file} row {row}: a space at an end"
                    assert "  " not in cell, f"{file} row {row}: two spaces"

    def test_the_sample_repeats_no_sentence_or_pair(self, data):
        seen: dict[tuple[str, ...], int] = {}
        for row, example in enumerate([*data.train, *data.dev]):
            key = tuple(" ".join(words(part)) for part in parts(example))
            if data.task.name == "cola":  # word order and punctuation may be what is wrong
                key = (parts(example)[0].lower(),)
            assert key not in seen, f"examples {seen.get(key)} and {row}: {example.text}"
            assert len(set(key)) == len(key), f"a pair of the same sentence twice: {example.text}"
            seen[key] = row

    def test_the_sample_shows_no_template(self, data):
        """No pattern "... _ ..." with one word left open fits more than three sentences."""
        fits: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for sentence in sentences([*data.train, *data.dev]):
            tokens = words(sentence)
            for i in range(len(tokens)):
                fits[(*tokens[:i], "_", *tokens[i + 1 :])].add(" ".join(tokens))
        for pattern, found in fits.items():
            assert len(found) <= 3, f"{' '.join(pattern)!r} fits {sorted(found)}"

    def test_the_sample_has_nothing_in_dev_that_is_nearly_in_train(self, data):
        """The likeness of two texts is the share of common words among all their words (Jaccard's
        index). Below 0.5 for any sentence of dev and any of train, and for pairs as a whole."""

        def bags(examples: list[Example], whole: bool) -> list[tuple[frozenset[str], str]]:
            texts = [" ".join(parts(e)) for e in examples] if whole else sentences(examples)
            return [(frozenset(words(text)), text) for text in texts]

        for whole in (False, True):
            for dev_words, dev_text in bags(data.dev, whole):
                for train_words, train_text in bags(data.train, whole):
                    likeness = len(dev_words & train_words) / len(dev_words | train_words)
                    assert likeness < 0.5, f"dev's {dev_text!r} is like train's {train_text!r}"

    def test_the_samples_sentences_vary_in_length(self, data):
        """Sentences of natural lengths: the middle half spreads over at least three words, the
        shortest has at most half as many as the longest, and none is a single word."""
        lengths = np.array([len(words(s)) for s in sentences([*data.train, *data.dev])])
        low, high = np.percentile(lengths, [25, 75])
        assert high - low >= 3
        assert lengths.min() >= 2
        assert lengths.min() <= lengths.max() / 2
        assert len(set(lengths)) >= 8

    def test_the_sample_gives_no_class_away_by_one_word(self, data):
        """Guessing by the presence of any one word, and at random without it, is right in at most
        54 % of all examples."""
        if data.task.regression:
            return
        examples = [*data.train, *data.dev]
        with_word: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for example in examples:
            for word in set(words(" ".join(parts(example)))):
                with_word[word][int(example.label)] += 1
        for word, counts in with_word.items():
            right = 0.5 + abs(counts[1] - counts[0]) / 2 / len(examples)
            assert right <= 0.54, f"{word!r}: {counts[0]} of class 0, {counts[1]} of class 1"


def test_cola_marks_the_unacceptable_with_a_star():
    """The official layout: source, label, the author's mark, sentence; no header."""
    for file in ("train.tsv", "dev.tsv"):
        for line in (SAMPLE / "CoLA" / file).read_text("ascii").splitlines():
            _, label, mark, _ = line.split("\t")
            assert mark == {"1": "", "0": "*"}[label], line


class TestTheRequests:
    """Messages to a shop, each for one of eight teams: a task with several classes."""

    TEAMS = (
        "account",
        "billing",
        "careers",
        "delivery",
        "feedback",
        "product",
        "returns",
        "technical",
    )

    @pytest.fixture(scope="class")
    @classmethod
    def requests(cls) -> Data:
        folder = SAMPLE / "requests"
        return own_data(folder / "train.tsv", folder / "dev.tsv", ("text",), "team")

    def test_each_team_has_fifty_messages_to_learn_from_and_twenty_to_score(self, requests):
        assert requests.task.names == self.TEAMS
        for examples, each in ((requests.train, 50), (requests.dev, 20)):
            assert np.bincount([e.label for e in examples]).tolist() == [each] * 8

    def test_the_messages_are_printable_ascii_without_quotation_marks_at_their_ends(self, requests):
        for text in sentences([*requests.train, *requests.dev]):
            assert re.fullmatch(r"[ -~]+", text), text
            assert text == text.strip(' "'), text
            assert 5 <= len(text.split()) <= 45, text

    def test_no_message_is_nearly_another(self, requests):
        bags = [frozenset(words(text)) for text in sentences([*requests.train, *requests.dev])]
        for i, one in enumerate(bags):
            for other in bags[:i]:
                assert len(one & other) < 0.5 * len(one | other), (sorted(one), sorted(other))

    def test_the_messages_begin_in_many_ways(self, requests):
        """No two words begin more than one in twenty."""
        texts = sentences([*requests.train, *requests.dev])
        begins = Counter(" ".join(words(text)[:2]) for text in texts)
        assert begins.most_common(1)[0][1] <= len(texts) / 20

    def test_no_word_gives_a_team_away(self, requests):
        """The best word tells its team in at most 5 % of all messages more than one in eight."""
        examples = [*requests.train, *requests.dev]
        with_word: dict[str, Counter] = defaultdict(Counter)
        for example in examples:
            for word in set(words(example.text)):
                with_word[word][example.label] += 1
        gain = max(max(c.values()) - c.total() / 8 for c in with_word.values()) / len(examples)
        assert gain <= 0.05
