"""Pieces of HTML. Whatever comes in as text is escaped here; what a function returns is HTML."""

from collections.abc import Iterable, Sequence
from html import escape

from minibert.tokenizer import Text

TEXT, NAME = 300, 60  # characters shown of a text, and of a class's name
LONG = 40  # rows of a table that is shown whole


class Html(str):
    """A string that is HTML already, and must not be escaped again."""

    __slots__ = ()


def html(content: object) -> Html:
    """Any content as HTML: escaped, unless it is HTML already. Characters that a page may not hold
    (NUL, other controls, lone surrogates) become the replacement character."""
    if isinstance(content, Html):
        return content
    return Html(escape("".join(_shown(character) for character in str(content))))


def shortened(text: str, length: int) -> Html:
    """The text, of a longer one its beginning and how long it is."""
    if len(text) <= length:
        return html(text)
    return Html(
        f'{html(text[:length].rstrip())}… <span class="faint">({len(text):,} characters)</span>'
    )


def text_block(text: Text) -> Html:
    """A text, or the two of a pair one below the other."""
    parts = (text,) if isinstance(text, str) else text
    shown = "<br>".join(shortened(part, TEXT) for part in parts)
    return Html(f'<div class="text">{shown}</div>')


def table(
    headers: Sequence[object],
    rows: Iterable[Sequence[object]],
    caption: str,
    words: Sequence[int] = (),
) -> Html:
    """A table that scrolls by itself when it is too wide, and of many rows when it is too long. The
    first cell of a row is its header; `words`: the columns that hold text rather than numbers."""
    left = {number: ' class="words"' for number in words}
    head = "".join(
        f'<th scope="col"{left.get(number, "")}>{html(header)}</th>'
        for number, header in enumerate(headers)
    )
    body = []
    for first, *rest in rows:
        cells = "".join(
            f"<td{left.get(number, '')}>{html(cell)}</td>" for number, cell in enumerate(rest, 1)
        )
        body.append(f'<tr><th scope="row">{html(first)}</th>{cells}</tr>')
    return scrolling(
        f"<table><caption>{html(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>"
        + "\n".join(body)
        + "</tbody></table>",
        caption,
        tall=len(body) > LONG,
    )


def facts_table(rows: Iterable[tuple[str, object]]) -> Html:
    """Names and values, one pair a row."""
    body = "\n".join(
        f'<tr><th scope="row">{html(name)}</th><td>{html(value)}</td></tr>' for name, value in rows
    )
    return Html(f'<table class="facts"><tbody>\n{body}\n</tbody></table>')


def scrolling(content: str, label: str, tall: bool = False) -> Html:
    """HTML in a region that scrolls, with the keyboard too; `tall`: up and down as well."""
    kinds = "scroll tall" if tall else "scroll"
    return Html(
        f'<div class="{kinds}" tabindex="0" role="region" aria-label="{html(label)}">'
        f"{content}</div>"
    )


def section(title: str, *parts: str) -> Html:
    """A section of the page."""
    return Html(f"<section>\n<h2>{html(title)}</h2>\n" + "\n".join(parts) + "\n</section>")


def paragraph(text: str) -> Html:
    """A paragraph of text."""
    return Html(f"<p>{html(text)}</p>")


def figure(image: str, caption: str) -> Html:
    """An image (HTML) with its caption."""
    return Html(f"<figure>{image}<figcaption>{html(caption)}</figcaption></figure>")


def side_by_side(*parts: str) -> Html:
    """HTML beside each other, or one below the other on a narrow screen."""
    return Html(f'<div class="figures">{"".join(parts)}</div>')


def details(summary: str, content: str) -> Html:
    """HTML that is shown when one asks for it."""
    return Html(f"<details><summary>{html(summary)}</summary>{content}</details>")


def _shown(character: str) -> str:
    code = ord(character)
    control = code < 32 and character not in "\t\n\r"
    return "\ufffd" if control or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 else character
