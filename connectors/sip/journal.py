"""Calls in progress, on disk: who was killed with calls tells at the next start that they ended."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from normalizer.codecs.sip import Told

T = TypeVar("T")
SEEN_SECS = 2.0
"""How often it is written down that a call is still there; what a call's end after a crash can be wrong by."""


class Entry(Struct, frozen=True, kw_only=True):
    """A call that has begun.

    Attributes:
        told: its identity, as in its events.
        offered_at, answered_at: when.
    """

    told: Told
    offered_at: datetime
    answered_at: datetime | None = None


class Journal:
    """A table of one channel; written with fsync before the first event of a call is told, emptied after its last."""

    def __init__(self, folder: Path, channel: str) -> None:
        """Keep it in `folder`; `open` makes the file."""
        self._path = folder / f"{channel}.calls.db"
        self._thread = ThreadPoolExecutor(1, f"sip-journal-{channel}")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file; raises `OSError` or `sqlite3.Error`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        await self._do(self._open)

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS calls (id TEXT PRIMARY KEY, entry BLOB NOT NULL, seen REAL NOT NULL)"
        )

    async def close(self) -> None:
        """Close it."""
        db, self._db = self._db, None
        if db is not None:
            await self._in_thread(db.close)
        self._thread.shutdown(wait=False)

    async def put(self, call: str, entry: Entry, now: datetime) -> None:
        """Write a call down, or anew."""
        row = (call, msgspec.json.encode(entry), now.timestamp())
        await self._do(lambda: self._execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?)", row))

    async def seen(self, calls: Iterable[str], now: datetime) -> None:
        """Note that calls are still there."""
        rows = [(now.timestamp(), call) for call in calls]
        await self._do(lambda: self._many("UPDATE calls SET seen = ? WHERE id = ?", rows))

    async def remove(self, call: str) -> None:
        """Forget a call: its last event is durable."""
        await self._do(lambda: self._execute("DELETE FROM calls WHERE id = ?", (call,)))

    async def left(self) -> list[tuple[str, Entry, datetime]]:
        """Return what a process that died left: id, entry, and when the call was last seen."""
        rows = await self._do(lambda: self._execute("SELECT id, entry, seen FROM calls", ()))
        return [
            (call, msgspec.json.decode(entry, type=Entry), datetime.fromtimestamp(seen, UTC))
            for call, entry, seen in rows
        ]

    def _execute(self, statement: str, row: tuple[object, ...]) -> list[tuple[str, bytes, float]]:
        return [] if self._db is None else self._db.execute(statement, row).fetchall()

    def _many(self, statement: str, rows: list[tuple[float, str]]) -> None:
        if self._db is None or not rows:
            return
        self._db.execute("BEGIN")
        self._db.executemany(statement, rows)
        self._db.execute("COMMIT")

    async def _do(self, work: Callable[[], T]) -> T:
        return await self._in_thread(work)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
