"""Successive halving: many configurations begun, the best of them finished, none differing by a bit
from what it would be if it were trained alone.

On the tiny BERT and the toy task of `tests/toy.py`; 44 examples in batches of 16 are 3 steps.
"""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import ON_TINY, SAMPLE, files, minibert, works
from runs import ctrl_c
from toy import ADAPTERS, MAX_LENGTH, SETTINGS, toy_data, train

import adapters.kept_states as kept
import adapters.search.halving as search_module
from adapters import search_task
from adapters.methods.table import METHODS, method_named
from adapters.search.configurations import Configuration, grid, rungs
from adapters.search.halving import Found
from adapters.search.report import described, optimism, search_table
from adapters.task_file import load_task
from minibert.checkpoint import Base
from minibert.errors import Diverged, InputError
from minibert.training.loop import Interrupted

EPOCHS = 9
NINE = replace(SETTINGS, epochs=EPOCHS)
TOP = replace(ADAPTERS, first_layer=1)
# Twelve that learn at different speeds.
WAYS = [
    Configuration(replace(method, size=size), replace(NINE, rate=rate))
    for method in (TOP, ADAPTERS)
    for size in (2, 4)
    for rate in (3e-4, 3e-3, 3e-2)
]
DIVERGING = replace(WAYS[0], settings=replace(NINE, rate=1e30))


def searched(base: Base, out: Path, ways: list[Configuration] = WAYS, **more: Any) -> Found:
    return search_task(base, toy_data(), ways, out, max_length=MAX_LENGTH, **more)


def alone(base: Base, way: Configuration, out: Path | None = None) -> Any:
    return train(base, out, method=way.method, settings=way.settings)


@pytest.fixture(scope="module")
def curves(tiny) -> list[list[float]]:
    """The dev accuracy of every epoch of every configuration, each trained alone."""
    return [[epoch["accuracy"] for epoch in alone(tiny, way).epochs] for way in WAYS]


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> tuple[Found, Path]:
    out = tmp_path_factory.mktemp("search") / "out"
    return searched(tiny, out), out


def without_seconds(folder: Path) -> dict[str, Any]:
    """Every file of a search, with the seconds left out of its record."""
    found: dict[str, Any] = files(folder)
    record = json.loads(found["search.json"])
    for tried in record["tried"]:
        assert tried.pop("seconds") >= 0
    return {**found, "search.json": record}


# ----------------------------------------------------------------------------- the ladder


@pytest.mark.parametrize(
    "count, epochs, until",
    [
        (12, 9, [(12, 1), (4, 3), (1, 9)]),
        (12, 18, [(12, 2), (4, 6), (1, 18)]),
        (12, 10, [(12, 1), (4, 3), (1, 10)]),
        (12, 3, [(12, 1), (4, 3)]),  # a third and a ninth are both one epoch
        (12, 1, [(12, 1)]),
        (27, 27, [(27, 1), (9, 3), (3, 9), (1, 27)]),
        (4, 6, [(4, 2), (1, 6)]),
        (2, 6, [(2, 2), (1, 6)]),
        (1, 6, [(1, 6)]),
    ],
)
def test_a_third_of_the_configurations_goes_on_to_three_times_the_epochs(count, epochs, until):
    way = Configuration(ADAPTERS, replace(SETTINGS, epochs=epochs))
    assert [(n, way.until(divisor)) for n, divisor in rungs(count, epochs)] == until


def test_those_go_on_that_are_best_by_then(finished, curves):
    """The rule by hand, on runs that were trained alone."""
    best = [[max(curve[:n]) for n in (1, 3, 9)] for curve in curves]
    order = sorted(range(12), key=lambda i: -best[i][0])  # sorted() keeps the order of equals
    four = sorted(order[:4], key=lambda i: -best[i][1])
    found, _ = finished
    assert found.winner == four[0]
    expected = [9 if i == four[0] else 3 if i in four else 1 for i in range(12)]
    assert [len(tried.epochs) for tried in found.tried] == expected
    for tried, curve in zip(found.tried, curves, strict=True):
        scores = [epoch["accuracy"] for epoch in tried.epochs]
        assert scores == curve[: len(scores)]
    assert len({tuple(curve[:1]) for curve in curves}) > 2  # there was something to choose


def test_the_winner_is_to_the_bit_what_it_is_if_trained_alone(tiny, finished, tmp_path):
    found, out = finished
    alone(tiny, found.configurations[found.winner], tmp_path)
    own = out / "runs" / f"{found.winner:02}"
    for name in ("task.safetensors", "checkpoint.safetensors", "report.json"):
        assert (own / name).read_bytes() == (tmp_path / name).read_bytes()
    assert (out / "task.safetensors").read_bytes() == (tmp_path / "task.safetensors").read_bytes()
    assert found.path == out / "task.safetensors"
    assert load_task(found.path).results == found.task.results


