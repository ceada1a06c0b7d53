"""`make compare`: this project against transformers, AdapterHub's library and ONNX Runtime.

Each row is saved as it finishes, so the same command resumes a comparison that was stopped.
"""

import argparse
import signal
import sys
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

from jobs import HERE, SGEMMS, Job, Setup
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
        help="the Python that has the peers installed (default: that of .venv-compare)",
    )
    add(
        "--rows",
        nargs="+",
        default=[],
        metavar="NAME",
        help="measure only these rows, again if need be",
    )
    add("--list", action="store_true", help="print the names of all rows")
    add("--rounds", type=int, default=7, metavar="N", help="turns for each side (default: 7)")
    add("--threads", type=int, default=2, metavar="N", help="threads on each side (default: 2)")
    add("--quick", action="store_true", help="3 rounds on MiniLM only, in runs/compare-quick")
    add("--again", action="store_true", help="discard earlier results")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the results (default: benchmarks/results)",
    )
    found = parser.parse_args(arguments)
    if found.quick:
        found.rounds, found.rows, found.again = 3, found.rows or list(QUICK), True
    found.out = found.out or (ROOT / "runs/compare-quick" if found.quick else HERE / "results")
    if found.rounds < 1 or found.threads < 1:
        raise InputError("rounds and threads must be at least 1")
    return found


def main(arguments: list[str]) -> None:
    """Measure the rows that are asked for or missing, and write the report."""
    chosen = options(arguments)
    if chosen.list:
        print("\n".join(f"{row.name:26}{row.title}" for row in TABLE))
        return
    if unknown := set(chosen.rows) - {row.name for row in TABLE}:
        raise InputError(f"no row {sorted(unknown)[0]!r}; --list prints the names of all rows")
    path = chosen.out / "compare.jsonl"
    machine = describe(chosen.threads, chosen.peer)
    old, done = earlier(path, machine, chosen.rows, chosen.again)
    asked = chosen.rows or [row.name for row in TABLE if row.name not in done]
    rows = [row for row in TABLE if row.name in asked]
    if done:
        print(f"{path}: has {len(done)} rows; now measuring {len(rows)}")
    with tempfile.TemporaryDirectory(prefix="minibert-compare-") as folder:
        setup = Setup(sys.executable, chosen.peer, chosen.threads, Path(folder))
        machine["sgemm"] = old["sgemm"] if old else sgemm(setup)
        write_lines(path, machine, done)
        measure_rows(rows, setup, chosen.rounds, path, machine, done)
    print(report_compare(chosen.out))


def earlier(
    path: Path, machine: Record, names: list[str], again: bool
) -> tuple[Record | None, dict[str, Record]]:
    """(machine, rows) of an earlier run that this one adds to. (None, {}) with `again`, if the
    earlier run is complete and no row is named, or if it was made on another machine.

    Raises InputError when rows from another machine would be mixed with new ones.
    """
    old, done = read_lines(path)
    if again or (not names and all(row.name in done for row in TABLE)):
        return None, {}
    if same_machine(old, machine):
        return old, done
    if done and names:
        raise InputError(f"{path}: is from another machine or other libraries; add --again")
    return None, {}


def sgemm(setup: Setup) -> dict[str, float]:
    """The speed of a large matrix product on both sides, in GFLOP/s."""
    ours = setup.our_side({}, what="sgemm", products=SGEMMS)
    peer = setup.peer_side(what="torch sgemm", products=SGEMMS)
    return sgemm_speeds({"ours": ours, "torch": peer}, SGEMMS, setup.threads)


def measure_rows(
    rows: list[Row],
    setup: Setup,
    rounds: int,
    path: Path,
    machine: Record,
    done: dict[str, Record],
) -> None:
    """Measure rows one after another, and write the file after each one."""
    from tqdm import tqdm

    ends = list(accumulate(row.weight * (rounds + 1) for row in rows))
    shape = "{desc} {percentage:3.0f}%|{bar}| {elapsed} so far, about {remaining} left"
    with tqdm(total=ends[-1], bar_format=shape, file=sys.stderr) as bar:
        for row, end in zip(rows, ends, strict=True):
            bar.set_description_str(row.name)
            if why := refused(row):
                bar.write(f"{row.name}: skipped: {why}")
            else:
                # memory hardly varies between fresh processes
                own_rounds = min(rounds, 3) if row.how == "afresh" else rounds
                done[row.name] = measure_row(row, setup, own_rounds, bar)
                done[row.name]["commit"] = machine["commit"]
                in_order = {r.name: done[r.name] for r in TABLE if r.name in done}
                write_lines(path, machine, in_order)
            bar.n = end
            bar.refresh()


def measure_row(row: Row, setup: Setup, rounds: int, bar: Any) -> Record:
    """One row's record."""
    job: Job = row.job(setup)
    answers = MEASURES[row.how](job.sides, rounds, setup.threads, lambda: bar.update(row.weight))
    sides = {
        side: {name: [answer[name] for answer in given] for name in given[0]}
        for side, given in answers.items()
    }
    about = {"row": row.name, "scale": job.scale, "tokens": job.tokens, "note": job.note}
    return {**about, "rounds": rounds, "sides": sides}


def refused(row: Row) -> str | None:
    """Why the kernels that a row asks for cannot be used here; None if they can."""
    if row.kernels is None:
        return None
    blas = library()
    if blas.name != "OpenBLAS":
        return f"NumPy uses {blas.name}"
    return objection(row.kernels, flags(read_cpuinfo()), blas.version)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"compare: error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command resumes")
