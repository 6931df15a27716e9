"""Feeds for one machine, in a SQLite file that its worker processes share.

What was appended is on disk when `append` returns (``synchronous=FULL``, one fsync per group). Other processes notice
by ``PRAGMA data_version``, which costs two microseconds and is asked every 20 ms while anybody listens.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from dedup.api import DedupUnavailable
from dedup.feeds import LOOK, MOST, Ear, Ears, Entry, Feeds
from dedup.groupcommit import Database

T = TypeVar("T")

LOOK_SECS = 0.02
RETRY_SECS = 0.5
SIGNAL_SECS = 30.0  # a process that was stopped for longer has missed it
SWEEP_AFTER = 64  # rows written between two sweeps …
SWEEP_ROWS = 512  # … of so many rows

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
  id INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT NOT NULL, seq INTEGER NOT NULL, uid TEXT NOT NULL,
  expires REAL NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS entry_seq ON entry (feed, seq);
CREATE UNIQUE INDEX IF NOT EXISTS entry_uid ON entry (feed, uid);
CREATE TABLE IF NOT EXISTS signal (
  id INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL
)
"""
_FIND = "SELECT seq, uid, body FROM entry WHERE feed = ? AND uid = ? AND expires > ?"
_AFTER = "SELECT seq, uid, body FROM entry WHERE feed = ? AND seq > ? AND expires > ? ORDER BY seq LIMIT ?"
_BEFORE = "SELECT seq, uid, body FROM entry WHERE feed = ? AND seq < ? AND expires > ? ORDER BY seq DESC LIMIT ?"
_ADD = "INSERT INTO entry (feed, seq, uid, expires, body) VALUES (?, ?, ?, ?, ?)"
_TRIM = """
DELETE FROM entry WHERE feed = ? AND seq <= (SELECT seq FROM entry WHERE feed = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)
"""
_TURN = "SELECT max(id), count(*) FROM (SELECT id FROM entry WHERE id > ? ORDER BY id LIMIT ?)"
_MARKS = "SELECT name, seq FROM sqlite_sequence"  # the highest ids ever given, also of rows that are gone
_NEWS = "SELECT DISTINCT feed FROM entry WHERE id > ?"
_SIGNALS = "SELECT feed, body FROM signal WHERE id > ? AND id <= ? ORDER BY id"


class EmbeddedFeeds(Feeds):
    """See `dedup.feeds`; the file is made when it is first used."""

    def __init__(
        self,
        path: Path,
        *,
        timeout: float = 5.0,
        most: int = MOST,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- the edge
    ) -> None:
        """Name the file.

        Args:
            path: several processes may use it.
            timeout: seconds for a call; a slow disk is normally waited for.
            most: entries a feed keeps.
            clock: seconds since the epoch.
        """
        self._path, self._timeout, self._most, self._clock = path, timeout, most, clock
        self._db: Database | None = None
        self._ears, self._listening = Ears(), asyncio.Event()
        self._written = self._swept = 0

    @override
    async def append(self, feed: str, uid: str, body: bytes, *, keep: float) -> tuple[int, bool]:
        now = self._clock()

        def job(db: sqlite3.Connection) -> tuple[int, bool]:
            found = db.execute(_FIND, (feed, uid, now)).fetchone()
            if found is not None:
                return int(found[0]), False
            db.execute("DELETE FROM entry WHERE feed = ? AND uid = ?", (feed, uid))  # one that has expired
            last = db.execute("SELECT max(seq) FROM entry WHERE feed = ?", (feed,)).fetchone()[0] or 0
            seq = max(last + 1, int(now * 1_000_000))
            db.execute(_ADD, (feed, seq, uid, now + keep, body))
            self._sweep(db, feed, now)
            return seq, True

        answer = await self._write(job)
        self._ears.hear(feed)
        return answer

    @override
    async def find(self, feed: str, uid: str) -> Entry | None:
        return next(iter(self._read(_FIND, feed, uid, self._clock())), None)

    @override
    async def after(self, feed: str, seq: int, *, limit: int) -> list[Entry]:
        return self._read(_AFTER, feed, seq, self._clock(), limit)

    @override
    async def before(self, feed: str, seq: int | None, *, limit: int) -> list[Entry]:
        return self._read(_BEFORE, feed, 1 << 62 if seq is None else seq, self._clock(), limit)

    @override
    async def signal(self, feed: str, body: bytes) -> None:
        now = self._clock()

        def job(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO signal (feed, body, at) VALUES (?, ?, ?)", (feed, body, now))
            db.execute("DELETE FROM signal WHERE at < ?", (now - SIGNAL_SECS,))

        await self._write(job)

    @override
    def listen(self, feed: str, ear: Ear) -> Callable[[], None]:
        remove = self._ears.add(feed, ear)
        asyncio.get_running_loop().call_soon(ear, LOOK)
        self._listening.set()

        def end() -> None:
            if remove() and not self._ears:
                self._listening.clear()

        return end

    @override
    async def run(self) -> None:
        while True:
            await self._listening.wait()
            try:
                await self._follow()
            except (sqlite3.Error, DedupUnavailable):  # the file is away; who listens finds out by reading
                await asyncio.sleep(RETRY_SECS)

    @override
    async def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    async def _follow(self) -> None:
        """Wake who listens whenever some process has written, as long as anybody does."""
        reader = self._open().reader
        version, known = -1, _marks(reader)
        for feed in self._ears.feeds:
            self._ears.hear(feed)
        while self._ears:
            now = reader.execute("PRAGMA data_version").fetchone()[0]
            if now != version:
                version, seen, known = (
                    now,
                    known,
                    _marks(reader),
                )  # the marks first: what comes meanwhile is heard twice
                for (feed,) in reader.execute(_NEWS, (seen[0],)).fetchall():
                    self._ears.hear(feed)
                for feed, body in reader.execute(_SIGNALS, (seen[1], known[1])).fetchall():
                    self._ears.hear(feed, body)
            await asyncio.sleep(LOOK_SECS)

    def _open(self) -> Database:
        if self._db is None:
            db = Database(self._path, _SCHEMA)
            try:
                db.open()
            except (sqlite3.Error, OSError) as exc:
                raise DedupUnavailable(f"{self._path}: {exc}") from exc
            self._db = db
        return self._db

    def _read(self, query: str, *args: Any) -> list[Entry]:
        try:
            return [Entry(*row) for row in self._open().reader.execute(query, args).fetchall()]
        except sqlite3.Error as exc:
            raise DedupUnavailable(f"{self._path}: {exc}") from exc

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._open().write(job)
        except TimeoutError as exc:
            raise DedupUnavailable(f"{self._path} did not answer within {self._timeout:g} s") from exc
        except sqlite3.Error as exc:
            raise DedupUnavailable(f"{self._path}: {exc}") from exc

    def _sweep(self, db: sqlite3.Connection, feed: str, now: float) -> None:
        """Shorten the feed just written, and delete what expired among the next rows: bounded work, now and then."""
        self._written += 1
        if self._written % SWEEP_AFTER:
            return
        db.execute(_TRIM, (feed, feed, self._most))
        upto, rows = db.execute(_TURN, (self._swept, SWEEP_ROWS)).fetchone()
        if rows:
            db.execute("DELETE FROM entry WHERE id > ? AND id <= ? AND expires <= ?", (self._swept, upto, now))
        self._swept = upto if rows == SWEEP_ROWS else 0


def _marks(db: sqlite3.Connection) -> tuple[int, int]:
    given = dict(db.execute(_MARKS).fetchall())
    return given.get("entry", 0), given.get("signal", 0)
