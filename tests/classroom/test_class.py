"""What a teacher has: a class's folders graded at once, credit for each check that holds, one table
of the class, and an installation without the solutions."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command_line import ROOT, environment, files, minibert, works
from wrong_solutions import wrong_source

from adapters.exercises.catalogue import exercises, material
from adapters.exercises.class_table import as_csv, as_html, as_text, class_table, write_table
from adapters.exercises.grade import grade, grade_all
from adapters.exercises.judge import checks, judge
from minibert.errors import InputError

ALL = exercises()
SECONDS = 300  # generous: the machine may be busy


def hand_in(folder: Path, **sources: str) -> Path:
    """A student's folder with these files: name of an exercise=text."""
    folder.mkdir(parents=True)
    for exercise in ALL:
        if exercise.name in sources:
            (folder / exercise.file).write_text(sources[exercise.name], "utf-8")
    return folder


def solution(name: str) -> str:
    folder = next(e.folder for e in ALL if e.name == name)
    return (folder / "solution.py").read_text("utf-8")


def by_name(graded: dict) -> dict[str, dict]:
    return {row["exercise"][3:]: row for row in graded["exercises"]}


@pytest.fixture
def three(monkeypatch):
    """Only the first three exercises are graded."""
    monkeypatch.setattr("adapters.exercises.grade.exercises", lambda: ALL[:3])
    return ALL[:3]


class TestCredit:
    def test_every_check_that_holds_counts_also_after_one_that_fails(self, tmp_path):
        """Exponentials that overflow only fail with large scores, the last check; a function that
        works in place only the first."""
        attention = ALL[0]
        overflows = wrong_source(attention.folder, "overflowing_exp")
        in_place = wrong_source(attention.folder, "scaled_in_place")
        for name, source in (("overflows", overflows), ("in_place", in_place)):
            row = by_name(grade(hand_in(tmp_path / name, attention=source), SECONDS))["attention"]
            assert (row["passed"], row["credit"]) == (False, 0.67), row
        assert "overflow" in judge_all(attention, tmp_path / "overflows").error

    @pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.label)
    @pytest.mark.parametrize("returned", ["None", "args[0] if args else 0", "(0, 0, 0)"])
    def test_functions_that_compute_nothing_get_no_credit(self, exercise, returned, tmp_path):
        """Nor for leaving their arguments as they are."""
        names = re.findall(r"^def (\w+)", (exercise.folder / "stub.py").read_text("utf-8"), re.M)
        source = "".join(f"def {n}(*args, **kwargs):\n    return {returned}\n" for n in names)
        (tmp_path / exercise.file).write_text(source, "utf-8")
        assert judge_all(exercise, tmp_path).met == ()

    @pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.label)
    def test_a_stub_gets_no_credit(self, exercise, tmp_path):
        shutil.copy(exercise.folder / "stub.py", tmp_path / exercise.file)
        verdict = judge_all(exercise, tmp_path)
        assert (verdict.met, verdict.passed, verdict.written) == ((), False, False)

    def test_a_process_that_ends_fails_the_checks_after_it_without_waiting(self, tmp_path):
        """No answer would come, and each check would wait until the time is up: here an hour."""
        source = solution("attention") + (
            "\nright, calls = attention, []\ndef attention(*args):\n"
            "    calls.append(1)\n    if len(calls) > 3:\n        import os; os._exit(0)\n"
            "    return right(*args)\n"
        )
        path = hand_in(tmp_path / "ends", attention=source) / ALL[0].file
        verdict = judge(ALL[0], path, 3600, every=True)
        assert "ended the process" in verdict.error
        assert (len(verdict.met), verdict.timed_out) == (1, False)


def judge_all(exercise, folder: Path):
    return judge(exercise, folder / exercise.file, SECONDS, every=True)


