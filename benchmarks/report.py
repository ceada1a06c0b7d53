"""Tables and charts of what `make compare` and `make bench` have measured.

`python benchmarks/report.py` rewrites those in benchmarks/results from the results there, and the
sections of docs/performance.md that show them.
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
JOBS = "jobs"  # the folder and the section of rows that were measured by themselves, later
ALONE = ("", "sgemm", "not cached")  # in the place of a peer, where there is none
OTHER_WAYS = ("all layers", "one by one", "one task", "12 single runs", "5,000 rows")  # of our own
# what each picture shows, for those who do not see it
PICTURES = {
    "compare": "Bars: how many times better this project is than each peer",
    "jobs": "Bars: how many times better this project is in whole jobs",
    "bench": "Bars for each base and kind of step: tokens a second, share of a product",
    "scaling": "Measured steps, as dots: time and memory against N, T, L and m",
}
GROUPS = [
    (
        "Against the peers",
        lambda row: row.peer not in (*ALONE, *OTHER_WAYS) and not row.kernels,
    ),
    ("Against other ways to do it here", lambda row: row.peer in OTHER_WAYS),
    ("The same with AVX2 kernels (OPENBLAS_CORETYPE=Haswell on our side)", lambda row: row.kernels),
    ("On our own", lambda row: row.peer in ALONE),
]


def report_compare(folder: Path) -> str:
    """Write compare.md and compare.png beside compare.jsonl. Returns the Markdown."""
    text = compare_text(folder)
    _, records = read_lines(folder / "compare.jsonl")
    atomic_write(folder / "compare.md", text)
    atomic_write(folder / "compare.png", compare_chart(TABLE, records))
    return text


def compare_text(folder: Path, wanted: bool = True) -> str:
    """The results of `make compare` as Markdown, with or without the wanted figures."""
    machine, records = read_lines(folder / "compare.jsonl")
    if machine is None:
        raise InputError(f"{folder / 'compare.jsonl'}: does not exist yet; run make compare")
    parts = [machine_text(machine, records)]
    for title, belongs in GROUPS:
        rows = [row for row in TABLE if row.name in records and belongs(row)]
        if rows:
            parts.append(f"**{title}**\n\n{compare_table(rows, records, wanted)}")
    return "\n\n".join(parts) + "\n"


def compare_table(rows: list[Row], records: dict[str, Record], with_wanted: bool) -> str:
    """One line for each row: both medians, the figure with its range, and what is wanted."""
    lines = []
    for row in rows:
        record = records[row.name]
        figure = figure_of(row.figure, record)
        wanted, verdict = "", ""
        if row.wanted is not None:
            bound = "at least" if FIGURES[row.figure][2] else "at most"
            wanted = f"{bound} {row.wanted:.3g}"
            verdict = "yes" if figure.meets(row.figure, row.wanted) else "**no**"
        both = [medians(record, "ours", row), medians(record, "peer", row)]
        rounds = f"{figure.middle:.3g} ({figure.low:.3g}–{figure.high:.3g})"
        lines.append(
            [row.title, row.peer, *both, f"**{figure.value:.3g}**", rounds, wanted, verdict]
        )
    headers = ["what", "against", "ours", "theirs", "figure", "single rounds", "wanted", "met"]
    columns = len(headers) if with_wanted else len(headers) - 2
    return table([line[:columns] for line in lines], headers[:columns], "github")


def medians(record: Record, side: str, row: Row) -> str:
    """A side's medians, with units."""
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
    """At least three digits, never in scientific notation."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def seconds_text(seconds: float) -> str:
    """In s or ms, to three digits."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def machine_text(machine: Record, records: dict[str, Record] | None = None) -> str:
    """The machine and libraries, in a few lines."""
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
        lines.append(f"Medians of {' or '.join(map(str, rounds))} rounds. " + "; ".join(sources))
    return "\n".join(line.strip() for line in lines)


def commits(machine: Record, records: dict[str, Record] | None) -> str:
    """The commits that were measured."""
    found = {record["commit"] for record in (records or {}).values()} or {machine["commit"]}
    return "commit " + ", ".join(sorted(found))


def bench_text(found: dict[str, Any]) -> str:
    """Our own figures as Markdown."""
    lines = []
    for row in found["rows"]:
        speed, share = row["tokens"] / row["seconds"], 100 * row["share"]
        figures = [seconds_text(row["seconds"]), f"{speed:,.0f}", f"{share:.0f} %"]
        lines.append([row["title"], row["texts"], row["work"], *figures, f"{row['peak_mb']:,.0f}"])
    headers = ["model", "texts", "work", "time", "tokens/s", "share of sgemm", "peak MB"]
    return f"{machine_text(found['machine'])}\n\n{table(lines, headers, 'github')}\n"


def scaling_text(found: dict[str, Any]) -> str:
    """How a step's time and memory grow, as Markdown, with the best-fitting straight line."""
    parts = []
    for axis in found["axes"]:
        scale, unit = (1, "MB") if axis["unit"] == "MB" else (1e3, "ms")
        lines = [[unit, *(digits(scale * value) for value in axis["values"])]]
        heading = f"**{axis['title'][0].upper()}{axis['title'][1:]}**"
        if "line" in axis:
            lines.append(["line", *(digits(scale * value) for value in axis["line"])])
            start, slope = (digits(scale * axis[name]) for name in ("start", "slope"))
            heading += (
                f": {start} {unit} + {slope} {unit} × {axis['symbol']}, "
                f"at most {100 * axis['worst']:.0f} % off"
            )
        headers = [axis["symbol"], *(f"{at:,}" for at in axis["at"])]
        parts.append(f"{heading}\n\n{table(lines, headers, 'github')}")
    return "\n\n".join(parts) + "\n"


def report_bench(folder: Path) -> str:
    """Write bench.md and bench.png, and scaling.md and scaling.png, as far as they were measured.
    Returns the Markdown."""
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
    """The page with this content between the markers of that name."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    if not re.search(pattern, page, flags=re.S):
        raise InputError(f"docs/performance.md: has no section {name}")
    return re.sub(pattern, lambda m: f"{m[1]}\n{content.strip()}\n\n{m[2]}", page, flags=re.S)


def main(folder: Path) -> None:
    """Write all reports, and the page."""
    page = PAGE.read_text("utf-8")
    for part in (folder, folder / JOBS):
        if (part / "compare.jsonl").exists():
            report_compare(part)
    report_bench(folder)
    for name, text in page_texts(folder).items():
        file = f"{JOBS}/compare" if name == JOBS else name
        picture = f"![{PICTURES[name]}](../benchmarks/results/{file}.png)"
        page = fill(page, name, f"{text.strip()}\n\n{picture}")
    atomic_write(PAGE, page)


def page_texts(folder: Path) -> dict[str, str]:
    """The existing reports, as each section of the page shows them: without the wanted figures."""
    found = {name: folder / f"{name}.md" for name in ("compare", "bench", "scaling")}
    texts = {name: path.read_text("utf-8") for name, path in found.items() if path.exists()}
    for name, part in (("compare", folder), (JOBS, folder / JOBS)):
        if (part / "compare.jsonl").exists():
            texts[name] = compare_text(part, wanted=False)
    return texts


if __name__ == "__main__":
    try:
        main(HERE / "results")
    except InputError as error:
        sys.exit(f"report: error: {error}")
