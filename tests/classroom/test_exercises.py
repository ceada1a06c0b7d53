"""The exercises are sound: every stub fails, every solution passes, and every named wrong solution
fails with a message that points the right way. And what `minibert exercises` does for a student."""

import ast
import difflib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from command_line import ROOT, environment, files, minibert, works
from wrong_solutions import changed, wrong_solutions, wrong_source

from adapters.exercises.catalogue import Exercise, exercise_named, exercises, material
from adapters.exercises.judge import checks, judge, sentence
from minibert.errors import InputError

ALL = exercises()
PLANNED_TUTORIALS = {
    "01_tokens",
    "02_attention",
    "03_layer",
    "04_loading",
    "05_backward",
    "06_adam",
    "07_the_adapter",
    "08_train_a_task",
    "09_size",
    "10_layers",
    "11_initialisation",
    "12_many_tasks",
    "13_extensions",
    "14_questions",
    "15_fast",
    "16_beyond",
}
SECONDS = 300  # generous: the machine may be busy
WRONG = [(e, wrong) for e in ALL for wrong in wrong_solutions(e.folder)]


def each(name: str):
    """One test for each exercise."""
    return pytest.mark.parametrize(name, ALL, ids=lambda exercise: exercise.label)


def asked_for(exercise: Exercise) -> list[str]:
    """The names of the functions that a student writes, in the order of the file."""
    stub = ast.parse((exercise.folder / "stub.py").read_text("utf-8"))
    functions = [node for node in stub.body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if isinstance(node.body[-1], ast.Raise)]


STEPS = [(e, ready) for e in ALL for ready in range(1, len(asked_for(e)))]


def words(text: str) -> str:
    """The text with all white space made alike."""
    return " ".join(text.split())


class TestSoundness:
    @each("exercise")
    def test_a_stub_counts_as_not_written_yet(self, exercise):
        verdict = judge(exercise, exercise.folder / "stub.py", SECONDS)
        assert (verdict.passed, verdict.written, verdict.met) == (False, False, ())
        assert verdict.unwritten in asked_for(exercise)
        assert "NotImplementedError" in verdict.error

    @each("exercise")
    def test_a_solution_meets_every_sentence_of_its_specification(self, exercise):
        verdict = judge(exercise, exercise.folder / "solution.py", SECONDS)
        assert verdict.passed, verdict.error
        assert verdict.met == tuple(sentence(check) for check in checks(exercise))
        assert (verdict.failed, verdict.error, verdict.printed) == ("", "", "")

    @pytest.mark.parametrize(
        "exercise, wrong", WRONG, ids=[f"{e.label}-{wrong.name}" for e, wrong in WRONG]
    )
    def test_a_named_wrong_solution_is_told_what_is_wrong(self, exercise, wrong, tmp_path):
        fragment = words(wrong.says)
        assert len(fragment) >= 5
        (tmp_path / exercise.file).write_text(wrong.source, "utf-8")
        verdict = judge(exercise, tmp_path / exercise.file, SECONDS)
        assert not verdict.passed
        assert verdict.written
        assert fragment in words(verdict.error)

    @pytest.mark.parametrize(
        "exercise, ready", STEPS, ids=lambda step: getattr(step, "label", step)
    )
    def test_a_file_with_some_functions_written_shows_what_holds_and_names_the_next(
        self, exercise, ready, tmp_path
    ):
        source = (exercise.folder / "solution.py").read_text("utf-8")
        later = asked_for(exercise)[ready:]
        for name in later:
            source += f"\n\ndef {name}(*args, **kwargs):\n    raise NotImplementedError\n"
        (tmp_path / exercise.file).write_text(source, "utf-8")
        verdict = judge(exercise, tmp_path / exercise.file, SECONDS)
        assert (verdict.passed, verdict.written, verdict.unwritten) == (False, False, later[0])
        # the stub says that near_identity's first function is checked through the second
        if (exercise.name, ready) != ("near_identity", 1):
            assert verdict.met

    @each("exercise")
    def test_an_exercise_has_at_least_three_different_wrong_solutions(self, exercise):
        sources = [wrong.source for e, wrong in WRONG if e is exercise]
        assert len(set(sources)) == len(sources) >= 3
        assert (exercise.folder / "solution.py").read_text("utf-8") not in sources

    def test_a_wrong_solution_changes_exactly_one_place_for_each_piece_of_text(self):
        pairs = {"says": "", "was": ["a", "b + c"], "becomes": ["x", ""]}
        assert changed("a = b + c", pairs, "here") == "x = "
        for source, count in (("a = c", 0), ("a = b + c + b + c", 2)):
            says = rf"^here: the solution has 'b \+ c' {count} times, but should once$"
            with pytest.raises(ValueError, match=says):
                changed(source, pairs, "here")
        with pytest.raises(ValueError, match="should have says, was and becomes"):
            changed("a", {"was": "a", "becomes": "b"}, "here")
        with pytest.raises(ValueError):  # one list is longer than the other
            changed("a = b + c", {**pairs, "becomes": ["x"]}, "here")