def test_early_stopping_counts_in_a_search_as_in_a_run(tiny, tmp_path):
    ways = [replace(way, settings=replace(way.settings, stop_after=1)) for way in WAYS[:2]]
    found = searched(tiny, tmp_path, ways)
    winner = ways[found.winner]
    assert found.tried[found.winner].epochs == alone(tiny, winner).epochs


# ----------------------------------------------------------------------------- states


def test_states_are_computed_once_for_all_that_freeze_the_same(tiny, tmp_path, monkeypatch):
    """Half of these freeze one layer; with the head alone, all are frozen."""
    computed: Counter[int] = Counter()
    real = kept.computed_states

    def counted(model: Any, texts: Any, frozen: int, *rest: Any) -> Any:
        computed[frozen] += 1
        return real(model, texts, frozen, *rest)

    monkeypatch.setattr(kept, "computed_states", counted)
    head = Configuration(METHODS["head"], NINE)
    searched(tiny, tmp_path / "out", [*WAYS[::3], head])
    assert computed == {1: 1, 2: 1}
    assert not (tmp_path / "out" / "states").exists()  # they have served
    searched(tiny, tmp_path / "a", WAYS[:1], cache=tmp_path / "kept")
    searched(tiny, tmp_path / "b", WAYS[1:2], cache=tmp_path / "kept")
    assert computed == {1: 2, 2: 1}
    assert len(list((tmp_path / "kept").glob("states-*"))) == 1


# ----------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("step", [1, 38, 70])
def test_a_stopped_search_resumes_to_the_same_bits(tiny, finished, tmp_path, step):
    """After a step of the first run, of one on the second rung, of the last."""

    def stop(done: int, total: int) -> None:
        assert total == 12 * 3 + 4 * 2 * 3 + 6 * 3
        if done == step:
            ctrl_c()

    with pytest.raises(Interrupted):
        searched(tiny, tmp_path, on_step=stop)
    told: list[int] = []
    found = searched(tiny, tmp_path, resume=True, on_step=lambda done, _: told.append(done))
    assert told == list(range(step + 1, 79))  # the steps that were missing, and no others
    assert found.winner == finished[0].winner
    assert without_seconds(tmp_path) == without_seconds(finished[1])


def test_a_finished_search_trains_nothing_when_resumed(tiny, finished):
    before = files(finished[1])
    found = searched(tiny, finished[1], resume=True, on_step=lambda *_: pytest.fail("trained"))
    assert (found.winner, found.tried) == (finished[0].winner, finished[0].tried)
    assert files(finished[1]) == before


def test_a_folder_with_a_search_is_not_used_without_resume(tiny, finished):
    with pytest.raises(InputError) as refused:
        searched(tiny, finished[1])
    assert str(refused.value) == (
        f"{finished[1]}: already holds a search; continue it with --resume, or choose another --out"
    )


@pytest.mark.parametrize(
    "changed, name",
    [
        ({"ways": WAYS[1:]}, "configurations"),
        ({"keep": 2}, "keep"),
        ({"recipe": "released-code"}, "recipe"),
        ({"class_weights": "balanced"}, "class_weights"),
        ({"pooling": "mean"}, "pooling"),
    ],
)
def test_a_search_of_something_else_is_not_resumed(tiny, finished, changed, name):
    before = files(finished[1])
    with pytest.raises(InputError) as refused:
        searched(tiny, finished[1], resume=True, **changed)
    path = finished[1] / "search.json"
    assert (
        str(refused.value) == f"{path}: is of another search: {name} differs; resume with the same"
    )
    assert files(finished[1]) == before


def test_a_search_of_other_data_is_not_resumed(tiny, finished):
    other = toy_data(45)
    with pytest.raises(InputError, match="is of another search: "):
        search_task(tiny, other, WAYS, finished[1], max_length=MAX_LENGTH, resume=True)


def test_a_record_with_other_metrics_is_damaged(tiny, finished, tmp_path):
    shutil.copytree(finished[1], tmp_path / "out")
    path = tmp_path / "out" / "search.json"
    path.write_text(path.read_text("utf-8").replace('"accuracy"', '"recall"', 1), "utf-8")
    with pytest.raises(InputError, match="is damaged: its runs do not fit"):
        searched(tiny, tmp_path / "out", resume=True)


