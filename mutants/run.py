"""`make mutants`: are the tests complete? Every small change to the code must fail a test.

Cosmic Ray makes the changes, runs the trials, and remembers them in sessions. Each module has a
copy of the project, with its session, in .mutants. Nothing else is written except docs/mutants.md,
after a run of all modules.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cosmic_ray.config import serialize_config
from cosmic_ray.work_db import WorkDB, use_db
from operators import operator_names
from tqdm import tqdm
from verdicts import Count, complete, page, read_reasons

ROOT = Path(__file__).resolve().parent.parent
CONFIG = tomllib.loads((ROOT / "mutants/modules.toml").read_text("utf-8"))
COPIED = ("minibert", "adapters", "tests", "weights/*.toml", "tutorials/exercises", "*.toml")

# The profile "mutants" tries fewer examples and does not shrink a failing one; see
# tests/conftest.py. Processor time is limited rather than time on the clock, so that a busy machine
# changes no verdict; memory is limited because a mutant may ask for an array of any size.
TRIAL = (
    f"sh -c 'ulimit -t {CONFIG['seconds']}; ulimit -v 16000000; exec \"$@\"' trial "
    f"{sys.executable} -m pytest -x -q --tb=no -p no:cacheprovider -p _hypothesis_pytestplugin "
    "--hypothesis-profile=mutants "
)
COSMIC_RAY = f"{sys.executable} -W ignore {ROOT / 'mutants/operators.py'}"
FILTER = f"{sys.executable} -m cosmic_ray.tools.filters.operators_filter"
SETTINGS = {
    "OPENBLAS_NUM_THREADS": "1",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # saves half a second for each mutant
    "MINIBERT_HOME": "no-weights",
}


def call(folder: Path, command: str) -> None:
    """Run a command in a copy of the project, isolated from the original; exit if it fails."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MINIBERT_")}
    done = subprocess.run(
        ["sh", "-c", "exec " + command],
        cwd=folder,
        env={**kept, **SETTINGS, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        close_fds=False,  # so that it holds the lock, too
        check=False,
    )
    if done.returncode:
        sys.exit(f"{folder.name}: {command}\n{done.stdout}{done.stderr}")


def stamp(root: Path, module: str) -> str:
    """The hash of everything that the verdicts on a module depend on."""
    tests = CONFIG["tests"][module]
    names = sorted({module, *CONFIG["shared"], *(name.split("::")[0] for name in tests)})
    texts = [(root / name).read_text("utf-8") for name in names]
    inputs = (*tests, *CONFIG["filters"].values(), *operator_names(), *texts)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()


def prepare(root: Path, module: str, folder: Path) -> None:
    """Copy the project, and begin a session unless there is one for this version of the module and
    its tests. (The copy is always made anew: a stopped trial may have left its mutant in it.)"""
    known = folder / "stamp"
    resumed = known.exists() and known.read_text("utf-8") == stamp(root, module)
    if not resumed:
        shutil.rmtree(folder, ignore_errors=True)
    for source in [path for name in COPIED for path in root.glob(name)]:
        target = folder / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    if not resumed:
        trial = TRIAL + " ".join(CONFIG["tests"][module])
        call(folder, trial)  # the tests must pass without any mutant
        settings = {
            "module-path": module,
            "test-command": trial,
            "timeout": 3600.0,  # on the clock, for a mutant that waits forever
            "distributor": {"name": "local"},
            "filters": CONFIG["filters"],
        }
        (folder / "config.toml").write_text(serialize_config(settings), "utf-8")
        call(folder, f"{COSMIC_RAY} init config.toml session.sqlite")
        call(folder, f"{FILTER} session.sqlite config.toml")
        known.write_text(stamp(root, module), "utf-8")


def untried(folder: Path) -> int:
    """How many of a session's mutants have not been tried."""
    with use_db(folder / "session.sqlite", WorkDB.Mode.open) as database:
        return int(database.num_work_items - database.num_results)


def try_mutants(folders: list[Path], jobs: int) -> None:
    """Try the mutants that have not been tried, in `jobs` modules at a time. Stopping loses only
    the trials in progress."""
    command = f"{COSMIC_RAY} exec config.toml session.sqlite"
    left = sum(map(untried, folders))
    pool = ThreadPoolExecutor(jobs)
    try:
        running = [pool.submit(call, folder, command) for folder in folders]
        with tqdm(total=left, unit="mutant", smoothing=0.05) as bar:
            while bar.n < left and not any(done.done() and done.exception() for done in running):
                time.sleep(2)
                bar.update(left - sum(map(untried, folders)) - bar.n)
        for done in running:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def short_name(module: str) -> str:
    """The name of a module on the command line: "optim"; "fused" for fused/__init__.py."""
    path = Path(module)
    return path.parent.name if path.stem == "__init__" else path.stem


def main(words: list[str]) -> int:
    """The command. Its exit code is 1 if the tests leave a gap."""
    modules = {short_name(path): path for path in CONFIG["tests"]}
    parser = argparse.ArgumentParser(prog="make mutants", description="see CONTRIBUTING.md")
    parser.add_argument("modules", nargs="*", help=f"some of {', '.join(modules)} (default: all)")
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="modules at a time (default: one for each core)",
    )
    options = parser.parse_args(words)
    if strange := set(options.modules) - set(modules):
        parser.error(f"unknown module {min(strange)}; known: {', '.join(modules)}")
    chosen = {name: modules[name] for name in options.modules or modules}
    store = ROOT / ".mutants"
    store.mkdir(exist_ok=True)
    lock = (store / "lock").open("w")
    os.set_inheritable(lock.fileno(), True)  # its commands keep it even if this process is killed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another `make mutants` is running here")
    for name, module in chosen.items():
        prepare(ROOT, module, store / name)
    try_mutants([store / name for name in chosen], options.jobs)
    reasons = read_reasons(ROOT / "mutants/survivors.toml")
    counts = {module: Count.of(store / name) for name, module in chosen.items()}
    print(page(counts, reasons))
    if len(chosen) == len(modules):
        (ROOT / "docs/mutants.md").write_text(page(counts, reasons), "utf-8")
    return 0 if complete(counts, reasons) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
