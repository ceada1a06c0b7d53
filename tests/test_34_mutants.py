"""`make mutants`: what is changed, what a trial finds, and how long a verdict is believed.

The changes themselves are mutmut's. Where that is not installed (`make test` does without), what is
said of them here is skipped; `make mutants` runs this file first.
"""

import json
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "mutants"))

from ledger import Ledger, Mutant, copied, program
from tally import Count, complete, page, read_reasons, survivors, table
from trials import Outcome

CONFIG = tomllib.loads((ROOT / "mutants" / "modules.toml").read_text("utf-8"))
REASONS = read_reasons(ROOT / "mutants" / "survivors.toml")


def changes(text: str) -> set[tuple[str, str]]:
    mutations = pytest.importorskip("mutations", reason="mutmut is not installed")
    return {(m.was, m.becomes) for m in mutations.mutants("a.py", textwrap.dedent(text))}


class TestMutants:
    def test_of_a_line_are_its_operators_and_numbers_one_at_a_time(self):
        assert changes("def f(x):\n    return x + 1\n") == {
            ("return x + 1", "return x - 1"),
            ("return x + 1", "return x + 2"),
        }

    def test_are_also_of_primitives_of_gradients_in_lambdas_and_of_tables(self):
        """What mutmut's own runner would leave alone, and `fused` and `tuning` are made of."""
        text = """
            @primitive
            def double(x):
                return x * 2

            defvjp(double, lambda ans, x: lambda g: g * 2)
            SIZES = {"adapters": 64}
        """
        found = {becomes for _, becomes in changes(text)}
        assert {
            "return x / 2",
            "defvjp(double, lambda ans, x: lambda g: g * 3)",
            'SIZES = {"adapters": 65}',
            'SIZES = {"XXadaptersXX": 64}',
        } <= found

    def test_are_not_of_words_for_the_reader(self):
        text = '''
            """Doc."""
            from a import b
            __all__ = ["f"]

            @c(1)
            def f(x: int | str) -> "T":
                """Doc."""
                return x
        '''
        assert changes(text) == set()

    def test_are_whole_modules_that_differ_in_the_lines_they_name(self):
        mutations = pytest.importorskip("mutations", reason="mutmut is not installed")
        text = "A = 1\n\n\ndef f(x):\n    # why\n    if x:\n        return A\n    return not x\n"
        found = list(mutations.mutants("a.py", text))
        assert len(found) > 2
        for mutant in found:
            assert text.replace(mutant.was, mutant.becomes, 1) == mutant.text
            compile(mutant.text, "a.py", "exec")
        assert {m.place for m in found} == {"A", "f"}

    def test_are_known_by_their_statement_wherever_it_stands(self):
        mutations = pytest.importorskip("mutations", reason="mutmut is not installed")
        one = {m.key for m in mutations.mutants("a.py", "A = 1\nB = 2\n")}
        moved = {m.key for m in mutations.mutants("a.py", "# more\nB = 2\nA = 3\n")}
        elsewhere = {m.key for m in mutations.mutants("b.py", "A = 1\nB = 2\n")}
        assert len(one) == 4  # another number, or None, of each
        assert len(one & moved) == 3  # B's, and that A is None
        assert not one & elsewhere


TESTS = """
import pytest
from toy.code import count, half

def test_half():
    assert half(4) == 2

@pytest.mark.parametrize("n", [3])
def test_count(n):
    assert count(n) == n
"""
PROFILE = """
from hypothesis import settings
settings.register_profile("mutants", max_examples=5)
"""
CODE = """
def half(x):
    return x / 2

def count(n):
    done = 0
    while done < n:
        done += 1
    return done
"""
TRY = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from trials import Trial
copy, code = Path(sys.argv[2]), Path(sys.argv[3]).read_text("utf-8")
steps = {"tests/test_a.py::test_half": 1, "tests/test_a.py": 1}
for was, becomes, hint in json.loads(sys.argv[4]):
    text = code.replace(was, becomes) if was else None
    print(json.dumps(Trial(copy, "toy/code.py", text, steps, hint).outcome()))
