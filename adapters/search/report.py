"""A search for people to read: its table, its picture, and what its best score is worth."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.methods.method import SIZE_SYMBOLS
from adapters.pictures import tidy_counted, write_figure
from adapters.search.configurations import Configuration
from adapters.search.halving import Found
from adapters.search.record import Tried
from adapters.show import metric_name, metrics_text, table
from minibert.data.tasks import Task
from minibert.errors import drawn, several

FIRST = ("rate", "size", "top_layers")  # always told, if there is any


def described(configurations: Sequence[Configuration], layers: int) -> list[dict[str, str]]:
    """What tells the configurations apart, by name: learning rate, size, top layers, and what else
    they differ in. `layers`: of the base."""
    told: list[dict[str, Any]] = []
    for one in configurations:
        values = one.values
        first = values.pop("first_layer")
        told.append({**values, "top_layers": layers - first})
    names = [*FIRST, *sorted(told[0].keys() - {*FIRST, "first_layer"})]
    varied = [
        n
        for n in names
        if (n in FIRST and told[0][n] is not None) or any(one[n] != told[0][n] for one in told)
    ]
    size = SIZE_SYMBOLS.get(configurations[0].method.name, "m")
    titles = {n: size if n == "size" else n.replace("_", " ") for n in varied}
    return [
        {titles[n]: f"{one[n]:g}" if isinstance(one[n], float) else str(one[n]) for n in varied}
        for one in told
    ]


def tried_line(name: dict[str, str], way: Configuration, tried: Tried, task: Task) -> str:
    """How a configuration, described so, went."""
    words = ", ".join(f"{what} {value}" for what, value in name.items())
    if tried.diverged:
        return f"{words}: diverged"
    scores = metrics_text(tried.best, task)
    return f"{words}: epoch {len(tried.epochs)} of {way.settings.epochs}, best dev {scores}"


def search_table(found: Found, layers: int) -> str:
    """All configurations, the winner first, then those that came farthest, by their scores."""
    names, rows = described(found.configurations, layers), []
    for number in _in_order(found):
        way, tried = found.configurations[number], found.tried[number]
        score = f"{100 * tried.score:.1f}" if tried.epochs else "-"
        rows.append(
            (
                *names[number].values(),
                f"{len(tried.epochs)} of {way.settings.epochs}",
                "diverged" if tried.diverged else score,
                f"{tried.seconds:.1f}",
            )
        )
    metric = metric_name(found.task.task.metrics[0], found.task.task)
    return table(rows, (*names[0], "epochs", f"best dev {metric}", "seconds"))


def _in_order(found: Found) -> list[int]:
    def place(number: int) -> tuple[bool, bool, int, float]:
        tried = found.tried[number]
        score = tried.score if tried.epochs else 0.0
        return (number != found.winner, bool(tried.diverged), -len(tried.epochs), -score)

    return sorted(range(len(found.tried)), key=place)


def optimism(found: Found, dev_examples: int) -> str:
    """What the winner's score is worth."""
    count = len(found.tried)
    score = metrics_text(found.tried[found.winner].best, found.task.task)
    if count == 1:
        return f"one configuration, nothing to choose from: dev {score}"
    return (
        f"The winner's dev score ({score}) is optimistic: it is the best of {count}, chosen by "
        f"{several(dev_examples, 'dev example')} that it is now measured on. What it scores on "
        f"others: minibert evaluate {shlex.quote(str(found.path))} --data TABLE"
    )


def search_picture(path: Path, found: Found, title: str, layers: int) -> None:
    """The dev scores of all configurations, epoch by epoch: each line ends where it was dropped.
    Needs matplotlib. Raises InputError when the file cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes: Any = figure.subplots()
    for number, tried in enumerate(found.tried):
        wins = number == found.winner
        values = [100 * next(iter(scores.values())) for scores in tried.epochs]
        if not values:
            continue
        end = "x" if tried.diverged else "o"
        style: dict[str, Any] = {"color": "#1f4e79" if wins else "0.6", "lw": 2.5 if wins else 1.2}
        axes.plot(range(1, len(values) + 1), values, zorder=3 if wins else 2, **style)
        axes.plot(len(values), values[-1], end, ms=5, zorder=3, color=style["color"])
    winner = described(found.configurations, layers)[found.winner]
    words = ", ".join(f"{name} {value}" for name, value in winner.items())
    axes.plot([], [], color="#1f4e79", lw=2.5, marker="o", label=f"winner: {words}")
    if len(found.tried) > 1:
        axes.plot([], [], color="0.6", lw=1.2, marker="o", label="the others, as far as they went")
    if any(tried.diverged and tried.epochs for tried in found.tried):
        axes.plot([], [], "x", color="0.6", label="diverged after this epoch")
    task = found.task.task
    unit = "%" if task.metrics[0] in ("accuracy", "f1") else "× 100"
    axes.set(xlabel="epoch", ylabel=f"dev {drawn(metric_name(task.metrics[0], task))} ({unit})")
    tidy_counted(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(drawn(title), fontsize=11)
    write_figure(figure, path)
