"""HTML made well-formed and harmless before a real parser sees it.

An HTML5 parser takes quadratic time for deep nesting, and quadratic memory for formatting elements that nobody closes
(each paragraph opens all of them again). Here every tag is closed, nesting is bounded, and a source that would make
the parser copy formatting elements by the hundred thousand is refused.
"""

from __future__ import annotations

from html import escape
from urllib.parse import unquote

from normalizer.mail import html
from normalizer.mail.html import Tag

DEPTH_MAX = 200
COPIES_MAX = 300_000
"""How many formatting elements may be open, summed over all tags."""

FORMATTING = frozenset({"a", "b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"})
VOID = frozenset({"br", "col", "hr", "img", "wbr"})
_TABLE = frozenset({"table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"})
_CELLS = frozenset({"td", "th", "caption"})
_PHRASES = frozenset({"abbr", "bdi", "bdo", "cite", "del", "dfn", "ins", "kbd", "mark", "q", "samp", "span", "sub"}) | {
    *("sup", "time", "var"),
}
_BLOCKS = frozenset({"address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "figcaption"}) | {
    *("figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "li", "main", "nav", "ol", "p", "pre"),
    *("section", "ul"),
}
TAGS = FORMATTING | VOID | _TABLE | _PHRASES | _BLOCKS
_ENDED_BY = {
    "li": frozenset({"li", "p"}),
    "dt": frozenset({"dt", "dd", "p"}),
    "dd": frozenset({"dt", "dd", "p"}),
    "td": frozenset({"td", "th", "p"}),
    "th": frozenset({"td", "th", "p"}),
    "tr": frozenset({"tr", "td", "th", "p"}),
}
"""Open elements that a start tag ends, because their end tags may be left out."""
_ENDS_PARAGRAPH = (_BLOCKS | _TABLE | {"hr"}) - _ENDED_BY.keys()
_PARAGRAPH = (TAGS - FORMATTING - VOID - _ENDED_BY.keys() - frozenset({"abbr", "bdi", "bdo", "cite", "del"})) - (
    frozenset({"dfn", "ins", "kbd", "mark", "q", "samp", "span", "sub", "sup", "time", "var"})
) | {"hr"}
_PARAGRAPH = frozenset({"p"})
_FETCHES = ("url", "expression", "import", "\\")


class TooTangled(Exception):
    """The source would cost a parser more than it is worth."""


class Balancer:
    """Writes well-formed HTML; `images` and `trackers` count what it would have fetched from elsewhere."""

    def __init__(self) -> None:
        """Start with nothing open."""
        self.images = self.trackers = 0
        self._out: list[str] = []
        self._open: list[str] = []
        self._formatting = self._copies = 0

    def html(self, source: str) -> None:
        """Add a fragment; raises `TooTangled`."""
        for token in html.tokens(source):
            if isinstance(token, str):
                self._out.append(escape(html.unescape(token), quote=False))
            elif token.name in TAGS:
                self._tag(token)
        self._close_to(0)

    def plain(self, text: str) -> None:
        """Add text as it is."""
        self._out.append(f'<div style="white-space:pre-wrap">{escape(text, quote=False)}</div>')

    def result(self) -> str:
        """Return what was written."""
        return "".join(self._out)

    def _tag(self, tag: Tag) -> None:
        self._copies += self._formatting
        if self._copies > COPIES_MAX:
            raise TooTangled
        if tag.closing:
            self._close(tag.name)
            return
        ended = _PARAGRAPH if tag.name in _ENDS_PARAGRAPH else _ENDED_BY.get(tag.name, frozenset())
        while self._open and self._open[-1] in ended:
            self._pop()
        if tag.name not in VOID:
            if len(self._open) >= DEPTH_MAX:
                return
            self._open.append(tag.name)
            self._formatting += tag.name in FORMATTING
        if tag.name != "img":
            self._out.append(f"<{tag.name}{_attributes(tag)}>")
        else:
            self._image(dict(reversed(list(tag.values()))))

    def _close(self, name: str) -> None:
        """Close an element and what is open in it; a tag that closes nothing here is dropped."""
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at] == name:
                self._close_to(at)
                return
            if self._open[at] in _CELLS and name not in _TABLE:
                return

    def _close_to(self, length: int) -> None:
        while len(self._open) > length:
            self._pop()

    def _pop(self) -> None:
        name = self._open.pop()
        self._formatting -= name in FORMATTING
        self._out.append(f"</{name}>")

    def _image(self, values: dict[str, str]) -> None:
        """Keep pictures that are in the mail; of others only say where they are, and leave out trackers."""
        source = "".join(values.get("src", "").split())
        if source.lower().startswith("cid:"):
            values["src"] = "cid:" + unquote(source[4:])
        elif not source.lower().startswith("data:image/"):
            values.pop("src", None)
            if source.lower().startswith(("http:", "https:", "//")):
                self.images += 1
                if _invisible(values):
                    self.trackers += 1
                    return
                values["data-remote-src"] = source
        self._out.append(f"<img{_written(values)}>")


def _attributes(tag: Tag) -> str:
    return _written(dict(reversed(list(tag.values())))) if tag.attributes else ""


def _written(values: dict[str, str]) -> str:
    if "style" in values:
        kept = [one for one in values["style"].split(";") if not any(word in one.lower() for word in _FETCHES)]
        values["style"] = ";".join(kept)
    return "".join(f' {name}="{escape(value)}"' for name, value in values.items())


def _invisible(values: dict[str, str]) -> bool:
    style = values.get("style", "").replace(" ", "").lower()
    sizes = {values.get(name, "").strip().lower().removesuffix("px") for name in ("width", "height")}
    hidden = ("display:none", "visibility:hidden", "width:1px", "height:1px", "width:0", "height:0", "opacity:0;")
    return bool(sizes & {"0", "1"}) or any(mark in style for mark in hidden)