class TestCatalogue:
    def test_exercises_are_numbered_from_1_and_every_folder_is_listed(self):
        assert [exercise.number for exercise in ALL] == list(range(1, len(ALL) + 1))
        tables = tomllib.loads((material() / "info.toml").read_text("utf-8"))["exercise"]
        assert [table["number"] for table in tables] == list(range(1, len(ALL) + 1))
        folders = {path.name for path in material().iterdir() if path.is_dir()}
        assert folders - {"__pycache__"} == {exercise.label for exercise in ALL}
        assert len({exercise.name for exercise in ALL}) == len(ALL)

    @each("exercise")
    def test_the_facts_about_an_exercise_make_sense(self, exercise):
        assert (ROOT / f"tutorials/{exercise.tutorial}.py").exists() or (
            exercise.tutorial in PLANNED_TUTORIALS
        )
        assert 5 <= exercise.minutes <= 90
        assert exercise.difficulty in (1, 2, 3)
        assert len(exercise.hints) == len(set(exercise.hints)) == 3
        for text in (exercise.goal, *exercise.hints):
            assert len(text.split()) >= 5
        assert re.fullmatch(r"[^.]+\.", exercise.goal)  # one sentence

    @each("exercise")
    def test_a_student_writes_at_most_40_lines(self, exercise):
        stub, solution = (
            (exercise.folder / name).read_text("utf-8").splitlines()
            for name in ("stub.py", "solution.py")
        )
        new = [line[2:] for line in difflib.ndiff(stub, solution) if line.startswith("+ ")]
        code = [line for line in new if line.strip() and not line.strip().startswith("#")]
        assert 1 <= len(code) <= 40

    @each("exercise")
    def test_a_specification_is_made_of_sentences(self, exercise):
        """And it does not import the solution to compute what is right."""
        found = checks(exercise)
        assert found
        for check in found:
            assert re.fullmatch(r"\S.{10,}\.", check.__doc__.strip()), check.__name__
        source = (exercise.folder / "check.py").read_text("utf-8")
        imported = re.findall(r"^\s*(?:from|import) ([\w.]+)", source, re.M)
        allowed = {"numpy", "minibert", "adapters", *sys.stdlib_module_names}
        assert {module.split(".")[0] for module in imported} <= allowed
        assert "solution" not in " ".join(imported)

    @pytest.mark.parametrize(
        "word", ["2", "02", "layer_norm", "02_layer_norm", "02_layer_norm.py", "a/02_layer_norm.py"]
    )
    def test_an_exercise_goes_by_its_number_name_or_file(self, word):
        assert exercise_named(word) is ALL[1]

    def test_a_word_that_is_no_exercise_is_refused(self):
        with pytest.raises(InputError, match=rf"99: no such exercise; there are 1 to {len(ALL)}"):
            exercise_named("99")

    def test_a_tutorial_names_its_exercises_and_those_it_recommends(self):
        """By number, in the lines with `minibert exercises check`, its own first."""
        elsewhere = {  # exercises of other tutorials that it announces or comes back to
            "01_tokens": ["attention"],
            "09_size": ["parameter_count"],
            "11_initialisation": ["near_identity"],
            "12_many_tasks": ["trained_or_frozen"],
            "13_extensions": ["lora_merge"],
            "14_questions": ["cross_entropy"],
            "15_fast": ["layer_norm_vjp", "gelu"],
        }
        for path in sorted((ROOT / "tutorials").glob("*.py")):
            lines = re.findall(r"^.*minibert exercises check.*$", path.read_text("utf-8"), re.M)
            named = [exercise_named(n).name for n in re.findall(r"\b\d\d\b", "\n".join(lines))]
            own = [exercise.name for exercise in ALL if exercise.tutorial == path.stem]
            assert named == own + elsewhere.get(path.stem, []), path.name

    def test_exercises_come_in_the_order_of_the_tutorials(self):
        order = [exercise.tutorial for exercise in ALL]
        assert order == sorted(order)

    def test_every_file_of_an_exercise_states_its_number(self):
        """So that someone with two of them open sees which is which."""
        for exercise in ALL:
            for name in ("stub.py", "solution.py", "check.py"):
                text = (exercise.folder / name).read_text("utf-8")
                assert re.findall(r"[Ee]xercise (\d+)", text)[0] == str(exercise.number)

    def test_an_installed_package_contains_the_exercises(self, tmp_path):
        """The wheel has them as adapters/exercises/material (see pyproject.toml)."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
        for package in ("minibert", "adapters"):
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, tmp_path / package, ignore=skip)
        shutil.copytree(material(), tmp_path / carried["tutorials/exercises"])
        lines = (
            "from adapters.exercises.catalogue import exercises, material\n"
            "from adapters.exercises.judge import judge\n"
            "e = exercises()[0]\n"
            "print(material())\n"
            "print(len(exercises()), judge(e, e.folder / 'solution.py').passed)"
        )
        done = subprocess.run(
            [sys.executable, "-c", lines],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            timeout=120,
        )
        assert done.stdout.splitlines() == [
            str(tmp_path / "adapters/exercises/material"),
            f"{len(ALL)} True",
        ], done.stderr

    def test_the_teachers_page_has_the_table_of_exercises(self):
        page = (ROOT / "docs/teaching.md").read_text("utf-8")
        rows = re.findall(r"^\| (\d+ \| .*) \|$", page, re.M)
        assert rows == [
            f"{e.number} | {e.title} | `{e.tutorial}` | {e.minutes} | {e.difficulty} | "
            f"{e.goal[0].lower()}{e.goal[1:]}"
            for e in ALL
        ]
        assert f"Together {sum(e.minutes for e in ALL)} minutes" in page


@pytest.fixture
def mine(tmp_path) -> Path:
    """A student's new folder."""
    folder = tmp_path / "mine"
    works("exercises", "start", folder)
    return folder


