"""`make compare`: this project against transformers, AdapterHub's library and ONNX Runtime.

Rows are kept as they finish: a comparison that was stopped goes on with the same command.
"""

import argparse
import signal
import sys
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

from jobs import HERE, SGEMMS, Job, Setting
from machine import describe, sgemm_speeds
from processes import start_afresh, take_turns, time_commands
from records import Record, read_lines, same_machine, write_lines
from report import report_compare
from rows import QUICK, TABLE, Row

from adapters.cli.options import Parser
from minibert.errors import InputError
from minibert.machine.kernels import library, objection
from minibert.machine.processor import flags, read_cpuinfo

MEASURES = {"turns": take_turns, "afresh": start_afresh, "commands": time_commands}
ROOT = HERE.parent


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="compare.py", description=__doc__)
    add = parser.add_argument
    add(
        "--peer",
        default=str(ROOT / ".venv-compare" / "bin" / "python"),
        metavar="PYTHON",
        help="the Python that has the peers (default: that of .venv-compare)",
    )
    add("--rows", nargs="+", default=[], metavar="NAME", help="measure only these rows, anew")
    add("--list", action="store_true", help="print the names of all rows")
    add("--rounds", type=int, default=7, metavar="N", help="turns of each side (default: 7)")
    add("--threads", type=int, default=2, metavar="N", help="of each side (default: 2)")
    add("--quick", action="store_true", help="3 rounds on MiniLM only, in runs/compare-quick")
    add("--again", action="store_true", help="forget what has been measured")
    add("--out", type=Path, metavar="DIR", help="results (default: benchmarks/results)")
    found = parser.parse_args(arguments)
    if found.quick:
        found.rounds, found.rows, found.again = 3, found.rows or list(QUICK), True
    found.out = found.out or (ROOT / "runs/compare-quick" if found.quick else HERE / "results")
    if found.rounds < 1 or found.threads < 1:
        raise InputError("rounds and threads must be at least 1")
    return found


def main(arguments: list[str]) -> None:
    """Measure what is to be measured, and write the report."""
    chosen = options(arguments)
    if chosen.list:
        print("\n".join(f"{row.name:26}{row.title}" for row in TABLE))
        return
    if unknown := set(chosen.rows) - {row.name for row in TABLE}:
        raise InputError(f"no row {sorted(unknown)[0]!r}; --list prints their names")
    path = chosen.out / "compare.jsonl"
    machine = describe(chosen.threads, chosen.peer)
    old, done = earlier(path, machine, chosen.rows, chosen.again)
    rows = [
        row for row in TABLE if row.name in (chosen.rows or {r.name for r in TABLE} - set(done))
    ]
    if done:
        print(f"{path}: has {len(done)} rows; {len(rows)} are measured now")
    with tempfile.TemporaryDirectory(prefix="minibert-compare-") as folder:
        setting = Setting(sys.executable, chosen.peer, chosen.threads, Path(folder))
        machine["sgemm"] = old["sgemm"] if old else sgemm(setting)
        write_lines(path, machine, done)
        measure_rows(rows, setting, chosen.rounds, path, machine, done)
    print(report_compare(chosen.out))


def earlier(
    path: Path, machine: Record, names: list[str], again: bool
) -> tuple[Record | None, dict[str, Record]]:
    """What of an earlier run stays: its machine and rows. Nothing does with `again`, or when all
    rows are there and none is named, or when it is of another machine.

    Raises InputError when rows of another machine would be mixed with new ones.
    """
    old, done = read_lines(path)
    if again or (not names and all(row.name in done for row in TABLE)):
        return None, {}
    if same_machine(old, machine):
        return old, done
    if done and names:
        raise InputError(f"{path}: is of another machine or other libraries; add --again")
    return None, {}


def sgemm(setting: Setting) -> dict[str, float]:
    """The machine's speed on both sides."""
    ours = setting.our_side({}, what="sgemm", products=SGEMMS)
    peer = setting.peer_side(what="torch sgemm", products=SGEMMS)
    return sgemm_speeds({"ours": ours, "torch": peer}, SGEMMS, setting.threads)


def measure_rows(
    rows: list[Row],
    setting: Setting,
    rounds: int,
    path: Path,
    machine: Record,
    done: dict[str, Record],
) -> None:
    """Measure rows one after another, and write the file after each."""
    from tqdm import tqdm

    ends = list(accumulate(row.weight * (rounds + 1) for row in rows))
    shape = "{desc} {percentage:3.0f}%|{bar}| {elapsed} so far, about {remaining} left"
    with tqdm(total=ends[-1], bar_format=shape, file=sys.stderr) as bar:
        for row, end in zip(rows, ends, strict=True):
            bar.set_description_str(row.name)
            if why := refused(row):
                bar.write(f"{row.name}: left out: {why}")
            else:
                # memory hardly changes from one fresh process to the next
                own_rounds = min(rounds, 3) if row.how == "afresh" else rounds
                done[row.name] = measure_row(row, setting, own_rounds, bar)
                done[row.name]["commit"] = machine["commit"]
                in_order = {r.name: done[r.name] for r in TABLE if r.name in done}
                write_lines(path, machine, in_order)
            bar.n = end
            bar.refresh()


def measure_row(row: Row, setting: Setting, rounds: int, bar: Any) -> Record:
    """One row's record."""
    job: Job = row.job(setting)
    answers = MEASURES[row.how](job.sides, rounds, setting.threads, lambda: bar.update(row.weight))
    sides = {
        side: {name: [answer[name] for answer in given] for name in given[0]}
        for side, given in answers.items()
    }
    return {"row": row.name, "scale": job.scale, "tokens": job.tokens, "note": job.note,
            "rounds": rounds, "sides": sides}  # fmt: skip


def refused(row: Row) -> str | None:
    """Why the kernels that a row asks for are not to be set here."""
    if row.kernels is None:
        return None
    blas = library()
    if blas.name != "OpenBLAS":
        return f"NumPy uses {blas.name}"
    return objection(row.kernels, flags(read_cpuinfo()), blas.version)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped is stopped
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"compare: error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on where it was")
