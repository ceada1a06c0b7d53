"""`make mutants`: what is changed, what counts as a survivor, and that a stopped run is resumed.

Cosmic Ray makes the changes and runs the trials. Where it is not installed (`make test` does not
need it), only the settings are tested here; `make mutants` runs this file first.
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
    """mutants/run.py and mutants/verdicts.py, set up for a toy project."""
    pytest.importorskip("cosmic_ray", reason="Cosmic Ray is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "mutants"))
    import run
    import verdicts

    config = {"seconds": 2, "shared": ["tests/conftest.py"]}
    config["tests"] = {"toy/code.py": ["tests/test_toy.py"]}
    config["filters"] = {"operators-filter": {"exclude-operators": [KEPT]}}
    monkeypatch.setattr(run, "CONFIG", config)
    monkeypatch.setattr(run, "COPIED", ("toy", "tests/*.py"))
    monkeypatch.setattr(run, "TRIAL", run.TRIAL.replace("ulimit -t 60", "ulimit -t 2"))
    return run, verdicts


@pytest.fixture
def toy(tmp_path):
    """A toy project."""
    files = {"toy/code.py": CODE, "tests/test_toy.py": TESTS, "tests/conftest.py": PROFILE}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


class TestASession:
    def test_a_session_changes_primitives_and_gradients_and_reports_the_survivors(
        self, scripts, toy
    ):
        run, verdicts = scripts
        folder = toy / "copies" / "code"
        folder.mkdir(parents=True)
        run.prepare(toy, "toy/code.py", folder)
        run.try_mutants([folder], 1)
        count = verdicts.Count.of(folder)
        assert count.survivors == [
            ("(module)", "@primitive", ""),  # autograd can differentiate it by itself
            ("count", "done = 0", "done = 1"),
            ("count", "done = 0", "done = -1"),
        ]
        # x * 3, x * 1; g - g; not done < n; += 2; and, never ending, += 0 and -= 1
        assert count.killed == 7
        assert (toy / "toy/code.py").read_text("utf-8") == CODE

    def test_a_killed_session_is_resumed_and_a_changed_test_begins_a_new_one(self, scripts, toy):
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

    def test_no_session_begins_if_the_tests_fail_without_a_mutant(self, scripts, toy):
        run, _ = scripts
        folder = toy / "copies" / "code"
        folder.mkdir(parents=True)
        (toy / "toy/code.py").write_text(CODE.replace("x * 2", "x * 3"), "utf-8")
        with pytest.raises(SystemExit, match="1 failed"):
            run.prepare(toy, "toy/code.py", folder)
        assert not (folder / "session.sqlite").exists()


SURVIVOR = ("f", "return x + 1", "return x - 1")
REASON = {("a.py", "return x + 1", "return x - 1"): "The same."}


class TestVerdicts:
    def test_the_tests_are_complete_at_nine_tenths_with_a_reason_for_every_survivor(self, scripts):
        _, verdicts = scripts
        nine = {"a.py": verdicts.Count(9, [SURVIVOR])}
        assert verdicts.complete(nine, REASON)
        assert not verdicts.complete(nine, {})
        assert not verdicts.complete({"a.py": verdicts.Count(8, [SURVIVOR])}, REASON)

    def test_the_page_shows_every_survivor_as_a_diff_with_its_reason_or_the_lack_of_one(
        self, scripts
    ):
        _, verdicts = scripts
        counts = {"a.py": verdicts.Count(3, [SURVIVOR])}
        page = verdicts.page(counts, REASON)
        row = ["a.py", "4", "3", "1", "75.0", "%"]
        assert row in [line.replace("|", " ").split() for line in page.splitlines()]
        assert "`f`: The same.\n\n```diff\n- return x + 1\n+ return x - 1\n```" in page
        assert "a gap in the tests" in verdicts.page(counts, {})

    def test_the_lines_of_a_change_may_be_several(self, scripts):
        _, verdicts = scripts
        diff = "--- a\n+++ b\n@@ -1,4 +1,3 @@\n x\n-    one(\n-    two)\n+    one()\n y\n"
        assert verdicts.lines(diff) == ("one(\ntwo)", "one()")


class TestThisProject:
    @pytest.mark.parametrize("module", CONFIG["tests"])
    def test_the_modules_and_tests_in_the_settings_exist(self, module):
        assert (ROOT / module).exists()
        for name in (*CONFIG["tests"][module], *CONFIG["shared"]):
            path, *inside = name.split("::")
            text = (ROOT / path).read_text("utf-8")
            assert all(f"class {word}" in text or f"def {word}(" in text for word in inside)

    def test_each_module_has_a_short_name_of_its_own(self, scripts):
        run, _ = scripts
        names = [run.short_name(module) for module in CONFIG["tests"]]
        assert len(set(names)) == len(names)
        assert {"ops", "fused", "bottleneck"} < set(names)
        assert "__init__" not in names

    @pytest.mark.parametrize("entry", REASONS, ids=lambda entry: entry["was"][:40])
    def test_the_reasons_are_for_lines_that_exist(self, entry):
        lines = [line.strip() for line in (ROOT / entry["module"]).read_text("utf-8").splitlines()]
        assert entry["was"] in "\n".join(lines)
        assert entry["was"] not in entry["becomes"]