def solve(folder: Path, *solved: Exercise) -> None:
    """Copy our solutions into a student's folder."""
    for exercise in solved:
        shutil.copy(exercise.folder / "solution.py", folder / exercise.file)


class TestStart:
    def test_start_copies_every_stub_a_readme_and_a_readable_state(self, mine):
        stubs = {e.file: (e.folder / "stub.py").read_bytes() for e in ALL}
        found = files(mine)
        assert found.keys() == {*stubs, "README.md", ".minibert-exercises"}
        assert stubs.items() <= found.items()
        state = found[".minibert-exercises"].decode()
        assert all(line.startswith("# ") for line in state.splitlines())

    def test_start_never_overwrites_a_file(self, mine):
        (mine / ALL[0].file).write_text("mine", "utf-8")
        (mine / "README.md").write_text("mine, too", "utf-8")
        (mine / ALL[1].file).unlink()
        before = files(mine)
        result = works("exercises", "start", mine)
        assert f"1 file copied to {mine}\n" in result.out
        assert ALL[0].file in result.out
        after = {**before, ALL[1].file: (ALL[1].folder / "stub.py").read_bytes()}
        assert files(mine) == after
        assert "already has them; nothing was changed" in works("exercises", "start", mine).out
        assert files(mine) == after

    def test_start_leaves_a_broken_link_as_it_is(self, mine):
        path = mine / ALL[0].file
        path.unlink()
        path.symlink_to(mine / "on a disk that is not here.py")
        works("exercises", "start", mine)
        assert path.is_symlink()

    def test_start_names_a_file_that_is_in_the_way(self, tmp_path):
        (tmp_path / "file").write_text("", "utf-8")
        result = minibert("exercises", "start", tmp_path / "file")
        assert (result.code, "is a file" in result.err) == (2, True)
        assert minibert("exercises", "start").code == 2


