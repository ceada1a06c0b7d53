"""Hyperparameter search by successive halving: many configurations are begun, few are finished.

Of 12 configurations all are trained for a ninth of their epochs; the best 4 by the dev set go on to
a third, and the best of these to the end (Jamieson & Talwalkar 2016, arXiv 1502.07943, with the
third of Hyperband, Li et al. 2018, arXiv 1603.06560). Each goes on from where it stands, at the
learning rates of its whole run, so that the winner is to the bit what it would be if it had been
trained alone. What frozen layers compute is computed once, for all configurations that freeze them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from adapters.finetune import prepare, split_options, train_task
from adapters.kept_states import forget_states
from adapters.search.configurations import KEEP, Configuration, rungs
from adapters.search.record import FILE, RUNS, Tried, opened, run_folder
from adapters.task_file import TaskFile, load_task, save_task
from minibert.checkpoint import Base
from minibert.data.tasks import Data
from minibert.errors import Diverged, InputError, several
from minibert.files import lock
from minibert.training.loop import Report
from minibert.training.schedule import steps_per_epoch

STATES = "states"  # the folder of kept states, unless another is given


@dataclass(frozen=True)
class Found:
    """A finished search. `tried`: how each of the configurations went; `winner`: the number of the
    one that is best on the dev set; `task`: its task file, which is at `path`."""

    configurations: list[Configuration]
    tried: list[Tried]
    winner: int
    task: TaskFile
    path: Path


def search_task(
    base: Base,
    data: Data,
    configurations: Sequence[Configuration],
    out: Path | str,
    *,
    recipe: str = "paper",
    max_length: int = 128,
    resume: bool = False,
    keep: int = KEEP,
    cache: bool | Path | str = True,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    on_tried: Callable[[Configuration, Tried], None] = lambda configuration, tried: None,
    **options: Any,
) -> Found:
    """Find the best of the configurations of one task, by its dev set.

    recipe, max_length and `options` are those of `train_task`: pooling, class_weights, threads,
    on_cache, on_encoded. The folder `out` holds

        task.safetensors    the winner's task
        search.json         how every configuration went
        runs/00, 01, ...    each configuration's own run, as far as it went

    and can be resumed from. keep: one in so many goes on. cache: where the states of frozen layers
    are kept, as for `RunOptions`; True is a folder in `out`, removed at the end.
    on_step(steps done, about all) is called after every step, on_tried(configuration, tried)
    whenever one has gone on.

    The winner's dev score is optimistic: it is the best of several on these very examples. Raises
    InputError for configurations that cannot be, or a folder that holds another search; Diverged if
    every configuration does; Interrupted after Ctrl-C, with the state saved. (Many arguments: four
    say what is searched, the others are options with defaults.)
    """
    out, ways = Path(out), list(configurations)
    _check(ways, keep)
    if own := {"on_report", "pause_after"} & options.keys():
        raise InputError(f"{min(own)} is the search's own; it has on_step and on_tried instead")
    of_head, of_run = split_options({**options, "cache": False})
    first = prepare(
        base, data, ways[0].method, ways[0].settings, recipe, max_length, of_head, of_run
    )
    about = {
        **{n: v for n, v in first.identity.items() if n not in (*ways[0].values, "cached")},
        "configurations": [way.values for way in ways],
        "keep": keep,
    }
    options.pop("on_encoded", None)  # it has been told
    options |= {"recipe": recipe, "max_length": max_length}
    options["cache"] = out / STATES if cache is True else cache
    ladder = rungs(len(ways), max(way.settings.epochs for way in ways), keep)
    with lock(out / ".lock", f"{out}: another search is using this folder"):
        record = opened(out / FILE, about, first.metrics, resume)
        steps = _Steps(ways, ladder, len(data.train), record.tried, on_step)

        def go_on(number: int, until: int) -> Tried:
            """Train a configuration up to so many of its epochs, if it is not there yet."""
            way, tried = ways[number], record.tried[number]
            if tried.diverged or len(tried.epochs) >= until:
                return tried
            folder, on_report = run_folder(out, number), partial(steps.at, number)
            tried = _gone_on(base, data, way, tried, until, folder, on_report=on_report, **options)
            record.note(number, tried)
            on_tried(way, tried)
            return tried

        def forget() -> None:
            """Remove the kept states, unless they are the caller's."""
            if cache is True:
                forget_states(out / STATES)

        try:
            winner = _climb(ways, ladder, go_on)
        except Diverged:
            forget()
            raise
        except InputError:
            if not (out / RUNS).exists():  # nothing has begun
                record.path.unlink()
            raise
        task = load_task(run_folder(out, winner) / "task.safetensors")
        save_task(out / "task.safetensors", task)
        forget()
    return Found(ways, record.tried, winner, task, out / "task.safetensors")


