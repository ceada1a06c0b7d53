"""GLUE's nine tasks: what is read, what is refused, how it is scored.

Wang et al. 2018, arXiv 1804.07461. The files here are invented, in the official layouts.
"""

import io
import json
import math
import re
import shutil
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GOLDENS, missing, real_glue
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minibert.data.glue import SAMPLE, SAMPLE_TASKS, glue_data, glue_examples, read_split
from minibert.data.metrics import METRICS, accuracy, f1, macro_f1, matthews, pearson, r2, spearman
from minibert.data.tables import read_examples, read_texts
from minibert.data.tasks import (
    GLUE,
    Data,
    Example,
    Task,
    constant_score,
    glue_task,
    majority_logits,
    predictions,
    score,
)
from minibert.errors import InputError
from minibert.fetch.datasets import find_task

# ----------------------------------------------------------------------------- nine layouts

MNLI_DEV = (
    "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse "
    "sentence1_parse sentence2_parse sentence1 sentence2 label1 label2 label3 label4 label5 "
    "gold_label"
)
MNLI_TRAIN = MNLI_DEV.replace(" label2 label3 label4 label5", "")


def mnli_row(kind: str, number: int, first: str, second: str, gold: str) -> str:
    votes = ["neutral"] * (5 if kind == "dev" else 1)  # an annotator's label is not the gold one
    parses = ["( a )", "( b )", "(ROOT a)", "(ROOT b)"]
    return "\t".join(
        [str(number), "31193", "31193n", "letters", *parses, first, second, *votes, gold]
    )


def rows(header: str, *lines: str) -> str:
    return "\n".join([header.replace(" ", "\t"), *lines]) + "\n"


STSB = "index genre filename year old_index source1 source2 sentence1 sentence2 score"
QQP = "id qid1 qid2 question1 question2 is_duplicate"
MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
SENTENCES = "index sentence1 sentence2 label"

# task: (its files, the examples of each split)
LAYOUTS: dict[str, tuple[dict[str, str], dict[str, list[Example]]]] = {
    "cola": (
        {
            "train.tsv": "gj04\t1\t\tThe kettle sings.\nks08\t0\t*\tKettle the sings.\n",
            "dev.tsv": "gj04\t0\t??\tHim saw she.\n",
        },
        {
            "train": [Example("The kettle sings.", 1), Example("Kettle the sings.", 0)],
            "dev": [Example("Him saw she.", 0)],
        },
    ),
    "sst-2": (
        {
            "train.tsv": rows("sentence label", "a warm , generous film \t1", "dull \t0"),
            "dev.tsv": rows("sentence label", "it never wakes up .\t0"),
        },
        {
            "train": [Example("a warm , generous film ", 1), Example("dull ", 0)],
            "dev": [Example("it never wakes up .", 0)],
        },
    ),
    "mrpc": (
        {  # with a byte-order mark, as published; GLUE's dev pairs are listed by their ids
            "msr_paraphrase_train.txt": f"\ufeff{MRPC}\n1\t10\t11\tHe left .\tHe went .\n"
            "0\t12\t13\tHe left .\tShe sang .\n1\t14\t15\tIt fell .\tIt dropped .\n"
            "0\t11\t10\tRain .\tSun .\n",
            "msr_paraphrase_test.txt": f"\ufeff{MRPC}\n1\t20\t21\tA .\tB .\n",
            "mrpc_dev_ids.tsv": "10\t11\n14\t15\n",
        },
        {
            "train": [Example(("He left .", "She sang ."), 0), Example(("Rain .", "Sun ."), 0)],
            "dev": [
                Example(("He left .", "He went ."), 1),
                Example(("It fell .", "It dropped ."), 1),
            ],
        },
    ),
    "sts-b": (
        {
            "train.tsv": rows(STSB, "0\tmain-news\tx\t2012\t1\tnone\tnone\tA cat.\tA dog.\t1.750"),
            "dev.tsv": rows(STSB, "0\tmain-news\tx\t2012\t1\tnone\tnone\tIt rains.\tRain.\t5.000"),
        },
        {
            "train": [Example(("A cat.", "A dog."), 1.75)],
            "dev": [Example(("It rains.", "Rain."), 5.0)],
        },
    ),
    "qqp": (
        {
            "train.tsv": rows(
                QQP, "1\t2\t3\tWhy?\tWhat for?\t1", "4\t5\t6\tWhen", "7\t8\t9\tA?\tB?\t0"
            ),
            "dev.tsv": rows(QQP, "1\t2\t3\tWho?\tWhere?\t0"),
        },
        {
            "train": [Example(("Why?", "What for?"), 1), Example(("A?", "B?"), 0)],
            "dev": [Example(("Who?", "Where?"), 0)],
        },
    ),
    "mnli": (
        {
            "train.tsv": rows(MNLI_TRAIN, mnli_row("train", 0, "It is red.", "Red.", "entailment")),
            "dev_matched.tsv": rows(MNLI_DEV, mnli_row("dev", 0, "Up.", "Down.", "contradiction")),
            "dev_mismatched.tsv": rows(MNLI_DEV, mnli_row("dev", 0, "Up.", "High.", "neutral")),
        },
        {
            "train": [Example(("It is red.", "Red."), 0)],
            "dev": [Example(("Up.", "Down."), 2)],
            "dev_mismatched": [Example(("Up.", "High."), 1)],
        },
    ),
    "qnli": (
        {
            "train.tsv": rows("index question sentence label", "0\tWho?\tBen.\tentailment"),
            "dev.tsv": rows("index question sentence label", "0\tWhy?\tTea.\tnot_entailment"),
        },
        {"train": [Example(("Who?", "Ben."), 0)], "dev": [Example(("Why?", "Tea."), 1)]},
    ),
    "rte": (
        {
            "train.tsv": rows(SENTENCES, "0\tBen won.\tBen ran.\tentailment"),
            "dev.tsv": rows(SENTENCES, "0\tBen won.\tAnn won.\tnot_entailment"),
        },
        {
            "train": [Example(("Ben won.", "Ben ran."), 0)],
            "dev": [Example(("Ben won.", "Ann won."), 1)],
        },
    ),
    "wnli": (
        {
            "train.tsv": rows(SENTENCES, "0\tThe pan hit the cup. It broke.\tThe cup broke.\t1"),
            "dev.tsv": rows(SENTENCES, "0\tThe pan hit the cup. It broke.\tThe pan broke.\t0"),
        },
        {
            "train": [Example(("The pan hit the cup. It broke.", "The cup broke."), 1)],
            "dev": [Example(("The pan hit the cup. It broke.", "The pan broke."), 0)],
        },
    ),
}


