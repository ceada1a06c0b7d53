"""What the tutorials have helpers for: the noise of accuracies, thresholds and words, the links
of a reader's copy, and the small world of the tutorial on pre-training, whose best loss can be
worked out by hand."""

import math

import numpy as np
import pytest
from conftest import GOLDENS

from adapters.tutorials import inside, small_world
from adapters.tutorials.links import without_links_out
from adapters.tutorials.noise import mean_and_error
from adapters.tutorials.tiny_bert import tiny_config, untrained_bert, write_checkpoint
from minibert import load_base, make_batch
from minibert.tokenizer import Encoded, wordpiece
from minibert.tree import leaves


def sentence(*ids):
    return Encoded(np.array(ids), np.zeros(len(ids), int))


def test_the_error_of_an_accuracy_is_that_of_seeds_and_of_sentences():
    mean, error = mean_and_error([0.9, 0.8, 0.7], sentences=100)
    assert mean == pytest.approx(0.8)
    assert error == pytest.approx(math.sqrt(0.01 / 3 + 0.8 * 0.2 / 100))


@pytest.mark.parametrize(
    "labels, share",
    [([0, 0, 1, 1], 1), ([1, 1, 0, 0], 1), ([0, 1, 0, 1], 0.75), ([1, 0, 0, 1], 0.75)],
)
def test_a_threshold_may_have_the_ones_on_either_side(labels, share):
    assert inside.best_threshold(np.array([-2.0, 0.0, 1.0, 5.0]), np.array(labels)) == share


def test_the_tokens_of_a_word_belong_together():
    tokenizer = wordpiece(GOLDENS / "tiny_mlm" / "vocab.txt")
    text = "a ba, ab"
    tokens = tokenizer.encode(text).tokens
    words = inside.rows_of_words(tokenizer, text)
    assert np.concatenate(words).tolist() == list(range(1, len(tokens) - 1))
    assert not any(tokens[rows[0]].startswith("##") for rows in words)
    sums = inside.by_words(np.arange(len(tokens)), np.array([0]), [words])
    assert sums[0].tolist() == [rows.sum() for rows in words]


HERE = {"07_a.py", "questions/dev.json", "b c.md"}


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("07_a.py", "# see `page 3\n#    <../docs/p.md>`_, or", "# see page 3, or"),
        ("07_a.py", "`two\nwords <../x.md>`__ and `b <d.html#e>`_", "two\nwords and b"),
        ("07_a.py", "``a < b``, see `it <missing.py>`_", "``a < b``, see it"),
        ("07_a.py", "`it <../docs/p.md#part>`_ `me <./07_a.py#x>`_", "it `me <./07_a.py#x>`_"),
        ("README.md", "[a *b*](../c.md#d) and [e](exercises/)", "a *b* and e"),
        ("questions/README.md", "[a](07_a.py) [b](../07_a.py)", "a [b](../07_a.py)"),
    ],
)
def test_a_link_to_what_is_not_in_the_folder_leaves_its_words(name, text, expected):
    assert without_links_out(name, text, HERE) == expected


@pytest.mark.parametrize(
    "name, text",
    [
        ("07_a.py", "`arXiv 1 <https://arxiv.org/abs/1>`_ and\n# `07_a.py\n# <07_a.py>`_"),
        ("07_a.py", "``python x <../y>``; `us <mailto:a@b.org>`_; `up <#top>`_"),
        ("README.md", "[a](https://a.org/b) [b](#c) [d](questions/) [e](b%20c.md) [f](.)"),
    ],
)
def test_every_other_link_stays_as_it_is(name, text):
    assert without_links_out(name, text, HERE) == text


class TestTheSmallWorld:
    def test_everything_that_is_done_is_done_on_ones_own_island(self):
        own = {name: small_world.ISLANDS[island] for name, island in small_world.HOME.items()}
        every = {word for island in small_world.ISLANDS for kind in island for word in kind.split()}
        told = small_world.sentences()
        assert len(told) == len(set(told)) == 24 * 12 * 16
        for text in told[::97]:
            words = set(text.rstrip(".").split())
            assert words & every <= set(" ".join(own[text.split()[0]]).split())

    def test_half_of_the_statements_are_true_and_nobody_is_in_both_parts(self):
        in_dev = []
        for split in range(3):
            data = small_world.true_or_false(split)
            people = [{e.text.split()[0] for e in part} for part in (data.train, data.dev)]
            assert (len(people[0]), len(people[1]), people[0] & people[1]) == (16, 8, set())
            in_dev += people[1]
            for example in (*data.train, *data.dev):
                name, doing = example.text.rstrip(".").split(" ", 1)
                home = small_world.HOME[name]
                true = any(doing in small_world.doings(k, home) for k in small_world.PHRASES)
                assert true == example.label
            assert np.mean([e.label for e in data.dev]) == 0.5
        assert sorted(in_dev) == sorted(small_world.NAMES)

    def test_the_reachable_loss_is_what_is_left_to_guess(self):
        """Of (7 8 9), (7 8 6), (7 5 6): with the last of the first hidden, it is 9 or 6."""
        world = [sentence(7, 8, 9), sentence(7, 8, 6), sentence(7, 5, 6), sentence(7, 8)]
        batch = make_batch([world[0], world[2]])
        loss = small_world.reachable_loss(world, batch, np.array([2]))
        assert loss == pytest.approx(math.log(2))
        loss = small_world.reachable_loss(world, batch, np.array([1, 2, 3]))
        assert loss == pytest.approx((math.log(3 / 2) + math.log(3) + 0) / 3)


def test_a_written_checkpoint_is_read_with_the_same_weights(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    config = tiny_config(len(words))
    params = untrained_bert(config)
    write_checkpoint(tmp_path, config, params)
    read = dict(leaves(load_base(tmp_path).params))
    assert read.keys() == dict(leaves(params)).keys()
    for path, values in leaves(params):
        assert np.array_equal(read[path], values), path
