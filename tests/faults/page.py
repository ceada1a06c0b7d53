"""docs/reliability.md, from the finished pieces of `make faults`."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from faults.campaigns import CAMPAIGNS
from tabulate import tabulate

Pieces = list[dict[str, Any]]
HEADERS = ("campaign", "tried", "of", "survived", "seeds", "minutes")
INTRODUCTION = """# Reliability

What was done to the project on purpose, and what came of it. A trial survives when it ends with
success or with one line that says what is wrong (exit code 2, or that of the signal), when files
are whole, and when what was stopped goes on to the same bits as what was not. `make faults` makes
this table, in pieces, and goes on where it was stopped; `make test` runs a part of it, with the
trials that once found a fault. A trial is repeated by its seed; what each does is in
[`tests/faults`](../tests/faults).
"""
KNOWN = """
## What is not survived

- **Ctrl-C while Python itself starts**, in its first 30 ms or so, is Python's own: nothing of this
  project runs yet. It ends the process with no line, or with Python's.
- **A trial is forked from a process that has imported everything**, so signals while modules are
  imported are not in this table; `tests/product/test_the_process.py` sends them to a new process.
- **A closed terminal (SIGHUP) while modules are imported** saves and says what it should, but now
  and then (3 of 48 times) the exit code is Ctrl-C's, 130, and not 129: Python's own doing.
- **NaN in a table of JSON lines** is read as a missing value and written as NaN again, which is no
  JSON; a line of a table may be as long as memory allows.
- **The hub's description of a repository, and what `pip download` gets**, are read whole by
  `huggingface_hub` and `pip`, whatever their size. Files of weights and datasets are bounded.
- **kill -9** may leave a temporary file, which the next write into that folder removes.
- **A fork while threads predict** has no threads of its parent's. Two locks of our own once made
  such a child hang, and are gone; where a library's lock is held at that moment,
  `multiprocessing`'s "spawn" has none of it:
  `multiprocessing.get_context("spawn").Pool()`.
"""

VERSIONS = """
## Versions

The whole suite on each Python, with the oldest versions that pyproject.toml allows and with the
newest there were (`nox`, see [`noxfile.py`](../noxfile.py)). What is skipped needs a browser,
Sphinx or Cosmic Ray, which are not part of it there; with the oldest hub library also two tests of
a bound that it does not have.

| Python | numpy | autograd | tokenizers | safetensors | huggingface_hub | passed | failed |
|--------|-------|----------|------------|-------------|-----------------|--------|--------|
| 3.11.7 | 2.0.0 | 1.8.0    | 0.20.0     | 0.4.5       | 0.30.0          | 6,202  | 0      |
| 3.12.1 | 2.5.5 | 1.9.1    | 0.23.3     | 0.8.0       | 2.4.0           | 6,205  | 0      |
| 3.13.0 | 2.5.5 | 1.9.1    | 0.23.3     | 0.8.0       | 2.4.0           | 6,205  | 0      |

CI runs 3.11 with the versions of its lock. On 3.12 a process forked beside threads that predict
hung, in one trial of three: by a lock of ours, on every Python, which 20 trials had not met on
3.11. It is mended, and the tests of faults and threads passed when run again.
"""


def write_page(runs: dict[str, dict[str, Any]], path: Path) -> None:
    """Write the page from all pieces of the newest code that was tried."""
    path.write_text(page([*runs.values()]), "utf-8")


def page(pieces: Pieces) -> str:
    """The page: a table with what really ran, the faults, memory and speed, the machine."""
    by_name = {n: [p for p in pieces if p["config"]["campaign"] == n] for n in CAMPAIGNS}
    ran = {name: newest(found) for name, found in by_name.items() if found}
    rows = [row(name, found) for name, found in ran.items()]
    table = tabulate(rows, HEADERS, tablefmt="github", disable_numparse=True)
    faults = [f for found in ran.values() for p in found for f in p["result"]["faults"]]
    listed = "".join(f"\n- `{fault[:300]}`" for fault in faults)
    section = f"\n## Faults that are still there\n{listed}\n" if faults else ""
    about = f"{measured(ran)}\n{machine()} {states(ran)}"
    return f"{INTRODUCTION}\n{table}\n\n{about}\n{section}{KNOWN}{VERSIONS}"


def newest(pieces: Pieces) -> Pieces:
    """The pieces of the code that was tried last."""
    code = pieces[-1]["config"]["code"]
    return [piece for piece in pieces if piece["config"]["code"] == code]


def row(name: str, pieces: Pieces) -> tuple[str, ...]:
    """One campaign's row. Where not all was tried, `of` says how much there is."""
    campaign = CAMPAIGNS[name]
    numbers = [n for p in pieces for n in numbers_of(p["config"])]
    tried = len(set(numbers)) * campaign.inputs
    bad = sum(len(p["result"]["faults"]) for p in pieces)
    minutes = sum(p["result"]["piece"]["seconds"] for p in pieces) / 60
    seeds = f"{min(numbers):,} to {max(numbers):,}"
    whole = f"{campaign.full() * campaign.inputs:,}"
    return (campaign.title, f"{tried:,}", whole, f"{tried - bad:,}", seeds, f"{minutes:.1f}")


def numbers_of(config: dict[str, Any]) -> range:
    """The trials of a piece."""
    return range(config["first"], config["first"] + config["count"])


def measured(ran: dict[str, Pieces]) -> str:
    """How memory and speed went, from the first hundreds (after the warm-up) to the last."""
    lines = []
    for name in ("predictions", "steps"):
        found = [m for p in ran.get(name, []) for m in p["result"]["piece"]["measured"]]
        if len(found) > 4:
            (_, first, _), (_, last, _) = found[3], found[-1]
            early, late = (sum(m[2] for m in part) / 3 for part in (found[1:4], found[-3:]))
            lines.append(
                f"In {100 * len(found):,} {name}, memory grew by {(last - first) / 2**20:.1f} "
                f"MB of {last / 2**20:.0f} after the first 400; 100 took {early:.2f} s of "
                f"processor time at the beginning and {late:.2f} s at the end.\n"
            )
    return "\n".join(lines)


def states(ran: dict[str, Pieces]) -> str:
    """On how much of the same code: what a campaign finds is mended before the next one."""
    codes = len({p["config"]["code"] for found in ran.values() for p in found})
    if codes == 1:
        return "All campaigns ran on the same code."
    return (
        f"The campaigns ran on {codes} successive states of the code: what one found was mended, "
        "and it was run again."
    )


def machine() -> str:
    """What it was measured on."""
    libraries = ("numpy", "autograd", "tokenizers", "safetensors", "huggingface_hub")
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (
        f"Measured with Python {platform.python_version()} on {platform.system()} "
        f"({platform.machine()}, {os.cpu_count()} cores, shared with other work); {versions}."
    )