@pytest.fixture
def glue(tmp_path, monkeypatch) -> Path:
    """A folder with the nine tasks in their official layouts, a few rows each."""
    monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path))
    for name, (files, _) in LAYOUTS.items():
        folder = tmp_path / GLUE[name].folder
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text, "utf-8", newline="")
    return tmp_path


class TestNineTasks:
    """GLUE's table 1: tasks, labels and metrics."""

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_glue_tasks_are_read_from_their_official_layout(self, glue, name):
        _, splits = LAYOUTS[name]
        for split, expected in splits.items():
            assert glue_examples(GLUE[name], split) == expected, split
        data = glue_data(name)
        assert (data.train, data.dev) == (splits["train"], splits["dev"])
        assert data.source == f"GLUE {GLUE[name].folder}"

    @pytest.mark.parametrize("name", LAYOUTS)
    def test_glue_tasks_are_read_the_same_with_windows_line_ends(self, glue, name):
        for path in (glue / GLUE[name].folder).iterdir():
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        for split, expected in LAYOUTS[name][1].items():
            assert glue_examples(GLUE[name], split) == expected

    @pytest.mark.parametrize(
        "name, metrics, labels",
        [
            ("cola", ("matthews",), ("unacceptable", "acceptable")),
            ("sst-2", ("accuracy",), ("negative", "positive")),
            ("mrpc", ("accuracy", "f1"), ("different", "paraphrase")),
            ("sts-b", ("pearson", "spearman"), ()),
            ("qqp", ("accuracy", "f1"), ("different", "duplicate")),
            ("mnli", ("accuracy",), ("entailment", "neutral", "contradiction")),
            ("qnli", ("accuracy",), ("entailment", "not_entailment")),
            ("rte", ("accuracy",), ("entailment", "not_entailment")),
            ("wnli", ("accuracy",), ("not_entailment", "entailment")),
        ],
    )
    def test_glue_tasks_have_the_official_metrics_and_the_hubs_label_numbers(
        self, name, metrics, labels
    ):
        task = GLUE[name]
        assert task.metrics == metrics
        assert task.names == labels
        assert task.outputs == max(1, len(labels))
        assert task.regression == (name == "sts-b")
        assert len(task.text) == (1 if name in ("cola", "sst-2") else 2)

    def test_the_nine_glue_tasks_are_found_in_any_spelling(self):
        assert list(GLUE) == list(LAYOUTS)
        assert glue_task("STSB") is glue_task("sts-b") is GLUE["sts-b"]
        assert glue_task("Sst2") is GLUE["sst-2"]
        with pytest.raises(
            InputError, match=r"^unknown task 'ax'; known: cola, sst-2, mrpc, sts-b"
        ):
            glue_task("ax")

    def test_the_refusal_of_missing_glue_data_says_how_to_get_them(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path))
        with pytest.raises(InputError) as absent:
            glue_data("rte")
        assert str(absent.value) == (
            "the data of rte are not here; run `minibert fetch rte` or use --sample"
        )
        with pytest.raises(InputError) as absent:
            glue_data("mnli")
        assert str(absent.value) == "the data of mnli are not here; run `minibert fetch mnli`"

    def test_a_sample_or_split_that_a_task_lacks_is_refused(self, glue):
        with pytest.raises(
            InputError, match=r"^the sample has no mnli; it has sst-2, cola, rte, s"
        ):
            glue_data("mnli", sample=True)
        with pytest.raises(InputError, match=r"^rte has no split 'test'; it has train, dev$"):
            glue_examples(GLUE["rte"], "test")
        own = Task("mine", "", ("text",), "label", ("a", "b"), ("a", "b"))
        with pytest.raises(InputError, match=r"^mine is no GLUE task; name a file with --data$"):
            glue_examples(own, "dev")

    @pytest.mark.parametrize("name", SAMPLE_TASKS)
    def test_the_sample_is_never_passed_off_as_glue(self, name):
        source = glue_data(name, sample=True).source
        assert source.startswith("minibert's own sample")
        assert source.endswith("(not the GLUE data)")
        assert (SAMPLE / GLUE[name].folder).is_dir()


