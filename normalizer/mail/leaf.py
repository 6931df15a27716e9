"""A part that is read as text: plain, flowed or HTML."""

from __future__ import annotations

import re
from functools import cached_property

from normalizer.mail import attachment, charsets, flowed, html
from normalizer.mail.headers import parameters
from normalizer.mail.mime import Entity

PLAIN_MAX = 1_048_576
"""Bytes of plain text that are decoded: as many as the longest text shown can have."""

_TEXTS = {"text/plain", "text/html", "text/markdown"}
_META = re.compile(rb"""<meta\s[^>]{0,200}?charset\s*=\s*["']?([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
_META_WITHIN = 2_048


class Leaf:
    """A text, decoded when somebody asks.

    Attributes:
        html: true where `source` is HTML.
        payload: the bytes it is made of, of plain text the beginning; empty for a text from elsewhere.
    """

    def __init__(self, entity: Entity | None) -> None:
        """Read a part; without one, see `of_text` and `of_html`."""
        self.html = entity is not None and entity.mime == "text/html"
        self.payload = entity.payload(None if self.html else PLAIN_MAX + 1) if entity else b""
        self._params = entity.params if entity else {}

    @classmethod
    def of_text(cls, text: str) -> Leaf:
        """Wrap plain text."""
        leaf = cls(None)
        leaf.source = leaf.text = charsets.lines(text)
        return leaf

    @classmethod
    def of_html(cls, source: str) -> Leaf:
        """Wrap HTML."""
        leaf = cls(None)
        leaf.html, leaf.source = True, charsets.lines(source)
        return leaf

    @cached_property
    def source(self) -> str:
        """The text as written, with LF line breaks; bounded."""
        data = self.payload[: html.INPUT_MAX if self.html else PLAIN_MAX]
        label = self._params.get("charset")
        if self.html and not label and (match := _META.search(data[:_META_WITHIN])):
            label = match[1].decode("ascii")
        return charsets.lines(charsets.decode(data, label))

    @cached_property
    def text(self) -> str:
        """The text as it is read."""
        if self.html:
            return html.text(self.source)
        if self._params.get("format", "").strip().lower() == "flowed":
            return flowed.unflow(self.source, delsp=self._params.get("delsp", "").strip().lower() == "yes")
        return self.source


def renders(entity: Entity) -> bool:
    """Tell whether a part without children is read as text; else it is an attachment."""
    if entity.mime not in _TEXTS and not entity.partless:
        return False
    kind, _ = parameters(entity.fields.raw("content-disposition"))
    return kind != "attachment" and (kind == "inline" or not attachment.file_name(entity))
