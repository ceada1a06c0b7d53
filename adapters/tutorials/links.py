"""Links between the files of a folder that is copied without what lies around it."""

import posixpath
import re
from collections.abc import Collection
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

# the words of a link and its goal, by the kind of file; in a script it may stand in a comment and
# go over the end of a line
FORMS = {
    ".py": re.compile(r"(?<!`)`([^`<]+?)\s+(?:#\s+)?<([^`<>]+)>`__?"),  # `words <goal>`_
    ".md": re.compile(r"(?<!!)\[([^\]]*)\]\(([^()\s]+)\)"),  # [words](goal), but no picture
}


def without_links_out(name: str, text: str, here: Collection[str]) -> str:
    """A file's text, with the words alone in place of each link to a file that is not `here`.

    name: the file's own path in the folder, from which its links start; here: the paths of all
    files in it. Addresses (https:, mailto:), places on the same page and folders with files of
    `here` stay links.
    """
    known = {*here, *(str(folder) for path in here for folder in PurePosixPath(path).parents)}

    def link(match: re.Match[str]) -> str:
        words, goal = match.groups()
        address = urlsplit(goal)
        if address.scheme or address.netloc or not address.path:
            return match[0]
        path = posixpath.join(posixpath.dirname(name), unquote(address.path))
        return match[0] if posixpath.normpath(path) in known else words

    return FORMS[posixpath.splitext(name)[1]].sub(link, text)