class TestRealFiles:
    """The real GLUE files, as far as they are here."""

    @pytest.mark.parametrize(
        "name, train, dev, constant",
        [  # the dev set's majority share; CoLA's Matthews correlation of a constant is 0
            ("rte", 2490, 277, {"accuracy": 146 / 277}),
            ("cola", 8551, 1043, {"matthews": 0.0}),
            ("sst-2", 67349, 872, {"accuracy": 444 / 872}),
            ("mrpc", 3668, 408, {"accuracy": 279 / 408, "f1": 2 * 279 / (2 * 279 + 129)}),
        ],
    )
    def test_the_real_glue_files_have_the_published_rows_and_majority_class(
        self, name, train, dev, constant
    ):
        data = real_glue(name)
        assert (len(data.train), len(data.dev)) == (train, dev)
        assert constant_score(data.task, data.train, data.dev) == pytest.approx(constant, rel=1e-12)
        for example in (*data.train, *data.dev):
            texts = (example.text,) if isinstance(example.text, str) else example.text
            assert len(texts) == len(data.task.text)
            assert all("\t" not in text and "\n" not in text for text in texts)
            assert all(texts), "an empty sentence"

    def test_the_quotes_of_the_real_mrpc_files_are_kept(self):
        """With CSV quoting, dozens of MRPC's rows would run into each other."""
        quoted = sum(text.count('"') % 2 for e in real_glue("mrpc").train for text in e.text)
        assert quoted > 50

    def test_mrpc_is_found_with_the_files_that_other_tools_make_of_the_raw_ones(
        self, tmp_path, monkeypatch
    ):
        """The well-known download script leaves train.tsv, dev.tsv and msr_*.txt."""
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path))
        folder, row = tmp_path / "MRPC", "1\t2\t3\tA .\tB .\n"
        folder.mkdir()
        assert find_task("mrpc") is None
        header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
        for name in ("train.tsv", "dev.tsv", "msr_paraphrase_train.txt"):
            write(folder, header + row * (2 if name == "dev.tsv" else 1), name)
        (folder / "msr_paraphrase_train.txt").unlink()
        assert find_task("mrpc") == folder
        data = glue_data("mrpc")
        assert data.train == [Example(("A .", "B ."), 1)]
        assert data.dev == data.train * 2

    def test_mrpc_is_the_same_from_its_raw_files(self, tmp_path):
        real_glue("mrpc")
        folder = find_task("mrpc")
        assert folder is not None
        if not (folder / "train.tsv").exists():
            missing("MRPC as TSV files beside the raw ones")
        for name in ("msr_paraphrase_train.txt", "mrpc_dev_ids.tsv"):
            shutil.copy(folder / name, tmp_path / name)
        task = GLUE["mrpc"]
        for split in ("train", "dev"):
            raw, tsv = read_split(task, tmp_path, split), read_split(task, folder, split)
            # the archive's dev.tsv is sorted differently
            assert sorted(raw) == sorted(tsv), split


