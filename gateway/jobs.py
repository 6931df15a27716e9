"""Work that must be done some time, durable: rows of one SQLite file that the workers of a node share.

States of a row::

    (held ──start──►) waiting ──take──► taken ──finish──► an end
                         ▲─────retry──────┘

A *held* row waits until something else is durable; `start` gives it free. If the process dies in between, the start of
the gateway does (`release`), or the end of the hold. Ended rows stay until `sweep`, so that the same work is not taken
on again.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from connectors.errors import Busy
from dedup.groupcommit import Database

B = TypeVar("B", bound=Struct)

HOLD_SECS = 120.0
LEASE_SECS = 600.0
"""How long a taken job stays with whoever took it; only a process that lives and hangs needs it."""
MAX_BYTES = 1_073_741_824


class Taken(Struct, Generic[B], frozen=True):
    """A job to work on; `attempts` with this one, `until` in seconds since the epoch."""

    key: str
    job: B
    attempts: int
    until: float


class Row(Struct, Generic[B], frozen=True):
    """A job to keep: its key, the channel it belongs to, and until when it is worth doing (seconds since the epoch)."""

    key: str
    channel: str
    until: float
    job: B


_KEYS = "key IN (SELECT value FROM json_each(?))"
_DUE = "SELECT key FROM jobs WHERE ended_at IS NULL AND due <= ?"
_TAKE = "UPDATE jobs SET state = 'taken', due = ?, attempts = attempts + 1 WHERE key IN"
_TAKEN = "RETURNING key, body, attempts, until"
_SQL = {
    "schema": """
