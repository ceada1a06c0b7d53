"""Hyperparameter search by successive halving: many configurations are begun, few are finished.

Of 12 configurations all are trained for a ninth of their epochs; the best 4 by the dev set go on to
a third, and the best of these to the end (Jamieson & Talwalkar 2016, arXiv 1502.07943, with the
third of Hyperband, Li et al. 2018, arXiv 1603.06560). Each goes on from where it stands, at the
learning rates of its whole run, so that the winner is to the bit what it would be if it had been
trained alone. What frozen layers compute is computed once, for all configurations that freeze them.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from adapters.finetune import prepare, split_options, train_task
from adapters.methods.method import HEAD, Method
from adapters.methods.table import check_method, method_named, top_layers
from adapters.run_folder import describe_method
from adapters.task_file import TaskFile, load_task, save_task
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.data.tasks import Data
from minibert.errors import Diverged, InputError, several
from minibert.files import atomic_write, lock
from minibert.json_files import fitted, read_json
from minibert.training.loop import Report
from minibert.training.schedule import Settings, steps_per_epoch

KEEP = 3  # one in so many goes on
FILE = "search.json"


@dataclass(frozen=True)
class Configuration:
    """One way to train a task."""

    method: Method
    settings: Settings

    @property
    def values(self) -> dict[str, Any]:
        """All that two configurations can differ in, by name, as JSON has it."""
        told: dict[str, Any] = describe_method(self.method) | asdict(self.settings)
        return dict(json.loads(json.dumps(told)))

    def until(self, divisor: int) -> int:
        """How many epochs a 1/divisor of its training is: at least one."""
        return max(1, round(self.settings.epochs / divisor))


@dataclass(frozen=True)
class Tried:
    """How far a configuration has come: the dev metrics of its epochs, the seconds that they took,
    and what happened if it diverged."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    diverged: str = ""

    @property
    def best(self) -> dict[str, float]:
        """The metrics of the best epoch, by the first of them."""
        first = next(iter(self.epochs[0]))
        return max(self.epochs, key=lambda scores: scores[first])

    @property
    def score(self) -> float:
        """The first metric of the best epoch."""
        return next(iter(self.best.values()))


@dataclass(frozen=True)
class Found:
    """A finished search. `tried`: how each of the configurations went; `winner`: the number of the
    one that is best on the dev set; `task`: its task file, which is at `path`."""

    configurations: list[Configuration]
    tried: list[Tried]
    winner: int
    task: TaskFile
    path: Path


@dataclass
class _Record:
    """What a search has done so far, and its file."""

    path: Path
    about: dict[str, Any]
    tried: list[Tried]

    def note(self, number: int, tried: Tried) -> None:
        """Note how a configuration went."""
        self.tried[number] = tried
        self.write()

    def write(self) -> None:
        """Write the file, atomically."""
        told = {"about": self.about, "tried": [asdict(one) for one in self.tried]}
        atomic_write(self.path, json.dumps(told, indent=1) + "\n")


@dataclass(frozen=True)
class _Written:
    """The form of a search's file."""

    about: dict[str, Any]
    tried: list[Tried]


