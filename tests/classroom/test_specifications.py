"""The specifications of the exercises: they draw different sizes, so that whoever writes
math.sqrt(8) for sqrt(d), or np.eye(3) for np.eye(C), is found out by every check; and 118 wrong
ideas all fail, nearly all with a message that points the right way."""

import inspect
import runpy
import tomllib
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from wrong_solutions import changed

from adapters.exercises.catalogue import Exercise, exercise_named, exercises
from adapters.exercises.judge import checks, judge

SECONDS = 300  # generous: the machine may be busy
HERE = Path(__file__).parent
IDEAS = tomllib.loads((HERE / "wrong_ideas.toml").read_text("utf-8"))["idea"]
RIGHT = tomllib.loads((HERE / "right_ideas.toml").read_text("utf-8"))["idea"]

# What has one size only in a check, and why. (exercise, check, argument and its part): the reason
ONE_KEY = "01_attention", "check_one_key_is_all_there_is_to_see"
ONE_SIZE = {
    (*ONE_KEY, "attention(k axis 0)"): "it is about a single key",
    (*ONE_KEY, "attention(v axis 0)"): "it is about a single key",
    (
        "07_adam",
        "check_the_first_step_is_as_long_as_the_rate",
        "adam_step(step)",
    ): "it is about the first step",
    (
        "08_warm_up",
        "check_it_can_do_without_a_warm_up",
        "warm_up_then_decay(warm_up)",
    ): "it is about no warm-up",
    (
        "12_trained_or_frozen",
        "check_the_paper_s_patterns_are_the_paper_s_method",
        "split(len(patterns))",
    ): "the patterns are the student's own",
}


def sizes(value: object, name: str) -> dict[str, float]:
    """The sizes that an argument has, by its name and part: numbers, lengths, axes of arrays."""
    if isinstance(value, np.ndarray):
        return {f"{name} axis {axis}": size for axis, size in enumerate(value.shape)}
    if isinstance(value, int | float):
        return {name: value}
    if isinstance(value, bytes | list):
        return {f"len({name})": len(value)}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return {f"len({name})": len(value)}
        return {
            k: v for key, part in value.items() for k, v in sizes(part, f"{name}.{key}").items()
        }
    return {}


def sizes_drawn(exercise: Exercise, check) -> dict[str, set[float]]:
    """What a check hands to our solution: {"f(argument part)": all the sizes it had}."""
    found: dict[str, set[float]] = defaultdict(set)
    names = runpy.run_path(str(exercise.folder / "solution.py"))

    def recorded(name, function):
        def call(*args):
            given = inspect.signature(function).bind(*args).arguments
            for argument, value in given.items():
                for part, size in sizes(value, argument).items():
                    found[f"{name}({part})"].add(size)
            return function(*args)

        return call

    functions = {n: recorded(n, f) for n, f in names.items() if inspect.isfunction(f)}
    check(SimpleNamespace(**functions))
    return found


SPECIFIED = [(e, check) for e in exercises() for check in checks(e)]


@pytest.mark.parametrize(
    "exercise, check", SPECIFIED, ids=[f"{e.label}-{check.__name__}" for e, check in SPECIFIED]
)
def test_a_check_draws_at_least_two_sizes_of_everything(exercise, check):
    drawn = sizes_drawn(exercise, check)
    one = {part for part, found in drawn.items() if len(found) == 1}
    excused = {p for e, c, p in ONE_SIZE if (e, c) == (exercise.label, check.__name__)}
    assert one == excused


@pytest.mark.parametrize(
    "idea", IDEAS, ids=[f"{i}-{idea['exercise']}-{idea['becomes']}" for i, idea in enumerate(IDEAS)]
)
def test_a_wrong_idea_fails_with_a_message_that_points_the_right_way(idea, tmp_path):
    exercise = exercise_named(str(idea["exercise"]))
    edit = {key: idea[key] for key in ("was", "becomes", "says")}
    solution = (exercise.folder / "solution.py").read_text("utf-8")
    path = tmp_path / exercise.file
    path.write_text(changed(solution, edit, exercise.label), "utf-8")
    verdict = judge(exercise, path, SECONDS)
    assert not verdict.passed
    assert " ".join(idea["says"].split()) in " ".join(verdict.error.split())


def test_there_are_118_different_wrong_ideas_and_at_least_110_are_told_what_is_wrong():
    assert len({(i["exercise"], i["was"], i["becomes"]) for i in IDEAS}) == len(IDEAS) == 118
    assert {idea["exercise"] for idea in IDEAS} == {e.number for e in exercises()}
    assert sum(len(idea["says"].split()) >= 2 for idea in IDEAS) >= 110


@pytest.mark.parametrize(
    "idea", RIGHT, ids=[f"{i}-{idea['exercise']}" for i, idea in enumerate(RIGHT)]
)
def test_a_right_idea_that_is_not_ours_passes(idea, tmp_path):
    exercise = exercise_named(str(idea["exercise"]))
    edit = {"was": idea["was"], "becomes": idea["becomes"], "says": ""}
    solution = (exercise.folder / "solution.py").read_text("utf-8")
    path = tmp_path / exercise.file
    path.write_text(changed(solution, edit, exercise.label), "utf-8")
    verdict = judge(exercise, path, SECONDS)
    assert verdict.passed, verdict.error


def test_every_exercise_has_other_right_solutions():
    assert {idea["exercise"] for idea in RIGHT} == {e.number for e in exercises()}


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.label)
def test_every_exercise_asks_for_a_diagnosis_of_unforeseen_mistakes(exercise):
    """Without `given` there is none."""
    source = (exercise.folder / "check.py").read_text("utf-8")
    assert "given" in source or exercise.name == "trained_or_frozen"  # which has rules of its own