# ----------------------------------------------------------------------------- reading

SST = GLUE["sst-2"]


def write(folder: Path, content: str | bytes, name: str = "data.tsv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestReading:
    """Tab-separated, UTF-8, one example a line, no quoting."""

    @pytest.mark.parametrize(
        "text",
        [
            '"a quote that never ends',
            '""',
            "it's",
            "a\u2028b",
            "a\u2029b",
            "a\x0bb",
            "a\x0cb",
            "a\x85b",
            "a\x1cb",
            "a\rb",
            "\\t \\n",
            "Zürich 東京 🦊",
            "",
            " spaces ",
            "#1 String",
        ],
        ids=ascii,
    )
    def test_a_sentence_is_read_as_it_is(self, tmp_path, text):
        """Only a newline ends a line: not U+2028, not a form feed, not a carriage return inside."""
        path = write(tmp_path, f"sentence\tlabel\n{text}\t1\nnext\t0\n")
        assert read_examples(SST, path) == [Example(text, 1), Example("next", 0)]

    @given(
        texts=st.lists(
            st.text(st.characters(exclude_characters="\t\n\0", codec="utf-8")), min_size=1
        )
    )
    @settings(max_examples=40)
    def test_any_text_that_was_written_is_read_back(self, tmp_path_factory, texts):
        content = "sentence\tlabel\n" + "".join(f"{text}\t1\n" for text in texts)
        path = write(tmp_path_factory.mktemp("any"), content)
        assert [example.text for example in read_examples(SST, path)] == texts

    def test_columns_are_found_by_name_wherever_they_are(self, tmp_path):
        path = write(tmp_path, "label\tid\tsentence\n0\t7\tdull\n")
        assert read_examples(SST, path) == [Example("dull", 0)]

    def test_a_file_needs_no_newline_at_its_end_and_may_have_empty_lines_there(self, tmp_path):
        for end in ("", "\n", "\n\n\n", "\r\n\r\n"):
            path = write(tmp_path, f"sentence\tlabel\nfine\t1{end}")
            assert read_examples(SST, path) == [Example("fine", 1)]

    def test_a_byte_order_mark_is_not_taken_for_a_letter(self, tmp_path):
        path = write(tmp_path, "\ufeffsentence\tlabel\nfine\t1\n")
        assert read_examples(SST, path) == [Example("fine", 1)]

    def test_a_sentence_of_100_000_characters_is_read(self, tmp_path):
        path = write(tmp_path, f"sentence\tlabel\n{'long ' * 20_000}\t1\n")
        assert len(read_examples(SST, path)[0].text) == 100_000


HEAD = "sentence\tlabel\n"
BAD_FILES: list[tuple[str, str | bytes | None, str]] = [
    ("missing", None, ": cannot be read: No such file or directory"),
    ("empty", "", ": is empty"),
    ("of newlines only", "\n\r\n\n", ": is empty"),
    ("binary", b"sentence\tlabel\n\x00\x01\x02\t1\n", ": is a binary file, not text"),
    (
        "UTF-16 (little-endian)",
        HEAD.encode("utf-16-le").join([b"\xff\xfe", b""]),
        ": is UTF-16; save it as UTF-8",
    ),
    (
        "UTF-16 (big-endian)",
        b"\xfe\xff" + HEAD.encode("utf-16-be"),
        ": is UTF-16; save it as UTF-8",
    ),
    ("Latin-1", b"sentence\tlabel\nfine\t1\ncaf\xe9\t1\n", " row 3: is not UTF-8"),
    ("a header only", HEAD, ": has a header but no rows"),
    ("too many columns", HEAD + "fine\t1\na\tb\t1\n", " row 3: has 3 columns, expected 2"),
    ("too few columns", HEAD + "fine\t1\nfine\n", " row 3: has 1 column, expected 2"),
    (
        "an empty line in the middle",
        HEAD + "fine\t1\n\nfine\t1\n",
        " row 3: has 1 column, expected 2",
    ),
    ("an unknown label", HEAD + "fine\t1\nfine\t2\n", " row 3: unknown label '2'; known: 0, 1"),
    ("an empty label", HEAD + "fine\t\n", " row 2: unknown label ''; known: 0, 1"),
    ("a label with a space", HEAD + "fine\t1 \n", " row 2: unknown label '1 '; known: 0, 1"),
    (
        "a label as long as a novel",
        HEAD + "fine\t" + "x" * 999 + "\n",
        f" row 2: unknown label '{'x' * 40}'; known: 0, 1",
    ),
    ("no header", "fine\t1\n", ": has no column 'sentence' in its header (fine, 1)"),
    (
        "no label column",
        "sentence\tmark\nfine\t1\n",
        ": has no column 'label' in its header (sentence, mark)",
    ),
    (
        "commas for tabs",
        "sentence,label\nfine,1\n",
        ": has no column 'sentence' in its header (sentence,label)",
    ),
]


class TestBadFiles:
    """One line that names the file, and the row where it is one row's fault. The header is row 1,
    as in any editor."""

    @pytest.mark.parametrize(
        "content, message", [pytest.param(c, m, id=name) for name, c, m in BAD_FILES]
    )
    def test_a_bad_file_is_refused_in_one_line_that_names_file_and_row(
        self, tmp_path, content, message
    ):
        path = tmp_path / "data.tsv"
        if content is not None:
            write(tmp_path, content)
        with pytest.raises(InputError) as refused:
            read_examples(SST, path)
        assert str(refused.value) == f"{path}{message}"

    def test_the_refusal_of_a_missing_column_shows_the_beginning_of_a_long_header(self, tmp_path):
        path = write(tmp_path, "a" * 300 + "\tlabel\nx\t1\n")
        with pytest.raises(InputError, match=rf" in its header \({'a' * 200}\)$"):
            read_examples(SST, path)

    def test_a_folder_in_place_of_a_file_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r": cannot be read: Is a directory$"):
            read_examples(SST, tmp_path)

    @pytest.mark.parametrize("cell", ["high", "", "nan", "inf", "-inf", "3,5"])
    def test_a_score_that_is_not_a_number_is_refused(self, tmp_path, cell):
        row = f"0\tg\tf\t2012\t1\tn\tn\tA.\tB.\t{cell}"
        path = write(tmp_path, rows(STSB, row))
        with pytest.raises(InputError) as refused:
            read_examples(GLUE["sts-b"], path)
        assert str(refused.value) == f"{path} row 2: the label '{cell}' is not a number"

    def test_the_rows_of_a_file_without_a_header_are_counted_from_the_first(self, tmp_path):
        path = write(tmp_path, "gj04\t1\t\tFine.\ngj04\tyes\t\tFine.\n")
        with pytest.raises(InputError, match=r"data\.tsv row 2: unknown label 'yes'; known: 0, 1$"):
            read_examples(GLUE["cola"], path)

    def test_qqps_files_may_have_short_rows_but_no_long_ones(self, tmp_path):
        """Its official files have a few that end early."""
        path = write(tmp_path, rows(QQP, "1\t2\t3\tA?\tB?\t1", "4\t5\t6", "7\t8\t9\tA?\tB?\t0\tx"))
        with pytest.raises(InputError, match=r" row 4: has 7 columns, expected 6$"):
            read_examples(GLUE["qqp"], path)

    @pytest.mark.parametrize("name", LAYOUTS)
    @pytest.mark.parametrize("other", LAYOUTS)
    def test_one_tasks_file_under_anothers_name_is_refused(self, glue, name, other):
        """QNLI's, RTE's and WNLI's columns resemble each other; their labels or names do not."""
        task, theirs = GLUE[name], GLUE[other]
        path = glue / theirs.folder / theirs.files["train"]
        if other == "mrpc":
            path = path.with_name("msr_paraphrase_train.txt")
        if name == other:
            assert read_examples(task, path)
        else:
            with pytest.raises(InputError, match=f"^{re.escape(str(path))}[: ]"):
                read_examples(task, path)


