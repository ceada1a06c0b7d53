"""Make a folder of tasks for `minibert reproduce table2 --data DIR`: three of the paper's 17.

python benchmarks/table2_data.py SOURCE DIR

SOURCE has the three files as they are published: SMSSpamCollection.tsv (label and text, no header),
airline.tsv (airline_sentiment, ..., text) and corporate.tsv (category, ..., text); where they are
published is in docs/reproduction.md. The paper says how many examples each part has, but not which;
they are drawn here with a fixed seed. If DIR has one of the tasks already, nothing is written.
"""

import argparse
import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import minibert  # noqa: F401 - before NumPy, whose kernels it chooses

# isort: split
import numpy as np

from minibert.data.records import open_table
from minibert.errors import InputError
from minibert.files import atomic_write

SEED = 0
PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class Source:
    """A published file: its columns, the sizes of the three parts, and the paper's accuracies of
    full fine-tuning, variable fine-tuning, adapters and without BERT (table 2)."""

    file: str
    label: str
    text: str
    sizes: tuple[int, int, int]
    paper: tuple[float, float, float, float]
    header: bool = True


SOURCES = {
    "airline": Source(
        "airline.tsv", "airline_sentiment", "text", (11712, 1464, 1464), (83.6, 84.0, 84.5, 84.5)
    ),
    "corporate": Source(
        "corporate.tsv", "category", "text", (2494, 312, 312), (92.5, 92.4, 92.9, 91.9)
    ),
    "sms": Source(
        "SMSSpamCollection.tsv", "1", "2", (4459, 557, 558), (99.3, 99.3, 95.1, 98.5), header=False
    ),
}


def read_rows(source: Source, path: Path) -> list[tuple[str, str]]:
    """The texts and labels of a published file. Raises InputError for another number of rows than
    the paper has."""
    table = open_table(path, (source.label, source.text), source.header)
    rows = [(row.cells[source.text], row.cells[source.label]) for row in table.rows()]
    if len(rows) != sum(source.sizes):
        raise InputError(f"{path}: has {len(rows):,} rows, not {sum(source.sizes):,}")
    return rows


def write_task(source: Source, rows: list[tuple[str, str]], folder: Path) -> str:
    """Write one task's folder; returns how many examples its parts have."""
    folder.mkdir()
    order = np.random.default_rng(SEED).permutation(len(rows))
    ends = np.cumsum(source.sizes)
    for name, numbers in zip(PARTS, np.split(order, ends[:-1]), strict=True):
        _write_rows(folder / f"{name}.tsv", [rows[i] for i in numbers])
    about = f'text = "text"\nlabel = "label"\npaper = {list(source.paper)}\n'
    atomic_write(folder / "task.toml", about)
    return " / ".join(f"{size:,}" for size in source.sizes)


def _write_rows(path: Path, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows([("text", "label"), *rows])
    atomic_write(path, text.getvalue())


def main(words: list[str]) -> int:
    """Make all tasks, or say in one line why not: then none is written."""
    parser = argparse.ArgumentParser(
        "table2_data.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of the three files")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder for the tasks")
    given = parser.parse_args(words)
    try:
        for name in SOURCES:
            if (given.folder / name).exists():
                raise InputError(f"{given.folder / name}: is there already; it is not replaced")
        rows = {name: read_rows(one, given.source / one.file) for name, one in SOURCES.items()}
        given.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=given.folder, prefix=".") as whole:
            told = [write_task(SOURCES[name], rows[name], Path(whole) / name) for name in SOURCES]
            for name, line in zip(SOURCES, told, strict=True):
                (Path(whole) / name).rename(given.folder / name)
                print(f"{given.folder / name}: {line}")
    except (InputError, OSError) as error:
        print(f"table2_data: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