CREATE TABLE IF NOT EXISTS jobs (
  key TEXT PRIMARY KEY, channel TEXT NOT NULL, state TEXT NOT NULL, due REAL NOT NULL, until REAL NOT NULL,
  attempts INTEGER NOT NULL, code TEXT NOT NULL, created_at REAL NOT NULL, ended_at REAL, body BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (channel, due) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL
""",
    "add": "INSERT OR IGNORE INTO jobs VALUES (?, ?, ?, ?, ?, 0, '', ?, NULL, ?)",
    "known": f"SELECT key FROM jobs WHERE {_KEYS}",  # noqa: S608 -- constants
    "start": f"UPDATE jobs SET state = 'waiting', due = ? WHERE state = 'held' AND {_KEYS}",  # noqa: S608
    "release": "UPDATE jobs SET state = 'waiting', due = ? WHERE state IN ('held', 'taken')",
    "take": f"{_TAKE} ({_DUE} ORDER BY due LIMIT ?) {_TAKEN}",
    "take_of": f"{_TAKE} ({_DUE} AND channel = ? ORDER BY due LIMIT ?) {_TAKEN}",
    "retry": "UPDATE jobs SET state = 'waiting', due = ?, code = ?, body = ? WHERE key = ? AND ended_at IS NULL",
    "finish": "UPDATE jobs SET state = ?, code = ?, ended_at = ?, body = NULL WHERE key = ?",
    "next": "SELECT min(due) FROM jobs WHERE ended_at IS NULL",
    "next_of": "SELECT min(due) FROM jobs WHERE ended_at IS NULL AND channel = ?",
    "abandon": """
UPDATE jobs SET state = 'failed', code = 'no_channel', ended_at = ?, body = NULL WHERE ended_at IS NULL AND until < ?
""",
    "sweep": "DELETE FROM jobs WHERE ended_at < ?",
    "count": "SELECT channel, count(*) FROM jobs WHERE ended_at IS NULL GROUP BY channel",
}  # fmt: skip
"""Statements about the table `jobs`, which has another name in each file."""


class Jobs(Generic[B]):
    """See the module. Coroutines and `start` belong to one event loop."""

    def __init__(
        self,
        path: Path,
        table: str,
        shape: type[B],
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- rows outlive the process
    ) -> None:
        """Name the file, its table, the type of a job, and its size limit."""
        self._path, self._clock = path, clock
        self._sql = {name: sql.replace("jobs", table) for name, sql in _SQL.items()}
        self._db = Database(path, self._sql["schema"], max_bytes=max_bytes)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(shape).decode
        self._version = -1
        self._begun: list[str] = []
        self._wake = asyncio.Event()

    def open(self) -> None:
        """Open or create the file; raises `sqlite3.Error` or `OSError`."""
        self._db.open()

    def close(self) -> None:
        """Finish what is being written and close the file."""
        self._db.close()

    async def keep(self, jobs: Sequence[Row[B]], *, held: bool = False) -> None:
        """Keep jobs, unless they are known; durable when it returns. Those that are `held` wait for `start`.

        Raises:
            Busy: the disk is full.
        """
        keys = json.dumps([job.key for job in jobs])
        known = {row[0] for row in self._db.reader.execute(self._sql["known"], (keys,)).fetchall()}
        now = self._clock()
        state, due = ("held", now + HOLD_SECS) if held else ("waiting", now)
        rows = [
            (job.key, job.channel, state, due, job.until, now, self._encode(job.job))
            for job in jobs
            if job.key not in known
        ]
        if rows:
            try:
                await self._db.write(lambda db: db.executemany(self._sql["add"], rows).rowcount)
            except sqlite3.Error as exc:
                raise Busy(30.0, f"{self._path} cannot be written: {exc}") from exc

    def start_keys(self, keys: Iterable[str]) -> None:
        """Give held jobs free, some time soon. Nobody waits for it."""
        self._begun += keys
        self._wake.set()

    async def run(self) -> None:
        """Write down what was started, until cancelled; in every worker."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            keys, self._begun = self._begun, []
            try:
                await self._begin(keys)
            except BaseException:  # the supervisor tries again
                self.start_keys(keys)
                raise

    async def _begin(self, keys: list[str]) -> None:
        values = (self._clock(), json.dumps(keys))
        await self._db.write(lambda db: db.execute(self._sql["start"], values).rowcount)

    async def release(self) -> None:
        """Give everything free that a former process held or had taken; only while nobody else works on them."""
        now = self._clock()
        await self._db.write(lambda db: db.execute(self._sql["release"], (now,)).rowcount)

    @property
    def changed(self) -> bool:
        """Whether anybody wrote since the last look; 3 µs."""
        version = self._db.reader.execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, version
        return bool(version != before)

    def next_due(self, channel: str | None = None) -> float | None:
        """Return when the next job (of a channel) is due, in seconds since the epoch."""
        query, values = ("next", ()) if channel is None else ("next_of", (channel,))
        found: float | None = self._db.reader.execute(self._sql[query], values).fetchone()[0]
        return found

    async def take(self, channel: str | None, limit: int) -> list[Taken[B]]:
        """Give out jobs (of a channel) that are due, the oldest first; each must end by `retry` or `finish`."""
        now = self._clock()
        query, of = ("take", ()) if channel is None else ("take_of", (channel,))
        values = (now + LEASE_SECS, now, *of, limit)
        rows = await self._db.write(lambda db: db.execute(self._sql[query], values).fetchall())
        return [Taken(key, self._decode(body), attempts, until) for key, body, attempts, until in rows]

    async def retry(self, taken: Taken[B], delay: float, code: str, job: B | None = None) -> None:
        """Try again after `delay` seconds because of `code`; `job` says what was reached so far."""
        values = (self._clock() + delay, code, self._encode(job or taken.job), taken.key)
        await self._db.write(lambda db: db.execute(self._sql["retry"], values).rowcount)

    async def finish(self, taken: Taken[B], state: str, code: str = "") -> None:
        """End a job: what became of it is durable."""
        values = (state, code, self._clock(), taken.key)
        await self._db.write(lambda db: db.execute(self._sql["finish"], values).rowcount)

    async def sweep(self, older_than_secs: float) -> int:
        """Forget jobs that ended so long ago; returns how many."""
        before = self._clock() - older_than_secs
        return await self._db.write(lambda db: db.execute(self._sql["sweep"], (before,)).rowcount)

    async def abandon(self, late_secs: float) -> int:
        """Give up jobs whose time was over so long ago: nobody works on them; returns how many."""
        now = self._clock()
        return await self._db.write(lambda db: db.execute(self._sql["abandon"], (now, now - late_secs)).rowcount)

    def open_jobs(self) -> dict[str, int]:
        """Count what is still to be done, by channel."""
        return dict(self._db.reader.execute(self._sql["count"]).fetchall())
