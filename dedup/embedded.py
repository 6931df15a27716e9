"""Deduplication for one machine, in a SQLite file that its worker processes share.

``synchronous=NORMAL`` is enough. Nothing is promised to a provider on the strength of this file: what is accepted is
in the broker or in the spool. A crash of the process loses nothing here. A power cut may lose the last moments, and
then a delivery of these moments that the provider repeats is published again, under the same id: doubled, not lost.
"""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from dedup.api import Claim, Deduplicator, DedupUnavailable, Done, Take, Taken
from dedup.groupcommit import Database
from dedup.wire import storable

T = TypeVar("T")

CONVERSATION_SECS = 90 * 86_400.0  # renewed by every message
SWEEP_AFTER = 256  # rows written between two sweeps …
SWEEP_ROWS = 1024  # … of so many rows: a full turn ends before the file has grown by a quarter

# An event is done when its owner is NULL. An owner of '' is nobody: given back, but with earlier attempts on record.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
  key TEXT PRIMARY KEY, owner TEXT, deadline REAL NOT NULL, redelivery INTEGER NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conversation (
  key TEXT PRIMARY KEY, seq INTEGER NOT NULL, address TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL) WITHOUT ROWID
"""
_DONE = """
INSERT INTO event VALUES (?, NULL, 0, 0, ?)
ON CONFLICT (key) DO UPDATE SET owner = NULL, deadline = 0, redelivery = 0, expires = excluded.expires
"""
_RECALL = "SELECT value FROM answer WHERE key = ? AND expires > ?"
_REMEMBER = "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)"
_FORGET = "DELETE FROM event WHERE key = ? AND owner = ? AND redelivery = 0"
_GIVE_BACK = "UPDATE event SET owner = '', deadline = 0, redelivery = redelivery - 1 WHERE key = ? AND owner = ?"
_EVENTS = """
SELECT key, owner, deadline, redelivery FROM event WHERE key IN (SELECT value FROM json_each(?)) AND expires > ?
"""
_CONVERSATIONS = """
SELECT key, seq, address FROM conversation WHERE key IN (SELECT value FROM json_each(?)) AND expires > ?
"""
_SWEEP = {
    table: (
        f"SELECT max(key), count(*) FROM (SELECT key FROM {table} WHERE key > ? ORDER BY key LIMIT {SWEEP_ROWS})",  # noqa: S608
        f"DELETE FROM {table} WHERE key > ? AND key <= ? AND expires <= ?",  # noqa: S608
    )
    for table in ("event", "conversation", "answer")
}

_Event = tuple[str | None, float, int]  # owner, deadline, redelivery
_IN_FLIGHT, _DUPLICATE = Taken(Claim.IN_FLIGHT), Taken(Claim.DUPLICATE)


class EmbeddedDeduplicator(Deduplicator):
    """See `dedup.api`. Leases are measured with the machine's clock, so a jump of it by a lease can double an event."""

    def __init__(self, path: Path, *, timeout: float = 5.0, clock: Callable[[], float] = time.time) -> None:  # noqa: TID251
        """Name the file.

        Args:
            path: created if need be; several processes may use it.
            timeout: seconds for a call; a slow disk is normally waited for.
            clock: seconds since the epoch.
        """
        self._path, self._timeout, self._clock = path, timeout, clock
        self._db = Database(path, _SCHEMA, synchronous="NORMAL")
        self._owner = uuid.uuid4().hex[:16]
        self._written = 0
        self._swept = dict.fromkeys(_SWEEP, "")

    @override
    async def open(self) -> None:
        """Open or create the file; raises `DedupUnavailable` when it cannot be used, which no retry would mend."""
        try:
            self._db.open()
        except (sqlite3.Error, OSError) as exc:
            raise DedupUnavailable(
                f"{self._path}: {exc}; if the file is damaged, move it away: only duplicates can come of it"
            ) from exc

    @override
    async def close(self) -> None:
        self._db.close()

    @override
    async def exchange(
        self, takes: Sequence[Take], done: Sequence[Done] = (), released: Sequence[str] = (), *, lease: float
    ) -> list[Taken]:
        try:
            return await self._write(lambda db: self._exchange(db, takes, done, released, lease))
        except UnicodeEncodeError:
            clean = storable(takes)
            return await self._write(lambda db: self._exchange(db, clean, done, released, lease))

    @override
    async def address_of(self, conversation: str) -> str | None:
        row = self._read("SELECT address FROM conversation WHERE key = ? AND expires > ?", conversation)
        return (row[0] or None) if row else None

    @override
    async def status(self, key: str) -> str | None:
        row = self._read("SELECT owner FROM event WHERE key = ? AND expires > ?", key)
        if row is None or row[0] == "":
            return None
        return "done" if row[0] is None else "claimed"

    @override
    async def recall(self, key: str) -> bytes | None:
        row = self._read(_RECALL, key)
        return row[0] if row else None

    @override
    async def remember(self, key: str, value: bytes, *, keep: float | None) -> None:
        row = (key, value, self._until(keep))
        await self._write(lambda db: db.execute(_REMEMBER, row))

    @override
    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, keep: float | None) -> bool:
        def job(db: sqlite3.Connection) -> bool:
            found = db.execute(_RECALL, (key, self._clock())).fetchone()
            if (found[0] if found else None) != expected:
                return False
            if value is None:
                db.execute("DELETE FROM answer WHERE key = ?", (key,))
            else:
                db.execute(_REMEMBER, (key, value, self._until(keep)))
            return True

        return await self._write(job)

    def _until(self, keep: float | None) -> float:
        return math.inf if keep is None else self._clock() + keep

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._db.write(job)
        except TimeoutError as exc:
            raise DedupUnavailable(f"{self._path} did not answer within {self._timeout:g} s") from exc
        except sqlite3.Error as exc:
            raise DedupUnavailable(f"{self._path}: {exc}") from exc

    def _read(self, query: str, key: str) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = next(
                iter(self._db.reader.execute(query, (key, self._clock())).fetchall()), None
            )
        except sqlite3.Error as exc:
            raise DedupUnavailable(f"{self._path}: {exc}") from exc
        return row

    # What runs in the writer thread.

    def _exchange(
        self,
        db: sqlite3.Connection,
        takes: Sequence[Take],
        done: Sequence[Done],
        released: Sequence[str],
        lease: float,
    ) -> list[Taken]:
        now = self._clock()
        if done:
            db.executemany(_DONE, [(item.key, now + item.keep) for item in done])
        if released:
            mine = [(key, self._owner) for key in released]
            db.executemany(_FORGET, mine)
            db.executemany(_GIVE_BACK, mine)
        answers = self._take(db, takes, now, lease) if takes else []
        self._written += len(takes)
        if self._written >= SWEEP_AFTER:
            self._written = 0
            self._sweep(db, now)
        return answers

    def _take(self, db: sqlite3.Connection, takes: Sequence[Take], now: float, lease: float) -> list[Taken]:
        wanted = json.dumps([take.key for take in takes])
        known: dict[str, _Event] = {row[0]: row[1:] for row in db.execute(_EVENTS, (wanted, now))}
        conversations = _Conversations(db, takes, now)
        claims: dict[str, tuple[str, str, float, int, float]] = {}
        answers = []
        for take in takes:
            held = known.get(take.key)
            redelivery = 0
            if held is not None:
                owner, deadline, earlier = held
                if owner is None:
                    answers.append(_DUPLICATE)
                    continue
                if deadline > now:
                    answers.append(_IN_FLIGHT)
                    continue
                redelivery = earlier + 1
            known[take.key] = (self._owner, now + lease, redelivery)
            claims[take.key] = (take.key, self._owner, now + lease, redelivery, now + lease + take.keep)
            answers.append(Taken(Claim.NEW, conversations.next_seq(take), redelivery))
        db.executemany("INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?)", claims.values())
        conversations.save(db)
        return answers

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Delete what expired among the next rows in key order: bounded work, and no index on `expires` to keep."""
        for table, (find, delete) in _SWEEP.items():
            after = self._swept[table]
            upto, rows = db.execute(find, (after,)).fetchone()
            if rows:
                db.execute(delete, (after, upto, now))
            self._swept[table] = upto if rows == SWEEP_ROWS else ""  # at the end: begin again


class _Conversations:
    """The conversations of one batch."""

    def __init__(self, db: sqlite3.Connection, takes: Sequence[Take], now: float) -> None:
        wanted = json.dumps(list({take.conversation for take in takes}))
        self._rows: dict[str, tuple[int, str]] = {row[0]: row[1:] for row in db.execute(_CONVERSATIONS, (wanted, now))}
        self._changed: set[str] = set()
        self._expires = now + CONVERSATION_SECS

    def next_seq(self, take: Take) -> int:
        """Number the next message of a conversation, and remember where its replies go."""
        if not take.conversation:
            return 0
        last, address = self._rows.get(take.conversation, (0, ""))
        seq = max(last + 1, take.now_us)
        self._rows[take.conversation] = (seq, take.address or address)
        self._changed.add(take.conversation)
        return seq

    def save(self, db: sqlite3.Connection) -> None:
        """Write what changed."""
        rows = [(key, *self._rows[key], self._expires) for key in self._changed]
        db.executemany("INSERT OR REPLACE INTO conversation VALUES (?, ?, ?, ?)", rows)
