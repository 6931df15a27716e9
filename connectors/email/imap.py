"""Fetching mail by IMAP: one mailbox, read by one worker of all nodes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from connectors.api import Context
from connectors.email.delivery import Inbox
from connectors.email.imap_after import After
from connectors.email.imap_config import ImapConfig
from connectors.email.imap_cursor import Cursor
from connectors.email.imap_mail import COMPONENT, Desk, Mails
from connectors.email.imap_reader import Reader
from connectors.email.imap_session import login
from connectors.email.oauth import OAuth
from connectors.errors import ConnectorError, Misconfigured
from connectors.leases import Lease

FIRST_SECS, REFUSED_SECS = 1.0, 15.0
"""Before the second attempt to reach the server; after a refused login, which servers count."""
STABLE_SECS = 30.0
"""A connection that lived so long and ends is made anew without a word: servers end them every day."""


class Mailbox:
    """The `imap` of one channel."""

    def __init__(self, config: ImapConfig, context: Context, *, addresses: Sequence[str], max_bytes: int) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            config: the options.
            context: of the channel.
            addresses: the channel's own, as configured.
            max_bytes: the largest mail of the channel.
        """
        self._config, self._context = config, context
        own = [config.user, *addresses]
        self._addresses = [one for one in dict.fromkeys(own) if "@" in one and not one.startswith("*@")]
        self._max_bytes = min(config.max_bytes or max_bytes, max_bytes)
        self._oauth = OAuth(config.oauth, context, "imap") if config.oauth else None
        self._lease = Lease(context.state, COMPONENT, secs=config.lease_secs)
        self._lived = 0.0

    async def run(self, inbox: Inbox) -> None:
        """Read whenever nobody else does, until cancelled.

        Raises:
            StateUnavailable: who reads cannot be told without the shared state; the mails wait in the mailbox.
        """
        await self._lease.hold(lambda: self._work(inbox))

    async def probe(self) -> dict[str, Any]:
        """Log in and look into the folder, changing nothing; raises `SendError`."""
        config = self._config
        async with login(config, self._oauth) as session:
            folder = await session.open(config.folder, write=False)
            told: dict[str, Any] = {"host": config.host, "folder": config.folder, "mails": folder.exists}
            told |= {"idle": session.can("IDLE"), "move": session.can("MOVE")}
            terms = {"certificate_expires_at": session.certificate_ends}
        if self._oauth is not None:
            terms["access_expires_at"] = await self._oauth.expiry()
        return told | {name: ends.isoformat() for name, ends in terms.items() if ends is not None}

    async def _work(self, inbox: Inbox) -> None:
        async with asyncio.TaskGroup() as group:
            if self._oauth is not None:
                group.create_task(self._oauth.watch())
            group.create_task(self._keep_reading(inbox))

    async def _keep_reading(self, inbox: Inbox) -> None:
        """Read, and connect again whenever the connection is lost, with growing pauses while that fails."""
        cursor = Cursor(self._config, self._context)
        wait = 0.0
        while True:
            self._lived = 0.0
            try:
                await self._read(inbox, cursor)
            except (ConnectorError, OSError) as exc:
                refused = isinstance(exc, Misconfigured)
                wait = self._next_wait(wait, refused=refused, asked=getattr(exc, "retry_after", None))
                if self._lived < STABLE_SECS:
                    self._context.report(COMPONENT, f"mail is not fetched: {exc}", down=True)
                self._context.log.warning("mailbox_lost", reason=str(exc), retry_in=round(wait, 1))
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))

    def _next_wait(self, wait: float, *, refused: bool, asked: float | None) -> float:
        if self._lived >= STABLE_SECS:
            return FIRST_SECS
        limit = self._config.retry_secs * (4 if refused else 1)
        return min(max(REFUSED_SECS if refused else FIRST_SECS, 2 * wait, asked or 0.0), limit)

    async def _read(self, inbox: Inbox, cursor: Cursor) -> None:
        loop = asyncio.get_running_loop()
        async with login(self._config, self._oauth) as session:
            folder = await session.open(self._config.folder)
            first = await cursor.resume(folder)
            after = After(self._config, self._context, session, folder)
            if first:
                await after.skipped(cursor.position.uid)
            desk = Desk(inbox, self._addresses, self._max_bytes)
            mails = Mails(self._config, self._context, desk, cursor, session)
            self._context.report(COMPONENT, None)
            started = loop.time()
            try:
                await Reader(self._context, session, cursor, mails, after).run(folder.next_uid)
            finally:
                self._lived = loop.time() - started