@pytest.mark.parametrize("name", ["task.safetensors", "checkpoint.safetensors", "runs"])
def test_a_folder_of_something_else_is_left_alone(tiny, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"has {name} of something else; choose another --out$"):
        searched(tiny, tmp_path)
    assert [path.read_text() for path in tmp_path.glob("*.s*")] == ["mine"] * (name != "runs")
    assert not (tmp_path / "search.json").exists()


def test_a_folder_states_with_files_of_the_users_own_keeps_them(tiny, tmp_path):
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "alabama.csv").write_text("mine")
    searched(tiny, tmp_path)
    assert files(tmp_path / "states") == {"alabama.csv": b"mine"}


def test_states_that_the_caller_keeps_are_left_even_in_the_searchs_own_folder(tiny, tmp_path):
    searched(tiny, tmp_path, cache=tmp_path / "states")
    assert list((tmp_path / "states").glob("states-*.safetensors"))


def test_a_search_that_fails_before_its_first_step_can_be_begun_again(tiny, tmp_path, monkeypatch):
    def full(*_):
        raise InputError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(kept, "_check_room", full)
        with pytest.raises(InputError, match="the disk is full"):
            searched(tiny, tmp_path)
    assert not (tmp_path / "search.json").exists()
    assert searched(tiny, tmp_path).path.exists()


def test_nothing_is_kept_of_the_states_when_all_diverge(tiny, tmp_path):
    with pytest.raises(Diverged):
        searched(tiny, tmp_path, [DIVERGING])
    assert not (tmp_path / "states").exists()


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"about": {}, "tried": 3}', "nonsense"])
def test_a_damaged_record_is_refused_in_one_line(tiny, tmp_path, data):
    (tmp_path / "search.json").write_text(data)
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'search.json'}: is")):
        searched(tiny, tmp_path, resume=True)


def test_a_search_that_cannot_begin_leaves_nothing(tiny, tmp_path):
    out = tmp_path / "out"
    for wrong in (
        {"class_weights": "odd"},
        {"pooling": "odd"},
        {"ways": []},
        {"keep": 1},
        {"on_report": print},
        {"pause_after": 1},
    ):
        with pytest.raises(InputError):
            searched(tiny, out, **wrong)
    with pytest.raises(InputError, match=r"^configuration 1 is also number 0$"):
        searched(tiny, out, [WAYS[0], WAYS[0]])
    assert not out.exists()


# ----------------------------------------------------------------------------- divergence


def test_a_configuration_that_diverges_is_dropped_and_told(tiny, tmp_path):
    found = searched(tiny, tmp_path, [DIVERGING, *WAYS[:2]])
    assert found.winner != 0
    assert "learning rate 1e+30 diverges" in found.tried[0].diverged
    assert not found.tried[0].epochs
    (row,) = [row for row in search_table(found, 2).splitlines() if "1e+30" in row]
    assert row.split()[:7] == ["1e+30", "2", "1", "0", "of", "9", "diverged"]
    again = searched(tiny, tmp_path, [DIVERGING, *WAYS[:2]], resume=True)
    assert again.tried == found.tried  # nor is it tried again


@pytest.mark.parametrize("until, came", [(3, {1: 8, 3: 3, 9: 1}), (9, {1: 8, 3: 3, 9: 1})])
def test_the_next_best_takes_the_place_of_one_that_diverges_later(
    tiny, finished, tmp_path, monkeypatch, until, came
):
    """On the second rung two of four diverge, and two others come so far; on the last the leader
    does. Resumed, the search knows from the start who will, and changes nothing of it."""
    real, gone = search_module.train_task, []

    def trained(*arguments: Any, pause_after: int, **named: Any) -> Any:
        if pause_after == until and len(gone) < (2 if until == 3 else 1):
            gone.append(named["out"])
            raise Diverged("learning rate diverges")
        return real(*arguments, pause_after=pause_after, **named)

    monkeypatch.setattr(search_module, "train_task", trained)
    found = searched(tiny, tmp_path)
    assert Counter(len(tried.epochs) for tried in found.tried) == came
    diverged = [i for i, tried in enumerate(found.tried) if tried.diverged]
    assert sorted(int(out.name) for out in gone) == diverged
    assert found.winner not in diverged
    if until == 9:
        assert diverged == [finished[0].winner]
    again = searched(tiny, tmp_path, resume=True, on_step=lambda *_: pytest.fail("trained"))
    assert (again.winner, again.tried) == (found.winner, found.tried)


