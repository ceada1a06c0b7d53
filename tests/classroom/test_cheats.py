"""Cheats on the judge: those of tests/faults/cheats.py, and functions that are right except for
what they do to their arguments, or with nan.

More tricks, on the judge's health rather than its verdict, are in test_judge.py.
"""

from pathlib import Path

import pytest
from faults.cheats import CAUGHT, NET, NOT_CAUGHT, outcome

from adapters.exercises.catalogue import exercises
from adapters.exercises.judge import checks, judge, sentence

ALL = exercises()


@pytest.mark.parametrize("name", CAUGHT)
def test_a_cheat_does_not_pass(name):
    assert outcome(name) == ""


def test_there_are_forty_cheats_and_more():
    assert len(CAUGHT) >= 40


@pytest.mark.parametrize("name", NOT_CAUGHT)
def test_the_judge_cannot_tell_whose_a_right_function_is(name):
    assert outcome(name) == ""


# Puts a change of all arguments, or of all numbers that are returned, around each of our functions.
AROUND = """
import copy as _copy, types as _types, numpy as _np
def _every(value, change):
    if isinstance(value, _np.ndarray):
        change(value)
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            _every(part, change)
    return value
def _zero(array):
    array[...] = 0
def _nan(array):
    if array.dtype.kind == "f":
        array[...] = _np.nan
def _around(function):
    def outer(*args, **kwargs):
        {body}
    return outer
_inner = dict(globals())
for _name, _function in [*globals().items()]:
    if getattr(_function, "__globals__", 0) is globals() and not _name.startswith("_"):
        _inner[_name] = _types.FunctionType(
            _function.__code__, _inner, _name, _function.__defaults__, _function.__closure__
        )
        globals()[_name] = _around(_inner[_name])
"""


def around(exercise, body: str) -> bytes:
    """Our solution with this in place of each of its functions, called `function` there."""
    text = (exercise.folder / "solution.py").read_text("utf-8")
    return (text + AROUND.replace("{body}", body)).encode()


TAKES_ARRAYS = [e for e in ALL if "untouched" in (e.folder / "check.py").read_text("utf-8")]
# what is right with zeros for every array, too: no array is given, or its values do not matter
HOLDS_FOR_ZEROS = {
    "check_a_constant_guess_is_worth_nothing",
    "check_spans_are_contiguous_and_sorted",
    "check_the_heat_map_has_each_loss_in_its_place",
}


@pytest.mark.parametrize("exercise", TAKES_ARRAYS, ids=lambda exercise: exercise.label)
def test_a_function_that_spoils_its_arguments_does_not_change_what_is_right(exercise):
    """Neither before it computes, so that it is right for what is left of them, nor afterwards,
    when every check but that of the arguments still holds."""
    zero = "_every((args, kwargs), _zero)"
    before = around(exercise, f"{zero}; return function(*args, **kwargs)")
    met = judge(exercise, Path("x.py"), NET, before, every=True).met
    held = {check.__name__ for check in checks(exercise) if sentence(check) in met}
    assert held <= HOLDS_FOR_ZEROS
    right = "right = _copy.deepcopy(function(*args, **kwargs))"
    after = judge(exercise, Path("x.py"), NET, around(exercise, f"{right}; {zero}; return right"))
    assert not after.passed
    assert "changed its argument" in after.error


RETURNS_ARRAYS = [e for e in TAKES_ARRAYS if e.name not in ("trained_or_frozen", "ablation")]


@pytest.mark.parametrize("exercise", RETURNS_ARRAYS, ids=lambda exercise: exercise.label)
def test_nan_for_every_number_has_no_credit(exercise):
    body = "return _every(_copy.deepcopy(function(*args, **kwargs)), _nan)"
    verdict = judge(exercise, Path("x.py"), NET, around(exercise, body), every=True)
    assert len(verdict.met) <= (exercise.name in ("cross_entropy", "matthews"))  # plain numbers


def test_nan_is_no_truncated_normal_distribution():
    exercise = next(e for e in ALL if e.name == "near_identity")
    body = "return _every(_copy.deepcopy(function(*args, **kwargs)), _nan)"
    verdict = judge(exercise, Path("x.py"), NET, around(exercise, body), every=True)
    assert len(verdict.met) == 1  # that of the bound, which is a number