def test_the_guess_without_a_model_has_a_row_for_each_text_and_a_column_for_each_output():
    train = [Example("a", 1), Example("b", 1), Example("c", 0)]
    assert majority_logits(SST, train, 2).tolist() == [[1, 2], [1, 2]]
    assert majority_logits(GLUE["sts-b"], train, 2).tolist() == [[2 / 3], [2 / 3]]


def test_the_tasks_on_pairs_are_those_of_two_sentences():
    pairs = {name for name, task in GLUE.items() if task.pairs}
    assert pairs == {"mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli"}


def test_a_task_and_its_data_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        SST.name = "mine"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Data(SST, [], [], "mine").source = "yours"  # type: ignore[misc]


class TestTextsToPredict:
    PAIRS = GLUE["rte"]

    def test_texts_to_predict_are_the_lines_of_a_file(self, tmp_path):
        path = write(tmp_path, '"Fine."\n\nA\u2028B\r\n')
        assert read_texts(SST, path) == ['"Fine."', "", "A\u2028B"]

    def test_texts_to_predict_come_from_standard_input_where_no_file_is_named(self, monkeypatch):
        data = io.BytesIO("one\ttwo\r\nthree\tZürich".encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, "latin-1"))  # UTF-8 all the same
        assert read_texts(self.PAIRS, None) == [("one", "two"), ("three", "Zürich")]

    @pytest.mark.parametrize(
        "content, message",
        [
            ("", ": is empty"),
            (b"a\tb\n\xff\tb\n", " row 2: is not UTF-8"),
            (b"a\0\tb\n", ": is a binary file, not text"),
            ("a\tb\na\n", " row 2: has 1 text, but rte takes 2 (separated by a tab)"),
            ("a\tb\tc\n", " row 1: has 3 texts, but rte takes 2 (separated by a tab)"),
            (None, ": cannot be read: No such file or directory"),
        ],
    )
    def test_a_bad_file_of_texts_to_predict_is_refused_naming_the_row(
        self, tmp_path, content, message
    ):
        path = tmp_path / "data.tsv"
        if content is not None:
            write(tmp_path, content)
        with pytest.raises(InputError) as refused:
            read_texts(self.PAIRS, path)
        assert str(refused.value) == f"{path}{message}"

    @pytest.mark.parametrize(
        "data, message",
        [
            (b"", "standard input: is empty"),
            (
                b"a\tb\tc\n",
                "standard input row 1: has 3 texts, but sst-2 takes 1 (separated by a tab)",
            ),
            (b"fine\ncaf\xe9\n", "standard input row 2: is not UTF-8"),
        ],
    )
    def test_bad_texts_from_standard_input_are_refused_naming_the_row(
        self, monkeypatch, data, message
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))
        with pytest.raises(InputError) as refused:
            read_texts(SST, None)
        assert str(refused.value) == message