def test_a_search_whose_configurations_all_diverge_is_an_error(tiny, tmp_path):
    ways = [DIVERGING, replace(DIVERGING, method=ADAPTERS)]
    with pytest.raises(Diverged, match=r"^2 configurations, and every one diverges: try"):
        searched(tiny, tmp_path, ways)


# ----------------------------------------------------------------------------- the grid


def config(layers: int) -> Any:
    return SimpleNamespace(num_hidden_layers=layers)


def told_of(ways: list[Configuration], layers: int) -> list[tuple[Any, ...]]:
    return [(w.settings.rate, w.method.size, layers - w.method.first_layer) for w in ways]


def test_the_grid_without_wishes_is_of_twelve():
    for layers, tops in ((6, (2, 3)), (12, (3, 6)), (24, (6, 12))):
        ways = grid(method_named("adapters"), config(layers), SETTINGS)
        rates = (3e-3, 1e-2, 3e-2)
        expected = [(rate, size, top) for top in tops for size in (16, 64) for rate in rates]
        assert told_of(ways, layers) == expected
        assert {way.settings.seed for way in ways} == {SETTINGS.seed}


def test_the_grid_keeps_the_settings_own_rate_to_the_last_digit():
    ways = grid(METHODS["norms"], config(6), replace(SETTINGS, rate=1.2345e-3), tops=[1])
    assert [way.settings.rate for way in ways] == [3.7e-4, 1.2345e-3, 3.7e-3]


def test_the_grid_is_every_combination_of_what_is_wished():
    wishes = {"rates": [1e-3, 5e-3], "sizes": [8], "tops": [6, 1]}
    ways = grid(method_named("adapters", activation="relu"), config(6), SETTINGS, **wishes)
    assert told_of(ways, 6) == [(1e-3, 8, 6), (5e-3, 8, 6), (1e-3, 8, 1), (5e-3, 8, 1)]
    assert {way.method.activation for way in ways} == {"relu"}


@pytest.mark.parametrize(
    "name, expected", [("lora", 12), ("pfeiffer", 12), ("norms", 6), ("full", 6), ("head", 3)]
)
def test_the_grid_does_not_vary_what_a_method_has_not(name, expected):
    ways = grid(METHODS[name], config(12), SETTINGS)
    assert len(ways) == len({str(way) for way in ways}) == expected


