"""Every option of every command with values that nobody means: exit code 2 and one line, before
anything is computed or written."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import TINY, minibert, works
from faults.odd_words import LINES, NUMBER, WHOLE, options_of

from adapters.methods.table import method_named
from minibert.errors import InputError, check_at_most, shown, visible
from minibert.machine.threads import thread_count
from minibert.training.schedule import Settings, schedule


def numeric() -> Iterator[tuple[str, str, str]]:
    """(command, option, value)"""
    for name in LINES:
        for option in options_of(name):
            values = {int: WHOLE, float: NUMBER}.get(option.type, [])
            yield from ((name, option.option_strings[0], value) for value in values)


def empty() -> Iterator[tuple[str, str]]:
    """(command, option) of all options that take text."""
    for name in LINES:
        for option in options_of(name):
            if option.type in (None, Path):
                yield name, option.option_strings[0]


@pytest.fixture(scope="module")
def task_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    quick = ("--method", "head", "--epochs", 1, "--train-examples", 8)
    works("train", *LINES["train"][:-2], *quick, "--out", folder)
    return folder / "task.safetensors"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(*words: object) -> str:
    result = minibert(*words)
    assert (result.code, result.out) == (2, ""), (words, result)
    assert result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    assert len(result.err) < 600
    assert not list(Path().iterdir())
    return result.err


@pytest.mark.parametrize("name", LINES)
def test_every_number_is_refused_that_is_not_finite_or_out_of_range(name, task_file):
    tried = [case for case in numeric() if case[0] == name]
    for _, option, value in tried:
        words = [task_file if word == "TASK" else word for word in LINES[name]]
        before = [word for word in words if word != option]
        if option == "--max-length":
            before = [word for word in before if word != 16]
        values = (f"{option}={value}",) if option != "--layers" else (option, value, 1)
        refused(name, *before, *values)
    assert tried or name in ("fetch", "demo")


@pytest.mark.parametrize("name, option", [*empty()])
def test_no_option_is_empty(name, option, task_file):
    words = [task_file if word == "TASK" else word for word in LINES[name]]
    error = refused(name, *words, f"{option}=")
    assert f"argument {option}" in error
    assert "must not be empty" in error or "invalid choice" in error or "expected 2" in error


@pytest.mark.parametrize("name", ["fetch", "info", "evaluate", "predict"])
def test_no_name_or_file_is_empty(name):
    assert "must not be empty" in refused(name, "")


def test_a_text_may_be_empty(task_file):
    assert works("predict", task_file, "--base", TINY, "--pair", "", "").out
    assert works("embed", "", "--base", TINY).out


class TestNamesAndPaths:
    def test_of_a_home_that_is_not_known_are_one_line(self):
        assert "~nobody-here/x" in refused("info", "~nobody-here/x")
        line = ("--task", "rte", "--sample", "--base", "~nobody-here/x")
        assert "~nobody-here/x" in refused("train", *line)

    def test_of_the_label_that_is_also_the_text_are_one_line(self, tmp_path_factory):
        table = tmp_path_factory.mktemp("table") / "in.csv"
        table.write_text("text,label\na,x\nb,y\n")
        error = refused("train", table, "--base", TINY, "--label", "text")
        assert "column 'text' cannot be both text and label" in error

    def test_of_impossible_lengths_are_one_line(self, task_file):
        long = "x" * 5000
        for words in (
            ("info", long),
            ("fetch", f"a/{long}"),
            ("train", "--task", long),
            ("train", long),
            ("train", "--task", "rte", "--sample", "--base", long),
            ("predict", long, "a"),
            ("predict", task_file, "--base", TINY, "--input", long),
            ("predict", task_file, "--base", TINY, "--pair", "a", "b", "--output", long),
            ("evaluate", task_file, "--base", TINY, "--data", long),
            ("exercises", "--in", long, "list"),
        ):
            result = minibert(*words)
            assert result.code == 2, (words[0], result)
            assert result.err.count("\n") == 1
            assert not list(Path().iterdir())


class TestInPython:
    @pytest.mark.parametrize(
        "change",
        [
            {"epochs": 10**12},
            {"batch_size": 10**12},
            {"seed": 2**63},
            {"rate": 1e308},
            {"stop_after": -(10**5000)},
            {"epochs": -(10**5000)},
        ],
    )
    def test_settings_out_of_range_are_refused(self, change):
        with pytest.raises(InputError, match=r"must (be at|not be)"):
            Settings(**change)

    def test_so_are_threads_and_adapters(self):
        with pytest.raises(InputError, match=r"^threads must be at most 4,096, not 1000000"):
            thread_count(10**20)
        for method, size in (("adapters", 10**9), ("lora", 10**9), ("pfeiffer", 10**9)):
            with pytest.raises(InputError, match=f"size of method '{method}' must be at most"):
                method_named(method, size)

    def test_a_schedule_begins_anywhere_without_drawing_what_comes_before(self):
        settings = Settings(epochs=100_000, batch_size=4)
        assert next(schedule(settings, 10, 3 * 99_999)).number == 3 * 99_999
        few = Settings(epochs=3, batch_size=4)
        steps = list(schedule(few, 10))
        for done in range(10):
            rest = list(schedule(few, 10, done))
            assert [step.number for step in rest] == [*range(done, 9)]
            for one, two in zip(rest, steps[done:], strict=True):
                assert (one.epoch, one.rate) == (two.epoch, two.rate)
                assert one.batch.tolist() == two.batch.tolist()

    def test_nan_is_not_at_most_anything(self):
        with pytest.raises(InputError, match="x must be at most 1, not nan"):
            check_at_most("x", math.nan, 1)

    def test_a_number_of_thousands_of_digits_can_be_named(self):
        assert shown(10**5000) == "a number of thousands of digits"
        assert visible("a\x1b[2Jb\u202ec\x9b\r\n") == "a\\x1b[2Jb\\u202ec\\x9b\\r\\n"
