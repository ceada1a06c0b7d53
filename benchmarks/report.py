"""Tables and pictures of what `make compare` and `make bench` have measured.

`python benchmarks/report.py` makes those in benchmarks/results, and the sections of
docs/performance.md that hold them, from the results there.
"""

import json
import re
import sys
from pathlib import Path
from statistics import median
from typing import Any

from charts import bench_chart, compare_chart, scaling_chart
from jobs import SGEMMS
from records import FIGURES, Record, figure_of, quantity, read_lines
from rows import TABLE, Row

from adapters.show import table
from minibert.errors import InputError
from minibert.files import atomic_write
from minibert.machine.kernels import COLUMNS, INNER, ROWS

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
GROUPS = [
    (
        "Against the peers",
        lambda row: row.peer not in ("", "sgemm", "not cached") and not row.kernels,
    ),
    ("The same on AVX2 kernels (OPENBLAS_CORETYPE=Haswell on our side)", lambda row: row.kernels),
    ("On our own", lambda row: row.peer in ("", "sgemm", "not cached")),
]


def report_compare(folder: Path) -> str:
    """compare.md and compare.png beside compare.jsonl; the Markdown."""
    text = compare_text(folder)
    atomic_write(folder / "compare.md", text)
    atomic_write(
        folder / "compare.png", compare_chart(TABLE, read_lines(folder / "compare.jsonl")[1])
    )
    return text


def compare_text(folder: Path, wanted: bool = True) -> str:
    """The results of `make compare` in Markdown, with or without the figures wanted of them."""
    machine, records = read_lines(folder / "compare.jsonl")
    if machine is None:
        raise InputError(f"{folder / 'compare.jsonl'}: is not there yet; run make compare")
    parts = [machine_text(machine, records)]
    for title, belongs in GROUPS:
        rows = [row for row in TABLE if row.name in records and belongs(row)]
        if rows:
            parts.append(f"**{title}**\n\n{compare_table(rows, records, wanted)}")
    return "\n\n".join(parts) + "\n"


def compare_table(rows: list[Row], records: dict[str, Record], with_wanted: bool) -> str:
    """One line a row: both medians, the figure with the range of single rounds, what is wanted."""
    lines = []
    for row in rows:
        record = records[row.name]
        figure = figure_of(row.figure, record)
        wanted, verdict = "", ""
        if row.wanted is not None:
            bound = "at least" if FIGURES[row.figure][2] else "at most"
            wanted = f"{bound} {row.wanted:.3g}"
            verdict = "yes" if figure.meets(row.figure, row.wanted) else "**no**"
        lines.append(
            [row.title, row.peer, told(record, "ours", row), told(record, "peer", row),
             f"**{figure.value:.3g}**", f"{figure.middle:.3g} ({figure.low:.3g}–{figure.high:.3g})",
             wanted, verdict]
        )  # fmt: skip
    headers = ["what", "against", "ours", "theirs", "figure", "single rounds", "wanted", "met"]
    columns = len(headers) if with_wanted else len(headers) - 2
    return table([line[:columns] for line in lines], headers[:columns], "github")


def told(record: Record, side: str, row: Row) -> str:
    """A side's medians in their units."""
    if side not in record["sides"]:
        side = "sgemm" if "sgemm" in record["sides"] else side
    if side not in record["sides"]:
        return ""
    if row.figure in ("memory", "file"):
        return f"{median(quantity(record, side, 'peak_mb')):,.0f} MB"
    seconds = median(quantity(record, side, "seconds"))
    if side == "sgemm":
        return f"{2 * SGEMMS * ROWS * INNER * COLUMNS / seconds / 1e9:,.0f} GFLOP/s"
    text = seconds_text(seconds)
    if record["tokens"]:
        text += f", {record['tokens'] / seconds:,.0f} tokens/s"
    if side == "peer" and "all layers" in record["sides"]:
        text += f"; all layers {seconds_text(median(quantity(record, 'all layers', 'seconds')))}"
    return text


