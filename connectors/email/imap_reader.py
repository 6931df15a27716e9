"""Reads a folder from where it left off, and goes on as mail arrives.

A batch of mails is brought to where it is safe, one at a time; then they are flagged, moved or deleted; then the
position is written down. What is killed in between begins the batch again: its mails are recognised as duplicates, and
the rest is done once more, which changes nothing.

A mail that cannot be handled is tried again after the others of its batch; when these can be read and it cannot, it
goes to the quarantine, and reading goes on. A mail with which the process dies is found by the number of times that
reading began at the same position: first the batches become single mails, then that one is set aside unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from connectors.api import Context, Receipt
from connectors.email.imap_after import After
from connectors.email.imap_cursor import Cursor
from connectors.email.imap_mail import Mails
from connectors.email.imap_session import NotDone, Session
from connectors.errors import ConnectorError, StateUnavailable, Unreachable

BATCH = 50
BATCH_BYTES = 8_388_608
WINDOW = 10_000
"""UIDs that are searched at once; ten times as many where there are none."""
WINDOW_MAX = 1_000_000
CAREFUL_AFTER, GIVE_UP_AFTER = 3, 6
"""Attempts at a position after which mails are read one by one, and the next one is not read at all."""
CAREFUL = 2 * BATCH
"""Mails that are then read one by one."""
AGAIN_SECS = (0.5, 2.0, 8.0)
"""Pauses before a mail is tried again within a batch."""


class Reader:
    """Works in one session."""

    def __init__(self, context: Context, session: Session, cursor: Cursor, mails: Mails, after: After) -> None:
        """Take the parts."""
        self._context, self._session, self._cursor = context, session, cursor
        self._mails, self._after = mails, after
        self._begun = False
        self._careful = 0

    async def run(self, next_uid: int) -> None:
        """Read what is there, then what comes, until cancelled; `next_uid` is the folder's UIDNEXT, 0 if unknown.

        Raises:
            Unreachable: the connection is lost.
            StateUnavailable: the position cannot be kept.
        """
        while True:
            self._session.news.clear()
            async for uids in self._waiting(next_uid):
                await self._some(uids)
            if not self._session.news.is_set():
                await self._session.wait()

    async def _waiting(self, next_uid: int) -> AsyncIterator[list[int]]:
        """Find what has not been read yet, in windows of UIDs, so that no answer is large."""
        position, window = self._cursor.position, WINDOW
        first = position.uid + 1
        while first + window < next_uid:
            last = first + window - 1
            uids = await self._find(first, last)
            yield uids
            self._cursor.skip(last)
            window = WINDOW if uids else min(10 * window, WINDOW_MAX)
            first = last + 1
        yield await self._find(first, None)

    async def _find(self, first: int, last: int | None) -> list[int]:
        old = self._cursor.position.old
        if first > old or self._after.keyword is None:
            return await self._search(first, last)
        uids = await self._search(first, min(last, old) if last else old, without=self._after.keyword)
        return uids + (await self._search(old + 1, last) if last is None or last > old else [])

    async def _search(self, first: int, last: int | None, *, without: str | None = None) -> list[int]:
        try:
            return await self._session.search(first, last, without=without)
        except NotDone as exc:
            raise Unreachable(str(exc)) from None

    async def _some(self, uids: list[int]) -> None:
        for start in range(0, len(uids), BATCH):
            chunk = uids[start : start + BATCH]
            sizes = await self._sizes(chunk)
            give_up = await self._begin(chunk[0])
            for batch in self._batches(chunk, sizes):
                await self._batch(batch, sizes, give_up)

    async def _begin(self, first: int) -> int | None:
        """Take note of the attempt, once per session; returns the mail that is not to be read."""
        if self._begun:
            return None
        self._begun = True
        attempts = await self._cursor.attempt()
        self._careful = CAREFUL if attempts > CAREFUL_AFTER else 0
        return first if attempts > GIVE_UP_AFTER else None

    async def _sizes(self, uids: list[int]) -> dict[int, int]:
        try:
            return await self._session.sizes(uids)
        except NotDone:  # one of them may be the reason: read them by what they turn out to be
            return dict.fromkeys(uids, 0)

    def _batches(self, uids: list[int], sizes: dict[int, int]) -> Iterator[list[int]]:
        batch: list[int] = []
        total = 0
        for uid in uids:
            batch.append(uid)
            total += sizes.get(uid, 0)
            self._careful -= self._careful > 0
            if total > BATCH_BYTES or self._careful:
                yield batch
                batch, total = [], 0
        if batch:
            yield batch

    async def _batch(self, batch: list[int], sizes: dict[int, int], give_up: int | None) -> None:
        receipts: dict[int, Receipt | None] = {}
        failing: dict[int, str] = {}
        for uid in batch:
            if uid == give_up:
                reason = f"reading it did not come to an end {GIVE_UP_AFTER} times"
                receipts[uid] = await self._set_aside(uid, reason, self._mails.set_aside_unread(uid, reason))
            elif uid in sizes:
                await self._one(uid, sizes[uid], receipts, failing)
        for pause in AGAIN_SECS:
            if not failing:
                break
            await asyncio.sleep(pause)
            for uid in list(failing):
                await self._one(uid, sizes[uid], receipts, failing)
        await self._give_up(failing, sizes, receipts)
        bad = [uid for uid, receipt in receipts.items() if receipt is Receipt.QUARANTINED]
        await self._after.handled([uid for uid, receipt in receipts.items() if receipt is not None and uid not in bad])
        await self._after.quarantined(bad)
        await self._cursor.advance(batch[-1])

    async def _one(self, uid: int, size: int, receipts: dict[int, Receipt | None], failing: dict[int, str]) -> None:
        try:
            receipts[uid] = await self._mails.take(uid, size)
            failing.pop(uid, None)
        except (Unreachable, StateUnavailable):
            raise
        except NotDone as exc:
            failing[uid] = str(exc)
        except ConnectorError as exc:
            failing[uid] = f"{type(exc).__name__}: {exc}"
        except Exception as exc:
            self._context.log.exception("mail_not_accepted")
            failing[uid] = f"the gateway failed with {type(exc).__name__}; please report it"

    async def _give_up(
        self, failing: dict[int, str], sizes: dict[int, int], receipts: dict[int, Receipt | None]
    ) -> None:
        """Set aside what fails while other mails do not; where every mail fails, it is not the mails' fault."""
        if failing and not any(receipts.values()):
            raise Unreachable(next(iter(failing.values())))
        for uid, reason in failing.items():
            receipts[uid] = await self._set_aside(uid, reason, self._mails.set_aside(uid, sizes[uid], reason))

    async def _set_aside(self, uid: int, reason: str, action: Coroutine[Any, Any, Receipt]) -> Receipt:
        self._context.log.warning("mail_set_aside", uid=uid, reason=reason)
        return await action
