"""Mails above the limit: the whole goes into the blob store in pieces, the head becomes the event.

The customer's words come first in a mail and its large attachments last, so the head usually has all of the text.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_TEXT = re.compile(rb"^content-type:\s*(?:text|multipart)/", re.IGNORECASE | re.MULTILINE)
_ATTACHED = re.compile(rb"^content-disposition:\s*attachment", re.IGNORECASE | re.MULTILINE)
_TYPED = re.compile(rb"^content-type:", re.IGNORECASE | re.MULTILINE)


class Head:
    """Lets the pieces of a mail pass, and keeps what is first."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes."""
        self._limit = limit
        self._kept = bytearray()
        self.size = 0

    async def of(self, pieces: AsyncIterator[bytes | bytearray]) -> AsyncIterator[bytes | bytearray]:
        """Pass every piece on."""
        async for piece in pieces:
            self._kept += piece[: max(0, self._limit - len(self._kept))]
            self.size += len(piece)
            yield piece

    def mail(self) -> bytes:
        """Return a mail that is complete in itself: an attachment of which the end is missing is left out."""
        head = bytes(self._kept)
        return head if self.size <= len(head) else without_torn(head)


def without_torn(head: bytes) -> bytes:
    """Leave out the last part of a mail that breaks off, unless it is text."""
    marks = {one or other for one, other in _BOUNDARY.findall(head)}
    last = max((head.rfind(b"\n--" + mark) for mark in marks), default=-1)
    if last < 0:
        return head
    part = head[last + 1 :]
    fields = part[: _end_of_header(part)]
    text = _TEXT.search(fields) or not _TYPED.search(fields)
    return head if text and not _ATTACHED.search(fields) else head[: last + 1]


def _end_of_header(part: bytes) -> int:
    found = re.search(rb"\r?\n\r?\n", part)
    return found.start() if found else len(part)
