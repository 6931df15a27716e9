"""HTML as readable text: blocks become lines, links keep their address, quotes get their ``>``.

An own tokenizer, because `html.parser` takes quadratic time on hostile input; this one looks at every character a
bounded number of times.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

INPUT_MAX = 524_288
"""Bytes of HTML that are decoded and rendered, pictures in it not counted; a larger body is an attachment as well.

Five times what Gmail shows of a mail; the worst of it takes a third of a second.
"""

_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9:-]*)")
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]{1,40})\s{0,9}=\s{0,9}(?:"([^"]{0,4096})"|'([^']{0,4096})'|([^\s"'>]{1,4096}))""")
_HUGE_REFERENCE = re.compile(r"&#(?:[xX][0-9a-fA-F]{7,}|[0-9]{8,});?")
_SPACE = re.compile(r"[ \t\r\n\f\xa0]+")
_INVISIBLE = re.compile("[\u200b\u200c\u2060\ufeff\u00ad\u034f]")

_HIDDEN = frozenset({"script", "style", "title", "template", "noframes", "textarea", "select", "svg", "object"})
_PARAGRAPH = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "pre", "blockquote", "hr"})
_BLOCK = _PARAGRAPH | frozenset(
    {"div", "br", "li", "tr", "dt", "dd", "section", "article", "header", "footer", "address", "center", "body", "form"}
    | {"figure", "figcaption", "main", "nav", "aside", "fieldset", "legend", "caption", "thead", "tbody", "tfoot"}
)
_DEEPEST_QUOTE = 8


class Tag(NamedTuple):
    """A tag: its name in lower case, and what stands between the name and ``>``."""

    name: str
    closing: bool
    attributes: str

    def values(self) -> Iterator[tuple[str, str]]:
        """Read the attributes: names in lower case, references resolved; the first 16 KiB of them."""
        for match in _ATTRIBUTE.finditer(self.attributes[:16_384]):
            yield match[1].lower(), unescape(match[2] or match[3] or match[4] or "")


def text(source: str) -> str:
    """Render HTML; never raises, an unclosed or misplaced tag costs only its own effect."""
    renderer = _Renderer()
    for token in tokens(source[:INPUT_MAX]):
        if isinstance(token, str):
            renderer.data(token)
        else:
            renderer.tag(token)
    return renderer.result()


def unescape(source: str) -> str:
    """Resolve character references; numbers beyond Unicode become U+FFFD."""
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", source)) if "&" in source else source


def tokens(source: str) -> Iterator[str | Tag]:
    """Cut into text and tags; comments, declarations and the content of hidden elements are left out."""
    lower = source.lower()
    if len(lower) != len(source):  # "İ" grows in lower case
        lower = source
    unclosed: set[str] = set()
    position, length = 0, len(source)
    while position < length:
        start = source.find("<", position)
        if start != position:
            yield source[position:] if start < 0 else source[position:start]
            if start < 0:
                return
        name = _NAME.match(source, start + 1)
        if name is None:
            position = _no_tag(source, start)
            if position == start + 1:
                yield "<"
            continue
        end = _tag_end(source, name.end())
        tag = Tag(name[1].lower(), source[start + 1] == "/", source[name.end() : end])
        position = end + 1
        if tag.name in _HIDDEN and not tag.closing and tag.name not in unclosed:
            position = _hidden(lower, tag.name, position, unclosed)
        elif tag.name not in _HIDDEN:
            yield tag


def _no_tag(source: str, start: int) -> int:
    """Step over what begins with ``<`` and is no element; one character only where it is plain text."""
    if source.startswith("<!--", start):
        return _after(source, "-->", start + 4)
    if source[start + 1 : start + 2] in {"!", "?", "/"}:
        return _after(source, ">", start + 1)
    return start + 1


def _hidden(lower: str, name: str, position: int, unclosed: set[str]) -> int:
    """Step over a hidden element; one that nobody closes hides nothing."""
    close = lower.find(f"</{name}", position)
    if close < 0:
        unclosed.add(name)
        return position
    return close


def _after(source: str, closer: str, start: int) -> int:
    end = source.find(closer, start)
    return len(source) if end < 0 else end + len(closer)


