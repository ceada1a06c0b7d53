"""A tutorial as a Jupyter notebook.

A tutorial is a Python file in the percent format: `# %%` begins a cell of code, `# %% [markdown]`
one of text in comments; what stands before the first is a docstring and the imports. Its text is
reStructuredText, a notebook's is Markdown. The format of notebooks is nbformat 4.5,
https://nbformat.readthedocs.io/en/latest/format_description.html.
"""

import ast
import json
import re
from textwrap import dedent
from typing import Any

MARKER = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)

# reStructuredText -> Markdown, as far as the two differ in what the tutorials use. Underlined
# headings, lists, emphasis and ``code`` are the same in both.
BLOCK = re.compile(r"^\.\. (math|raw)::(.*)\n((?:(?: +.*)?\n)*)", re.MULTILINE)
INLINE = (
    (re.compile(r":math:`([^`]+)`"), r"$\1$"),
    (re.compile(r"`([^`<]+?)\s+<([^>`]+)>`__?"), r"[\1](\2)"),
)


def notebook(script: str) -> str:
    """The notebook (JSON) of a tutorial in the percent format."""
    head, *rest = MARKER.split(script)
    docstring = ast.parse(head).body[0]
    imports = "\n".join(head.split("\n")[docstring.end_lineno :])
    cells = [_text(ast.get_docstring(ast.parse(head)) or ""), _code(imports)]
    for kind, body in zip(rest[::2], rest[1::2], strict=True):
        cells.append(_text(re.sub(r"^# ?", "", body, flags=re.MULTILINE)) if kind else _code(body))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": python}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def markdown(text: str) -> str:
    """The Markdown of a text in reStructuredText."""

    def block(match: re.Match[str]) -> str:
        begun, inside = match[2].strip(), dedent(match[3]).strip("\n")
        if match[1] == "raw":  # of the kind `begun`, which is html
            return f"{inside}\n\n"
        equation = "\n".join(part for part in (begun, inside) if part)
        return f"$$\n{equation}\n$$\n\n"

    text = BLOCK.sub(block, text.strip("\n") + "\n").strip("\n")
    for pattern, form in INLINE:
        text = pattern.sub(form, text)
    return text


# nbformat's two kinds of cell; `notebook` gives each its id
def _text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": markdown(source)}


def _code(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source.strip("\n"),
    }
