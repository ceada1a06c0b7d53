"""Many tasks asked at once answer as each does alone, to the bit, and share what they can."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy

import minibert.model
from adapters.bank import Bank
from adapters.methods.table import METHODS, top_layers
from adapters.together import logits_apart, logits_together, shared_layers
from minibert.data.tasks import Data, Example, Task
from minibert.errors import InputError
from minibert.tokenizer import encode_texts

SHORT = replace(toy.SETTINGS, epochs=1)
# Of 1 to 8 words; the last are more tokens than one group of texts has.
TEXTS = [e.text for e in toy.examples(60, 5)] + [" ".join(toy.WORDS * 2)] * 90
PAIRS = Task("pairs", "", ("first", "second"), "score", metrics=("pearson", "spearman"))


def pair_data() -> Data:
    made = [
        Example((e.text, toy.WORDS[i % 7]), float(i % 5)) for i, e in enumerate(toy.examples(20, 3))
    ]
    return Data(PAIRS, made, made, "toy pairs")


@pytest.fixture(scope="module")
def bank(tiny, tmp_path_factory) -> Bank:
    """Tasks of one text by every method, whatever they share of the base, and of two poolings."""
    bank, top = Bank(tiny), top_layers(toy.ADAPTERS, 1, tiny.config)
    runs = {
        **{method.name: {"method": method} for method in toy.METHOD_LIST},
        "top": {"method": top},
        "top, mean": {"method": top, "pooling": "mean"},
        "head, mean": {"method": METHODS["head"], "pooling": "mean"},
        "scores": {"method": top, "data": toy.toy_data(regression=True)},
        "longer": {"method": top, "max_length": 40},
    }
    for name, changes in runs.items():
        out: Path = tmp_path_factory.mktemp("run")
        toy.train(tiny, out, **{"settings": SHORT, **changes})
        bank.open(out / "task.safetensors", name)
    return bank


@pytest.fixture(scope="module")
def pair_bank(tiny, tmp_path_factory) -> Bank:
    """Two tasks of pairs, of which one reads both texts apart, and one of single texts."""
    bank = Bank(tiny)
    for name, changes in {
        "pooler": {"data": pair_data(), "pooling": "pooler"},
        "cosine": {"data": pair_data(), "pooling": "cosine"},
        "single": {},
    }.items():
        out: Path = tmp_path_factory.mktemp("run")
        toy.train(tiny, out, **{"settings": SHORT, **changes})
        bank.open(out / "task.safetensors", name)
    return bank


class TestTheSameTexts:
    def test_have_the_answers_of_each_task_alone(self, bank):
        together = bank.logits_all(TEXTS)
        assert list(together) == list(bank.tasks)
        for name, logits in together.items():
            assert logits.tobytes() == bank.logits(name, TEXTS).tobytes(), name
            assert logits.dtype == np.float32

    @pytest.mark.parametrize("threads", [1, 2, 5])
    def test_have_the_same_answers_on_any_number_of_threads(self, bank, threads):
        encoded = encode_texts(bank.base.tokenizer, TEXTS, 16)
        usual = logits_together(bank.models, encoded)
        for name, logits in logits_together(bank.models, encoded, threads).items():
            assert logits.tobytes() == usual[name].tobytes(), name

    def test_pass_once_through_the_layers_that_no_task_changes(self, bank, monkeypatch):
        computed: Counter[int] = Counter()
        real = minibert.model.encoder_layer

        def counted(params, number, x, run):
            computed[number] += 1
            return real(params, number, x, run)

        monkeypatch.setattr(minibert.model, "encoder_layer", counted)
        names = ["top", "top, mean", "scores", "head", "head, mean"]
        encoded = encode_texts(bank.base.tokenizer, TEXTS[:20], 16)
        logits_together({name: bank.models[name] for name in names}, encoded)
        assert computed == {0: 1, 1: len(names)}

    def test_are_read_by_tasks_of_pairs_too(self, pair_bank):
        pairs = [("ba bi bo", "da"), ("morulan", "fa fi")] * 3
        alone = {name: pair_bank.logits(name, pairs) for name in ("pooler", "cosine")}
        of_pairs = Bank(pair_bank.base)
        of_pairs.tasks = {name: pair_bank.tasks[name] for name in alone}
        of_pairs.models = {name: pair_bank.models[name] for name in alone}
        together = of_pairs.logits_all(pairs)
        assert {n: v.tobytes() for n, v in together.items()} == {
            n: v.tobytes() for n, v in alone.items()
        }

    def test_may_be_told_one_after_the_other(self, bank):
        """Tasks that read the texts in several ways do not use them up for each other."""
        listed, told = bank.logits_all(TEXTS[:3]), bank.logits_all(text for text in TEXTS[:3])
        assert listed.keys() == told.keys()
        for name, logits in listed.items():
            assert told[name].tobytes() == logits.tobytes(), name

    def test_that_a_task_does_not_read_are_refused(self, pair_bank):
        with pytest.raises(InputError, match=r"texts\[0\] is 'ba'; a pair of strings is expected"):
            pair_bank.logits_all(["ba"])


class TestWhatIsShared:
    """By hand, for two layers."""

    @pytest.mark.parametrize(
        "name, layers",
        [
            ("adapters", None),  # trains the embeddings' LayerNorm
            ("full", None),
            ("lora", 0),
            ("top", 1),
            ("head", 1),  # the last layer computes [CLS] alone
            ("head, mean", 1),
        ],
    )
    def test_is_what_lies_below_the_lowest_change(self, bank, name, layers):
        assert shared_layers(bank.models[name]) == layers


class TestTextsOfManyTasks:
    def test_have_the_answers_of_each_task_alone(self, bank):
        rng = np.random.default_rng(0)
        names = [str(name) for name in rng.choice([*bank.tasks], len(TEXTS))]
        mixed = bank.logits(names, TEXTS)
        assert len(mixed) == len(TEXTS)
        for name in bank.tasks:
            own = [i for i, asked in enumerate(names) if asked == name]
            alone = bank.logits(name, [TEXTS[i] for i in own])
            assert [mixed[i].tobytes() for i in own] == [row.tobytes() for row in alone], name

    @pytest.mark.parametrize("threads", [1, 2, 5])
    def test_have_the_same_answers_on_any_number_of_threads(self, bank, threads):
        encoded = encode_texts(bank.base.tokenizer, TEXTS, 16)
        own = {name: encoded[i :: len(bank.models)] for i, name in enumerate(bank.models)}
        usual = logits_apart(bank.models, own)
        for name, logits in logits_apart(bank.models, own, threads).items():
            assert logits.tobytes() == usual[name].tobytes(), name

    def test_may_be_pairs_and_single_texts(self, pair_bank):
        pair = ("ba bi bo", "da")
        mixed = pair_bank.logits(["cosine", "single", "pooler"], [pair, "morulan", pair])
        alone = [("cosine", pair), ("single", "morulan"), ("pooler", pair)]
        assert [row.tobytes() for row in mixed] == [
            pair_bank.logits(name, [text]).tobytes() for name, text in alone
        ]

    def test_and_their_names_may_be_told_one_after_the_other(self, bank):
        names = [*bank.tasks][:3]
        listed, told = bank.logits(names, TEXTS[:3]), bank.logits(iter(names), iter(TEXTS[:3]))
        assert [one.tobytes() for one in told] == [one.tobytes() for one in listed]

    @pytest.mark.parametrize("names", [{"top"}, b"top", [3], 3, None])
    def test_names_that_are_none_are_refused(self, bank, names):
        """A set has no order, so it could not be said which text is meant for which task."""
        with pytest.raises(InputError, match=r"^names(\[0\])? is "):
            bank.logits(names, TEXTS[:1])

    def test_none_are_no_answers(self, bank):
        assert bank.logits([], []) == []

    def test_one_name_less_than_texts_is_refused(self, bank):
        with pytest.raises(InputError, match="1 names of tasks are given for 2 texts"):
            bank.logits(["top"], ["ba", "bi"])

    def test_a_name_that_is_not_open_is_refused(self, bank):
        with pytest.raises(InputError, match="no task named 'rte' is open"):
            bank.logits(["top", "rte"], ["ba", "bi"])

    def test_a_text_that_its_task_does_not_read_is_named(self, pair_bank):
        with pytest.raises(InputError, match=r"texts\[1\] is 'bi'; task cosine reads a pair of"):
            pair_bank.logits(["cosine", "cosine"], [("ba", "bi"), "bi"])
        with pytest.raises(InputError, match=r"texts\[0\] is None; a string or a pair"):
            pair_bank.logits(["cosine"], [None])

    def test_a_text_whose_logits_are_not_finite_is_named_by_its_place_among_all(self, bank):
        models = bank.models
        tree = models["top"].tree
        head = {"weight": tree["head"]["weight"] * np.float32(np.inf), "bias": tree["head"]["bias"]}
        bank.models = {**models, "top": replace(models["top"], tree={**tree, "head": head})}
        try:
            with pytest.raises(InputError, match=r"^texts\[2\]: its logits are not finite: the ta"):
                bank.logits(["head", "head", "top", "top"], TEXTS[:4])
            with pytest.raises(InputError, match=r"^texts\[0\]: its logits are not finite: the ta"):
                bank.logits_all(TEXTS[:4])
        finally:
            bank.models = models
