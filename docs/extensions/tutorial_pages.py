"""What is otherwise than sphinx-gallery does it: the tutorials' index, and buttons on each.

The index is the one of `docs/listings.py`, with a sentence and minutes for each tutorial; the small
pictures that sphinx-gallery adds to it are left out. A tutorial's files are at the end of its page,
where few look, with a note at the top that says so: buttons take the place of both. The notebook is
ours (docs/stage.py), so that nothing in it is left in reStructuredText.
"""

import re

NOTE = re.compile(
    r"\.\. only:: html\n\n    \.\. note::\n"
    r"        :class: sphx-glr-download-link-note\n\n(?: {8}.*\n)+"
)
END = re.compile(
    r"^\.\. _sphx_glr_download_tutorials_\w+\.py:\n\n\.\. only:: html\n(?:\n| .*\n)+", re.M
)
TITLE = re.compile(r"^(\.\. _sphx_glr_tutorials_(\w+)\.py:\n\n+.+\n=+\n)", re.MULTILINE)


ADDED = re.compile(r"^\.\. raw:: html\n\n {4}<div class=\"sphx-glr-thumbnails\">", re.MULTILINE)


def without_what_is_added(index: str) -> str:
    """The index as docs/listings.py made it. Raises ValueError where there is nothing to leave out:
    then sphinx-gallery has changed, and so must this module."""
    added = ADDED.search(index)
    if added is None:
        raise ValueError("sphinx-gallery's part of the tutorials' index is not found")
    return index[: added.start()].removeprefix(":orphan:\n\n")


def with_buttons(page: str) -> str:
    """A tutorial's page in reStructuredText, as sphinx-gallery makes it, with the buttons."""
    buttons = (
        r"\1\n.. container:: tutorial-buttons\n\n"
        r"   :download:`Download the notebook <\2.ipynb>`\n"
        r"   :download:`Download the script <\2.py>`\n\n"
    )
    return TITLE.sub(buttons, END.sub("", NOTE.sub("", page)), count=1)


def read(app, name: str, source: list[str]) -> None:
    """Sphinx's hook: the text of a page, changed in place."""
    if re.fullmatch(r"tutorials/\d\d_\w+", name):
        source[0] = with_buttons(source[0])
    elif name == "tutorials/index":
        source[0] = without_what_is_added(source[0])


def setup(app):
    """What Sphinx calls."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
