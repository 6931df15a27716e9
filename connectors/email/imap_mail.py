"""One mail of a mailbox: fetched, and handed to the pipeline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
from msgspec import Struct

from connectors.api import Context, Receipt
from connectors.email.delivery import Inbox
from connectors.email.imap_config import ImapConfig
from connectors.email.imap_cursor import Cursor
from connectors.email.imap_large import Head
from connectors.email.imap_session import NotDone, Session
from connectors.errors import Busy
from connectors.pieces import PieceStore

T = TypeVar("T")

BUSY_SECS = 60.0
"""The longest wait between two attempts to hand a mail over."""
COMPONENT = "imap"


class Desk(Struct, frozen=True):
    """Where mails are handed over.

    Attributes:
        inbox: takes them.
        addresses: the channel's own.
        max_bytes: the largest mail that is read into memory as a whole.
    """

    inbox: Inbox
    addresses: list[str]
    max_bytes: int


class Mails:
    """Fetches mails of one folder and hands them over, one at a time."""

    def __init__(self, config: ImapConfig, context: Context, desk: Desk, cursor: Cursor, session: Session) -> None:
        """Work in one session."""
        self._config, self._context, self._desk = config, context, desk
        self._cursor, self._session, self._limit = cursor, session, desk.max_bytes

    async def take(self, uid: int, size: int) -> Receipt | None:
        """Bring a mail to where it is safe; None when it is gone from the mailbox.

        Args:
            uid: which.
            size: in bytes, as the server sees it.

        Raises:
            NotDone: the server does not give it.
            Unreachable: the connection is lost.
        """
        if size <= self._limit:
            body = await self._whole(uid)
            if body is None:
                return None
            if len(body) <= self._limit:
                return await self._give(uid, body)
            del body  # the server was wrong about its size
        return await self._large(uid)

    async def set_aside(self, uid: int, size: int, reason: str) -> Receipt:
        """Put a mail that cannot be handled into the quarantine: all of it, or its header, or that it was there."""
        body = None
        with suppress(NotDone):
            body = await self._whole(uid) if size <= self._limit else None
        return await self.set_aside_unread(uid, reason, body)

    async def set_aside_unread(self, uid: int, reason: str, body: bytes | None = None) -> Receipt:
        """Do the same without reading more than the header."""
        return await self._give(uid, body or await self._session.header(uid) or self._stub(uid), unreadable=reason)

    def _stub(self, uid: int) -> bytes:
        """Say where the mail is, in place of a header that the server does not give."""
        place = f"{self._config.folder}; UIDVALIDITY={self._cursor.position.validity}; UID={uid}"
        return f"Subject: a mail that the IMAP server does not give\r\nX-Omnigate-Imap: {place}\r\n\r\n".encode()

    async def _give(self, uid: int, body: bytes, *, raw_ref: str | None = None, **meta: str) -> Receipt:
        """Hand over until it is taken; meanwhile the mail stays in the mailbox, and the connection is kept."""
        place = {"folder": self._config.folder, "uidvalidity": self._cursor.position.validity, "uid": uid}
        told = {"imap": msgspec.json.encode(place).decode(), **meta}
        inbox, addresses = self._desk.inbox, self._desk.addresses
        return await self._patiently(lambda: inbox.take(body, told, recipients=addresses, raw_ref=raw_ref))

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        wait = 0.0
        while True:
            try:
                done = await action()
            except Busy as exc:
                wait = min(max(exc.retry_after, 2 * wait), BUSY_SECS) * random.uniform(0.8, 1.2)
                await self._cursor.excuse()
                self._context.report(COMPONENT, f"mails wait in the mailbox, the gateway takes none now: {exc}")
                await asyncio.sleep(wait)
                await self._session.keep_alive()
            else:
                if wait:
                    self._context.report(COMPONENT, None)
                return done

    async def _whole(self, uid: int) -> bytes | None:
        pieces, size = [], 0
        async for piece in self._session.pieces(uid):
            pieces.append(piece)
            size += len(piece)
            if size > self._limit:
                break
        return b"".join(pieces) if pieces else None

    async def _large(self, uid: int) -> Receipt | None:
        ref, head = await self._patiently(lambda: self._keep(uid))
        if not head.size:
            return None
        return await self._give(uid, head.mail(), raw_ref=ref, whole_bytes=str(head.size))

    async def _keep(self, uid: int) -> tuple[str | None, Head]:
        """Store a large mail while it comes."""
        head = Head(self._config.large_head_bytes)
        pieces = head.of(self._session.pieces(uid))
        blobs = self._context.blobs
        if isinstance(blobs, PieceStore):
            return await blobs.put_pieces(pieces), head
        async for _ in pieces:
            pass
        return None, head