class TestCheck:
    def test_a_wrong_file_is_explained(self, mine):
        """With its path, the sentence that fails, why, and what to do next."""
        (mine / ALL[0].file).write_text(wrong_source(ALL[0].folder, "unscaled"), "utf-8")
        result = minibert("exercises", "check", 1, "--in", mine)
        assert result.code == 1
        rest = result.out
        for text in (
            "Exercise 1",
            str(mine / ALL[0].file),
            "NO   The values",
            "[0, 0]",
            "sqrt(d)",
            "hint 1",
        ):
            _, found, rest = rest.partition(text)  # each after the one before
            assert found == text, result.out

    def test_the_check_of_an_unwritten_file_says_what_to_write(self, mine):
        out = minibert("exercises", "check", 3, "--in", mine).out
        assert "Not written yet: `gelu`. Read the file (and first the tutorial 03_layer)" in out
        assert "  next" not in out
        assert "NO" not in re.findall(r"^  (\w+)", out, re.M)

    def test_the_check_of_a_half_written_file_says_what_holds_and_what_comes_next(self, mine):
        """Without an error, and with the output of the part that is written."""
        path = mine / ALL[2].file
        mine_now = (
            "\ndef gelu(x):\n    print('in gelu')\n"
            "    return (0.5 * x * (1 + erf(x / math.sqrt(2)))).astype(x.dtype)\n"
        )
        path.write_text(path.read_text("utf-8") + mine_now, "utf-8")
        result = minibert("exercises", "check", 3, "--in", mine)
        assert result.code == 1
        assert result.out.partition(f"{path}\n")[2] == (
            "\n"
            "  ok   The function gelu is x Phi(x).\n"
            "  next The slope of gelu is its own derivative.\n"
            "\n"
            "Your code printed:\n"
            # once for each size that the check draws
            "  | in gelu\n  | in gelu\n  | in gelu\n  | in gelu\n"
            "\n"
            "So far, so good. Next comes `gelu_slope`:\n"
            "write it in place of `raise NotImplementedError`, and save.\n"
            f"Stuck? minibert exercises hint 3 --in {mine}\n"
        )

    def test_the_output_of_the_students_code_is_shown(self, mine):
        source = (ALL[0].folder / "solution.py").read_text("utf-8") + "\nprint('q', 1)\n" * 30
        (mine / ALL[0].file).write_text(source, "utf-8")
        result = works("exercises", "check", "--in", mine)
        assert result.out.count("  | q 1\n") == 20
        assert "  | ...\n" in result.out

    def test_a_pass_is_remembered_for_that_version_of_the_file(self, mine):
        solve(mine, ALL[0])
        told = works("exercises", "check", 1, "--in", mine).out
        assert "\nPassed.\n" in told
        assert told.endswith(f"Next: exercise 2, {mine / ALL[1].file}\n")
        listed = works("exercises", "list", "--in", mine).out
        assert re.search(rf"^ 1  {ALL[0].title} +done ", listed, re.M)
        assert re.search(rf"^ 2  {ALL[1].title} +next ", listed, re.M)
        assert f"1 of {len(ALL)}" in listed
        path = mine / ALL[0].file
        path.write_text(path.read_text("utf-8") + "# changed\n", "utf-8")
        assert f"0 of {len(ALL)}" in works("exercises", "list", "--in", mine).out

    def test_a_pass_counts_for_the_version_that_was_read(self, mine):
        """What is saved while the check runs has not been checked."""
        path = mine / ALL[0].file
        saving = f"\nopen({str(path)!r}, 'a').write('# saved meanwhile')\n"
        path.write_text((ALL[0].folder / "solution.py").read_text("utf-8") + saving, "utf-8")
        works("exercises", "check", 1, "--in", mine)
        assert path.read_text("utf-8").endswith("# saved meanwhile")
        assert f"0 of {len(ALL)}" in works("exercises", "list", "--in", mine).out

    def test_a_file_changed_after_it_passed_is_not_done(self, mine):
        solve(mine, *ALL[:3])
        for exercise in ALL[:3]:
            works("exercises", "check", exercise.number, "--in", mine)
        for exercise in (ALL[0], ALL[2]):
            works("exercises", "reset", exercise.number, "--in", mine)
        listed = works("exercises", "list", "--in", mine).out
        for exercise, mark in zip(ALL[:4], ("next", "done", "", ""), strict=True):
            row = rf"^ {exercise.number}  {exercise.title} +{mark} +{exercise.minutes} "
            assert re.search(row, listed, re.M)
        assert f"1 of {len(ALL)}" in listed

    def test_once_stops_at_the_first_that_fails_and_its_exit_code_says_so(self, mine, monkeypatch):
        monkeypatch.setattr("adapters.exercises.watch.exercises", lambda: ALL[:3])
        solve(mine, ALL[0])
        result = minibert("exercises", mine, "--once")
        assert result.code == 1
        assert "[##----]  1 of 3" in result.out
        assert f"Passed: {ALL[0].title}  ({mine / ALL[0].file})\n" in result.out
        assert "Exercise 2" in result.out
        assert str(mine / ALL[1].file) in result.out
        solve(mine, *ALL[:3])
        monkeypatch.chdir(mine)
        result = works("exercises", "--once")
        assert "[######]  3 of 3" in result.out
        assert "All exercises are done" in result.out
        assert "\x1b" not in result.out

    def test_once_ignores_what_is_remembered(self, mine, monkeypatch):
        from adapters.exercises.workbook import digest_file

        versions = "".join(f"passed {e.label} {digest_file(mine / e.file)}\n" for e in ALL)
        (mine / ".minibert-exercises").write_text(versions, "utf-8")
        assert f"{len(ALL)} of {len(ALL)}" in works("exercises", "list", "--in", mine).out
        assert minibert("exercises", "--once", mine).code == 1
        listed = works("exercises", "list", "--in", mine).out
        assert (
            f"{len(ALL) - 1} of {len(ALL)}" in listed
        )  # the failed one is no longer remembered as passed

    def test_a_missing_file_is_named(self, mine):
        (mine / ALL[0].file).unlink()
        result = minibert("exercises", "check", 1, "--in", mine)
        assert result.code == 1
        assert "there is no such file" in result.out