def grid(
    method: Method,
    config: BertConfig,
    settings: Settings,
    rates: Sequence[float] = (),
    sizes: Sequence[int] = (),
    tops: Sequence[int] = (),
) -> list[Configuration]:
    """Every combination of peak learning rates, sizes of the adapters and numbers of top layers.

    By default 12: the settings' rate, 0.3 and 3 times as much; the method's size and a quarter of
    it; the top half of the layers and half of that. What the method does not have is not varied.
    Raises InputError for a value that cannot be. (Six arguments: what is varied, and what around
    it.)
    """
    for values, what in ((rates, "rates"), (sizes, "sizes"), (tops, "top layers")):
        if twice := [value for i, value in enumerate(values) if value in values[:i]]:
            raise InputError(f"{what}: {twice[0]:g} is there twice")
    layers, size = config.num_hidden_layers, method.size
    rates = rates or [float(f"{factor * settings.rate:.2g}") for factor in (0.3, 1, 3)]
    if size is not None:
        sizes = sizes or sorted({max(1, size // 4), size})
    elif sizes:
        raise InputError(f"method {method.name!r} takes no size")
    if method.trained == (HEAD,) and not tops:
        tops = [layers]
    half = max(1, layers // 2)
    tops = tops or sorted({(half + 1) // 2, half})
    sized = [replace(method, size=method_named(method.name, m).size) for m in sizes] or [method]
    methods = [
        one if top == layers else top_layers(one, top, config) for top in tops for one in sized
    ]
    for one in methods:
        check_method(one)
    return [Configuration(one, replace(settings, rate=rate)) for one in methods for rate in rates]


def rungs(count: int, epochs: int, keep: int = KEEP) -> list[tuple[int, int]]:
    """The steps of the ladder: (how many configurations go on, the divisor of the part of their
    epochs that they go on to), the last divisor being 1. Where so few epochs are cut alike, two
    rungs are one.

    >>> rungs(12, 18)
    [(12, 9), (4, 3), (1, 1)]
    """
    counts = [count]
    while counts[-1] > 1:
        counts.append(max(1, counts[-1] // keep))
    divisors = [keep**power for power in reversed(range(len(counts)))]
    distinct = {max(1, round(epochs / divisor)): divisor for divisor in divisors}
    return list(zip(counts, distinct.values(), strict=False))


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
    every configuration does; Interrupted after Ctrl-C, with the state saved. (Twelve arguments:
    four say what is searched, the others are options with defaults.)
    """
    out, ways = Path(out), list(configurations)
    _check(ways, keep)
    of_head, of_run = split_options({**options, "cache": False})
    first = prepare(
        base, data, ways[0].method, ways[0].settings, recipe, max_length, of_head, of_run
    )
    about = {
        **{n: value for n, value in first.identity.items() if n not in ways[0].values},
        "configurations": [way.values for way in ways],
        "keep": keep,
    }
    options.pop("on_encoded", None)  # it has been told
    options |= {"recipe": recipe, "max_length": max_length}
    options["cache"] = out / "states" if cache is True else cache
    ladder = rungs(len(ways), max(way.settings.epochs for way in ways), keep)
    with lock(out / ".lock", f"{out}: another search is using this folder"):
        record = _opened(out / FILE, about, resume)
        steps = _Steps(ways, ladder, len(data.train), record.tried, on_step)

        def go_on(number: int, until: int) -> Tried:
            """Train a configuration up to so many of its epochs."""
            way, tried = ways[number], record.tried[number]
            if tried.diverged or len(tried.epochs) >= until:
                return tried
            started = time.perf_counter()
            try:
                trained = train_task(
                    base,
                    data,
                    way.method,
                    way.settings,
                    out=_folder(out, number),
                    resume=True,
                    pause_after=until,
                    on_report=partial(steps.at, number),
                    **options,
                )
                tried = replace(tried, epochs=trained.epochs)
            except Diverged as error:
                tried = replace(tried, diverged=str(error))
            seconds = tried.seconds + time.perf_counter() - started
            record.note(number, replace(tried, seconds=seconds))
            on_tried(way, record.tried[number])
            return record.tried[number]

        winner = _climb(ways, ladder, go_on)
        task = load_task(_folder(out, winner) / "task.safetensors")
        save_task(out / "task.safetensors", task)
        if cache is True:
            shutil.rmtree(out / "states", ignore_errors=True)
    return Found(ways, record.tried, winner, task, out / "task.safetensors")


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


def _folder(out: Path, number: int) -> Path:
    return out / "runs" / f"{number:02}"


def _check(ways: list[Configuration], keep: int) -> None:
    if not ways:
        raise InputError("a search needs at least one configuration")
    if keep < 2:
        raise InputError(f"keep must be at least 2, not {keep}")
    for number, way in enumerate(ways):
        if way in ways[:number]:
            raise InputError(f"configuration {number} is also number {ways.index(way)}")


def _opened(path: Path, about: Mapping[str, Any], resume: bool) -> _Record:
    """The record of a new search, or of the one to be resumed. Raises InputError for a folder that
    holds a search and is not to be resumed, or holds another."""
    about = dict(json.loads(json.dumps(about)))
    if not path.exists():
        new = _Record(path, about, [Tried()] * len(about["configurations"]))
        new.write()
        return new
    if not resume:
        raise InputError(
            f"{path.parent}: already holds a search; continue it with --resume, or choose another "
            "--out"
        )
    written: _Written = fitted(_Written, read_json(path), f"{path}: is damaged")
    for name, value in about.items():
        if written.about.get(name) != value:
            raise InputError(f"{path}: is of a search with another {name}; resume with the same")
    scores = [epoch for one in written.tried for epoch in one.epochs]
    if len(written.tried) != len(about["configurations"]) or not all(scores):
        raise InputError(f"{path}: is damaged: its runs do not fit its configurations")
    return _Record(path, about, written.tried)