"""


class TestTrial:
    @pytest.fixture
    def tried(self, tmp_path):
        """Trials in a process of their own, which has loaded nothing of this project."""
        files = {"toy/code.py": CODE, "tests/test_a.py": TESTS, "tests/conftest.py": PROFILE}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, "utf-8")

        def run(*trials: tuple[str, str, str]) -> list[list]:
            files = [str(ROOT / "mutants"), str(tmp_path), str(tmp_path / "toy/code.py")]
            words = [sys.executable, "-c", TRY, *files, json.dumps(trials)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
            assert (tmp_path / "toy/code.py").read_text("utf-8") == CODE  # nothing was changed
            return [json.loads(line)[:2] for line in done.stdout.splitlines()]

        return run

    def test_names_the_test_that_fails_or_the_step_that_takes_too_long(self, tried):
        half, count = "tests/test_a.py::test_half", "tests/test_a.py::test_count[3]"
        assert tried(
            ("", "", ""),
            ("x / 2", "x / 3", ""),
            ("x / 2", "x * 0.5", ""),  # the same, for a test that does not look closely
            ("done = 0", "done = 1", ""),
            ("done = 0", "done = -1", count),  # still right
            ("done += 1", "done += 0", ""),
            ("done += 1", "done += 2", count),
            ("done += 1", "done += 2", "tests/test_a.py::test_that_is_gone"),
            ("def half", "def quarter", ""),
            ("def half", "def half(", ""),
        ) == [
            ["survived", ""],
            ["killed", half],
            ["survived", ""],
            ["survived", ""],
            ["survived", ""],
            ["timed out", "tests/test_a.py"],
            ["killed", count],
            ["killed", count],
            ["killed", "tests/test_a.py"],
            ["killed", "tests/test_a.py"],
        ]


MUTANT = Mutant("minibert/a.py", "f", "return x + 1", "return x - 1", "", "k1")
OTHER = MUTANT._replace(becomes="return x + 2", key="k2")
KILLED = Outcome("killed", "tests/test_a.py::TestF::test_one[3]", (0.1,))
SURVIVED = Outcome("survived", "", (0.1,))
SUITE = """
HELP = 1
class TestF:
    def test_one(self):
        assert HELP
    def test_two(self):
        assert True  # why
