"""Equations as MathML, which browsers show by themselves: no script, no fonts, no network.

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


def setup(app):
    """What Sphinx calls."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
