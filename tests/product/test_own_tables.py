"""A table of one's own: how it is written, which rows are labelled, which classes there are."""

import csv
import io
import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.data.labels import warnings
from minibert.data.own import Columns, own_data, own_examples
from minibert.data.records import open_table
from minibert.data.tasks import Example, Task
from minibert.errors import InputError


def write(folder: Path, content: str | bytes, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def written(rows: list[list[str]], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    """The rows as the `csv` module writes them."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting).writerows(rows)
    return out.getvalue()


def texts_of(path: Path, column: str = "text") -> list[str]:
    return [row.cells[column] for row in open_table(path, [column]).rows()]


HARD = [
    "plain",
    'says "no"',
    '"all of it"',
    "a, b; c",
    "two\nlines",
    "tab\there",
    "",
    " blanks ",
    "Zürich 東京 🦊",
    "a\u2028b",
    "it's",
    "'",
    '"',
    '""',
    "-",
    "#",
    "\\n",
]


class TestHowATableIsWritten:
    @pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["minimal", "all"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
    def test_cells_are_read_as_the_csv_module_wrote_them(self, tmp_path, delimiter, quoting):
        rows = [["id", "text", "label"], *([str(i), t, "x"] for i, t in enumerate(HARD))]
        table = open_table(write(tmp_path, written(rows, delimiter, quoting)), ["text", "label"])
        assert [list(row.cells.values()) for row in table.rows()] == rows[1:]
        assert [row.number for row in table.rows()] == list(range(2, len(rows) + 1))
        assert str(table).endswith("-separated, quoted cells")

    @given(
        cells=st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
            min_size=1,
            max_size=6,
        ),
        delimiter=st.sampled_from(",;\t"),
    )
    @settings(max_examples=60, deadline=None)
    def test_any_text_survives_being_written_by_the_csv_module(
        self, tmp_path_factory, cells, delimiter
    ):
        """A tab-separated file is taken for raw where that explains it as well: not if a cell that
        needs quotation marks has a line break or a tab."""
        rows = [["text", "label"], *([cell, "x"] for cell in ["a\nb", *cells])]
        path = write(tmp_path_factory.mktemp("any"), written(rows, delimiter))
        assert texts_of(path) == ["a\nb", *cells]

    @pytest.mark.parametrize(
        "line",
        ['"a quote that never ends', 'it is "so"', '"so" it is', '5" pipe', "a, b; c", "'"],
        ids=ascii,
    )
    def test_quotation_marks_in_a_raw_file_are_text(self, tmp_path, line):
        path = write(tmp_path, f"text\tlabel\n{line}\t1\nnext\t0\n")
        assert texts_of(path) == [line, "next"]
        assert str(open_table(path)) == "tab-separated, raw cells"

    def test_marks_that_would_swallow_rows_of_a_raw_file_are_text(self, tmp_path):
        """Both rows have the header's two cells; as a quoted file it would have one row."""
        path = write(tmp_path, 'text\tlabel\n"it began\t1\nit ended"\t0\n')
        assert texts_of(path) == ['"it began', 'it ended"']

    def test_json_lines_are_read_by_their_keys(self, tmp_path):
        lines = [{"text": text, "label": 1} for text in HARD]
        path = write(tmp_path, "\n\n".join(map(json.dumps, lines)))
        assert texts_of(path) == HARD
        assert str(open_table(path)) == "JSON lines"

    @pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "byte order mark"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
    @pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
    def test_line_ends_and_a_byte_order_mark_are_no_part_of_a_cell(
        self, tmp_path, form, start, end
    ):
        lines = {
            "csv": ["text,label", "fine,yes", "dull,no"],
            "tsv": ["text\tlabel", "fine\tyes", "dull\tno"],
            "jsonl": ['{"text": "fine", "label": "yes"}', '{"text": "dull", "label": "no"}'],
        }[form]
        path = write(tmp_path, start + end.join(lines) + end)
        rows = [row.cells for row in open_table(path, ["text", "label"]).rows()]
        expected = [{"text": "fine", "label": "yes"}, {"text": "dull", "label": "no"}]
        assert rows == expected

    def test_the_wanted_columns_tell_the_delimiter(self, tmp_path):
        path = write(tmp_path, "a;text, or so;label\n1;fine, really;x\n")
        assert texts_of(path, "text, or so") == ["fine, really"]

    def test_commas_in_a_table_of_one_column_are_text(self, tmp_path):
        assert texts_of(write(tmp_path, "text\nwell, well\n\nfine\n")) == ["well, well", "", "fine"]
        assert texts_of(write(tmp_path, 'text\n"well, well"\n')) == ["well, well"]

    def test_blanks_around_a_columns_name_are_no_part_of_it(self, tmp_path):
        assert texts_of(write(tmp_path, "id , text , label\n1,fine,x\n")) == ["fine"]

    @pytest.mark.parametrize("delimiter", [",", "\t"])
    def test_empty_lines_before_the_header_are_nothing(self, tmp_path, delimiter):
        path = write(tmp_path, f"\n\ntext{delimiter}label\nfine{delimiter}x\ndull{delimiter}y\n")
        data = own_data(path, None, ("text",), "label")
        assert data.train == [Example("fine", 0), Example("dull", 1)]

    def test_a_column_may_have_a_line_break_in_its_name(self, tmp_path):
        path = write(tmp_path, 'text,"multi\nline",label\na,b,x\nc,d,y\n')
        assert open_table(path, ["label"]).columns == ("text", "multi\nline", "label")
        assert texts_of(path) == ["a", "c"]

    @pytest.mark.parametrize("delimiter", [",", "\t"])
    def test_a_text_may_be_longer_than_the_csv_modules_own_limit(self, tmp_path, delimiter):
        rows = [["text", "label"], ["a\n" * 100_000, "x"]]
        assert texts_of(write(tmp_path, written(rows, delimiter))) == ["a\n" * 100_000]

    def test_a_table_can_be_standard_input(self, monkeypatch):
        data = io.BytesIO(b"text,label\nfine,yes\n")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
        table = open_table("-", ["text"])
        assert [row.cells["text"] for row in table.rows()] == ["fine"]
        assert [row.cells["text"] for row in table.rows()] == ["fine"]  # and again
        assert table.name == "standard input"

    @pytest.mark.parametrize(
        "content, message",
        [
            ("", ": is empty"),
            ("\n\n", ": is empty"),
            (b"text,label\n\0\0,1\n", ": is a binary file, not text"),
            ("text,label\n".encode("utf-16"), ": is UTF-16; save it as UTF-8"),
            (b"text,label\nfine,1\ncaf\xe9,1\n", " line 3: is not UTF-8"),
            ("review,label\nfine,1\n", ": has no column 'text' in its header (review, label)"),
            ("text,label,text\nfine,1,x\n", ": has two columns 'text'"),
            ("text,label\nfine\n", " row 2: has 1 column, expected 2"),
            ("text,label\nfine,1\na,b,1\n", " row 3: has 3 columns, expected 2"),
            ("text\tlabel\nfine\t1\n\nfine\t1\n", " row 3: has 1 column, expected 2"),
            (
                'text,label\n"fine,1\n',
                " row 2: is badly quoted: unexpected end of data",
            ),
            (
                'text,label\n"fine"ly,1\n',
                " row 2: is badly quoted: ',' expected after '\"'",
            ),
            (  # row 2 is well quoted; row 4 opens what never ends
                'text\tlabel\n"a\tb"\t1\nfine\t0\n"fine\t1\nfine\t0\n',
                " row 4: is badly quoted: unexpected end of data; with quotation marks as text, "
                "row 2: has 3 columns, expected 2",
            ),
            (  # row 2 has a line break in it
                'text\tlabel\n"a\nb"\t1\n"fine\t0\n"fine"\t1\n',
                " row 3: is badly quoted: '\\t' expected after '\"'; with quotation marks as text, "
                "row 2: has 1 column, expected 2",
            ),
            (
                'text\tlabel\n"a\nb"\t1\n"fine"\n',
                " row 3: has 1 column, expected 2; with quotation marks as text, row 2: has 1",
            ),
            ("text\tlabel\na\rb\t1\nfine\n", " row 3: has 1 column, expected 2"),
            ('text\tlabel\n"fine"\t1\nfine\n', " row 3: has 1 column, expected 2"),
            ("text\tlabel\rfine\t1\rdull\t0\r", ": its lines end with CR alone; save it with LF"),
            ("text\tlabel\rfine\t1\rdull\t0\r\n", ": its lines end with CR alone; save it with"),
            ("text\tlabel\rfine\t1\ngood\t1\nbad\t0\n", ": its lines end with CR alone; save"),
            ('[{"text": "a"}]', ": is a JSON array; one JSON object per line is needed"),
            ('{"text": "a", "label": 1}\n{"text"', " row 2: is not JSON: Expecting ':' delimiter"),
            ('{"text": "a", "label": 1}\n[1]\n', " row 2: is no JSON object {...}"),
            ('{"text": "a", "label": 1}\n{"label": 1}\n', " row 2: has no 'text'"),
            ('{"text": null, "label": 1}\n', " row 1: 'text' is null, not a text"),
            ('{"text": "a", "label": ["x"]}\n', " row 1: 'label' is ['x'], no label"),
            (
                '{"text": "a", "label": {"z": 1}}\n',
                " row 1: 'label' is {'z': 1}, no label",
            ),
            ('{"text": 5, "label": 1}\n', " row 1: 'text' is 5, not a text"),
            ('{"text": ["a"], "label": 1}\n', " row 1: 'text' is ['a'], not a text"),
        ],
    )
    def test_a_damaged_table_is_refused_naming_file_and_row(self, tmp_path, content, message):
        path = write(tmp_path, content)
        with pytest.raises(InputError) as refused:
            own_data(path, None, ("text",), "label")
        assert str(refused.value).startswith(f"{path}{message}")
        assert "\n" not in str(refused.value)

    def test_a_missing_table_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"none\.csv: cannot be read: No such file"):
            open_table(tmp_path / "none.csv")


@pytest.fixture
def files(tmp_path) -> Callable[[str, str], tuple[Path, Path]]:
    def make(train: str, dev: str) -> tuple[Path, Path]:
        return write(tmp_path, train, "train.tsv"), write(tmp_path, dev, "dev.tsv")

    return make


class TestATaskOfOnesOwn:
    """`minibert train mine.tsv --dev mine-dev.tsv --text review --label stars`"""

    def test_the_labels_are_numbered_in_alphabetical_order(self, files):
        train, dev = files(
            "id\treview\tmood\n1\tfine\tgood\n2\tdull\tbad\n3\teh\tmixed\n",
            "mood\treview\nmixed\tso so\n",
        )
        data = own_data(train, dev, ("review",), "mood")
        assert data.task.names == data.task.values == ("bad", "good", "mixed")
        assert data.train == [Example("fine", 1), Example("dull", 0), Example("eh", 2)]
        assert data.dev == [Example("so so", 2)]  # the dev file's columns may be in another order
        assert data.task.metrics == ("accuracy", "macro_f1")
        assert data.task.name == "train"
        assert (data.task.outputs, data.task.regression) == (3, False)
        assert data.source == f"{train} and {dev}"
        assert data.notes == (
            f"{train}: tab-separated, raw cells",
            f"{dev}: tab-separated, raw cells",
        )

    @pytest.mark.parametrize("turned", [False, True])
    def test_both_tables_are_read_with_quoting_or_both_without(self, files, turned):
        """Quotation marks that are well formed in one table may be its texts' own all the same: the
        other's are. One without any tells nothing; one that a program has quoted stays so."""
        own, formed = ('text\tlabel\n"he said\ta\nb\tb\n', 'text\tlabel\n"nice"\ta\n"so"\tb\n')
        data = own_data(*files(*((formed, own) if turned else (own, formed))), ("text",), "label")
        parts = [[example.text for example in part] for part in (data.train, data.dev)]
        assert parts[turned] == ['"he said', "b"]
        assert parts[not turned] == ['"nice"', '"so"']
        assert [note.endswith("raw cells") for note in data.notes] == [True, True]
        for surely in (  # as csv writes all cells, or a cell with a mark, a line break, a tab
            '"text"\t"label"\n"nice"\t"a"\n"so"\t"b"\n',
            'text\tlabel\n"nice"\ta\n"a ""b"" c"\tb\n',
            'text\tlabel\n"nice"\ta\n"two\nlines"\tb\n',
            'text\tlabel\n"nice"\ta\n"two\tcells"\tb\n',
        ):
            data = own_data(
                *files(*((surely, own) if turned else (own, surely))), ("text",), "label"
            )
            parts = [[example.text for example in part] for part in (data.train, data.dev)]
            assert parts[not turned][0] == "nice"
            assert parts[turned] == ['"he said', "b"]
            assert data.task.names == ("a", "b")
        none = "text\tlabel\nfine\ta\nb\tb\n"
        data = own_data(*files(none, formed), ("text",), "label")
        assert [example.text for example in data.dev] == ["nice", "so"]

    def test_labels_that_are_numbers_are_sorted_by_their_value(self, tmp_path):
        path = write(tmp_path, "text,label\na,10\nb,9\nc,-1\nd,9\n")
        assert own_data(path, None, ("text",), "label").task.names == ("-1", "9", "10")

    def test_two_classes_are_also_scored_by_f1(self, files):
        train, dev = files("text\tlabel\na\tno\nb\tyes\n", "text\tlabel\nc\tyes\n")
        task = own_data(train, dev, ("text",), "label").task
        assert task.metrics == ("accuracy", "macro_f1", "f1")
        assert task.names == ("no", "yes")

    def test_the_positive_class_comes_last_where_f1_looks_for_it(self, files):
        train, dev = files("text\tlabel\na\tno\nb\tyes\n", "text\tlabel\nc\tyes\n")
        data = own_data(train, dev, ("text",), "label", positive="no")
        assert data.task.names == ("yes", "no")
        assert data.dev == [Example("c", 0)]

    def test_pairs_have_two_text_columns(self, files):
        train, dev = files("q\ta\tok\nwhy?\ttea\t1\nwho?\tBen\t0\n", "q\ta\tok\nhow?\tso\t1\n")
        data = own_data(train, dev, ("q", "a"), "ok")
        assert data.train == [Example(("why?", "tea"), 1), Example(("who?", "Ben"), 0)]

    def test_scores_are_a_regression(self, files):
        train, dev = files("text\tstars\nfine\t4.5\ndull\t-1e1\nmeh\t-1\n", "text\tstars\neh\t3\n")
        data = own_data(train, dev, ("text",), "stars", regression=True)
        assert data.train == [Example("fine", 4.5), Example("dull", -10.0), Example("meh", -1.0)]
        assert data.task.regression
        assert data.task.outputs == 1
        assert data.task.metrics == ("r2", "pearson", "spearman")

    def test_without_a_dev_table_there_are_no_dev_examples_yet(self, tmp_path):
        data = own_data(write(tmp_path, "text,label\na,no\nb,yes\n"), None, ("text",), "label")
        assert (len(data.train), data.dev) == (2, [])

    FINE = "text\tlabel\na\tno\nb\tyes\n"

    @pytest.mark.parametrize(
        "train, dev, options, message",
        [
            (FINE, "text\tlabel\n", {}, "{dev}: has a header but no rows"),
            (FINE, "", {}, "{dev}: is empty"),
            (FINE, FINE, {"label": "stars"}, "{train}: has no column 'stars' in its header"),
            (FINE, "review\tlabel\nc\tno\n", {}, "{dev}: has no column 'text' in its header"),
            (
                "text\tlabel\na\tno\nb\tno\n",
                FINE,
                {},
                "{train}: column 'label' has only one label; at least two are needed",
            ),
            (FINE, FINE, {"text": ()}, "a text is one or two columns, not 0"),
            (FINE, FINE, {"text": ("a", "b", "c")}, "a text is one or two columns, not 3"),
            (FINE, FINE, {"text": ("a", "a")}, "a pair of texts is two columns, not 'a' twice"),
            (FINE, FINE, {"text": ("",)}, "the name of a column must not be empty"),
            (FINE, FINE, {"text": ("label",)}, "column 'label' cannot be both text and label"),
            (
                FINE,
                FINE,
                {"positive": "ja"},
                "positive class 'ja' is no label of {train} and {dev}: column",
            ),
            (
                FINE,
                FINE,
                {"classes": ("yes", "maybe")},
                "{train} row 2: unknown label 'no'; known: yes, maybe",
            ),
            (FINE, FINE, {"classes": ("yes",)}, "classes must be two or more different labels"),
            (FINE, FINE, {"classes": ("no", "no")}, "classes must be two or more different labels"),
            (
                "text\tlabel\na\tno\nb\tyes\nc\twell\n",
                FINE,
                {"positive": "no"},
                "a positive class needs two classes, not 3",
            ),
            (FINE, FINE, {"regression": True}, "{train} row 2: the label 'no' is not a number"),
            (
                FINE,
                FINE,
                {"regression": True, "positive": "no"},
                "a regression has no classes and no positive one",
            ),
        ],
    )
    def test_tables_that_do_not_match_are_refused_in_one_line(
        self, files, train, dev, options, message
    ):
        paths = files(train, dev)
        with pytest.raises(InputError) as refused:
            own_data(*paths, **{"text": ("text",), "label": "label", **options})
        expected = message.format(train=paths[0], dev=paths[1])
        assert str(refused.value).startswith(expected)

    def test_the_refusal_of_a_missing_column_shows_the_beginning_of_a_long_header(self, tmp_path):
        path = write(tmp_path, "a" * 300 + "\tlabel\nx\t1\n")
        with pytest.raises(InputError, match=rf" in its header \({'a' * 200}\)$"):
            own_data(path, None, ("text",), "label")


def labelled(tmp_path: Path, *labels: str) -> Path:
    """A table of these labels, after three `good` and three `bad`."""
    every = ["good", "bad"] * 3 + list(labels)
    return write(
        tmp_path, written([["text", "label"], *([f"t{i}", x] for i, x in enumerate(every))])
    )


class TestLabels:
    @pytest.mark.parametrize("label", ["", " ", "nan", "NaN", "N/A", "null", "None", "-", "-1"])
    def test_a_missing_label_is_an_error_with_its_row(self, tmp_path, label):
        path = labelled(tmp_path, label, "good")
        with pytest.raises(InputError) as refused:
            own_data(path, None, ("text",), "label")
        assert str(refused.value) == (
            f"{path} row 8: the label {label.strip()!r} looks missing; leave such rows out with "
            "--drop-unlabelled, or name the classes with --classes"
        )

    @pytest.mark.parametrize("label", ["", "nan", "-", "-1"])
    def test_rows_without_label_are_dropped_and_counted_if_one_asks_for_it(self, tmp_path, label):
        path = labelled(tmp_path, label, "good", label)
        data = own_data(path, None, ("text",), "label", drop_unlabelled=True)
        assert (len(data.train), data.task.names) == (7, ("bad", "good"))
        assert data.notes[-1] == "2 rows without label dropped"

    def test_texts_that_are_empty_repeated_or_in_both_tables_are_counted(self, tmp_path):
        train = [["text", "label"], ["a", "x"], [" ", "y"], ["a", "y"], ["b", "x"], ["a", "x"]]
        dev = [["text", "label"], ["b", "x"], ["c", "y"]]
        tables = [
            write(tmp_path, written(rows), name)
            for rows, name in ((train, "train.tsv"), (dev, "dev.tsv"))
        ]
        assert own_data(*tables, ("text",), "label").notes[2:] == (
            "1 row with an empty text",
            "2 rows with the text of an earlier row",
            "1 development row with a text that is trained on",
        )
        assert len(own_data(tables[1], None, ("text",), "label").notes) == 1  # nothing to know

    @pytest.mark.parametrize("label", ["NA", "-1", "-"])
    def test_a_label_that_looks_missing_is_a_class_when_it_is_named_as_one(self, tmp_path, label):
        classes = ("good", "bad", label)
        data = own_data(labelled(tmp_path, label), None, ("text",), "label", classes=classes)
        assert data.task.names == classes
        assert data.train[-1].label == 2

    def test_null_and_nan_in_json_are_missing_labels(self, tmp_path):
        path = write(tmp_path, '{"text": "a", "label": 1}\n{"text": "b", "label": null}\n')
        with pytest.raises(InputError, match=r" row 2: the label '' looks missing"):
            own_data(path, None, ("text",), "label")
        path = write(tmp_path, '{"text": "a", "label": 1}\n{"text": "b", "label": NaN}\n')
        with pytest.raises(InputError, match=r" row 2: the label '' looks missing"):
            own_data(path, None, ("text",), "label")

    def test_digits_with_underscores_are_no_number(self, tmp_path):
        path = write(tmp_path, "text,score\na,1_000\nb,2\n")
        with pytest.raises(InputError, match="row 2: the label '1_000' is not a number"):
            own_data(path, None, ("text",), "score", regression=True)

    def test_long_numbers_that_differ_in_their_last_digit_are_two_labels(self, tmp_path):
        path = write(tmp_path, "text,label\na,12345678901234567890\nb,12345678901234567891\n")
        assert own_data(path, None, ("text",), "label").task.outputs == 2

    def test_minus_one_beside_zero_and_one_is_a_class_with_a_warning(self):
        assert warnings(("-1", "0", "1"), [0, 1, 2] * 5, []) == [
            "-1 is a class; if it stands for a missing label, name the classes: 0 1"
        ]

    def test_minus_one_among_numbers_is_a_class(self, tmp_path):
        path = write(tmp_path, "text,label\na,-1\nb,0\nc,1\n")
        assert own_data(path, None, ("text",), "label").task.names == ("-1", "0", "1")

    def test_a_missing_score_is_an_error_or_dropped(self, tmp_path):
        path = write(tmp_path, "text,score\na,1.5\nb,nan\nc,2\n")
        with pytest.raises(InputError, match=r" row 3: the label 'nan' looks missing"):
            own_data(path, None, ("text",), "score", regression=True)
        data = own_data(path, None, ("text",), "score", regression=True, drop_unlabelled=True)
        assert data.train == [Example("a", 1.5), Example("c", 2.0)]

    def test_blanks_around_a_label_are_cut(self, tmp_path):
        data = own_data(labelled(tmp_path, "good ", "\tbad"), None, ("text",), "label")
        assert data.task.names == ("bad", "good")
        assert [e.label for e in data.train[-2:]] == [1, 0]

    @pytest.mark.parametrize(
        "labels, message",
        [
            (("Good",), "'good' (3 rows) and 'Good' (1 row)"),
            (("very  good", "very good"), "'very  good' (1 row) and 'very good' (1 row)"),
            (("1", "1.0", "1"), "'1' (2 rows) and '1.0' (1 row)"),
            (("1", "01"), "'1' (1 row) and '01' (1 row)"),
            (("well", "we\u200bll"), "'well' (1 row) and 'we\\u200bll' (1 row)"),
            (("1.0", "1,0"), "'1.0' (1 row) and '1,0' (1 row)"),
            (("STRASSE", "straße"), "'STRASSE' (1 row) and 'straße' (1 row)"),
            (
                (unicodedata.normalize("NFC", "schön"), unicodedata.normalize("NFD", "schön")),
                r"'sch\xf6n' (1 row) and 'scho\u0308n' (1 row)",
            ),
        ],
    )
    def test_two_spellings_of_one_label_are_refused_with_their_counts(
        self, tmp_path, labels, message
    ):
        path = labelled(tmp_path, *labels)
        with pytest.raises(InputError) as refused:
            own_data(path, None, ("text",), "label")
        text = str(refused.value).replace("scho\u0308n", r"scho\u0308n").replace(r"\\u", r"\u")
        start = f"{path}: column 'label' spells one label in two ways: "
        assert text.startswith(start)
        assert message in text or message.replace(r"\xf6", "ö") in text

    @pytest.mark.parametrize(
        "labels",
        [
            ("5e1234567", "5e1234568"),  # parts of hashes, numbers by chance
            ("1e999999999999999999999", "x"),
            ("1" * 30, "1" * 29 + "2"),
        ],
    )
    def test_labels_that_are_like_huge_numbers_are_labels(self, tmp_path, labels):
        data = own_data(labelled(tmp_path, *labels, *labels), None, ("text",), "label")
        assert set(data.task.names) == {"good", "bad", *labels}

    def test_a_spelling_of_the_dev_table_alone_is_refused_too(self, tmp_path):
        train = labelled(tmp_path)
        dev = write(tmp_path, "text,label\na,Good\n", "dev.csv")
        with pytest.raises(InputError, match="spells one label in two ways: 'good'"):
            own_data(train, dev, ("text",), "label")

    def test_150_classes_of_two_rows_each_are_classes(self, tmp_path):
        rows = [["text", "label"], *([f"t{i}", f"team {i % 150}"] for i in range(300))]
        data = own_data(write(tmp_path, written(rows)), None, ("text",), "label")
        assert data.task.outputs == 150

    def test_labels_that_hardly_repeat_are_no_classes(self, tmp_path):
        rows = [["text", "label"], *([f"t{i}", f"{i}.5"] for i in range(101))]
        path = write(tmp_path, written(rows))
        with pytest.raises(InputError) as refused:
            own_data(path, None, ("text",), "label")
        assert str(refused.value) == (
            f"{path}: column 'label' has 101 different labels in 101 rows; is it a regression? "
            "(--regression; or name the classes with --classes)"
        )

    def test_a_class_of_the_dev_table_alone_is_a_class_with_a_warning(self, tmp_path):
        dev = write(tmp_path, "text,label\na,good\nb,awful\n", "dev.csv")
        data = own_data(labelled(tmp_path), dev, ("text",), "label")
        assert data.task.names == ("awful", "bad", "good")
        found = warnings(
            data.task.names, [e.label for e in data.train], [e.label for e in data.dev]
        )
        assert found == [
            "in the development data alone, so never learned: awful",
            "fewer than 5 training rows: bad (3), good (3)",
        ]

    def test_classes_that_look_like_scores_are_warned_of(self):
        assert warnings(("1.5", "2"), [0] * 5 + [1] * 5, []) == [
            "the classes look like scores; --regression predicts numbers"
        ]
        assert warnings(("1", "2"), [0] * 5 + [1] * 5, []) == []


class TestAnotherTableForATrainedTask:
    TASK = Task("mood", "", ("text",), "label", ("0", "1"), ("bad", "good"))

    def test_labels_are_its_values_or_its_names(self, tmp_path):
        for labels in (("1", "0"), ("good ", "bad")):
            path = write(tmp_path, f"text;label\na;{labels[0]}\nb;{labels[1]}\n")
            assert own_examples(self.TASK, path) == [Example("a", 1), Example("b", 0)]

    def test_its_columns_may_have_other_names(self, tmp_path):
        path = write(tmp_path, "review,mood\nfine,good\n")
        found = own_examples(self.TASK, path, Columns(("review",), "mood"))
        assert found == [Example("fine", 1)]
        with pytest.raises(InputError, match="mood takes 1 text column, not 2"):
            own_examples(self.TASK, path, Columns(("review", "mood"), "x"))

    def test_minus_one_is_missing_unless_the_task_knows_it(self, tmp_path):
        task = Task("mood", "", ("text",), "label", ("0", "1"), ("0", "1"))
        path = write(tmp_path, "text,label\na,1\nb,-1\n")
        with pytest.raises(InputError, match="row 3: the label '-1' looks missing"):
            own_examples(task, path)
        assert own_examples(task, path, drop_unlabelled=True) == [Example("a", 1)]

    def test_an_unknown_label_is_refused_with_its_row(self, tmp_path):
        path = write(tmp_path, "text,label\na,good\nb,Good\n")
        with pytest.raises(InputError, match=r" row 3: unknown label 'Good'; known: bad, good$"):
            own_examples(self.TASK, path)
