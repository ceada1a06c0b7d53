"""A table in, the same table with a task's answers out."""

import csv
import io
import json
import os
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy

from adapters import score_table
from adapters.predict import predict_texts
from adapters.score_table import Scoring, glue_test_columns, result_lines, score_to_file
from minibert.data.records import open_table
from minibert.data.tasks import GLUE
from minibert.errors import InputError
from minibert.files import lock
from minibert.heads import probabilities

TEXTS = [example.text for example in toy.examples(10, 3)]


@pytest.fixture(scope="module")
def task(tiny):
    return toy.train(tiny).task


@pytest.fixture(scope="module")
def scores(tiny):
    return toy.train(tiny, data=toy.toy_data(regression=True)).task


def table(folder: Path, name: str = "in.csv", delimiter: str = ",") -> Path:
    """Ten texts among other columns, one with a comma, quotation marks and a line break."""
    out = io.StringIO()
    rows = [[str(i), text, 'a, "b"\nc' if i == 4 else "note"] for i, text in enumerate(TEXTS)]
    csv.writer(out, delimiter=delimiter).writerows([["number", "text", "note"], *rows])
    path = folder / name
    path.write_text(out.getvalue(), "utf-8", newline="")
    return path


def scoring(task, tiny, path: Path, **more) -> Scoring:
    return Scoring(task, tiny, open_table(path, ["text"]), ("text",), **more)


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


