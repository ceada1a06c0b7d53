"""Equations as MathML, which browsers show by themselves: no script, no fonts, no network.

An equation that is alone in its paragraph, but for a mark at its end, is displayed: the tutorials
write it in a line of text, which their notebooks can show.

The LaTeX is translated while the site is built, by docutils' own converter (public domain). What
it cannot translate is a warning, and warnings fail the build.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)
SIZED = re.compile(
    r"\\([bB]igg?)(?![A-Za-z])"
)  # \Big, which docutils knows as \Bigl and \Bigr only


def translated(node: nodes.Element, block: bool) -> str:
    """The MathML of a math node; its LaTeX, with a warning, where it cannot be translated."""
    try:
        return tex2mathml(SIZED.sub(r"\\\1l", node.astext()), as_block=block)
    except MathError as error:
        logger.warning("an equation that MathML cannot show: %s", error, location=node)
        return f"<code>{node.astext()}</code>"


def inline(self, node: nodes.math) -> None:
    """An equation in a line of text."""
    self.body.append(f'<span class="math">{translated(node, block=False)}</span>')
    raise nodes.SkipNode


def block(self, node: nodes.math_block) -> None:
    """An equation of its own, which scrolls by itself where the screen is too narrow."""
    self.body.append(f'<div class="math" tabindex="0">{translated(node, block=True)}</div>')
    raise nodes.SkipNode


def alone(paragraph: nodes.paragraph) -> str | None:
    """The mark after the only equation of a paragraph, often "."; None where there is more."""
    children = [child for child in paragraph.children if child.astext().strip()]
    if not children or not isinstance(children[0], nodes.math):
        return None
    after = "".join(child.astext() for child in children[1:]).strip()
    return after if re.fullmatch(r"[.,;:]?", after) else None


def display(app, doctree: nodes.document) -> None:
    """Sphinx's hook: equations that are alone become displayed ones."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        mark = alone(paragraph)
        if mark is not None:
            equation = next(paragraph.findall(nodes.math)).astext()
            text = equation + (rf"\text{{{mark}}}" if mark else "")
            made = nodes.math_block(text, text, nowrap=True, number=None, label=None)
            made.source, made.line = paragraph.source, paragraph.line
            paragraph.replace_self(made)


def setup(app):
    """What Sphinx calls."""
    app.connect("doctree-read", display)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