class TestTimeOuts:
    def test_after_two_files_that_never_end_the_rest_of_the_folder_is_not_run(self, tmp_path):
        endless = {e.name: "while True: pass" for e in ALL}
        graded = grade(hand_in(tmp_path / "endless", **endless), 0.5)
        errors = [row["error"] for row in graded["exercises"]]
        assert all("an endless loop?" in error for error in errors[:2])
        assert set(errors[2:]) == {"not run: 2 exercises before it ran out of time"}
        assert (graded["passed"], graded["credit"], graded["of"]) == (0, 0, len(ALL))

    def test_one_file_that_never_ends_costs_only_itself(self, tmp_path, three):
        """And a file that is not there is no time-out."""
        sources = {"attention": "while True: pass", "gelu": solution("gelu")}
        rows = by_name(grade(hand_in(tmp_path / "one", **sources), 5))
        assert [row["passed"] for row in rows.values()] == [False, False, True]


class TestSeveralAtOnce:
    def test_folders_graded_at_once_come_in_order_and_as_one_by_one(self, tmp_path, three):
        folders = [
            hand_in(tmp_path / "d", attention=solution("attention")),
            hand_in(tmp_path / "a", layer_norm=solution("layer_norm"), gelu=solution("gelu")),
            hand_in(tmp_path / "c"),
            hand_in(tmp_path / "b", attention=wrong_source(ALL[0].folder, "unscaled")),
        ]
        together = list(grade_all(folders, SECONDS, workers=3))
        assert [Path(one["folder"]).name for one in together] == ["d", "a", "c", "b"]
        for graded in (*together, *(alone := [grade(folder, SECONDS) for folder in folders])):
            for row in graded["exercises"]:
                row["seconds"] = 0.0
        assert together == alone


def graded(name: str, *credits: float) -> dict:
    """As `grade` returns it, for the exercises a, b, c."""
    rows = [
        {"exercise": f"{i:02d}_{letter}", "credit": credit, "passed": credit == 1}
        for i, (letter, credit) in enumerate(zip("abc", credits, strict=True), start=1)
    ]
    return {"folder": name, "passed": credits.count(1), "exercises": rows}


CLASS = [graded("class/zoe", 1, 0.25, 0.5), graded("class/ann", 1, 0.0, 1)]


