"""The bar of a sweep: what it counts, and when all will have ended.

The clock is the test's own. A unit of cost is an estimated token.
"""

import io
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sweep_work import execute, note, work

from adapters.reproduce.plans.budgets import BUDGETS
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.sweep.cost import estimated_tokens
from adapters.reproduce.sweep.run_sweep import run_sweep
from adapters.reproduce.sweep.runs_file import run_key
from adapters.reproduce.sweep.sweep_bar import SweepBar, new_bar
from adapters.reproduce.sweep.workers import Workers

PLAN = Plan(BUDGETS["full"], "minilm", "0" * 64, 6, 3, ("rte",))
FIRST, SECOND, THIRD = (PLAN.classify("rte", ADAPTERS, 1e-3, n) for n in (1, 2, 3))
COST = {run_key(config): estimated_tokens(config) for config in (FIRST, SECOND, THIRD)}
KEYS = list(COST)


class Screen(io.StringIO):
    """Where a bar is drawn anew over itself, as on a terminal."""

    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        return self.getvalue().rsplit("\r", 1)[-1]


class Sweep:
    """A sweep's bar on a screen, by a clock that stands still."""

    def __init__(self, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stderr", screen)
        self.now, self.screen = 1000.0, screen
        self.tqdm = new_bar()
        self.bar = SweepBar(self.tqdm, lambda: self.now)

    def text(self) -> str:
        return str(self.tqdm.postfix)


@pytest.fixture
def sweep(monkeypatch) -> Iterator[Sweep]:
    made = Sweep(Screen(), monkeypatch)
    with closing(made.tqdm):
        yield made


def test_what_other_sweeps_have_computed_says_nothing_about_the_speed_here(sweep):
    sweep.bar.expect({KEYS[0]: FIRST, KEYS[1]: SECOND}, [SECOND], {KEYS[0]: {}})
    assert (sweep.tqdm.n, sweep.tqdm.initial) == (COST[KEYS[0]], COST[KEYS[0]])
    assert sweep.tqdm.total == COST[KEYS[0]] + COST[KEYS[1]]
    sweep.bar(None, 1, 0)
    assert sweep.text() == "ETA ?, 1 done, 1 running, 0 left"
    sweep.now += 60
    sweep.bar(SECOND, 0, 0)
    assert sweep.text() == "ETA 00:00, 2 done, 0 running, 0 left"
    known = {KEYS[0]: FIRST, KEYS[1]: SECOND, KEYS[2]: THIRD}
    sweep.bar.expect(known, [THIRD], {KEYS[0]: {}, KEYS[1]: {}})
    assert sweep.tqdm.n - sweep.tqdm.initial == pytest.approx(COST[KEYS[1]])
    assert sweep.tqdm.total == sum(COST.values())
    sweep.bar(None, 1, 0)
    seconds = 60 * COST[KEYS[2]] / COST[KEYS[1]]  # about 1.5 times the second's minute
    assert sweep.text() == f"ETA 01:{int(seconds) - 60}, 2 done, 1 running, 0 left"


def test_runs_that_wait_for_a_choice_are_counted(sweep):
    sweep.bar.expect({KEYS[0]: FIRST, KEYS[1]: SECOND}, [FIRST], {})
    assert sweep.text() == "ETA ?, 0 done, 0 running, 2 left"
    sweep.bar(None, 1, 0)
    assert sweep.text() == "ETA ?, 0 done, 1 running, 1 left"
    assert sweep.tqdm.total == COST[KEYS[0]] + COST[KEYS[1]]


def test_the_eta_is_counted_down_while_no_run_ends(sweep):
    """It does not grow with every second; where the last run takes longer, it is not known."""
    sweep.bar.expect({KEYS[0]: FIRST, KEYS[1]: FIRST}, [FIRST, FIRST], {})
    sweep.bar(None, 2, 0)
    sweep.now += 3600
    sweep.bar(FIRST, 1, 0)
    for waited, shown in (0, "1:00:00"), (60, "59:00"), (3480, "01:00"), (60, "00:00"), (1, "?"):
        sweep.now += waited
        sweep.bar.tick()
        assert sweep.text() == f"ETA {shown}, 1 done, 1 running, 0 left"
        assert sweep.text() in sweep.screen.last()


def test_a_file_does_not_grow_while_no_run_ends(monkeypatch):
    sweep = Sweep(io.StringIO(), monkeypatch)
    with closing(sweep.tqdm):
        sweep.bar.expect({KEYS[0]: FIRST}, [FIRST], {})
        sweep.bar(None, 1, 0)
        before = sweep.screen.getvalue()
        sweep.bar.tick()
        assert sweep.screen.getvalue() == before
        assert "ETA ?, 0 done, 1 running, 0 left" in before


def test_a_terminal_without_columns_is_drawn_on(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((0, 0)))
    screen = Screen()
    sweep = Sweep(screen, monkeypatch)
    with closing(sweep.tqdm):
        sweep.bar.expect({KEYS[0]: FIRST}, [FIRST], {})
        sweep.bar(None, 1, 0)
        assert "ETA ?, 0 done, 1 running, 0 left" in screen.last()


@pytest.mark.parametrize("wanted", [1, 2])
def test_a_sweep_ticks_until_its_runs_end(tmp_path: Path, monkeypatch, wanted: int):
    """The first run waits for what is noted at the second tick."""
    monkeypatch.setattr("adapters.reproduce.sweep.run_sweep.TICK", 0.05)
    ticks: list[Any] = []

    def on_tick() -> None:
        ticks.append(None)
        if len(ticks) == 2:
            note(tmp_path, "second", "tick")

    configs = [work("a", ("second", "tick")), work("b")][:wanted]
    runs = run_sweep(configs, execute, tmp_path, Workers(), on_tick=on_tick)
    assert len(runs) == wanted
    assert len(ticks) >= 2