def _tag_end(source: str, start: int) -> int:
    """Find the ``>`` of a tag, stepping over quoted values of reasonable length."""
    position = start
    end = source.find(">", position)
    if end < 0:
        return len(source)
    while (quote := _first_quote(source, position, end)) >= 0:
        closing = source.find(source[quote], quote + 1, quote + 4096)
        if closing < 0:
            return end
        position = closing + 1
        if closing > end:
            further = source.find(">", position, position + 4096)
            if further < 0:
                return end
            end = further
        if position - start > 16_384:
            return end
    return end


def _first_quote(source: str, start: int, end: int) -> int:
    found = [at for at in (source.find('"', start, end), source.find("'", start, end)) if at >= 0]
    return min(found) if found else -1


class _Renderer:
    """Builds lines; `breaks` counts the line breaks due before the next text."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.quote = 0
        self.last_quote = 0
        self.gap = False
        self.pre = 0
        self.numbers: list[int | None] = []
        self.link = ""
        self.link_text: list[str] = []

    def data(self, source: str) -> None:
        words = _INVISIBLE.sub("", unescape(source))
        if self.pre:
            first, *others = words.replace("\r\n", "\n").split("\n")
            self._add(first)
            for other in others:
                self._break(force=True)
                self._add(other)
            return
        words = _SPACE.sub(" ", words)
        if words.strip() or self.line:
            self._add(words if self.line else words.lstrip())

    def tag(self, tag: Tag) -> None:
        name = tag.name
        if name == "a":
            self._anchor(tag)
        elif name == "img" and not tag.closing:
            self._add(_SPACE.sub(" ", _attribute(tag, "alt")))
        elif name in {"td", "th"} and tag.closing:
            self._add(" ")
        elif name in _BLOCK:
            self._block(tag)

    def _block(self, tag: Tag) -> None:
        name = tag.name
        self._break(force=name == "br")
        if name in _PARAGRAPH:
            self.gap = True
        if name == "blockquote":
            self.quote = max(0, self.quote + (-1 if tag.closing else 1))
        elif name == "pre":
            self.pre = max(0, self.pre + (-1 if tag.closing else 1))
        elif name in {"ul", "ol"}:
            if not tag.closing:
                self.numbers.append(0 if name == "ol" else None)
            elif self.numbers:
                self.numbers.pop()
        elif name == "li" and not tag.closing:
            self._item()
        elif name == "hr":
            self._add("---")
            self._break()

    def _item(self) -> None:
        number = self.numbers[-1] if self.numbers else None
        if number is None:
            self._add("- ")
        else:
            self.numbers[-1] = number + 1
            self._add(f"{number + 1}. ")

    def _anchor(self, tag: Tag) -> None:
        if self.link:
            label = "".join(self.link_text).strip()
            target = self.link.removeprefix("mailto:")
            if label and target.rstrip("/") not in {label.rstrip("/"), "http://" + label.rstrip("/")} | {
                "https://" + label.rstrip("/")
            }:
                self._add(f" ({target})")
        self.link, self.link_text = "", []
        if not tag.closing:
            target = _attribute(tag, "href").strip()
            if target.lower().startswith(("http://", "https://", "mailto:", "tel:")):
                self.link = target

    def _add(self, words: str) -> None:
        if words:
            self.line.append(words)
            if self.link:
                self.link_text.append(words)

    def _break(self, *, force: bool = False) -> None:
        if not self.line and not force:
            return
        joined = "".join(self.line)
        words = joined.rstrip() if self.pre else _SPACE.sub(" ", joined).strip()
        self.line = []
        if self.gap and words and self.lines:
            self.lines.append(self._prefixed("", min(self.quote, self.last_quote)))
        self.gap = self.gap and not words
        self.lines.append(self._prefixed(words, self.quote))
        self.last_quote = self.quote

    @staticmethod
    def _prefixed(words: str, depth: int) -> str:
        marks = ">" * min(depth, _DEEPEST_QUOTE)
        return f"{marks} {words}".rstrip() if marks else words

    def result(self) -> str:
        self._break()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines)).strip("\n")


def _attribute(tag: Tag, wanted: str) -> str:
    return next((value for name, value in tag.values() if name == wanted), "")