"""


class TestVerdict:
    @pytest.fixture
    def ledger(self, tmp_path):
        """One that knows both mutants, opened again after the tests have been changed."""

        def write(was: str = "", becomes: str = "") -> Ledger:
            program.cache_clear()
            (tmp_path / "tests").mkdir(exist_ok=True)
            (tmp_path / "tests/test_a.py").write_text(SUITE.replace(was, becomes), "utf-8")
            (tmp_path / "tests/conftest.py").write_text("", "utf-8")
            tests = {"minibert/a.py": ["tests/test_a.py"]}
            config = {"shared": ["tests/conftest.py"], "tests": tests}
            return Ledger(tmp_path / "verdicts.jsonl", tmp_path, config)

        first = write()
        first.add(MUTANT, KILLED)
        first.add(OTHER, SURVIVED)
        return write

    @pytest.mark.parametrize(
        "was, becomes, killed, survived",
        [
            ("", "", True, True),
            ("# why", "# because", True, True),  # a comment
            ("assert True", "assert 1", True, False),  # another test
            ("assert HELP", "assert not HELP", False, False),  # the test that killed
            ("HELP = 1", "HELP = 2", False, False),  # what that test uses
        ],
    )
    def test_is_believed_as_long_as_it_would_be_the_same(
        self, ledger, was, becomes, killed, survived
    ):
        now = ledger(was, becomes)
        assert now.verdict(MUTANT) == ("killed" if killed else None)
        assert now.verdict(OTHER) == ("survived" if survived else None)

    def test_of_a_changed_mutant_is_unknown(self, ledger):
        assert ledger().verdict(MUTANT._replace(key="k3")) is None

    def test_that_was_only_half_written_is_left_out_and_the_others_stay(self, ledger):
        path = ledger().path
        path.write_text(path.read_text("utf-8")[:-5], "utf-8")
        ledger().add(MUTANT._replace(key="k3"), SURVIVED)
        now = ledger()
        assert [now.verdict(MUTANT._replace(key=k)) for k in ("k1", "k2", "k3")] == [
            "killed", None, "survived",
        ]  # fmt: skip

    def test_is_asked_first_of_the_test_that_gave_it_last_time(self, ledger):
        now = ledger("assert HELP", "assert not HELP")
        assert (now.killer(MUTANT), now.killer(OTHER)) == (KILLED.by, "")


def test_the_copy_follows_its_source_and_keeps_the_bytecode_of_what_stays(tmp_path):
    root, copy = tmp_path / "root", tmp_path / "copy"
    for name in ("minibert/a.py", "minibert/b.py", "tests/c.py", "runs/d.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, "utf-8")
    copied(root, copy)
    (copy / "minibert/__pycache__").mkdir()
    (copy / "minibert/__pycache__/a.pyc").write_text("kept", "utf-8")
    (root / "minibert/a.py").write_text("new", "utf-8")
    (root / "minibert/b.py").unlink()
    copied(root, copy)
    found = {p.relative_to(copy).as_posix(): p.read_text("utf-8") for p in copy.rglob("*.*")}
    assert found == {
        "minibert/a.py": "new",
        "minibert/__pycache__/a.pyc": "kept",
        "tests/c.py": "tests/c.py",
    }


REASON = {(MUTANT.module, OTHER.was, OTHER.becomes): "The same."}


class TestReport:
    def count(self, *verdicts: str | None) -> dict[str, Count]:
        return {MUTANT.module: Count.of([(OTHER, verdict) for verdict in verdicts])}

    def test_counts_an_endless_loop_as_noticed_and_leaves_out_what_was_not_tried(self):
        counts = self.count("killed", "killed", "timed out", "survived", None)
        assert table(counts).split()[-7:] == ["5", "2", "1", "1", "1", "75.0", "%"]

    def test_is_good_at_nine_tenths_with_a_reason_for_every_survivor(self):
        nine = self.count(*["killed"] * 9, "survived")
        assert complete(nine, REASON)
        assert not complete(nine, {})
        assert not complete(self.count(*["killed"] * 8, "survived"), REASON)
        assert not complete(self.count(*["killed"] * 9, None), REASON)

    def test_tells_every_survivor_as_a_diff_with_its_reason_or_that_there_is_none(self):
        counts = self.count("survived")
        for write in (survivors, page):
            diff = "- return x + 1\n+ return x + 2\n"
            assert diff in write(counts, REASON)
            assert "The same." in write(counts, REASON)
            assert "No reason is" in write(counts, {}).replace("NO REASON IS", "No reason is")


class TestThisProject:
    @pytest.mark.parametrize("module", CONFIG["tests"])
    def test_has_the_modules_and_tests_that_are_named(self, module):
        assert (ROOT / module).exists()
        for name in (*CONFIG["tests"][module], *CONFIG["shared"]):
            path, *inside = name.split("::")
            text = (ROOT / path).read_text("utf-8")
            assert all(f"class {word}" in text or f"def {word}(" in text for word in inside)

    def test_has_a_command_that_sets_itself_up_and_writes_nothing_that_git_keeps(self):
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert re.search(r"^mutants: \$\(VENV\)/installed-mutants$", makefile, re.M)
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        needed = extras["optional-dependencies"]["mutants"]
        assert any(re.fullmatch(r"mutmut==[\d.]+", name) for name in needed)  # it names the mutants
        assert ".mutants/" in (ROOT / ".gitignore").read_text("utf-8").split("\n")

    def test_gives_reasons_for_mutants_that_there_are(self):
        mutations = pytest.importorskip("mutations", reason="mutmut is not installed")
        for module in {module for module, _, _ in REASONS}:
            text = (ROOT / module).read_text("utf-8")
            found = {(m.module, m.was, m.becomes) for m in mutations.mutants(module, text)}
            assert {reason for reason in REASONS if reason[0] == module} <= found
