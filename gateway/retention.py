"""Blobs with an end of their own: recordings, by `recording.days` of their channel.

``<data_dir>/retention.db``, shared by the processes of a node. `[gateway] blob_days` neither shortens nor prolongs such
an end. A blob whose bytes something else stored after it was kept is not deleted, but left to `blob_days`.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import structlog
from msgspec import Struct

from connectors.errors import Busy
from connectors.stores import PREFIX
from dedup.groupcommit import Database
from gateway.blobs import BlobStore

log = structlog.get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
  ref TEXT NOT NULL, channel TEXT NOT NULL, until REAL NOT NULL, touched INTEGER NOT NULL, PRIMARY KEY (ref, channel)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kept_until ON kept (until)
"""
_KEEP = """
INSERT INTO kept VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET until = max(until, excluded.until), touched = excluded.touched
"""
_DUE = """
SELECT ref, group_concat(channel, ', '), max(until), max(touched) FROM kept
GROUP BY ref HAVING max(until) <= ? LIMIT 1000
"""
_FORGET = "DELETE FROM kept WHERE ref = ? AND until <= ?"


class _Due(Struct, frozen=True):
    ref: str
    channels: str
    until: float
    touched: int


class Retention:
    """See the module, and `connectors.stores.Retention`, which this is."""

    def __init__(self, path: Path, blobs: BlobStore) -> None:
        """Keep the ends of `blobs` in the file `path`."""
        self._path, self._blobs = path, blobs
        self._db = Database(path, _SCHEMA)

    def open(self) -> None:
        """Open or create the file; raises `sqlite3.Error` or `OSError`."""
        self._db.open()

    def close(self) -> None:
        """Finish what is being written and close the file."""
        self._db.close()

    async def __call__(self, ref: str, until: datetime, channel: str) -> None:
        """Keep a blob until then; raises `Busy` when that cannot be written."""
        try:
            values = (ref, channel, until.timestamp(), await self._blobs.touched(ref))
            await self._db.write(lambda db: db.execute(_KEEP, values).rowcount)
        except sqlite3.Error as exc:
            raise Busy(30.0, f"{self._path} cannot be written: {exc}") from exc

    def kept(self) -> frozenset[str]:
        """Return the references of all that have an end of their own."""
        return frozenset(row[0] for row in self._db.reader.execute("SELECT DISTINCT ref FROM kept").fetchall())

    async def sweep(self, now: float) -> int:
        """Delete what has reached its end, each with a line in the log; returns how many blobs."""
        deleted = 0
        while due := [_Due(*row) for row in self._db.reader.execute(_DUE, (now,)).fetchall()]:
            for one in due:
                deleted += await self._end(one)
        return deleted

    async def _end(self, due: _Due) -> bool:
        """Delete first and forget then: whoever dies in between finds nothing to delete the next time."""
        there = await self._blobs.delete(due.ref, unless_put_since=due.touched)
        await self._db.write(lambda db: db.execute(_FORGET, (due.ref, due.until)).rowcount)
        log.info(
            "recording_deleted" if there else "recording_left",
            sha256=due.ref.removeprefix(PREFIX),
            channel=due.channels,
            kept_until=datetime.fromtimestamp(due.until, UTC).isoformat(),
            **({} if there else {"reason": "gone already, or stored by something else since"}),
        )
        return there
