"""`make mutants`: is the specification complete? Every small change to the code must fail a test.

All that it writes is .mutants and, once every mutant has been tried, docs/mutants.md.
"""

import argparse
import json
import os
import sys
import tomllib
from math import ceil
from multiprocessing.connection import wait
from pathlib import Path

from filelock import FileLock, Timeout
from ledger import Ledger, Mutant, copied, hashed, program
from mutations import mutants
from tally import Count, complete, page, read_reasons, survivors, table
from tqdm import tqdm
from trials import Trial, load_libraries

ROOT = Path(__file__).resolve().parent.parent
HERE, STORE, PAGE = ROOT / "mutants", ROOT / ".mutants", ROOT / "docs" / "mutants.md"


def limits(copy: Path, module: str, tests: list[str]) -> dict[str, int]:
    """The module's tests with the processor seconds that each may take, from a run without any
    mutant; measured again when anything changes. Exits when they do not pass."""
    known_path = STORE / "seconds.json"
    known = json.loads(known_path.read_text("utf-8")) if known_path.exists() else {}
    files = [*copy.glob("minibert/*.py"), *copy.glob("adapters/*.py")]
    files += [copy / test.split("::")[0] for test in tests]
    key = hashed(map(program, sorted(files))) + " " + " ".join(tests)
    if key not in known:
        outcome = Trial(copy, module, None, dict.fromkeys(tests, 3600)).outcome()
        if outcome.verdict != "survived":
            sys.exit(f"{module}: without any mutant, {outcome.by} fails")
        known[key] = outcome.seconds
        known_path.write_text(json.dumps(known, indent=0), "utf-8")
    return {test: 5 + ceil(3 * spent) for test, spent in zip(tests, known[key], strict=True)}


def run(todo: list[Mutant], ledger: Ledger, jobs: int) -> None:
    """Try these mutants, `jobs` at a time. Ctrl-C loses only those under way."""
    steps: dict[str, dict[str, int]] = {}
    hints: dict[tuple[str, str], str] = {}  # what killed a neighbour probably kills
    running: dict[int, tuple[Mutant, Trial]] = {}
    waiting = iter(todo)
    try:
        with tqdm(total=len(todo), unit="mutant", smoothing=0.05) as bar:
            while bar.n < len(todo):
                while len(running) < jobs and (mutant := next(waiting, None)):
                    if mutant.module not in steps:
                        tests = ledger.config["tests"][mutant.module]
                        steps[mutant.module] = limits(ledger.copy, mutant.module, tests)
                    hint = ledger.killer(mutant) or hints.get((mutant.module, mutant.place), "")
                    trial = Trial(
                        ledger.copy, mutant.module, mutant.text, steps[mutant.module], hint
                    )
                    running[trial.process.sentinel] = mutant, trial
                late = min(trial.seconds_left() for _, trial in running.values())
                for sentinel in wait(list(running), late) or list(running)[:1]:
                    mutant, trial = running.pop(sentinel)
                    outcome = trial.outcome()
                    ledger.add(mutant, outcome)
                    if outcome.verdict == "killed":
                        hints[mutant.module, mutant.place] = outcome.by
                    elif outcome.verdict == "survived":
                        bar.write(f"survived: {mutant.module} {mutant.place}: {mutant.becomes}")
                    bar.set_postfix_str(mutant.module)
                    bar.update()
    finally:
        for _, trial in running.values():
            trial.end()


def main(words: list[str]) -> int:
    """The command; its exit code is 1 when the specification leaves something open."""
    parser = argparse.ArgumentParser(
        prog="make mutants", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("modules", nargs="*", help="as ops or minibert/ops.py (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument("--list", action="store_true", help="only say what is known")
    parser.add_argument(
        "--page", action="store_true", help="write docs/mutants.md, even if unfinished"
    )
    options = parser.parse_args(words)
    config = tomllib.loads((HERE / "modules.toml").read_text("utf-8"))
    known = {name: path for path in config["tests"] for name in (path, Path(path).stem)}
    if strange := [name for name in options.modules if name not in known]:
        parser.error(f"unknown module {strange[0]}; known: {', '.join(map(str, config['tests']))}")
    chosen = {known[name] for name in options.modules} or set(config["tests"])
    copy = ROOT if options.list else STORE / "copy"
    lock = FileLock(STORE / "lock", timeout=0)
    if not options.list:
        STORE.mkdir(exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            sys.exit("another `make mutants` is at work here")
        copied(ROOT, copy)
    ledger = Ledger(STORE / "verdicts.jsonl", copy, config)
    found = [m for path in config["tests"] for m in mutants(path, (copy / path).read_text("utf-8"))]
    todo = [m for m in found if m.module in chosen and ledger.verdict(m) is None]
    if todo and not options.list:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        sys.dont_write_bytecode = False
        (STORE / "empty").mkdir(exist_ok=True)
        load_libraries(STORE / "empty")
        run(todo, ledger, options.jobs)
    counts = {
        path: Count.of([(m, ledger.verdict(m)) for m in found if m.module == path])
        for path in config["tests"]
    }
    reasons = read_reasons(HERE / "survivors.toml")
    told = {path: count for path, count in counts.items() if path in chosen}
    print(survivors(told, reasons), table(told), sep="\n\n")
    if options.page or all(count.untried == 0 for count in counts.values()):
        PAGE.write_text(page(counts, reasons), "utf-8")
    return 0 if complete(told, reasons) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