class TestHints:
    def test_the_commands_that_a_check_suggests_work_in_the_current_folder(self, mine, monkeypatch):
        """Copied without change: with --in and quotes where they are needed."""
        odd = mine.rename(mine.with_name("my exercises"))
        for here, folder in ((odd.parent, "my exercises"), (odd, "."), (ROOT, str(odd))):
            monkeypatch.chdir(here)
            out = minibert("exercises", "check", 2, "--in", folder).out
            typed = shlex.split(out.splitlines()[-1].removeprefix("Stuck? "))
            assert ("--in" in typed) == (here != odd)
            assert typed[0] == "minibert"
            assert "Hint " in works(*typed[1:]).out
        first = minibert("exercises", "solution", 4, "--in", odd).out
        typed = shlex.split(first.partition("take a hint: ")[2])
        assert ALL[3].title in works(*typed[1:]).out

    def test_hints_come_one_after_the_other(self, mine):
        for level in (1, 2, 3, 3):
            told = words(works("exercises", "hint", 2, "--in", mine).out)
            assert told.endswith(f"Hint {level} of 3: {words(ALL[1].hints[level - 1])}")
        without = words(works("exercises", "hint", "--in", mine).out)
        assert words(ALL[0].hints[0]) in without  # the current exercise
        state = (mine / ".minibert-exercises").read_text("utf-8")
        assert f"hints {ALL[1].label} 3\n" in state

    def test_the_solution_is_shown_when_asked_for_twice(self, mine):
        text = (ALL[2].folder / "solution.py").read_text("utf-8")
        first = minibert("exercises", "solution", 3, "--in", mine)
        assert first.code == 1
        assert "has not passed yet" in first.out
        assert works("exercises", "solution", 3, "--in", mine).out == text
        assert minibert("exercises", "solution", 2, "--in", mine).code == 1

    def test_the_solution_is_shown_after_passing(self, mine):
        solve(mine, ALL[0])
        works("exercises", "check", 1, "--in", mine)
        text = (ALL[0].folder / "solution.py").read_text("utf-8")
        assert works("exercises", "solution", 1, "--in", mine).out == text

    def test_reset_keeps_each_of_the_students_versions(self, mine):
        path, stub = mine / ALL[0].file, (ALL[0].folder / "stub.py").read_bytes()
        for number in (1, 2, 3):
            path.write_text(f"version {number}", "utf-8")
            result = works("exercises", "reset", 1, "--in", mine)
            assert f"{path}.old{number}" in result.out
            assert path.read_bytes() == stub
        again = works("exercises", "reset", 1, "--in", mine)  # an untouched stub is not kept
        assert again.out == f"{path} is the stub\n"
        assert not Path(f"{path}.old4").exists()
        path.unlink()
        works("exercises", "reset", 1, "--in", mine)
        assert path.read_bytes() == stub
        versions = [Path(f"{path}.old{n}").read_text("utf-8") for n in (1, 2, 3)]
        assert versions == ["version 1", "version 2", "version 3"]