# ----------------------------------------------------------------------------- metrics

METRIC_GOLDENS = json.loads((GOLDENS / "metrics.json").read_text("utf-8"))
CLASSES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


def columns(pairs: list[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    predicted, gold = zip(*pairs, strict=True)
    return np.array(predicted), np.array(gold)


class TestMetrics:
    @pytest.mark.parametrize(
        "case", METRIC_GOLDENS["classification"], ids=lambda case: case["name"]
    )
    def test_metrics_of_classes_are_scikit_learns(self, case):
        predicted, gold = np.array(case["predictions"]), np.array(case["labels"])
        for name in ("accuracy", "matthews", "f1"):
            if case[name] is not None:
                assert METRICS[name](predicted, gold) == pytest.approx(case[name], rel=1e-14, abs=0)

    @pytest.mark.parametrize("case", METRIC_GOLDENS["regression"], ids=lambda case: case["name"])
    def test_correlations_of_scores_are_scipys(self, case):
        """Where SciPy says NaN (a constant has no correlation) ours is 0. "Large offset" is 1e6 +
        1e-3 y, whose deviations have lost 7 of 16 digits; else rounding in 300 terms."""
        predicted, gold = np.array(case["predictions"]), np.array(case["labels"])
        for name in ("pearson", "spearman"):
            expected = case[name] if case[name] is not None else 0.0
            assert METRICS[name](predicted, gold) == pytest.approx(expected, rel=1e-12, abs=0)

    def test_r2_is_the_share_of_the_variance_explained(self):
        """Errors 1, 0, -1 of 0, 2, 4, whose squared deviations add up to 8."""
        gold = np.array([0.0, 2.0, 4.0])
        assert r2(np.array([1.0, 2.0, 3.0]), gold) == 1 - 2 / 8
        assert r2(np.full(3, 2.0), gold) == 0
        assert r2(gold, gold) == 1
        assert r2(-gold, gold) == 1 - (0 + 16 + 64) / 8
        assert r2(gold, np.ones(3)) == 0  # 0/0
        assert r2(gold, np.full(3, 0.1)) == 0  # whose mean is not 0.1 in float64

    def test_metrics_of_a_small_table_are_those_computed_by_hand(self):
        """Three true positives, one false positive, two false negatives, four true negatives."""
        predicted = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
        gold = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
        assert accuracy(predicted, gold) == 0.7
        assert f1(predicted, gold) == 6 / 9
        assert matthews(predicted, gold) == (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)

    def test_macro_f1_of_a_constant_guess_counts_the_missed_class_as_zero(self):
        """18 legit, 2 fraud, always legit: 36 / 38 for one class, 0 for the other."""
        gold = np.array([0] * 18 + [1] * 2)
        assert macro_f1(np.zeros(20, int), gold) == pytest.approx(18 / 38, rel=1e-14)
        assert macro_f1(gold, gold) == 1

    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
    @settings(max_examples=40)
    def test_macro_f1_is_the_mean_over_the_classes_that_occur(self, pairs):
        """Counted pair by pair; a class that is neither said nor true has no part in it."""
        values = []
        for c in sorted({label for pair in pairs for label in pair}):
            both = sum(said == c and true == c for said, true in pairs)
            either = sum(said == c for said, _ in pairs) + sum(true == c for _, true in pairs)
            values.append(2 * both / either)
        expected = math.fsum(values) / len(values)
        assert macro_f1(*columns(pairs)) == pytest.approx(expected, rel=1e-12)

    @given(pairs=CLASSES)
    @settings(max_examples=40)
    def test_matthews_treats_both_classes_and_both_sides_alike(self, pairs):
        predicted, gold = columns(pairs)
        value = matthews(predicted, gold)
        assert matthews(gold, predicted) == value
        assert matthews(1 - predicted, 1 - gold) == value
        assert matthews(1 - predicted, gold) == -value
        assert -1 <= value <= 1

    @given(pairs=CLASSES)
    @settings(max_examples=40)
    def test_matthews_is_pearson_and_spearman_of_zeros_and_ones(self, pairs):
        """Three names for one number (the phi coefficient)."""
        predicted, gold = columns(pairs)
        value = matthews(predicted, gold)
        assert pearson(predicted, gold) == pytest.approx(value, abs=1e-12)
        assert spearman(predicted, gold) == pytest.approx(value, abs=1e-12)

    @given(pairs=CLASSES)
    @settings(max_examples=40)
    def test_f1_is_the_harmonic_mean_of_precision_and_recall(self, pairs):
        predicted, gold = columns(pairs)
        hits = int((predicted * gold).sum())
        if hits == 0:
            assert f1(predicted, gold) == 0
        else:
            precision, recall = hits / predicted.sum(), hits / gold.sum()
            expected = 2 * precision * recall / (precision + recall)
            assert f1(predicted, gold) == pytest.approx(expected, rel=1e-12)

    SCORES = st.lists(
        st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=40
    )

    @given(pairs=SCORES, scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
    @settings(max_examples=40)
    def test_pearson_ignores_a_shift_and_a_scale(self, pairs, scale, shift):
        predicted, gold = columns(pairs)
        assume(np.ptp(predicted) and np.ptp(gold))
        value = pearson(predicted, gold)
        # a shift of 100 costs two of sixteen digits, a scale of 0.01 two more
        assert pearson(scale * predicted + shift, gold) == pytest.approx(value, abs=1e-9)
        assert pearson(-scale * predicted + shift, gold) == pytest.approx(-value, abs=1e-9)
        assert pearson(gold, predicted) == pytest.approx(value, abs=1e-12)

    @given(pairs=SCORES)
    @settings(max_examples=40)
    def test_spearman_sees_the_order_alone(self, pairs):
        predicted, gold = columns(pairs)
        value = spearman(predicted, gold)
        for monotone in (predicted**3, np.exp(predicted / 10), 7 * predicted - 1000):
            assert spearman(monotone, gold) == value
        assert spearman(-predicted, gold) == pytest.approx(-value, abs=1e-12)

    def test_spearman_gives_ties_the_mean_of_their_ranks(self):
        """Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)."""
        assert spearman(np.array([7, 7, 8, 9]), np.arange(4)) == pytest.approx(
            4.5 / math.sqrt(4.5 * 5), rel=1e-14
        )

    def test_a_constant_has_no_correlation_even_where_its_mean_rounds(self):
        """The mean of three 0.1 is not 0.1 in floating point."""
        tenth = np.full(3, 0.1)
        assert tenth.mean() != 0.1
        for metric in (pearson, spearman):
            assert metric(tenth, tenth) == 0.0
            assert metric(tenth, np.array([1.0, 2.0, 3.0])) == 0.0

    def test_a_constant_has_no_correlation_with_scores_that_hardly_differ(self):
        """0.1, 0.1 and the next float after it: their deviations do not sum to 0 but to rounding of
        their own size, so the rounding of a constant's deviations would correlate with them."""
        tenth, nearly = np.full(3, 0.1), np.array([0.1, 0.1, np.nextafter(0.1, 1)])
        assert (nearly - nearly.mean()).sum() != 0
        for metric in (pearson, spearman):
            assert metric(tenth, nearly) == 0.0
            assert metric(nearly, tenth) == 0.0

    def test_scores_too_small_to_be_squared_have_no_correlation(self):
        """1e-200 squared is 0 in float64, and 0/0 is 0 here."""
        tiny = np.array([0.0, 1e-200, 3e-200])
        assert pearson(tiny, np.arange(3.0)) == 0.0
        assert pearson(np.arange(3.0), tiny) == 0.0

    def test_float32_scores_are_correlated_in_float64(self):
        """As the model gives them: large, and close together."""
        x = (1000 + np.arange(64) / 64).astype(np.float32)
        assert pearson(x, np.arange(64)) == pytest.approx(1.0, abs=1e-12)

    def test_the_mean_of_float32_scores_is_taken_in_float64(self):
        """Deviations of 2^24 + (0, 2, 6) are (-8, -2, 10) / 3, but float32 holds only even numbers
        there, so not their mean. Those of 0, 1, 5 are (-6, -3, 9) / 3; the ninths cancel."""
        large = (2**24 + np.array([0, 2, 6])).astype(np.float32)
        expected = (8 * 6 + 2 * 3 + 10 * 9) / math.sqrt((64 + 4 + 100) * (36 + 9 + 81))
        small = np.array([0.0, 1.0, 5.0])
        assert pearson(large, small) == pytest.approx(expected, rel=1e-12)
        assert pearson(small, large) == pytest.approx(expected, rel=1e-12)


class TestScoring:
    def test_the_predicted_class_is_that_of_the_largest_logit(self):
        logits = np.array([[0.1, 0.9, 0.2], [3.0, -1.0, 2.0], [-9.0, -8.0, -7.0]])
        assert predictions(GLUE["mnli"], logits).tolist() == [1, 0, 2]
        assert score(GLUE["mnli"], logits, [1, 0, 0]) == {"accuracy": 2 / 3}

    def test_the_predicted_score_is_a_regressions_only_output(self):
        logits = np.array([[1.0], [2.0], [4.0]])
        assert predictions(GLUE["sts-b"], logits).tolist() == [1, 2, 4]
        assert score(GLUE["sts-b"], logits, [1.0, 2.0, 4.0]) == pytest.approx(
            {"pearson": 1.0, "spearman": 1.0}
        )

    def test_scoring_gives_every_metric_of_the_task_the_deciding_one_first(self):
        logits = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
        scores = score(GLUE["mrpc"], logits, [1, 0, 1, 1])
        assert list(scores.items()) == [("accuracy", 0.25), ("f1", 2 / 5)]


class TestConstantGuess:
    """The number to read any accuracy against."""

    def test_the_constant_guess_is_the_training_sets_majority_class_scored_on_dev(self):
        train = [Example("", label) for label in (0, 1, 1, 1, 0)]
        dev = [Example("", label) for label in (0, 0, 0, 1)]  # the majority is another one here
        assert constant_score(GLUE["sst-2"], train, dev) == {"accuracy": 0.25}
        assert constant_score(GLUE["mrpc"], train, dev) == {"accuracy": 0.25, "f1": 2 / 5}
        assert constant_score(GLUE["cola"], train, dev) == {"matthews": 0.0}

    def test_the_constant_guess_works_where_the_training_set_lacks_the_last_class(self):
        train, dev = [Example("", 0), Example("", 0)], [Example("", 2), Example("", 0)]
        assert constant_score(GLUE["mnli"], train, dev) == {"accuracy": 0.5}

    def test_a_regressions_constant_guess_is_the_mean_which_correlates_with_nothing(self):
        train = [Example("", 0.1), Example("", 0.1), Example("", 0.1)]
        dev = [Example("", 1.0), Example("", 2.0), Example("", 4.0)]
        assert constant_score(GLUE["sts-b"], train, dev) == {"pearson": 0.0, "spearman": 0.0}
