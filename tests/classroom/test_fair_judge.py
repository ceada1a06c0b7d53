"""The judge's own faults are never the student's: what is no verdict ends in one line. And a file
that changes other files, the checks among them, changes no verdict in the same run."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, environment, files, minibert, works

from adapters.exercises import judge as judge_module
from adapters.exercises.assertions import JudgeError
from adapters.exercises.catalogue import exercises
from adapters.exercises.grade import grade, grade_all
from adapters.exercises.judge import judge
from minibert.errors import InputError

ALL = exercises()
ATTENTION = ALL[0]
SOLUTION = (ATTENTION.folder / "solution.py").read_bytes()
NET = 300  # seconds; a safety net that nothing here needs


@pytest.fixture
def right(tmp_path) -> Path:
    """A folder with our solutions of the first three."""
    folder = tmp_path / "right"
    folder.mkdir()
    for exercise in ALL[:3]:
        shutil.copy(exercise.folder / "solution.py", folder / exercise.file)
    return folder


class TestTheTimeLimit:
    @pytest.mark.parametrize(
        "seconds", ["nan", "inf", "-inf", "1e308", "1e10", "86401", "0", "-1", "1e-300"]
    )
    @pytest.mark.parametrize("words", [["grade"], ["--once"], ["check", "1", "--in"]])
    def test_a_time_that_no_clock_can_keep_is_refused(self, seconds, words, right):
        result = minibert("exercises", *words, right, f"--seconds={seconds}")
        assert (result.code, result.out) == (2, "")
        assert "--seconds must be more than 0 (at least 0.1, at most 86,400)" in result.err
        assert result.err.count("\n") == 1

    @pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e308, 0])
    def test_it_is_refused_in_python_too(self, seconds, right):
        for ask in (
            lambda: judge(ATTENTION, right / ATTENTION.file, seconds),
            lambda: grade(right, seconds),
            lambda: list(grade_all([right], seconds)),
        ):
            with pytest.raises(InputError, match="--seconds must be"):
                ask()

    def test_a_whole_day_is_allowed(self, right):
        assert judge(ATTENTION, right / ATTENTION.file, 86_400).passed

    def test_the_judges_own_work_does_not_count(self, monkeypatch):
        slow = (
            "import time\ndef check_slowly(student):\n    '''Slowly.'''\n"
            "    for _ in range(3):\n        student.f(1)\n        time.sleep(0.5)\n"
        )
        specify(monkeypatch, slow)
        verdict = judge(ATTENTION, Path("theirs.py"), 1.0, b"def f(x):\n    return x\n")
        assert verdict.passed, verdict.error
        waiting = b"import time\ndef f(x):\n    time.sleep(0.6)\n"
        verdict = judge(ATTENTION, Path("theirs.py"), 1.0, waiting)
        assert (verdict.passed, verdict.timed_out) == (False, True)


def specify(monkeypatch, text: str) -> None:
    """The specification of exercise 1 is this text."""
    code = compile(text, "check.py", "exec")
    monkeypatch.setattr(judge_module, "specifications", lambda: {ATTENTION: code})


class TestNoVerdict:
    """One line, exit code 2, and no word that blames the student."""

    def refused(self, right: Path) -> str:
        result = minibert("exercises", "grade", right, "--json")
        assert (result.code, result.out) == (2, "")
        assert result.err.count("\n") == 1
        return result.err

    def test_a_process_that_cannot_be_started(self, right, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        # A folder of its own: other programs come and go in the shared one.
        (own := tmp_path / "own").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(own))
        assert "01_attention.py: not judged: no process for it" in self.refused(right)
        assert not list(own.iterdir())

    def test_no_temporary_folder(self, right, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(right / "nowhere"))
        assert "not judged: no temporary folder" in self.refused(right)

    def test_a_python_that_ends_before_the_students_code_runs(self, right, tmp_path, monkeypatch):
        (tmp_path / "numpy.py").write_text("raise ImportError('broken')", "utf-8")
        path = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
        monkeypatch.setattr("adapters.exercises.student._environment", lambda home: path)
        says = self.refused(right)
        assert "not judged: Python did not start for it: ImportError: broken" in says

    def test_a_python_that_does_not_start_in_time(self, right, monkeypatch):
        monkeypatch.setattr("adapters.exercises.student.START_SECONDS", 0.001)
        assert "Python did not start for it in 0.001 s" in self.refused(right)

    @pytest.mark.parametrize(
        "line",
        ["student.attention(misspelt)", "{}['no']; student.attention()", "open('/nowhere')"],
    )
    def test_a_check_that_fails_whatever_is_returned(self, line, monkeypatch):
        specify(monkeypatch, f"def check_this(student):\n    '''Holds.'''\n    {line}\n")
        with pytest.raises(JudgeError, match="not judged: check_this of the exercise fails itself"):
            judge(ATTENTION, Path("theirs.py"), NET, SOLUTION)

    @pytest.mark.parametrize("text", ["", "def other():\n    pass\n"])
    def test_a_specification_without_a_check_is_no_pass(self, text, monkeypatch):
        specify(monkeypatch, text)
        with pytest.raises(JudgeError, match="01_attention: this installation has no checks"):
            judge(ATTENTION, Path("theirs.py"), NET, SOLUTION)

    @pytest.mark.parametrize("text", ["def check_(:", "import nowhere", "raise KeyError(1)", None])
    def test_a_check_file_that_cannot_be_used(self, text, tmp_path, monkeypatch):
        material = tmp_path / "material"
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ATTENTION.folder.parent, material, ignore=skip)
        path = material / ALL[4].label / "check.py"
        path.unlink() if text is None else path.write_text(text, "utf-8")
        monkeypatch.setattr("adapters.exercises.catalogue.material", lambda: material)
        judge_module.specifications.cache_clear()
        try:
            with pytest.raises(JudgeError, match=f"{ALL[4].label}/check.py: cannot be used"):
                judge(ATTENTION, Path("theirs.py"), NET, SOLUTION)
        finally:
            judge_module.specifications.cache_clear()


@pytest.fixture
def installed(tmp_path) -> Path:
    """A copy of both packages and the exercises, for files that change it."""
    skip = shutil.ignore_patterns("__pycache__", "samples")
    for folder in ("minibert", "adapters", "tutorials/exercises"):
        shutil.copytree(ROOT / folder, tmp_path / "installed" / folder, ignore=skip)
    return tmp_path / "installed"


def graded(installed: Path, *words: object, cwd: Path) -> list[dict]:
    """What `minibert exercises grade --json` of that installation prints."""
    done = subprocess.run(
        [sys.executable, "-m", "minibert", "exercises", "grade", "--json", *map(str, words)],
        cwd=cwd,
        env=environment(PYTHONPATH=str(installed)),
        capture_output=True,
        text=True,
        timeout=NET,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestFilesChangedOnTheWay:
    def test_no_file_that_the_first_exercise_changes_counts(self, installed, right, tmp_path):
        """It empties all checks, makes the judge's modules and those not yet imported its own,
        writes its later exercises and deletes a friend's."""
        cheat = tmp_path / "a_cheat"
        cheat.mkdir()
        source = f"""
import pathlib
installed, mine = pathlib.Path({str(installed)!r}), pathlib.Path({str(cheat)!r})
exercises = installed / "tutorials" / "exercises"
for number in ("02_layer_norm", "03_gelu"):
    right = (exercises / number / "solution.py").read_text()
    (mine / (number + ".py")).write_text(right)
for path in exercises.glob("*/check.py"):
    path.write_text("")
for path in exercises.glob("*/solution.py"):
    path.write_text("")
(exercises / "info.toml").write_text("")
for name in ("assertions", "diagnoses", "judge", "grade", "class_table", "advice", "student"):
    (installed / "adapters" / "exercises" / (name + ".py")).write_text("raise SystemExit(0)")
for name in ("tabulate", "numpy", "csv", "html", "json", "encodings"):
    for folder in (mine, mine.parent):
        (folder / (name + ".py")).write_text("raise SystemExit(0)")
for path in pathlib.Path({str(right)!r}).glob("*.py"):
    path.unlink()
"""
        (cheat / ATTENTION.file).write_text(source, "utf-8")
        (cheat / ALL[1].file).write_text("def layer_norm(*a):\n    return a[0]\n", "utf-8")
        one, other = graded(installed, cheat, right, "--workers", 1, cwd=cheat)
        assert (exercises_of(installed) / "01_attention" / "check.py").read_text() == ""
        assert one["passed"] == 0
        assert "no such file" in one["exercises"][2]["error"]  # as it was in the beginning
        assert other["passed"] == 3  # though its files are gone

    def test_a_changed_process_for_the_next_exercise_does_not_pass(self, installed, tmp_path):
        cheat = tmp_path / "cheat"
        cheat.mkdir()
        child = installed / "adapters" / "exercises" / "child.py"
        source = (
            f"import pathlib\npath = pathlib.Path({str(child)!r})\n"
            "text = path.read_text()\n"
            'path.write_text(text.replace(\'answer = {"result"\', \'return {"error": ""}\\n'
            '        answer = {"result"\'))\n'
        )
        (cheat / ATTENTION.file).write_text(source, "utf-8")
        (cheat / ALL[1].file).write_text("def layer_norm(*a):\n    return a[0]\n", "utf-8")
        [one] = graded(installed, cheat, cwd=tmp_path)
        assert '"error": ""' in child.read_text()
        assert one["passed"] == one["credit"] == 0
        assert one["exercises"][1]["error"].startswith("your code's process sent an error without")

    def test_nothing_is_imported_once_students_code_has_run(self, right):
        """A module that is imported later might be one that they have written."""
        lines = (
            "import sys, adapters.exercises.student as s\n"
            "from adapters.cli import run\n"
            "before, enter = set(), s.Process.__enter__\n"
            "def first(self):\n"
            "    before.update(before or sys.modules)\n"
            "    return enter(self)\n"
            "s.Process.__enter__ = first\n"
            f"assert run(['exercises', 'grade', {str(right)!r}, {str(right)!r},"
            f" '--table', {str(right.parent / 'class.html')!r}]) == 0\n"
            "print('late:', sorted(set(sys.modules) - before))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", lines],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=NET,
        )
        assert done.stdout.splitlines()[-1:] == ["late: []"], done.stderr


