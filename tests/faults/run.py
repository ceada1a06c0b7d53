"""`make faults`: try everything that can go wrong, in pieces. What is finished is in .faults, so it
goes on where it was stopped.

    python tests/faults/run.py [CAMPAIGN...] [--trials N] [--small] [--again] [--page]

Each piece runs in a process of its own. After a run of all campaigns, or with --page, the page
docs/reliability.md is made from all finished pieces.
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
sys.path.remove(str(ROOT / "tests" / "faults"))  # `signals` and others are modules of a package

from faults.campaigns import CAMPAIGNS, Campaign
from faults.child import run_child
from faults.page import write_page
from tqdm import tqdm

from adapters.reproduce.sweep.runs_file import append_run, read_runs, run_key

FINISHED = ROOT / ".faults"
PIECE_SECONDS = 3600  # after which a piece hangs
SHOWN = 20  # faults of a piece that are kept in words


@cache
def code_version() -> str:
    """The hash of what is tried: a piece of other code is tried again."""
    names = sorted(
        p for package in ("minibert", "adapters") for p in (ROOT / package).rglob("*.py")
    )
    return hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()[:12]


def piece(campaign: Campaign, numbers: Sequence[int]) -> dict[str, Any]:
    """Try these numbers in a child: which faults, the seconds, and what was measured."""

    def call() -> None:
        from faults.long_run import measured

        begun, faults = time.monotonic(), []
        for number in numbers:
            try:
                fault = campaign.trial(number)
            except Exception as error:
                fault = f"the trial itself: {type(error).__name__}: {str(error)[:300]}"
            faults += [f"{number}: {fault}"] if fault else []
        seconds = time.monotonic() - begun
        print(json.dumps({"faults": faults, "seconds": seconds, "measured": measured}))

    ended = run_child(call, seconds=PIECE_SECONDS)
    if ended.code == 0 and ended.out:
        return dict(json.loads(ended.out.splitlines()[-1]))
    fault = f"{numbers[0]}: the piece ended with {ended.code}: {ended.err[-300:]}"
    return {"faults": [fault], "seconds": 0.0, "measured": []}


def counted(campaign: Campaign) -> int:
    """How many trials a campaign has, asked in a child: this process stays as it is."""
    return int(run_child(lambda: print(campaign.full())).out)


def pieces(name: str, trials: int | None) -> list[tuple[dict[str, Any], range]]:
    """(what identifies it, its numbers), of each piece of a campaign."""
    campaign = CAMPAIGNS[name]
    total = counted(campaign)
    total = total if trials is None else min(trials, total)
    found = []
    for first in range(0, total, campaign.piece):
        numbers = range(first, min(first + campaign.piece, total))
        config = {"campaign": name, "first": first, "count": len(numbers), "code": code_version()}
        found.append((config, numbers))
    return found


def run_all(names: Sequence[str], trials: int | None) -> int:
    """Run what is missing; how many faults were found."""
    faults, finished = 0, read_runs(FINISHED)
    todo = [each for name in names for each in pieces(name, trials)]
    with tqdm(total=len(todo), unit="piece", smoothing=0.05) as bar:
        for config, numbers in todo:
            bar.set_description(config["campaign"])
            known = finished.get(run_key(config))
            if known:
                found = known["result"]["faults"]
            else:
                result = piece(CAMPAIGNS[config["campaign"]], numbers)
                found = result.pop("faults")
                append_run(FINISHED, config, {"faults": found, "piece": result})
            for fault in found[:SHOWN]:
                bar.write(f"{config['campaign']} {fault}")
            faults += len(found)
            bar.update()
    return faults


def run_small(names: Sequence[str]) -> int:
    """The part for `make test`; nothing is kept. How many faults were found."""
    faults = []
    for name in names:
        campaign = CAMPAIGNS[name]
        numbers = [*dict.fromkeys((*range(campaign.small), *campaign.found))]
        if numbers:
            result = piece(campaign, numbers)
            print(f"{name}: {len(numbers)} trials, {result['seconds']:.1f} s")
            faults += [f"{name} {fault}" for fault in result["faults"]]
    print(*faults, sep="\n")
    return len(faults)


def main() -> int:
    parser = argparse.ArgumentParser(description="Try everything that can go wrong.")
    parser.add_argument("names", nargs="*", metavar="CAMPAIGN", help=", ".join(CAMPAIGNS))
    parser.add_argument("--trials", type=int, help="so many of each campaign, instead of all")
    parser.add_argument("--small", action="store_true", help="the part that `make test` runs")
    parser.add_argument("--again", action="store_true", help="forget what is finished")
    parser.add_argument("--page", action="store_true", help="only make the page")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in CAMPAIGNS]:
        parser.error(f"unknown campaign {unknown[0]!r}; known: {', '.join(CAMPAIGNS)}")
    names = options.names or [*CAMPAIGNS]
    if options.small:
        return min(run_small(names), 1)
    if options.again:
        shutil.rmtree(FINISHED, ignore_errors=True)
    faults = 0 if options.page else run_all(names, options.trials)
    if options.page or not (options.names or options.trials):
        write_page(read_runs(FINISHED), ROOT / "docs" / "reliability.md")
    return min(faults, 1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on")
