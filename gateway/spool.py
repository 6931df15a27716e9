"""The local spool: what could not be published yet, on disk before anybody is told "accepted".

One SQLite file (``spool.db``) shared by the worker processes of a node. A row that somebody may be sending right now
is *held*: by a publish whose confirm may still come, or by a drain that took it. A held row is not given out, nor are
later rows of its conversation, so that order holds. When the holder dies the hold runs out, and the row is given out
again, marked as possibly sent.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from dedup.groupcommit import Database, used_bytes
from gateway import spool_sql as sql
from gateway.broker.api import Publication
from normalizer.errors import OmniError

log = structlog.get_logger(__name__)

RESERVE_BYTES = 16_777_216  # left on the disk, so that the drain can work when the spool has filled it
TAKE_SECS = 10.0
ROW_BYTES = 4096  # most that a row can need beside its body: a page it does not fill

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Publication).decode
UNREADABLE = "(unreadable)"  # the method of a row whose publication cannot be read, where rows are listed


class SpoolFull(OmniError):
    """The spool has reached its limit, or the disk cannot take more; nothing of the batch was kept."""

    code, retryable = "spool_full", True


class SpoolItem(Struct):
    """A publication to keep.

    Attributes:
        conversation: our id; rows of one conversation leave in order. Empty: no order.
        hold_secs: more than 0 when it was sent and its confirm may still come.
        redelivery: it was sent and nobody will ever know the outcome.
    """

    publication: Publication
    channel: str
    conversation: str
    hold_secs: float = 0.0
    redelivery: bool = False


class Row(Struct):
    """A publication that was kept.

    Attributes:
        created_at: seconds since the epoch.
        attempts: how often it was refused or lost since.
        possibly_sent: the broker may have a copy already.
        blocked_secs: how long it will not be given out yet, in `list_rows`.
    """

    id: int
    publication: Publication
    channel: str
    conversation: str
    created_at: float
    attempts: int
    possibly_sent: bool
    blocked_secs: float = 0.0


class SpoolStats(Struct, frozen=True):
    """Size of the spool; `oldest_age_secs` is 0 when it is empty."""

    rows: int
    oldest_age_secs: float
    bytes: int


class Spool:
    """See the module. Coroutines and `waiting` belong to one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- rows outlive the process
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        """Name the file; `put` keeps it below `max_bytes` and leaves `reserve_bytes` free on the disk."""
        self._path, self._max_bytes, self._reserve, self._clock = path, max_bytes, reserve_bytes, clock
        self._db = Database(path, sql.SCHEMA)
        self._version = -1
        self._empty = False
        self._alone = False

    def open(self) -> None:
        """Open or create the file; raises `sqlite3.Error` or `OSError`."""
        self._db.open()

    def close(self) -> None:
        """Finish what is being written and close the file."""
        self._db.close()

    async def put(self, items: Sequence[SpoolItem]) -> list[int]:
        """Keep `items`, all or none; returns their row ids after fsync.

        Raises:
            SpoolFull: nothing of it was kept.
        """
        now = self._clock()
        bodies = [_encode(item.publication) for item in items]
        rows = [
            (
                item.conversation,
                item.channel,
                str(item.publication.headers.get("channel_type", "")),
                now,
                now + min(item.hold_secs, sql.MOST_HELD_SECS) if item.hold_secs > 0 else 0,
                item.hold_secs > 0,
                item.redelivery,
            )
            for item in items
        ]
        try:
            return await self._db.write(lambda db: self._insert(db, rows, bodies))
        except sqlite3.Error as exc:
            raise SpoolFull(f"{self._path} cannot be written: {exc}") from exc

    def waiting(self, conversations: Iterable[str]) -> set[str]:
        """Tell which of these conversations have rows; 3 µs when the spool is empty."""
        if self.empty:
            return set()
        wanted = json.dumps([name for name in conversations if name])
        return {row[0] for row in self._db.reader.execute(sql.WAITING, (wanted,)).fetchall()}

    @property
    def empty(self) -> bool:
        """Whether no process of this node has rows in it."""
        version = self._db.reader.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:  # somebody wrote since we looked
            self._empty = not self._db.reader.execute("SELECT EXISTS (SELECT 1 FROM spool)").fetchone()[0]
            self._version = version
        return self._empty

    async def take(self, limit: int, *, lease_secs: float = TAKE_SECS) -> list[Row]:
        """Give out the oldest rows that may be sent now, in order; each must be ended by one of the next five methods.

        A row that was `lost` is given out alone, in turn with the others. For `lease_secs` nobody else gets them. If
        this process dies meanwhile they are given out again as possibly sent. Rows that cannot be read are parked.
        """
        now, alone = self._clock(), self._alone
        if self.empty or not (sql.ready(self._db.reader, now, 1) or sql.suspect(self._db.reader, now)):
            return []  # nothing to write
        self._alone = not alone

        def job(db: sqlite3.Connection) -> tuple[list[Row], list[int]]:
            single = sql.suspect(db, now) if alone else []
            ids = json.dumps(single or sql.ready(db, now, limit) or sql.suspect(db, now))
            rows = [_row(found) for found in db.execute(sql.ROWS, {"now": now, "ids": ids}).fetchall()]
            db.execute(sql.FLY, (now + min(lease_secs, sql.MOST_HELD_SECS), ids))
            bad = [row.id for row in rows if row.publication.method == UNREADABLE]
            sql.park(db, now, bad)
            return [row for row in rows if row.publication.method != UNREADABLE], bad

        rows, bad = await self._db.write(job)
        _tell_parked(bad, "it cannot be read")
        return rows

    async def remove(self, ids: Iterable[int]) -> set[int]:
        """Forget rows that the broker confirmed; returns those that were still there, which the caller counts."""
        wanted = list(ids)
        return await self._db.write(lambda db: sql.delete(db, wanted)) if wanted else set()

    async def hold(self, ids: Iterable[int], secs: float) -> None:
        """Keep rows whose confirm may still come from being given out for `secs` from now."""
        await self._change(sql.HOLD, ids, self._clock() + min(secs, sql.MOST_HELD_SECS))

    async def unhold(self, ids: Iterable[int], *, possibly_sent: bool = True) -> None:
        """Give rows free that ended without a confirm; `possibly_sent` is false when the broker refused them."""
        await self._change(sql.LAND, ids, possibly_sent)

    async def retry_later(self, ids: Iterable[int], *, possibly_sent: bool = False) -> None:
        """Give rows free after a back-off that doubles with every attempt, from 1 to 30 s."""
        await self._change(sql.BACK_OFF, ids, self._clock(), possibly_sent)

    async def lost(self, ids: Sequence[int], *, others_pass: bool) -> None:
        """Give rows free under which the connection died, as possibly sent; one of them may be the reason.

        Each is sent alone from now on, after a back-off that begins short. One under which the connection died
        again and again, while others passed, is parked for an hour and told to the operator.
        """
        now = self._clock()
        parked = await self._db.write(lambda db: sql.lost(db, now, list(ids), others_pass=others_pass))
        _tell_parked(parked, "the broker closes the connection whenever it is sent")

    def stats(self) -> SpoolStats:
        """Count rows; short even when there are many."""
        if self.empty:
            return SpoolStats(rows=0, oldest_age_secs=0.0, bytes=0)
        db = self._db.reader
        rows, oldest = db.execute(sql.STATS).fetchone()
        age = max(0.0, self._clock() - oldest) if oldest is not None else 0.0
        return SpoolStats(rows=rows, oldest_age_secs=age, bytes=used_bytes(db))

    async def take_stock(self) -> dict[tuple[str, str], int]:
        """Count rows per (channel id, channel kind), and forget what was dropped before: a ledger begins with it."""

        def job(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
            sql.take_dropped(db)
            return {(channel, kind): rows for channel, kind, rows in db.execute(sql.BY_CHANNEL).fetchall()}

        return await self._db.write(job)

    # What operators do, from processes of their own.

    async def list_rows(self, limit: int = 100, offset: int = 0, *, channel: str | None = None) -> list[Row]:
        """Show rows, oldest first."""
        values = {"now": self._clock(), "channel": channel, "limit": limit, "offset": offset}
        return [_row(found) for found in self._db.reader.execute(sql.PAGE, values).fetchall()]

    def find(self, event_id: str) -> list[Row]:
        """Return the rows that hold an event; reads the whole spool."""
        values = {"now": self._clock(), "text": event_id.encode()}
        found = self._db.reader.execute(sql.MENTIONS, values).fetchall()
        return [row for row in map(_row, found) if row.publication.message_id == event_id]

    def channels(self, ids: Iterable[int] | None = None, channel: str | None = None) -> dict[int, str]:
        """Return which rows there are of `ids` (None: of all) and of `channel`, each with its channel."""
        values = {"ids": None if ids is None else json.dumps(list(ids)), "channel": channel}
        return dict(self._db.reader.execute(sql.CHANNELS, values).fetchall())

    async def drop(self, ids: Iterable[int]) -> list[Row]:
        """Delete rows that will never be published, and return them; `take_dropped` counts them.

        Rows that are with the broker at this moment stay: they may be published already.
        """
        wanted, now = list(ids), self._clock()
        return [_row(found) for found in await self._db.write(lambda db: sql.drop(db, now, wanted))]

    async def take_dropped(self) -> dict[tuple[str, str], int]:
        """Return, once, how many rows were dropped since, per (channel id, channel kind); cheap when there are none."""
        if not self._db.reader.execute("SELECT EXISTS (SELECT 1 FROM dropped)").fetchone()[0]:
            return {}
        return {(channel, kind): rows for channel, kind, rows in await self._db.write(sql.take_dropped)}

    async def replay(self, ids: Iterable[int] | None) -> int:
        """End the back-off of rows (None: all); returns of how many. What is with the broker at this moment stays."""
        now, wanted = self._clock(), None if ids is None else json.dumps(list(ids))
        return await self._db.write(lambda db: sql.replay(db, now, wanted))

    async def _change(self, statement: str, ids: Iterable[int], *values: float) -> None:
        wanted = list(ids)
        if wanted:
            arguments = (*values, json.dumps(wanted))
            await self._db.write(lambda db: db.execute(statement, arguments).rowcount)

    def _insert(self, db: sqlite3.Connection, rows: list[tuple[Any, ...]], bodies: list[bytes]) -> list[int]:
        need = sum(map(len, bodies)) + ROW_BYTES * len(rows)
        if used_bytes(db) + need > self._max_bytes:
            raise SpoolFull(f"{self._path} has reached {self._max_bytes} bytes: mend the broker or raise the limit")
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < need + self._reserve:
            raise SpoolFull(f"the disk of {self._path} is full: make room on it")
        last = (db.execute(sql.LAST_ID).fetchone() or (0,))[0]
        ids = list(range(last + 1, last + 1 + len(rows)))
        db.executemany(sql.INSERT, [(number, *row) for number, row in zip(ids, rows, strict=True)])
        db.executemany(sql.INSERT_BODY, zip(ids, bodies, strict=True))
        return ids


def _row(found: tuple[Any, ...]) -> Row:
    number, body, channel, conversation, created_at, attempts, possibly_sent, blocked = found
    try:
        publication = _decode(body)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):  # a damaged row must not hide the others
        raw = body if isinstance(body, bytes) else b""
        publication = Publication(routing_key="", body=raw, message_id="", method=UNREADABLE, timestamp=0, headers={})
    return Row(number, publication, channel, conversation, created_at, attempts, bool(possibly_sent), float(blocked))


def _tell_parked(ids: Iterable[int], reason: str) -> None:
    for number in ids:
        hint = f"tried again in an hour; omnigate spool list, replay --id {number}, drop --id {number}"
        log.error("spool_row_parked", row=number, reason=reason, hint=hint)
