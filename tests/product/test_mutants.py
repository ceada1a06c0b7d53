"""`make mutants`: what is changed, what is a survivor, and that it resumes where it was stopped.

The changes and the trials are Cosmic Ray's. Where that is not installed (`make test` does without)
only the settings are looked at here; `make mutants` runs this file first.
"""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "mutants/modules.toml").read_text("utf-8"))
REASONS = tomllib.loads((ROOT / "mutants/survivors.toml").read_text("utf-8"))["survivor"]

CODE = """
from autograd.extend import defvjp, primitive

@primitive
def double(x):
    return x * 2

defvjp(double, lambda ans, x: lambda g: g + g)

def count(n):
    done = 0
    while done < n:
        done += 1
    return done
"""
TESTS = """
from autograd import grad
from toy.code import count, double

def test_double():
    assert double(3.0) == 6.0
    assert grad(double)(3.0) == 2.0

def test_count():
    assert count(3) == 3
"""
PROFILE = """
from hypothesis import settings
settings.register_profile("mutants", max_examples=5)
"""
KEPT = "core/(?!NumberReplacer|RemoveDecorator|ReplaceBinaryOperator_Add_Sub|AddNot)"


@pytest.fixture
def scripts(monkeypatch):
    """mutants/run.py and mutants/report.py, told to try a toy."""
    pytest.importorskip("cosmic_ray", reason="Cosmic Ray is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "mutants"))
    import report
    import run

    config = {"seconds": 2, "shared": ["tests/conftest.py"]}
    config["tests"] = {"toy/code.py": ["tests/test_toy.py"]}
    config["filters"] = {"operators-filter": {"exclude-operators": [KEPT]}}
    monkeypatch.setattr(run, "CONFIG", config)
    monkeypatch.setattr(run, "COPIED", ("toy", "tests/*.py"))
    monkeypatch.setattr(run, "TRIAL", run.TRIAL.replace("ulimit -t 60", "ulimit -t 2"))
    return run, report


@pytest.fixture
def toy(tmp_path):
    """A project."""
    files = {"toy/code.py": CODE, "tests/test_toy.py": TESTS, "tests/conftest.py": PROFILE}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


class TestASession:
    def test_changes_primitives_and_their_gradients_and_tells_who_survived(self, scripts, toy):
        run, report = scripts
        folder = toy / "copies" / "code"
        folder.mkdir(parents=True)
        run.prepare(toy, "toy/code.py", folder)
        run.run([folder], 1)
        count = report.Count.of(folder)
        assert count.survivors == [
            ("(module)", "@primitive", ""),  # autograd has a gradient of its own for it
            ("count", "done = 0", "done = 1"),
            ("count", "done = 0", "done = -1"),
        ]
        # x * 3, x * 1; g - g; not done < n; += 2; and without an end: += 0, -= 1
        assert count.killed == 7
        assert (toy / "toy/code.py").read_text("utf-8") == CODE

    def test_resumes_where_it_was_killed_and_begins_anew_when_a_test_has_changed(
        self, scripts, toy
    ):
        from cosmic_ray.work_item import WorkResult

        run, _ = scripts
        folder = toy / "copies" / "code"
        folder.mkdir(parents=True)
        run.prepare(toy, "toy/code.py", folder)
        assert run.untried(folder) == 10
        with run.use_db(folder / "session.sqlite") as database:
            one = database.pending_work_items[0].job_id
            database.set_result(one, WorkResult("normal", test_outcome="killed"))
        (folder / "toy/code.py").write_text("a mutant", "utf-8")
        run.prepare(toy, "toy/code.py", folder)
        assert run.untried(folder) == 9
        assert (folder / "toy/code.py").read_text("utf-8") == CODE
        (toy / "tests/test_toy.py").write_text(TESTS + "\n", "utf-8")
        run.prepare(toy, "toy/code.py", folder)
        assert run.untried(folder) == 10

    def test_is_not_begun_when_the_tests_fail_without_a_mutant(self, scripts, toy):
        run, _ = scripts
        folder = toy / "copies" / "code"
        folder.mkdir(parents=True)
        (toy / "toy/code.py").write_text(CODE.replace("x * 2", "x * 3"), "utf-8")
        with pytest.raises(SystemExit, match="1 failed"):
            run.prepare(toy, "toy/code.py", folder)
        assert not (folder / "session.sqlite").exists()


SURVIVOR = ("f", "return x + 1", "return x - 1")
REASON = {("a.py", "return x + 1", "return x - 1"): "The same."}


class TestAReport:
    def test_is_good_at_nine_tenths_with_a_reason_for_every_survivor(self, scripts):
        _, report = scripts
        nine = {"a.py": report.Count(9, [SURVIVOR])}
        assert report.complete(nine, REASON)
        assert not report.complete(nine, {})
        assert not report.complete({"a.py": report.Count(8, [SURVIVOR])}, REASON)

    def test_tells_every_survivor_as_a_diff_with_its_reason_or_that_there_is_none(self, scripts):
        _, report = scripts
        counts = {"a.py": report.Count(3, [SURVIVOR])}
        page = report.page(counts, REASON)
        row = ["a.py", "4", "3", "1", "75.0", "%"]
        assert row in [line.replace("|", " ").split() for line in page.splitlines()]
        assert "`f`: The same.\n\n```diff\n- return x + 1\n+ return x - 1\n```" in page
        assert "a gap in the tests" in report.page(counts, {})

    def test_knows_the_lines_of_a_change_over_several_lines(self, scripts):
        _, report = scripts
        diff = "--- a\n+++ b\n@@ -1,4 +1,3 @@\n x\n-    one(\n-    two)\n+    one()\n y\n"
        assert report.lines(diff) == ("one(\ntwo)", "one()")


class TestThisProject:
    @pytest.mark.parametrize("module", CONFIG["tests"])
    def test_has_the_modules_and_tests_that_are_named(self, module):
        assert (ROOT / module).exists()
        for name in (*CONFIG["tests"][module], *CONFIG["shared"]):
            path, *inside = name.split("::")
            text = (ROOT / path).read_text("utf-8")
            assert all(f"class {word}" in text or f"def {word}(" in text for word in inside)

    def test_has_a_short_name_for_each_module(self, scripts):
        run, _ = scripts
        names = [run.short_name(module) for module in CONFIG["tests"]]
        assert len(set(names)) == len(names)
        assert {"ops", "fused", "bottleneck"} < set(names)
        assert "__init__" not in names

    @pytest.mark.parametrize("entry", REASONS, ids=lambda entry: entry["was"][:40])
    def test_gives_reasons_for_lines_that_there_are(self, entry):
        lines = [line.strip() for line in (ROOT / entry["module"]).read_text("utf-8").splitlines()]
        assert entry["was"] in "\n".join(lines)
        assert entry["was"] not in entry["becomes"]