def _gone_on(
    base: Base,
    data: Data,
    way: Configuration,
    tried: Tried,
    until: int,
    folder: Path,
    **options: Any,
) -> Tried:
    """A configuration that was `tried` so far, trained up to so many of its epochs or until it
    diverges. `options`: as for `train_task`."""
    started = time.perf_counter()
    try:
        trained = train_task(
            base,
            data,
            way.method,
            way.settings,
            out=folder,
            resume=True,
            pause_after=until,
            **options,
        )
        tried = replace(tried, epochs=trained.epochs)
    except Diverged as error:
        tried = replace(tried, diverged=str(error))
    return replace(tried, seconds=tried.seconds + time.perf_counter() - started)


def _climb(
    ways: list[Configuration], ladder: list[tuple[int, int]], go_on: Callable[[int, int], Tried]
) -> int:
    """The number of the configuration that is best at the end. Where one diverges, the next best
    takes its place; of equal ones the first goes on."""
    ranking = list(range(len(ways)))
    for count, divisor in ladder:
        scores: dict[int, float] = {}
        for number in list(ranking):
            if len(scores) == count:
                break
            until = ways[number].until(divisor)
            tried = go_on(number, until)
            # a search that is resumed may know what comes after this rung, divergence too
            if tried.diverged and len(tried.epochs) < until:
                ranking.remove(number)
            else:
                scores[number] = replace(tried, epochs=tried.epochs[:until]).score
        best_first = sorted(scores, key=lambda number: -scores[number])
        ranking = best_first + [number for number in ranking if number not in scores]
    if not ranking:
        all_of_them = several(len(ways), "configuration")
        raise Diverged(f"{all_of_them}, and every one diverges: try lower learning rates")
    return ranking[0]


class _Steps:
    """Counts the steps of all configurations: on_step(done, total)."""

    def __init__(
        self,
        ways: list[Configuration],
        ladder: list[tuple[int, int]],
        examples: int,
        tried: list[Tried],
        on_step: Callable[[int, int], None],
    ) -> None:
        per_epoch = [steps_per_epoch(way.settings, examples) for way in ways]
        self.done = [len(one.epochs) * n for one, n in zip(tried, per_epoch, strict=True)]
        self.total, before, self.on_step = 0.0, [0] * len(ways), on_step
        for count, divisor in ladder:  # who goes on is not known yet: the mean of all
            until = [way.until(divisor) * n for way, n in zip(ways, per_epoch, strict=True)]
            self.total += count * (sum(until) - sum(before)) / len(ways)
            before = until

    def at(self, number: int, report: Report) -> None:
        """A configuration has made a step."""
        self.done[number] = report.step
        total = round(self.total)
        self.on_step(min(sum(self.done), total), total)


def _check(ways: list[Configuration], keep: int) -> None:
    if not ways:
        raise InputError("a search needs at least one configuration")
    if keep < 2:
        raise InputError(f"keep must be at least 2, not {keep}")
    for number, way in enumerate(ways):
        if way in ways[:number]:
            raise InputError(f"configuration {number} is also number {ways.index(way)}")