class Cells(HTMLParser):
    """The texts of a page's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.cells and data.strip():
            self.cells[-1] += data.strip()


class TestClassTable:
    def test_the_hardest_exercise_comes_first_and_students_are_in_order(self):
        table = class_table([graded("zoe", 1, 0.25, 0.5), graded("ann", 1, 0.0, 1)])
        assert table.exercises == ("02_b", "03_c", "01_a")
        assert table.means == (0.12, 0.75, 1.0)
        assert table.students == (("ann", (0.0, 1, 1), 2), ("zoe", (0.25, 0.5, 1), 1))

    def test_two_folders_of_the_same_name_go_by_their_paths(self):
        table = class_table([graded("2/ann", 1, 1, 1), graded("1/ann", 0, 0, 0)])
        assert [name for name, _, _ in table.students] == ["1/ann", "2/ann"]

    def test_as_text_it_fits_a_terminal_and_ends_with_the_class_s_means(self):
        lines = as_text(class_table(CLASS)).splitlines()
        assert lines[2].split() == ["02", "03", "01", "passed"]
        assert [line.split() for line in lines[4:]] == [
            ["ann", "0", "1", "1", "2"],
            ["zoe", "0.25", "0.5", "1", "1"],
            ["mean", "0.12", "0.75", "1"],
        ]

    def test_as_csv_a_spreadsheet_reads_it(self):
        rows = list(csv.reader(io.StringIO(as_csv(class_table([graded('a, "b"', 1, 0, 0.5)])))))
        assert rows == [
            ["student", "passed", "02_b", "03_c", "01_a"],
            ['a, "b"', "1", "0", "0.5", "1"],
        ]

    def test_as_html_names_are_escaped_and_nothing_runs(self):
        page = as_html(class_table([graded("<script>alert(1)", 1, 0, 0.5)]))
        found = Cells(page)
        assert found.tags == {
            "html",
            "meta",
            "title",
            "style",
            "h1",
            "p",
            "table",
            "tr",
            "th",
            "td",
        }
        assert found.cells == [
            *("student", "02_b", "03_c", "01_a", "passed"),
            *("<script>alert(1)", "0", "0.5", "1", "1"),
            *("mean", "0", "0.5", "1", ""),
        ]

    def test_the_file_s_name_says_the_format(self, tmp_path):
        table = class_table(CLASS)
        for suffix, begins in ((".txt", "The class"), (".csv", "student,"), (".html", "<!doctype")):
            path = tmp_path / f"class{suffix}"
            write_table(path, table)
            assert path.read_text("utf-8").startswith(begins)
        with pytest.raises(InputError, match=r"class\.xlsx: .* \.txt, \.csv, \.html"):
            write_table(tmp_path / "class.xlsx", table)

    def test_an_empty_class_is_a_table_without_rows(self):
        assert as_csv(class_table([])) == "student,passed\n"


class TestCommand:
    def test_a_class_is_graded_into_one_table(self, tmp_path, three):
        ann = hand_in(tmp_path / "ann", attention=solution("attention"))
        bob = hand_in(tmp_path / "bob", attention=wrong_source(ALL[0].folder, "overflowing_exp"))
        table = tmp_path / "class.csv"
        out = works("exercises", "grade", ann, bob, "--table", table, "--workers", 2).out
        assert "hardest exercise first" in out
        rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8"))))
        found = [(row["student"], row["passed"], row["01_attention"]) for row in rows]
        assert found == [("ann", "1", "1.0"), ("bob", "0", "0.67")]
        assert list(rows[0])[-1] == "01_attention"  # nobody has the others: they are harder
        out = works("exercises", "grade", ann, "--json", "--table", table).out
        assert json.loads(out)["credit"] == 1.0  # nothing else is printed

    @pytest.mark.parametrize(
        "words, says",
        [
            (("grade", ".", "--table", "class.xlsx"), "class.xlsx: the class's table can be"),
            (("grade", ".", "--workers", "0"), "--workers must be at least 1, not 0"),
            (("list", "--table", "class.csv"), "--table can only be used with grade"),
            (("list", "--workers", "2"), "--workers can only be used with grade"),
            (("list", "--no-solutions"), "--no-solutions can only be used with start"),
            (("start", "new", "--no-solutions"), "not for a checkout: it removes files"),
        ],
    )
    def test_options_that_make_no_sense_are_refused_in_one_line(
        self, tmp_path, monkeypatch, words, says
    ):
        monkeypatch.chdir(tmp_path)
        result = minibert("exercises", *words)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert says in result.err
        assert files(tmp_path) == {}
        assert all((e.folder / "solution.py").exists() for e in ALL)


def test_an_installation_can_be_made_without_the_solutions(tmp_path):
    """Exercises are checked as before; nothing of a solution is left on the disk."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    skip = shutil.ignore_patterns("__pycache__")
    for package in ("minibert", "adapters"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=skip)
    installed = tmp_path / carried["tutorials/exercises"]
    shutil.copytree(material(), installed, ignore=skip)
    mine = tmp_path / "mine"

    def type_in(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "minibert", "exercises", *map(str, words)],
            cwd=tmp_path,
            env={**environment(), "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    first = type_in("start", mine, "--no-solutions")
    assert first.returncode == 0, first.stderr
    assert f"left out of this installation: {2 * len(ALL)} files removed" in first.stdout
    left = {path.name for path in installed.rglob("*") if path.is_file()}
    assert left == {"README.md", "info.toml", "stub.py", "check.py"}
    assert "0 files removed" in type_in("start", mine, "--no-solutions").stdout
    (mine / ALL[0].file).write_text(solution("attention"), "utf-8")
    assert "Passed." in type_in("check", 1, "--in", mine).stdout
    told = type_in("solution", 1, "--in", mine)
    assert (told.returncode, "made without the solutions" in told.stderr) == (2, True)
    assert len(checks(ALL[0])) == 3  # and the checkout is as it was
