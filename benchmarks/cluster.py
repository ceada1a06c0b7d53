"""`python benchmarks/cluster.py`: rows a second of `predict --cluster` with 1 and 2 local workers
of one thread, beside this process with one and two threads. The sides take turns."""

import minibert  # noqa: F401 - before NumPy, whose kernels it chooses

# isort: split
import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from distributed import Client, LocalCluster
from fixtures import small_task
from texts import real_texts

from adapters.cluster.connection import connected
from adapters.cluster.tables import answers_on_cluster
from adapters.score_table import Scoring, score_to_file
from adapters.task_file import load_task
from minibert.checkpoint import load_base
from minibert.data.records import open_table
from minibert.fetch.models import locate_model


def main() -> None:
    """Measure, and print the medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8192, help="of SST-2 (default: 8,192)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as clusters:
        sides = dict(_sides(Path(folder), options.rows, clusters))
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        results = set()
        for number in range(1 + options.rounds):
            for name, scoring in sides.items():
                started = time.perf_counter()
                score_to_file(scoring, Path(folder) / "out.csv")
                seconds = time.perf_counter() - started
                results.add((Path(folder) / "out.csv").read_bytes())
                if number:  # in the first turn bases are loaded
                    speeds[name].append(options.rows / seconds)
    print("all results have the same bytes" if len(results) == 1 else "THE RESULTS DIFFER")
    for name, values in speeds.items():
        print(f"{name:22}{median(values):8,.0f} rows/s ({min(values):,.0f} to {max(values):,.0f})")


def _sides(folder: Path, rows: int, clusters: ExitStack) -> Iterator[tuple[str, Scoring]]:
    """Each side's name and what it scores; the clusters stay open."""
    texts, source = real_texts("sst-2", rows)
    print(f"{rows:,} rows of {source}", flush=True)
    path, base = folder / "in.csv", load_base(locate_model("minilm"))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["sentence"], *([text] for text in texts)])
    table, task = open_table(path, ["sentence"]), load_task(small_task(folder, base.folder))
    for threads in (1, 2):
        yield f"here, threads: {threads}", Scoring(task, base, table, ("sentence",), False, threads)
    for workers in (1, 2):
        client = clusters.enter_context(_workers(workers))
        answers = answers_on_cluster(client, task, str(base.folder))
        there = Scoring(task, None, table, ("sentence",), answers=answers)
        yield f"cluster, workers: {workers}", there


@contextmanager
def _workers(number: int) -> Iterator[Client]:
    options = {"n_workers": number, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, connected(cluster.scheduler_address) as client:
        client.wait_for_workers(number)
        yield client


if __name__ == "__main__":
    main()
