"""Docstrings are plain text in this project, for readers of the code: here they become pages.

Prose stays prose, `names` in backticks are set as code, and indented lines (equations, tables)
keep their layout. Nothing else has a meaning, so |x| and 2*d need no care.
"""

import itertools
import re

MARKUP = re.compile(r"([\\*|_<>`])")
BULLET = re.compile(r"([-*]|\d+\.) +")


def prose(text: str) -> str:
    """Lines of text as reStructuredText that shows just them."""
    parts = re.split(r"``?([^`]+)``?", text)
    made = MARKUP.sub(r"\\\1", parts[0])
    for code, after in zip(parts[1::2], parts[2::2], strict=True):
        # a backslash and a blank show nothing, and part the code from what it touches
        made += ("" if re.search(r"(\A|\s)\Z", made) else "\\ ") + f"``{' '.join(code.split())}``"
        made += ("" if re.match(r"\s|\Z", after) else "\\ ") + MARKUP.sub(r"\\\1", after)
    return made


def kind(line: str, before: str) -> str:
    """Whether a line of a docstring is blank, an item of a list (or goes on with one), laid out by
    its indentation, or prose; `before` is the kind of the line above."""
    if not line.strip():
        return "blank"
    if BULLET.match(line):
        return "item" if before != "item" else "next item"
    if line.startswith(" "):
        return before if before.endswith("item") and not line.startswith("    ") else "layout"
    return "prose"


def restructured(lines: list[str]) -> list[str]:
    """A dedented docstring as reStructuredText."""
    kinds = list(itertools.accumulate(lines, lambda before, line: kind(line, before), initial=""))
    made: list[str] = []
    for what, group in itertools.groupby(zip(kinds[1:], lines, strict=True), lambda pair: pair[0]):
        block = [line for _, line in group]
        if what == "layout":
            made += ["", "::", "", *("   " + line for line in block), ""]
        elif what.endswith("item"):
            start = BULLET.match(block[0])[0]
            made += ["", start + prose("\n".join([block[0][len(start) :], *block[1:]])), ""]
        elif what == "prose":
            made += ["", prose("\n".join(block)), ""]
    return "\n".join(made).split("\n")


def process(app, what, name, obj, options, lines) -> None:
    """Sphinx's hook: the lines of a docstring, changed in place."""
    lines[:] = restructured(lines)


def setup(app):
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
