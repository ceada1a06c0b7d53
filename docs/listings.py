"""Parts of the site's pages that list what is in the repository: `docs/stage.py` puts them there.

The tutorials by what they say of themselves, the exercises by their table, the ledgers by their
verdicts. What is added to the repository comes into the lists by itself.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

VERDICTS = ("holds", "does not hold", "not decided by these runs")


@dataclass(frozen=True)
class Tutorial:
    """A tutorial as its docstring describes it."""

    stem: str  # "07_the_adapter"
    title: str
    learn: str  # "where an adapter sits, ..."
    reading: str  # "20 minutes"

    @property
    def number(self) -> str:
        """ "07"."""
        return self.stem[:2]


def tutorial(path: Path) -> Tutorial:
    """What a tutorial says of itself. Raises ValueError, naming the file, where its docstring has
    no "**You will learn** ... **Time:** ... to read"."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    words = " ".join(text.split())
    said = re.search(r"\*\*You will learn\*\* (.+?)\. \*\*Time:\*\* (.+? minutes?) to read", words)
    if said is None:
        raise ValueError(
            f"{path} does not say '**You will learn** ... **Time:** ... minutes to read'"
        )
    return Tutorial(path.stem, text.split("\n")[0], said[1], said[2])


def tutorial_index(header: str, tutorials: Iterable[Tutorial], pictures: dict[str, str]) -> str:
    """The page of all tutorials: a card of each, and the order of their pages. `header`: how the
    page begins; `pictures`: a small picture's path by the tutorial's stem."""
    told = list(tutorials)
    cards = "\n".join(_card(one, pictures.get(one.stem)) for one in told)
    order = "\n".join(f"   {one.number} {one.title} <{one.stem}>" for one in told)
    return (
        f"{header}\n.. grid:: 1 1 2 2\n   :gutter: 3\n   :class-container: tutorials\n\n{cards}\n"
        f".. toctree::\n   :hidden:\n\n{order}\n"
    )


def _card(one: Tutorial, picture: str | None) -> str:
    """A tutorial's card, as an item of sphinx-design's grid."""
    lines = [f".. grid-item-card:: {one.number} {one.title}", f"   :link: {one.stem}"]
    lines += ["   :link-type: doc"]
    if picture:
        lines += [f"   :img-top: /pictures/{picture}"]
        lines += [f"   :img-alt: A picture from the tutorial: {one.title}"]
    lines += ["", f"   {one.learn[0].upper()}{one.learn[1:]}.", ""]
    lines += ["   .. rst-class:: minutes", "", f"   {one.reading} to read", ""]
    return "".join(f"   {line}\n" if line else "\n" for line in lines)


def exercise_table(root: Path) -> str:
    """The exercises as Markdown: number, title, tutorial, minutes, difficulty, goal."""
    known = tomllib.loads((root / "tutorials/exercises/info.toml").read_text("utf-8"))["exercise"]
    rows = [
        f"| {one['number']} | {one['title']} | [{one['tutorial'].replace('_', ' ')}]"
        f"(../{one['tutorial']}.py) | {one['minutes']} | {one['difficulty']} | {one['goal']} |"
        for one in known
    ]
    head = "| | exercise | after tutorial | minutes | difficulty, of 3 | what you do |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def verdicts(ledger: str) -> Counter[str]:
    """How often each verdict stands in the table of a ledger, claims.md."""
    rows = (line for line in ledger.split("\n") if line.startswith("|"))
    return Counter(row.split("|")[-2].strip(" *") for row in rows if "**" in row)


def verdict_table(root: Path, ledgers: Iterable[Path]) -> str:
    """The verdicts of each ledger, counted, as Markdown with links as in docs/."""
    lines = ["| reproduction | holds | does not hold | not decided | the runs |"]
    lines += ["|---|---|---|---|---|"]
    for path in ledgers:
        text, here = path.read_text("utf-8"), f"../{path.relative_to(root).parent}"
        counts = " | ".join(f"**{verdicts(text)[verdict]}**" for verdict in VERDICTS)
        report = f"[tables and pictures]({here}/results.md)"
        lines.append(f"| [`{path.parent.name}`]({here}/claims.md) | {counts} | {report} |")
    return "\n".join(lines)
