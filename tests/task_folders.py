"""Folders of tasks for table 2, made of the toy data."""

from collections.abc import Sequence
from pathlib import Path

import toy

PARTS = ("train", "dev", "test")
SIZES = {"train": 40, "dev": 16, "test": 24}
ABOUT = 'text = "text"\nlabel = "label"\n'


def toy_rows(seed: int) -> dict[str, list[tuple[str, str]]]:
    """(text, label) of each part; the labels are words."""
    return {
        part: [(e.text, toy.TASK.names[int(e.label)]) for e in toy.examples(size, seed + i)]
        for i, (part, size) in enumerate(SIZES.items())
    }


def write_task(
    folder: Path,
    rows: dict[str, list[tuple[str, str]]],
    about: str = ABOUT,
    header: Sequence[str] = ("text", "label"),
) -> Path:
    """A task's folder, its files tab-separated without quoting; no `header`: none is written."""
    folder.mkdir(parents=True)
    for part, pairs in rows.items():
        lines = ["\t".join(cells) for cells in ([header] if header else []) + list(pairs)]
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "task.toml").write_text(about, "utf-8")
    return folder
