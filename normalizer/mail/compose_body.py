"""From the parts of a message to the two renderings a mail has: plain text, and HTML where there is any."""

from __future__ import annotations

import html as escaping
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from markdown_it import MarkdownIt

from normalizer.mail import html
from normalizer.parts import AnyPart, MediaPart, Text

_BODY = re.compile(r"<body\b[^>]*>(.*)</body\s*>", re.IGNORECASE | re.DOTALL)
_DOCUMENT = re.compile(r"<(?:!doctype|html|body)\b", re.IGNORECASE)
_CID = re.compile(r"""(?:src|background)\s*=\s*["']?\s*cid:([^"'\s>]+)""", re.IGNORECASE)
_END = re.compile(r"</body\s*>", re.IGNORECASE)
_FRAME = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{}\n</body></html>\n'


class Body(NamedTuple):
    """Both renderings; `html` is None for a mail of plain text only."""

    text: str
    html: str | None


def body_of(parts: Iterable[AnyPart], *, marker: str | None = None) -> Body:
    """Render texts and captions in their order; `marker` is a last line of its own.

    A text is plain, Markdown (CommonMark with tables; HTML in it is shown, not obeyed) or HTML, which is sent as it is:
    whoever writes it is trusted. A plain text alone stays alone; beside formatted ones it is in the HTML as well.
    """
    texts = [*_texts(parts)]
    plain = "\n\n".join(filter(None, (_plain(one).strip("\n") for one in texts)))
    if marker:
        plain = f"{plain}\n\n{marker}" if plain else marker
    if all(one.format == "plain" for one in texts):
        return Body(plain, None)
    return Body(plain, _with_marker(_document(texts), marker))


def cids(source: str | None) -> frozenset[str]:
    """Name the images an HTML text shows from its own mail (``cid:``, RFC 2392)."""
    return frozenset(_CID.findall(source or ""))


def _texts(parts: Iterable[AnyPart]) -> Iterator[Text]:
    for part in parts:
        if isinstance(part, Text):
            yield part
        elif isinstance(part, MediaPart) and part.media.caption:
            yield Text(body=part.media.caption)


def _plain(one: Text) -> str:
    return html.text(one.body) if one.format == "html" else one.body


def _document(texts: list[Text]) -> str:
    if len(texts) == 1 and texts[0].format == "html" and _DOCUMENT.search(texts[0].body):
        return texts[0].body
    return _FRAME.format("\n".join(map(_rendered, texts)))


def _rendered(one: Text) -> str:
    match one.format:
        case "html":
            inner = _BODY.search(one.body)
            return inner[1] if inner else one.body
        case "markdown":
            return str(_markdown().render(one.body))
        case "plain":
            paragraphs = re.split(r"\n{2,}", escaping.escape(one.body.strip("\n"), quote=False))
            return "\n".join("<p>{}</p>".format(piece.replace("\n", "<br>\n")) for piece in paragraphs)


def _with_marker(source: str, marker: str | None) -> str:
    if marker is None:
        return source
    line = f'<p style="color:#888;font-size:small">{escaping.escape(marker)}</p>\n'
    ends = list(_END.finditer(source))
    at = ends[-1].start() if ends else len(source)
    return source[:at] + line + source[at:]


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