class TestATableOfAnswers:
    @pytest.mark.parametrize("name, delimiter", [("out.csv", ","), ("out.tsv", "\t")])
    def test_every_column_is_kept_and_label_and_probabilities_are_added(
        self, tiny, task, tmp_path, name, delimiter
    ):
        path = table(tmp_path)
        assert score_to_file(scoring(task, tiny, path), tmp_path / name) == 10
        got, given = read_csv(tmp_path / name, delimiter), read_csv(path)
        chances = probabilities(predict_texts(task, tiny, TEXTS).astype(np.float64))
        for row, before, expected in zip(got, given, chances, strict=True):
            assert {column: row[column] for column in before} == before
            assert row["predicted_label"] == task.task.names[int(expected.argmax())]
            said = [float(row[f"probability_{label}"]) for label in task.task.names]
            np.testing.assert_allclose(
                said, expected, rtol=0, atol=1e-6
            )  # six digits; other groups

    def test_scores_are_added_in_their_own_units(self, tiny, scores, tmp_path):
        score_to_file(scoring(scores, tiny, table(tmp_path)), tmp_path / "out.csv")
        said = [float(row["predicted_score"]) for row in read_csv(tmp_path / "out.csv")]
        expected = predict_texts(scores, tiny, TEXTS)[:, 0]
        np.testing.assert_allclose(said, expected, rtol=0, atol=1e-6)

    def test_json_lines_keep_their_values(self, tiny, task, tmp_path):
        path = tmp_path / "in.jsonl"
        rows = [{"text": text, "n": i, "tags": ["ä"]} for i, text in enumerate(TEXTS)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        score_to_file(scoring(task, tiny, path), tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_bytes()
        assert lines.isascii()
        for row, line in zip(rows, lines.splitlines(), strict=True):
            assert json.loads(line).items() >= row.items()

    def test_json_values_in_csv_are_spelled_as_in_json(self, tiny, task, tmp_path):
        path = tmp_path / "in.jsonl"
        values = {"yes": True, "none": None, "list": ["ä", 1.5], "number": 7, "text": "ba"}
        path.write_text(json.dumps(values) + "\n")
        score_to_file(scoring(task, tiny, path), tmp_path / "out.csv")
        (row,) = read_csv(tmp_path / "out.csv")
        assert [row[name] for name in values] == ["true", "", '["ä", 1.5]', "7", "ba"]

    @pytest.mark.parametrize("name", ["out.csv", "out.tsv"])
    def test_a_cell_with_a_carriage_return_stays_one_cell(self, tiny, task, tmp_path, name):
        path = tmp_path / "in.tsv"
        path.write_bytes(b"text\tnote\nba bi\tone\rtwo\nbo\tthree\n")
        score_to_file(scoring(task, tiny, path), tmp_path / name)
        assert [row.cells["note"] for row in open_table(tmp_path / name).rows()] == [
            "one\rtwo",
            "three",
        ]
        assert b"\r\n" not in (tmp_path / name).read_bytes()

    def test_names_that_are_not_unicode_are_written_as_escapes(self, tiny, task, tmp_path):
        path = tmp_path / "in.jsonl"
        path.write_text('{"text": "ba", "\\ud83d": "x\\ud83d"}\n')
        score_to_file(scoring(task, tiny, path), tmp_path / "out.csv")
        assert read_csv(tmp_path / "out.csv")[0]["\\ud83d"] == "x\\ud83d"

    @pytest.mark.parametrize("name", ["out", "out.txt", "out.DAT"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_where_the_suffix_says_nothing_the_result_is_written_like_the_table(
        self, tiny, task, tmp_path, delimiter, name
    ):
        path = table(tmp_path, delimiter=delimiter).rename(tmp_path / "in.dat")
        score_to_file(scoring(task, tiny, path), tmp_path / name)
        assert len(read_csv(tmp_path / name, delimiter)) == 10

    @pytest.mark.parametrize("name", ["out.parquet", "out.XLSX", "out.csv.gz"])
    def test_another_kind_of_file_is_refused_before_anything_is_written(
        self, tiny, task, tmp_path, name
    ):
        what = scoring(task, tiny, table(tmp_path))
        before = sorted(tmp_path.iterdir())
        with pytest.raises(InputError, match=rf"{name}: a scored table is written as \.csv"):
            score_to_file(what, tmp_path / name)
        assert sorted(tmp_path.iterdir()) == before

    def test_the_result_is_the_same_however_the_rows_are_cut_into_chunks(
        self, tiny, task, tmp_path, monkeypatch
    ):
        path = table(tmp_path)
        whole = read_csv_after(scoring(task, tiny, path), tmp_path / "whole.csv")
        monkeypatch.setattr(score_table, "CHUNK", 3)
        parts = read_csv_after(scoring(task, tiny, path), tmp_path / "parts.csv")
        for row, other in zip(parts, whole, strict=True):
            assert row["predicted_label"] == other["predicted_label"]
            for label in task.task.names:
                chances = [float(r[f"probability_{label}"]) for r in (row, other)]
                assert chances[0] == pytest.approx(chances[1], abs=2e-6)
        assert [row["text"] for row in parts] == TEXTS


def read_csv_after(what: Scoring, out: Path) -> list[dict[str, str]]:
    score_to_file(what, out)
    return read_csv(out)


def test_ten_times_the_rows_need_no_more_memory(tiny, task, tmp_path, monkeypatch):
    monkeypatch.setattr(score_table, "CHUNK", 20)
    peaks = []
    for rows in (20, 60, 600):  # the first warms caches up
        path = tmp_path / f"{rows}.csv"
        path.write_text("text\n" + "\n".join(TEXTS[i % 10] for i in range(rows)), "utf-8")
        what = scoring(task, tiny, path, threads=1)
        tracemalloc.start()
        assert score_to_file(what, tmp_path / "out.csv") == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1]


class TestStopping:
    def test_a_stopped_table_resumes_and_ends_with_the_same_bytes(
        self, tiny, task, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(score_table, "CHUNK", 3)
        what = scoring(task, tiny, table(tmp_path))
        score_to_file(what, tmp_path / "whole.csv")

        def stop(rows: int) -> None:
            if rows == 6:
                raise KeyboardInterrupt

        out = tmp_path / "out.csv"
        with pytest.raises(KeyboardInterrupt):
            score_to_file(what, out, on_rows=stop)
        assert not out.exists()
        with (tmp_path / ".out.csv.part").open("ab") as file:
            file.write(b"7,half a ro")  # as a killed process may leave it
        seen: list[int] = []
        assert score_to_file(what, out, resume=True, on_rows=seen.append) == 10
        assert seen == [9, 10]
        assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "in.csv",
            "out.csv",
            "whole.csv",
        ]

    def test_a_partial_file_that_has_lost_its_end_is_not_resumed(self, tiny, task, tmp_path):
        """It is never filled up with zeros."""
        out = tmp_path / "out.csv"
        (tmp_path / ".out.csv.part").write_bytes(b"number,te")
        what = scoring(task, tiny, table(tmp_path))
        for rows, size in ((3, 200), (-5, 4), (3, -1)):
            about = {"of": what.identity(), "delimiter": ",", "rows": rows, "bytes": size}
            (tmp_path / ".out.csv.part.json").write_text(json.dumps(about))
            with pytest.raises(InputError, match=r"part\.json: is damaged; start anew without"):
                score_to_file(what, out, resume=True)

    def test_two_processes_do_not_write_one_file(self, tiny, task, tmp_path):
        what = scoring(task, tiny, table(tmp_path))
        busy = pytest.raises(InputError, match=r"out\.csv: another process is writing it")
        with lock(tmp_path / ".out.csv.part.lock", "taken"), busy:
            score_to_file(what, tmp_path / "out.csv")

    def test_a_row_that_is_refused_leaves_nothing_behind(self, tiny, task, tmp_path, monkeypatch):
        monkeypatch.setattr(score_table, "CHUNK", 3)
        path = tmp_path / "in.jsonl"
        path.write_text('{"text": "a"}\n' * 8 + '{"text": null}\n')
        with pytest.raises(InputError, match="row 9: 'text' is null, not a text"):
            score_to_file(scoring(task, tiny, path), tmp_path / "out.csv")
        assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]

    def test_another_table_is_not_resumed(self, tiny, task, tmp_path, monkeypatch):
        monkeypatch.setattr(score_table, "CHUNK", 3)
        out = tmp_path / "out.csv"

        def stop(rows: int) -> None:
            raise KeyboardInterrupt

        path = table(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            score_to_file(scoring(task, tiny, path), out, on_rows=stop)
        path.write_text(path.read_text("utf-8").replace("note", "nota"), "utf-8")
        path.write_text(path.read_text("utf-8").replace("nota", "note", 1), "utf-8")
        with pytest.raises(InputError, match="is of another table or task; start anew without"):
            score_to_file(scoring(task, tiny, path), out, resume=True)

    def test_without_resume_a_stopped_table_starts_anew(self, tiny, task, tmp_path):
        (tmp_path / ".out.csv.part").write_text("left by another\n" * 99)
        (tmp_path / ".out.csv.part.json").write_text("{}")
        assert len(read_csv_after(scoring(task, tiny, table(tmp_path)), tmp_path / "out.csv")) == 10

    def test_a_damaged_record_is_named(self, tiny, task, tmp_path):
        (tmp_path / ".out.csv.part").write_text("x")
        (tmp_path / ".out.csv.part.json").write_text('{"rows": 1}')
        with pytest.raises(InputError, match=r"part\.json: is damaged; start anew without"):
            score_to_file(scoring(task, tiny, table(tmp_path)), tmp_path / "out.csv", resume=True)


class TestWhatIsRefused:
    def test_a_column_that_the_result_would_have_twice(self, tiny, task, tmp_path):
        path = tmp_path / "in.csv"
        path.write_text("text,predicted_label\nfine,x\n")
        with pytest.raises(InputError, match="has a column 'predicted_label' already; rename it"):
            score_to_file(scoring(task, tiny, path), tmp_path / "out.csv")
        assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]

    @pytest.mark.parametrize("name", ["", "more"])
    def test_a_name_that_two_columns_have_as_one_of_them_would_be_lost(
        self, tiny, task, tmp_path, name
    ):
        path = tmp_path / "in.csv"
        path.write_text(f"text,{name},{name}\nfine,left,right\n")
        with pytest.raises(InputError, match=f"has two columns '{name}'"):
            score_to_file(scoring(task, tiny, path), tmp_path / "out.csv")

    def test_a_damaged_row_is_named_before_anything_is_scored(self, tiny, task, tmp_path):
        path = tmp_path / "in.jsonl"
        for last, said in (
            ('{"text": "b", "more": 1}', "has 'more', which the first row lacks"),
            ('{"text": ["b"]}', "'text' is .*, not a text"),
            ('{"text": "a", "text": "b"}', "has 'text' twice in one object"),
        ):
            path.write_text(f'{{"text": "a"}}\n{last}\n')
            with pytest.raises(InputError, match=f" row 2: .*{said}"):
                scoring(task, tiny, path).count()
        path.write_text('{"text": "a"}\n{"text": "b"}\n')
        assert scoring(task, tiny, path).count() == 2

    def test_the_table_itself_as_output(self, tiny, task, tmp_path):
        path = table(tmp_path)
        before = path.read_bytes()
        with pytest.raises(InputError, match="is the table itself; write to another file"):
            score_to_file(scoring(task, tiny, path), path)
        assert path.read_bytes() == before

    def test_a_link_stays_a_link_and_a_pipe_a_pipe(self, tiny, task, tmp_path):
        path = table(tmp_path)
        (tmp_path / "real.csv").write_text("old")
        (tmp_path / "link.csv").symlink_to("real.csv")
        score_to_file(scoring(task, tiny, path), tmp_path / "link.csv")
        assert (tmp_path / "link.csv").is_symlink()
        assert len(read_csv(tmp_path / "real.csv")) == 10
        os.mkfifo(tmp_path / "pipe.csv")
        lines: list[str] = []

        def read() -> None:
            lines.extend((tmp_path / "pipe.csv").read_text().splitlines())

        reader = threading.Thread(target=read)
        reader.start()
        assert score_to_file(scoring(task, tiny, path), tmp_path / "pipe.csv") == 10
        reader.join(10)
        assert lines == (tmp_path / "real.csv").read_text().splitlines()

    def test_another_number_of_text_columns(self, tiny, task, tmp_path):
        what = replace(scoring(task, tiny, table(tmp_path)), text=("text", "note"))
        with pytest.raises(InputError, match="toy takes 1 text column, not 2"):
            score_to_file(what, tmp_path / "out.csv")

    def test_a_key_that_the_first_row_has_not(self, tiny, task, tmp_path):
        path = tmp_path / "in.jsonl"
        path.write_text('{"text": "a"}\n{"text": "b", "more": 1}\n')
        with pytest.raises(InputError, match=r" row 2: has 'more', which the first row lacks"):
            list(result_lines(scoring(task, tiny, path), ""))


TEST_FILES = {
    "cola": 'index\tsentence\n0\tIt rains.\n1\tRains "it\n',
    "rte": 'index\tsentence1\tsentence2\n0\tA.\tB.\n1\t"C\tD.\n',
    "qqp": "id\tquestion1\tquestion2\n0\tA?\tB?\n1\tC?\tD?\n",
}


class TestGluesSubmissions:
    @pytest.mark.parametrize("name", TEST_FILES)
    def test_a_test_file_becomes_index_and_prediction_as_glue_spells_it(
        self, tiny, task, tmp_path, name
    ):
        path = tmp_path / "test.tsv"
        path.write_text(TEST_FILES[name], "utf-8")
        glue = replace(task, task=GLUE[name])
        opened, text = glue_test_columns(glue.task, open_table(path))
        what = Scoring(glue, tiny, opened, text, submission=True)
        score_to_file(what, tmp_path / f"{name}.tsv")
        rows = read_csv(tmp_path / f"{name}.tsv", "\t")
        texts = [line.split("\t")[1:] for line in TEST_FILES[name].splitlines()[1:]]
        given = [tuple(cells) if len(cells) == 2 else cells[0] for cells in texts]
        expected = predict_texts(glue, tiny, given).argmax(axis=1)
        assert [row["index"] for row in rows] == ["0", "1"]
        assert [row["prediction"] for row in rows] == [GLUE[name].values[i] for i in expected]

    def test_scores_have_three_digits(self, tiny, scores, tmp_path):
        path = tmp_path / "test.tsv"
        path.write_text("index\tsentence1\tsentence2\n7\tA.\tB.\n", "utf-8")
        glue = replace(scores, task=GLUE["sts-b"])
        opened, text = glue_test_columns(glue.task, open_table(path))
        what = Scoring(glue, tiny, opened, text, submission=True)
        score = predict_texts(glue, tiny, [("A.", "B.")])[0, 0]
        assert list(result_lines(what, "\t")) == ["index\tprediction\n", f"7\t{score:.3f}\n"]

    def test_a_task_of_ones_own_has_no_submission(self, task, tmp_path):
        with pytest.raises(InputError, match="toy is not a GLUE task; --submission is for GLUE's"):
            glue_test_columns(task.task, open_table(table(tmp_path)))

    def test_json_lines_are_no_test_file(self, tmp_path):
        (tmp_path / "test.jsonl").write_text('{"index": 0, "sentence": "a"}\n')
        with pytest.raises(InputError, match=r"test\.jsonl: is JSON lines; --submission is for"):
            glue_test_columns(GLUE["cola"], open_table(tmp_path / "test.jsonl"))

    def test_a_file_without_an_index_is_no_test_file(self, tiny, task, tmp_path):
        what = scoring(task, tiny, table(tmp_path), submission=True)
        with pytest.raises(InputError, match="has no column 'index' or 'id'"):
            list(result_lines(what, "\t"))
