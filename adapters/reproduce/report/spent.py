"""What ran for a report, in one table: each study's runs, their worker-hours and machines."""

from collections import Counter
from collections.abc import Iterable, Mapping

from adapters.reproduce.report.pages import markdown_table, section
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.errors import several

HEADERS = ("study", "runs", "still to run", "worker-hours")


def spent(wanted: Mapping[str, Iterable[Config]], runs: Runs) -> str:
    """The table as a Markdown section. `wanted`: by study, the configurations that are needed.

    A worker-hour is an hour of one worker, whether or not others ran beside it. A run that several
    studies want counts in each of their rows, and once in all of them together.
    """
    keys = {study: {run_key(config) for config in configs} for study, configs in wanted.items()}
    everything: set[str] = set().union(*keys.values())
    rows = [_row(study, wanted, runs) for study, wanted in keys.items()]
    rows.append(_row("all, each run once", everything, runs))
    return section(
        "What ran",
        "A worker-hour is an hour of one worker; several may have run on the machine at once. Runs "
        "that several studies share are in the row of each. A run that was stopped and resumed "
        "counts from its last start. Where a choice is still open, the runs that depend on it "
        "are counted as if the best so far, or else the first candidate, were chosen.",
        markdown_table(rows, HEADERS),
        _machines(everything, runs),
    )


def _row(name: str, keys: set[str], runs: Runs) -> tuple[str, str, str, str]:
    done = [runs[key]["result"] for key in keys if key in runs]
    hours = sum(result.get("seconds", 0.0) for result in done) / 3600
    return name, f"{len(done)}", f"{len(keys) - len(done)}", f"{hours:.1f}"


def _machines(keys: set[str], runs: Runs) -> str:
    names = sorted(runs[k]["result"].get("machine", "not recorded") for k in keys if k in runs)
    found = Counter(names).most_common()
    return "\n".join(f"- {machine}: {several(many, 'run')}" for machine, many in found)