def exercises_of(installed: Path) -> Path:
    return installed / "tutorials" / "exercises"


WAYS = {
    "-m": ["-m", "minibert"],
    "main": ["-c", "from minibert.__main__ import main; raise SystemExit(main())"],
}


class TestTheGradedFolderIsNoPackage:
    @pytest.mark.parametrize(
        "way, path",
        [("-m", "{root}"), ("-m", ".:{root}"), ("main", "{here}:{root}"), ("main", ":{root}")],
    )
    def test_its_modules_are_not_imported_however_grade_is_started(self, way, path, tmp_path):
        for name in ("tabulate", "filelock", "csv", "adapters", "secrets", "html", "argparse"):
            text = f"print('{name} of the student')\ndef tabulate(*a, **k): return 'forged'\n"
            (tmp_path / f"{name}.py").write_text(text, "utf-8")
        done = subprocess.run(
            [sys.executable, *WAYS[way], "exercises", "grade", "."],
            cwd=tmp_path,
            env=environment(PYTHONPATH=path.format(root=ROOT, here=tmp_path)),
            capture_output=True,
            text=True,
            timeout=NET,
        )
        assert done.returncode == 0, done.stderr
        assert "student" not in done.stdout
        assert "forged" not in done.stdout
        assert ".: 0 of 15" in done.stdout

    def test_a_graded_folder_that_is_on_the_path_is_taken_off_it(self, tmp_path):
        (tmp_path / "tabulate.py").write_text("print('student')", "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "minibert", "exercises", "grade", str(tmp_path)],
            cwd=ROOT,
            env=environment(PYTHONPATH=f"{tmp_path}:{ROOT}"),
            capture_output=True,
            text=True,
            timeout=NET,
        )
        assert (done.returncode, "student" in done.stdout) == (0, False), done.stderr