@pytest.mark.parametrize(
    "name, wishes, message",
    [
        ("adapters", {"rates": [1e-3, 1e-3]}, "rates: 0.001 is there twice"),
        ("adapters", {"sizes": [8, 8]}, "sizes: 8 is there twice"),
        ("adapters", {"tops": [2, 1, 2]}, "top layers: 2 is there twice"),
        ("adapters", {"rates": [0.0]}, "the learning rate must be positive, not 0.0"),
        ("adapters", {"sizes": [20_000]}, "the size of method 'adapters' must be at most 16,384"),
        ("adapters", {"sizes": [0]}, "adapter size must be at least 1, not 0"),
        ("adapters", {"tops": [7]}, "top layers must be from 1 to 6, not 7"),
        ("norms", {"sizes": [8]}, "method 'norms' takes no size"),
        ("head", {"tops": [2]}, "method 'head' trains no layer"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(name, wishes, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        grid(METHODS[name], config(6), SETTINGS, **wishes)


# ----------------------------------------------------------------------------- what is said


def test_the_table_has_the_winner_first_and_then_who_came_farthest(finished):
    found, _ = finished
    rows = [line.split() for line in search_table(found, 2).splitlines()[2:]]
    came = [int(row[3]) for row in rows]
    assert came == sorted(came, reverse=True)
    assert Counter(came) == {9: 1, 3: 3, 1: 8}
    way = found.configurations[found.winner]
    top = 2 - way.method.first_layer
    assert rows[0][:3] == [f"{way.settings.rate:g}", str(way.method.size), str(top)]
    assert rows[0][6] == f"{100 * found.task.results['accuracy']:.1f}"


def test_configurations_are_told_by_what_they_differ_in(tiny):
    seeds = [replace(WAYS[0], settings=replace(NINE, seed=seed)) for seed in (0, 1)]
    assert described(seeds, 2) == [
        {"rate": "0.01", "m": "2", "top layers": "1", "seed": str(seed)} for seed in (0, 1)
    ]
    lora = [Configuration(METHODS["lora"], NINE)]
    assert described(lora, 2) == [{"rate": "0.01", "r": "8", "top layers": "2"}]
    assert described([Configuration(METHODS["norms"], NINE)], 2) == [
        {"rate": "0.01", "top layers": "2"}
    ]


def test_what_the_winners_score_is_worth_is_said(finished):
    found, out = finished
    score = 100 * found.task.results["accuracy"]
    said = optimism(found, 24)
    assert f"(accuracy {score:.1f}) is optimistic: it is the best of 12" in said
    assert f"minibert evaluate {out / 'task.safetensors'} --data TABLE" in said


# ----------------------------------------------------------------------------- the command line

WORDS = ("--task", "rte", "--sample", "--train-examples", 40, *ON_TINY, "--epochs", 3)
LISTS = ("--rates", "1e-3", "3e-3", "--sizes", 2, 4, "--top-layers", 1)


def test_the_command_finds_draws_and_says(tmp_path):
    out = tmp_path / "out"
    done = works("search", *WORDS, *LISTS, "--out", out)
    assert re.search(r"search +4 configurations: 4 up to epoch 1, 1 up to epoch 3\n", done.out)
    assert re.search(r"rate +0\.001 0\.003\n +m +2 4\n +top layers +1\n", done.out)
    assert "is optimistic: it is the best of 4, chosen by " in done.out
    assert (out / "search.png").read_bytes().startswith(b"\x89PNG")
    lines = done.err.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("rte: rate 0.001, m 2, top layers 1: epoch 1 of 3, best dev accur")
    assert sum("epoch 3 of 3" in line for line in lines) == 1
    scored = works("evaluate", out / "task.safetensors", "--sample", *ON_TINY[:2], "--json")
    kept_score = load_task(out / "task.safetensors").results["accuracy"]
    assert json.loads(scored.out)["accuracy"] == kept_score
    refused = minibert("search", *WORDS, *LISTS, "--out", out)
    assert refused.code == 2
    assert refused.err == (
        f"minibert: error: {out}: already holds a search; continue it with --resume, or choose "
        "another --out\n"
    )
    again = works("search", *WORDS, *LISTS, "--out", out, "--resume")
    assert again.out == done.out
    assert again.err == ""


def test_the_command_is_stopped_and_resumed(tmp_path, monkeypatch):
    import adapters.training_run as training_run

    words, calls, real = ("search", *WORDS, *LISTS), Counter[str](), training_run.fit

    def stopped(*arguments: Any, **named: Any) -> Any:
        calls["runs"] += 1
        if calls["runs"] == 3:
            raise Interrupted("stopped after step 1 of 6")
        return real(*arguments, **named)

    whole = works(*words, "--out", tmp_path / "whole")
    monkeypatch.setattr(training_run, "fit", stopped)
    stop = minibert(*words, "--out", tmp_path / "parts")
    assert stop.code == 130
    assert stop.err.endswith("continue with the same command and --resume\n")
    monkeypatch.undo()
    works(*words, "--out", tmp_path / "parts", "--resume")
    one, two = (without_seconds(tmp_path / name) for name in ("whole", "parts"))
    one.pop("search.png"), two.pop("search.png")  # drawn of the same numbers
    assert one == two
    assert whole.out


def test_a_table_of_ones_own_is_searched_as_it_is_trained(tmp_path):
    table = SAMPLE / "reviews" / "train.tsv"
    words = (
        "--text",
        "sentence",
        "--label",
        "label",
        "--train-examples",
        40,
        *ON_TINY,
        "--epochs",
        1,
    )
    done = works(
        "search", table, *words, "--method", "head", "--rates", "0.1", "1e30", "--out", tmp_path
    )
    assert "2 configurations: 2 up to epoch 1" in done.out
    assert (tmp_path / "task.safetensors").exists()


def test_errors_of_the_command_are_one_line(tmp_path):
    out = ("--out", tmp_path / "out")
    for words, said in (
        (
            (*WORDS, "--rates", "1e30", "--sizes", 2, *out),
            "1 configuration, and every one diverges",
        ),
        ((*WORDS, "--rates", "-1"), "the learning rate must be positive, not -1.0"),
        ((*WORDS, "--rates", "fast"), "argument --rates: invalid float value: 'fast'"),
        ((*WORDS, "--top-layers", 3), "top layers must be from 1 to 2, not 3"),
        ((*WORDS, "--method", "head", "--sizes", 8), "method 'head' takes no size"),
        ((*WORDS, "--method", "odd"), "unknown method 'odd'"),
        ((*WORDS, "--recipe", "odd"), "unknown recipe 'odd'"),
        (("--epochs", 1), "give either --task NAME, or a TABLE of your own"),
    ):
        failed = minibert("search", *words)
        assert failed.code == 2
        assert len(failed.err.splitlines()) <= (2 if "1e30" in words else 1)
        assert said in failed.err
