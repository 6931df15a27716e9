"""What a mail says and carries: one text, and attachments in order."""

from __future__ import annotations

import re
from collections.abc import Callable

from normalizer.mail import charsets, html
from normalizer.mail.headers import parameters
from normalizer.mail.mime import Entity, Parsed

TEXT_MAX = 262_144
"""Characters of text put into the message; a longer body is an attachment as well, so nothing is lost."""
ATTACHMENTS_MAX = 200

_PATH = re.compile(r"[\x00-\x1f\x7f/\\]+")
_BLANK = re.compile(r"[\s\u200b-\u200f\ufeff]*")


class Attachment:
    """A leaf that is not (only) the text.

    Attributes:
        entity: where it stands in the mail.
        section: its number as in IMAP, which names it for good; ``0`` for a mail that is nothing but an attachment.
    """

    __slots__ = ("entity", "section")

    def __init__(self, entity: Entity) -> None:
        """Point at a leaf; nothing is decoded yet."""
        self.entity = entity
        self.section = entity.section or "0"

    @property
    def mime(self) -> str:
        """The declared media type."""
        return self.entity.mime

    @property
    def name(self) -> str | None:
        """The file name without folders and control characters."""
        _, disposition = parameters(self.entity.fields.raw("content-disposition"))
        name = disposition.get("filename") or self.entity.params.get("name") or ""
        name = charsets.clean(_PATH.sub("_", name)).strip(" ._")[:255]
        if name:
            return name
        return "message.eml" if self.mime == "message/rfc822" else None

    @property
    def content_id(self) -> str | None:
        """The Content-ID without angle brackets, by which HTML refers to it."""
        return self.entity.fields.raw("content-id").strip("<> ") or None

    def data(self) -> bytes:
        """Decode the bytes."""
        return self.entity.payload()


class Content:
    """A mail's text and attachments.

    Attributes:
        text: plain text preferred, else rendered from HTML; at most `TEXT_MAX` characters.
        attachments: in order of appearance.
        cut: true where the mail holds more than is listed here (bounds of this module and of `mime`).
    """

    __slots__ = ("attachments", "cut", "text")

    def __init__(self, parsed: Parsed) -> None:
        """Walk the tree."""
        self.cut = parsed.cut
        self.attachments: list[Attachment] = []
        self.text = "\n\n".join(filter(None, self._blocks(parsed.root)))
        if len(self.text) > TEXT_MAX:
            self.text = self.text[:TEXT_MAX]
        if len(self.attachments) > ATTACHMENTS_MAX:
            self.cut = True
            del self.attachments[ATTACHMENTS_MAX:]

    def _blocks(self, entity: Entity) -> list[str]:
        """Texts below `entity`, in order; what is no text is added to the attachments."""
        if entity.children:
            if entity.mime == "multipart/alternative":
                return self._alternative(entity)
            return [block for child in entity.children for block in self._blocks(child)]
        render = _renderer(entity)
        if render is None:
            self.attachments.append(Attachment(entity))
            return []
        return [self._rendered(entity, render)]

    def _alternative(self, entity: Entity) -> list[str]:
        """The plainest rendering that says something; of the others only the attachments are kept."""
        best: list[str] = []
        for child in sorted(entity.children, key=_plainness):
            if best and _renderer(child) is not None:
                continue
            blocks = self._blocks(child)
            if not best and any(not _BLANK.fullmatch(block) for block in blocks):
                best = blocks
        return best

    def _rendered(self, entity: Entity, render: Callable[[str], str]) -> str:
        data = entity.payload()
        text = render(charsets.lines(charsets.decode(data[: html.INPUT_MAX], entity.params.get("charset"))))
        if len(text) > TEXT_MAX or len(data) > html.INPUT_MAX:
            self.attachments.append(Attachment(entity))
        return text[: TEXT_MAX + 1].strip("\n")


def _plainness(entity: Entity) -> int:
    return {"text/plain": 0, "text/html": 2}.get(entity.mime, 1 if entity.children else 3)


def _renderer(entity: Entity) -> Callable[[str], str] | None:
    """Say how to show a leaf as text, or None for an attachment."""
    if entity.children or (entity.mime not in {"text/plain", "text/html"} and not entity.partless):
        return None
    kind, disposition = parameters(entity.fields.raw("content-disposition"))
    named = disposition.get("filename") or entity.params.get("name")
    if kind == "attachment" or (named and kind != "inline"):
        return None
    return html.text if entity.mime == "text/html" else str
