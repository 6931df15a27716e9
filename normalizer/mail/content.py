"""What a mail says and carries: one text, one page, and attachments in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property, partial

from normalizer.mail import attachment, calendar, charsets, cms, crypto, dataurl, forwarded, html, rtf, tnef, uu
from normalizer.mail.attachment import Attachment
from normalizer.mail.leaf import Leaf, renders
from normalizer.mail.mime import Entity, Parsed, parse

TEXT_MAX = 262_144
"""Characters of text put into the message; a longer body is an attachment as well, so nothing is lost."""
ATTACHMENTS_MAX = 200
READ_MAX = 1_048_576
"""Bytes of all texts of a mail together; the text that goes beyond it, unless it is the first, is an attachment."""
INNER_MAX = 3
"""How deep signed content is opened."""

_BLANK = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]*")
_TNEF = {"application/ms-tnef", "application/vnd.ms-tnef"}
_OTHER_RENDITIONS = {"text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext"}


class _Said:
    """The texts of a part of the tree: those to read, and those to make a page of."""

    __slots__ = ("page", "text")

    def __init__(self, text: list[Leaf], page: list[Leaf]) -> None:
        self.text, self.page = text, page

    @property
    def rich(self) -> bool:
        return any(leaf.html for leaf in self.page)

    @property
    def blank(self) -> bool:
        return all(_BLANK.fullmatch(leaf.text) for leaf in self.text)


class Content:
    """A mail's text and attachments.

    Attributes:
        root: the mail.
        attachments: in order of appearance.
        cut: true where the mail holds more than is listed here (bounds of this module and of `mime`).
        invites: what calendars in the mail say, in a few lines each.
        page: what an HTML page of the mail is made of; empty for a mail that is only text.
    """

    def __init__(self, parsed: Parsed) -> None:
        """Walk the tree."""
        self.root = parsed.root
        self.cut = parsed.cut
        self.attachments: list[Attachment] = []
        self.invites: list[str] = []
        self._fallbacks: list[Callable[[], list[Leaf]]] = []
        self._opened = self._read = self._rich = 0
        said = self._walk(parsed.root, "")
        if self._fallbacks and said.blank:
            leaves = next((found for one in self._fallbacks if (found := one())), [])
            said = _Said(leaves or said.text, leaves or said.page)
        self._leaves = said.text
        self.page = said.page if said.rich else []
        if len(self.attachments) > ATTACHMENTS_MAX:
            self.cut = True
            del self.attachments[ATTACHMENTS_MAX:]

    @cached_property
    def body(self) -> str:
        """What somebody wrote: plain text preferred, else rendered from HTML; at most `TEXT_MAX` characters."""
        text = "\n\n".join(text for leaf in self._leaves if (text := leaf.text.strip("\n")))
        if len(text) > TEXT_MAX and len(self._leaves) > 1:
            self.cut = True
        return text[:TEXT_MAX]

    @cached_property
    def text(self) -> str:
        """The body, and what the invitations say."""
        return "\n\n".join(filter(None, [self.body, *self.invites]))

    def _walk(self, entity: Entity, prefix: str) -> _Said:
        """Collect the texts below `entity`; what is no text is added to the attachments."""
        if entity.children:
            if entity.mime == "multipart/alternative":
                return self._alternative(entity, prefix)
            return _joined(self._walk(child, prefix) for child in entity.children)
        if renders(entity):
            return self._leaf(entity, prefix)
        return self._file(entity, prefix)

    def _alternative(self, entity: Entity, prefix: str) -> _Said:
        """The plainest rendering that says something, and the richest one for the page."""
        tried = [
            (_plainness(child), self._walk(child, prefix))
            for child in entity.children
            if child.mime not in _OTHER_RENDITIONS
        ]
        best = next((said for _, said in sorted(tried, key=lambda one: one[0]) if not said.blank), None)
        if best is None:
            return _joined(self._file(child, prefix) for child in entity.children if child.mime in _OTHER_RENDITIONS)
        return _Said(best.text, next((said.page for _, said in reversed(tried) if said.rich), best.page))

    def _leaf(self, entity: Entity, prefix: str) -> _Said:
        """Read a text, and take out the files that are written into it."""
        leaf, section = Leaf(entity), prefix + (entity.section or "0")
        if leaf.html:
            leaf.payload, pictures = dataurl.extract(leaf.payload, f"{section.replace('/', '.')}.part.invalid")
            for number, picture in enumerate(pictures, 1):
                self._inside(section, number, picture.mime, picture.content_id, picture.data)
        size = len(leaf.payload)
        if self._read and self._read + size > READ_MAX:
            return self._file(entity, prefix)
        self._read += size
        if size > (html.INPUT_MAX if leaf.html else TEXT_MAX):
            self.attachments.append(attachment.of(entity, prefix))
        elif not leaf.html and "\nbegin " in f"\n{leaf.text}":
            leaf.text, files = uu.extract(leaf.text)
            for number, one in enumerate(files, 1):
                self._inside(section, number, "", "", partial(bytes, one.data), one.name)
        return _Said([leaf], [leaf])

    def _inside(
        self, section: str, number: int, mime: str, content_id: str, load: Callable[[], bytes], name: str = ""
    ) -> None:
        """Add a file that was found inside a part."""
        self.attachments.append(Attachment(f"{section}#{number}", mime, name, content_id, load))

    def _file(self, entity: Entity, prefix: str) -> _Said:
        one = attachment.of(entity, prefix)
        if entity.mime in _TNEF or attachment.file_name(entity).lower() == "winmail.dat":
            return self._tnef(entity, one)
        self.attachments.append(one)
        if entity.mime == "text/calendar":
            self._invite(entity)
        elif entity.mime in crypto.PKCS7 and self._opened < INNER_MAX:
            return self._opaque(entity, one.section)
        elif entity.mime in {"message/rfc822", "message/global"}:
            self._fallbacks.append(lambda: forwarded.leaves(entity.payload(forwarded.INPUT_MAX)))
        return _Said([], [])

    def _tnef(self, entity: Entity, whole: Attachment) -> _Said:
        """Take files and text out of winmail.dat; it stays itself where not all of it was understood."""
        found = tnef.read(entity.payload())
        if found is None:
            self.attachments.append(whole)
            return _Said([], [])
        for number, one in enumerate(found.files, 1):
            self._inside(whole.section, number, one.mime, one.content_id, one.data.tobytes, one.name)
        body = self._rtf(found) if len(found.rtf) and not found.html else None
        if not found.whole or (body is not None and not body.whole):
            self.attachments.append(whole)
        page = found.html or (body.html if body else "")
        text = found.text or (body.text if body else "")
        leaves = [Leaf.of_html(page)] if page else [Leaf.of_text(text)] if text else []
        self._fallbacks.append(lambda: leaves)
        return _Said([], [])

    def _rtf(self, found: tnef.Tnef) -> rtf.Body:
        """Read a body in RTF, within the bound of all of them together; what is not is not whole."""
        body = rtf.read(found.rtf.tobytes(), rtf.OUTPUT_MAX - self._rich)
        self._rich += body.size if body else 0
        return body or rtf.Body("", "", 0, whole=False)

    def _opaque(self, entity: Entity, section: str) -> _Said:
        """Open what is signed and not encrypted."""
        inner = cms.content(entity.payload())
        if inner is None:
            return _Said([], [])
        self._opened += 1
        parsed = parse(inner)
        self.cut = self.cut or parsed.cut
        return self._walk(parsed.root, f"{section}/")

    def _invite(self, entity: Entity) -> None:
        source = charsets.decode(entity.payload(calendar.INPUT_MAX), entity.params.get("charset"))
        invite = calendar.read(charsets.lines(source))
        if invite is None or invite.summary in self.invites:
            return
        self.invites.append(invite.summary)
        if invite.description:
            self._fallbacks.append(lambda: [Leaf.of_text(invite.description)])


def _joined(found: Iterable[_Said]) -> _Said:
    parts = list(found)
    return _Said([leaf for one in parts for leaf in one.text], [leaf for one in parts for leaf in one.page])


def _plainness(entity: Entity) -> int:
    return {"text/plain": 0, "text/html": 2}.get(entity.mime, 1 if entity.children else 3)
