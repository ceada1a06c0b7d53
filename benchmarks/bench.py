"""`make bench`: how fast this project is, and how time and memory grow with the work."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jobs import HERE, SGEMMS, STEP, WORK, Setup, share
from machine import describe, sgemm_speeds
from processes import take_turns
from records import figure_of
from report import report_bench
from scaling import AXES, Axis, points
from texts import TITLES

from adapters.cli.options import Parser
from minibert.errors import InputError
from minibert.files import atomic_write

TEXTS = {"tiny": "32x32", "minilm": "32x64", "bert-base": "32x128"}
PARTS = ("bench", "scaling")
Step = Callable[[], None]


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="bench.py", description=__doc__)
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        choices=list(TEXTS),
        default=list(TEXTS),
        metavar="NAME",
        help=f"some of {', '.join(TEXTS)} (default: all)",
    )
    add("--only", choices=PARTS, metavar="PART", help="bench or scaling (default: both)")
    add("--rounds", type=int, default=7, metavar="N", help="how often to measure (default: 7)")
    add("--threads", type=int, default=2, metavar="N", help="threads (default: 2)")
    add(
        "--out",
        type=Path,
        default=HERE / "results",
        metavar="DIR",
        help="folder for the results (default: benchmarks/results)",
    )
    found = parser.parse_args(arguments)
    if found.rounds < 1 or found.threads < 1:
        raise InputError("rounds and threads must be at least 1")
    return found


def main(arguments: list[str]) -> None:
    """Measure, write the JSON files, and report."""
    from tqdm import tqdm

    chosen = options(arguments)
    machine = describe(chosen.threads)
    parts = [chosen.only] if chosen.only else list(PARTS)
    runs = 0
    if "bench" in parts:
        runs += len(chosen.models) * len(WORK)
    if "scaling" in parts:
        runs += len(AXES)
    with tempfile.TemporaryDirectory() as folder, tqdm(total=runs * (chosen.rounds + 1)) as bar:
        setup = Setup(sys.executable, "", chosen.threads, Path(folder))
        side = {"ours": setup.our_side({}, what="sgemm", products=SGEMMS)}
        machine["sgemm"] = sgemm_speeds(side, SGEMMS, chosen.threads)
        measures = {
            "bench": lambda: {"rows": models(chosen.models, setup, chosen.rounds, bar.update)},
            "scaling": lambda: {"axes": scaling(setup, chosen.rounds, bar.update)},
        }
        for part in parts:
            found = {"machine": machine, "rounds": chosen.rounds, **measures[part]()}
            atomic_write(chosen.out / f"{part}.json", json.dumps(found, indent=1) + "\n")
    print(report_bench(chosen.out))


def models(names: Sequence[str], setup: Setup, rounds: int, step: Step) -> list[dict[str, Any]]:
    """Time, share of the machine and memory for every model and work, each in its own process."""
    rows = []
    for model in names:
        for work in WORK:
            job = share(model, TEXTS[model], work, setup)
            answers = take_turns(job.sides, rounds, setup.threads, step)
            sides = {
                side: {"seconds": [answer["seconds"] for answer in given]}
                for side, given in answers.items()
            }
            figure = figure_of("share", {"scale": job.scale, "sides": sides})
            row = {
                "model": model,
                "title": TITLES[model],
                "texts": TEXTS[model].replace("x", " x "),
                "work": work,
                "tokens": job.tokens,
                "products": job.note,
                "seconds": median(sides["ours"]["seconds"]),
                "share": figure.value,
                "share_range": [figure.low, figure.high],
                "peak_mb": answers["ours"][-1]["peak_mb"],
            }
            rows.append(row)
    return rows


def scaling(setup: Setup, rounds: int, step: Step) -> list[dict[str, Any]]:
    """The adapter step along every axis; the points of an axis take turns."""
    found = []
    for axis in AXES:
        sides = {
            str(at): setup.our_side({}, **{**STEP, **work}) for at, work in points(axis).items()
        }
        answers = take_turns(sides, rounds, setup.threads, step)
        times = [median(answer["seconds"] for answer in given) for given in answers.values()]
        found.append(fitted(axis, axis.title, times, "s"))
        if axis.memory:
            peaks = [given[-1]["peak_mb"] for given in answers.values()]
            found.append(points_of(axis, axis.memory, peaks, "MB"))
    return found


def points_of(axis: Axis, title: str, values: list[float], unit: str) -> dict[str, Any]:
    """What was measured along an axis."""
    about = {"title": title, "symbol": axis.symbol, "unit": unit}
    return {**about, "at": list(axis.at), "values": values}


def fitted(axis: Axis, title: str, values: list[float], unit: str) -> dict[str, Any]:
    """The same, with the straight line that minimises the squared relative errors."""
    at = np.array(axis.at, float)
    slope, start = np.polyfit(at, values, 1, w=1 / np.array(values))
    line = start + slope * at
    worst = float(np.max(np.abs(line / values - 1)))
    fit = {"line": line.tolist(), "slope": slope, "start": start, "worst": worst}
    return {**points_of(axis, title, values, unit), **fit}


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"bench: error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the files of finished parts are complete")