class TestWords:
    @pytest.mark.parametrize(
        "words, says",
        [
            (("list", "--in", "nowhere"), "no exercises were started here"),
            ((".", "--in", "."), "give the folder once"),
            (("nowhere",), "nowhere: neither a folder nor one of watch, start, list, hint"),
            (("..",), "no exercises were started here"),
            (("3",), "3: neither a folder nor one of"),
            (("hint", "1", "."), "for the folder: --in ."),
            ((".", "hint"), "hint comes first: minibert exercises hint --in ."),
            (("hint", "99"), "no such exercise"),
            (("hint", "1", "2"), "give only the exercise's number, without '2'"),
            ((".", "b"), "give only the folder, without 'b'"),
            (("reset",), "needs the exercise's number"),
            (("solution",), "needs the exercise's number"),
            (("grade",), "needs a folder"),
            (("grade", "nowhere"), "there is no such folder"),
            (("list", "--json"), "--json can only be used with grade"),
            (("list", "--once"), "--once cannot be used with list"),
            (("--once", "--seconds", "0"), "--seconds must be more than 0"),
        ],
    )
    def test_words_that_make_no_sense_are_refused_in_one_line(self, mine, monkeypatch, words, says):
        monkeypatch.chdir(mine)
        before = files(mine)
        result = minibert("exercises", *words)
        assert result.code == 2
        assert says in result.err
        assert result.err.count("\n") == 1
        assert files(mine) == before

    def test_a_state_file_that_cannot_be_parsed_is_named_with_the_line(self, mine):
        path = mine / ".minibert-exercises"
        path.write_text("# fine\n\nhints 02_layer_norm many\n", "utf-8")
        result = minibert("exercises", "list", "--in", mine)
        assert result.code == 2
        assert f"{path}, line 3: not understood" in result.err

    def test_other_commands_do_not_import_the_exercises(self):
        lines = (
            "import sys\nfrom adapters.cli import run\nrun(['exercises', '--help'])\n"
            "late = ('adapters.exercises', 'watchfiles')\n"
            "late = [module for module in sys.modules if module.startswith(late)]\n"
            "print('late:', *late)"
        )
        done = subprocess.run(
            [sys.executable, "-c", lines],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "late:"


class Watching:
    """`minibert exercises DIR` in another process, and the lines that it writes."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minibert", "exercises", folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            # A shell ignores Ctrl-C in background jobs, and these tests may run in one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.net = threading.Timer(300, self.process.kill)  # a safety net, not a measurement
        self.net.start()

    def until(self, text: str) -> str:
        """The output from now on, up to the line with this text."""
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if text in line:
                return "".join(seen)
        raise AssertionError(f"ended without {text!r}:\n{''.join(seen)}")

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C. -> (exit code, what it still writes)"""
        self.process.send_signal(signal.SIGINT)
        rest = self.process.communicate()[0]
        self.net.cancel()
        return self.process.returncode, rest


class TestWatch:
    def test_a_file_is_checked_on_save_and_after_a_pass_comes_the_next_until_ctrl_c(self, mine):
        watching = Watching(mine)
        first = watching.until("and save.")
        assert f"0 of {len(ALL)}" in first
        assert str(mine / ALL[0].file) in first
        assert "\x1b" not in first  # no terminal to clear
        (mine / ALL[0].file).write_text(wrong_source(ALL[0].folder, "unscaled"), "utf-8")
        assert "sqrt(d)" in watching.until("A hint: minibert exercises hint 1")
        other = mine / "other"  # as editors save: a new file takes the name
        shutil.copy(ALL[0].folder / "solution.py", other)
        other.replace(mine / ALL[0].file)
        after = watching.until("and save.")
        assert f"1 of {len(ALL)}" in after
        assert "Passed: Attention" in after
        assert str(mine / ALL[1].file) in after
        code, rest = watching.interrupt()
        assert code == 0
        assert "Traceback" not in rest

    def test_a_finished_exercise_that_is_broken_again_is_reported(self, mine):
        solve(mine, ALL[0])
        watching = Watching(mine)
        assert f"1 of {len(ALL)}" in watching.until("and save.")
        (mine / ALL[0].file).write_text(wrong_source(ALL[0].folder, "unscaled"), "utf-8")
        told = watching.until("A hint: minibert exercises hint 1")
        assert f"0 of {len(ALL)}" in told
        assert watching.interrupt()[0] == 0

    def test_files_saved_at_the_same_time_are_all_reported(self, mine, monkeypatch, capsys):
        from adapters.exercises.watch import watch

        def saved_at_once(*args, **kwargs):
            for exercise in ALL[:2]:
                leak = wrong_source(exercise.folder, "float64_leak")
                (mine / exercise.file).write_text(leak, "utf-8")
            yield {"changes": "of both"}

        monkeypatch.setattr("watchfiles.watch", saved_at_once)
        solve(mine, *ALL[:2])
        watch(mine, SECONDS)
        told = capsys.readouterr().out.partition("Not written yet")[2]  # after the first page
        for exercise in ALL[:2]:
            assert f"graded  {mine / exercise.file}" in told

    def test_watching_ends_when_all_exercises_are_done(self, mine):
        from adapters.exercises.workbook import digest_file

        solve(mine, *ALL)
        versions = "".join(f"passed {e.label} {digest_file(mine / e.file)}\n" for e in ALL[:-1])
        (mine / ".minibert-exercises").write_text(versions, "utf-8")
        watching = Watching(mine)
        assert f"{len(ALL)} of {len(ALL)}" in watching.until("All exercises are done")
        watching.process.communicate()
        watching.net.cancel()
        assert watching.process.returncode == 0


def test_grade_prints_one_json_object_for_each_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("adapters.exercises.grade.exercises", lambda: ALL[:2])
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
    solve(tmp_path / "ann", ALL[0])
    result = works("exercises", "grade", tmp_path / "ann", tmp_path / "bob", "--json")
    ann, bob = map(json.loads, result.out.splitlines())
    assert (ann["folder"], ann["passed"], ann["of"]) == (str(tmp_path / "ann"), 1, 2)
    assert (bob["folder"], bob["passed"], bob["of"]) == (str(tmp_path / "bob"), 0, 2)
    table = works("exercises", "grade", tmp_path / "ann").out
    assert re.search(rf"^{ALL[0].label} +passed ", table, re.M)
    assert re.search(rf"^{ALL[1].label} +no .* there is no such file$", table, re.M)
    assert files(tmp_path).keys() == {f"ann/{ALL[0].file}"}  # grading leaves nothing behind