class TestOddFolders:
    @pytest.fixture
    def mine(self, tmp_path) -> Path:
        folder = tmp_path / "mine"
        works("exercises", "start", folder)
        return folder

    def test_reset_on_a_full_disk_leaves_the_students_file_in_its_place(self, mine):
        """Nothing can be written: the limit of a file's size is 0."""
        path = mine / ATTENTION.file
        path.write_text("mine", "utf-8")
        before = files(mine)
        lines = (
            "import resource, sys\nfrom adapters.cli import run\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            f"raise SystemExit(run(['exercises', 'reset', '1', '--in', {str(mine)!r}]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", lines],
            env=environment(PYTHONDONTWRITEBYTECODE="1"),
            capture_output=True,
            text=True,
            timeout=NET,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{path} is as it was" in done.stderr
        assert done.stderr.count("\n") == 1
        assert files(mine) == before

    def test_reset_that_fails_half_way_says_where_both_files_are(self, mine, monkeypatch):
        path, real = mine / ATTENTION.file, Path.replace

        def full(self, target):
            if Path(target) == path:
                raise OSError(28, "No space left on device")
            return real(self, target)

        path.write_text("mine", "utf-8")
        monkeypatch.setattr(Path, "replace", full)
        result = minibert("exercises", "reset", 1, "--in", mine)
        old, stub = Path(f"{path}.old1"), mine / f".{path.name}.stub"
        assert result.code == 2
        assert f"No space left on device; your version is {old}, and the stub {stub}" in result.err
        assert old.read_text("utf-8") == "mine"
        assert stub.read_bytes() == (ATTENTION.folder / "stub.py").read_bytes()
        monkeypatch.undo()
        works("exercises", "reset", 1, "--in", mine)  # when there is space again
        assert path.read_bytes() == (ATTENTION.folder / "stub.py").read_bytes()
        assert (old.read_text("utf-8"), stub.exists()) == ("mine", False)

    @pytest.mark.parametrize(
        "line",
        [
            "solution 01_attention asked " + "9" * 5000,
            "solution 01_attention asked \u0663",
            "hints 01_attention 99",
            "hints 01_attention \u0663",
            "passed 01_attention " + "a" * 100,
            "passed 01_attention a",
            "passed " * 1000,
            "[" * 10_000,
            "\x1b[2J",
        ],
    )
    def test_an_odd_line_of_the_state_file_is_named(self, mine, line):
        path = mine / ".minibert-exercises"
        path.write_text(f"# mine\n{line}\n", "utf-8")
        for words in (["list"], ["hint", 1], ["check", 1], ["solution", 1], ["reset", 1]):
            result = minibert("exercises", *words, "--in", mine)
            assert (result.code, result.err.count("\n")) == (2, 1)
            assert f"{path}, line 2: not understood" in result.err

    @pytest.mark.parametrize("kind", ["large", "endless", "pipe", "folder", "no text", "loop"])
    def test_a_state_file_that_is_none_is_refused_in_one_line(self, mine, kind):
        path = mine / ".minibert-exercises"
        path.unlink()
        if kind == "large":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "no text":
            path.write_bytes(b"\xff\xfe\0")
        else:
            path.symlink_to("/dev/zero" if kind == "endless" else path)
        result = minibert("exercises", "list", "--in", mine)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert str(path) in result.err

    @pytest.mark.parametrize("kind", ["large", "pipe", "folder", "link"])
    def test_a_students_file_that_is_none_is_not_waited_for(self, mine, kind):
        path = mine / ATTENTION.file
        path.unlink()
        if kind == "large":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero")
        start = time.monotonic()
        assert "next" in works("exercises", "list", "--in", mine).out
        assert minibert("exercises", "check", 1, "--in", mine).code == 1
        assert works("exercises", "reset", 1, "--in", mine)
        assert time.monotonic() - start < NET
        assert path.read_bytes() == (ATTENTION.folder / "stub.py").read_bytes()

    @pytest.mark.parametrize("number", ["9" * 5000, "-1", "1.5", "nan", "\u0663"])
    def test_a_number_that_no_exercise_has_is_refused(self, mine, number):
        result = minibert("exercises", "hint", "--in", mine, "--", number)
        assert (result.code, result.err.count("\n")) == (2, 1)