def digits(value: float) -> str:
    """At least three digits, and never as a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def seconds_text(seconds: float) -> str:
    """In s or ms, with three digits."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def machine_text(machine: Record, records: dict[str, Record] | None = None) -> str:
    """What was measured on, in a few lines."""
    ours = ", ".join(f"{name} {number}" for name, number in machine["ours"].items())
    lines = [
        f"{machine['processor']}; {machine['cores']} cores, {machine['memory_gb']:.0f} GB; "
        f"{machine['system']}; Python {machine['python']}; {machine['threads']} threads a side; "
        f"{machine['date']}.",
        f"Ours: minibert {machine['minibert']} ({commits(machine, records)}), {ours}; "
        f"{machine['blas']}.",
    ]
    if "peers" in machine:
        theirs = ", ".join(f"{name} {number}" for name, number in machine["peers"].items())
        lines.append(f"Peers: {theirs}; torch computes with {machine['torch_kernels']}.")
    speeds = ", ".join(f"{name} {speed:,.0f}" for name, speed in machine["sgemm"].items())
    lines.append(f"GFLOP/s of float32 [4096, 768] @ [768, 3072]: {speeds}.")
    if records:
        rounds = sorted({record["rounds"] for record in records.values()})
        sources = sorted({r["note"] for r in records.values() if "sample" in r["note"]})
        lines.append(f"Medians of {', '.join(map(str, rounds))} rounds. " + "; ".join(sources))
    return "\n".join(line.strip() for line in lines)


def commits(machine: Record, records: dict[str, Record] | None) -> str:
    """The commits that were measured."""
    found = {record["commit"] for record in (records or {}).values()} or {machine["commit"]}
    return "commit " + ", ".join(sorted(found))


def bench_text(found: dict[str, Any]) -> str:
    """Our own figures as Markdown."""
    lines = [
        [row["title"], row["texts"], row["work"], seconds_text(row["seconds"]),
         f"{row['tokens'] / row['seconds']:,.0f}", f"{100 * row['share']:.0f} %",
         f"{row['peak_mb']:,.0f}"]
        for row in found["rows"]
    ]  # fmt: skip
    headers = ["model", "texts", "work", "time", "tokens/s", "share of sgemm", "peak MB"]
    return f"{machine_text(found['machine'])}\n\n{table(lines, headers, 'github')}\n"


def scaling_text(found: dict[str, Any]) -> str:
    """How the step's time and memory grow, as Markdown, with the straight line that fits best."""
    parts = []
    for axis in found["axes"]:
        scale, unit = (1, "MB") if axis["unit"] == "MB" else (1e3, "ms")
        lines = [[unit, *(digits(scale * value) for value in axis["values"])]]
        told = f"**{axis['title'][0].upper()}{axis['title'][1:]}**"
        if "line" in axis:
            lines.append(["line", *(digits(scale * value) for value in axis["line"])])
            start, slope = (digits(scale * axis[name]) for name in ("start", "slope"))
            told += (
                f": {start} {unit} + {slope} {unit} × {axis['symbol']}, "
                f"at most {100 * axis['worst']:.0f} % off"
            )
        headers = [axis["symbol"], *(f"{at:,}" for at in axis["at"])]
        parts.append(f"{told}\n\n{table(lines, headers, 'github')}")
    return "\n\n".join(parts) + "\n"


def report_bench(folder: Path) -> str:
    """bench.md, bench.png and, where it was measured, scaling.md and scaling.png; the Markdown."""
    text = ""
    for name, write, draw in (
        ("bench", bench_text, bench_chart),
        ("scaling", scaling_text, scaling_chart),
    ):
        path = folder / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text("utf-8"))
            part = write(found)
            atomic_write(folder / f"{name}.md", part)
            atomic_write(folder / f"{name}.png", draw(found))
            text += part + "\n"
    return text


def fill(page: str, name: str, content: str) -> str:
    """The page with the content between its markers of that name."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    if not re.search(pattern, page, flags=re.S):
        raise InputError(f"docs/performance.md: has no section {name}")
    return re.sub(pattern, lambda m: f"{m[1]}\n{content.strip()}\n\n{m[2]}", page, flags=re.S)


def main(folder: Path) -> None:
    """All reports, and the page."""
    page = PAGE.read_text("utf-8")
    if (folder / "compare.jsonl").exists():
        report_compare(folder)
    report_bench(folder)
    for name, text in page_texts(folder).items():
        picture = f"![{name}](../benchmarks/results/{name}.png)"
        page = fill(page, name, f"{text.strip()}\n\n{picture}")
    atomic_write(PAGE, page)


def page_texts(folder: Path) -> dict[str, str]:
    """What each section of the page shows: the reports there are, without the figures wanted."""
    found = {name: folder / f"{name}.md" for name in ("compare", "bench", "scaling")}
    texts = {name: path.read_text("utf-8") for name, path in found.items() if path.exists()}
    if "compare" in texts:
        texts["compare"] = compare_text(folder, wanted=False)
    return texts


if __name__ == "__main__":
    try:
        main(HERE / "results")
    except InputError as error:
        sys.exit(f"report: error: {error}")
