"""Media that must still be fetched: durable before the provider hears that its delivery was accepted.

One SQLite file (``media.db``) that the workers of a node share. A job is *held* until its message is durable, so that
`media.stored` does not come before `message.received`; `start` gives it free. If the process dies in between, the
start of the gateway does, or the end of the hold. States of a row::

    held ──start──► waiting ──take──► taken ──finish──► stored | failed
                       ▲─────retry──────┘

Finished rows stay for as long as the channel remembers its deliveries: a late copy of the message makes no second job.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from connectors.errors import Busy
from dedup.groupcommit import Database
from normalizer import ids
from normalizer.model import ChannelRef, Conversation, MessageParams, MessageRef
from normalizer.parts import Card, Carousel, Media, MediaPart, Text
from normalizer.raw import Event

HOLD_SECS = 120.0
LEASE_SECS = 600.0
"""How long a taken job stays with whoever took it; only a process that lives and hangs needs it."""
MAX_BYTES = 1_073_741_824

_SCHEMA = """
CREATE TABLE IF NOT EXISTS media (
  key TEXT PRIMARY KEY, channel TEXT NOT NULL, state TEXT NOT NULL, due REAL NOT NULL, until REAL NOT NULL,
  attempts INTEGER NOT NULL, code TEXT NOT NULL, created_at REAL NOT NULL, ended_at REAL, body BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS media_open ON media (channel, due) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS media_ended ON media (ended_at) WHERE ended_at IS NOT NULL
"""
_ADD = "INSERT OR IGNORE INTO media VALUES (?, ?, 'held', ?, ?, 0, '', ?, NULL, ?)"
_KEYS = "key IN (SELECT value FROM json_each(?))"
_KNOWN = f"SELECT key FROM media WHERE {_KEYS}"  # noqa: S608 -- constants, here and below
_START = f"UPDATE media SET state = 'waiting', due = ? WHERE state = 'held' AND {_KEYS}"  # noqa: S608
_RELEASE = "UPDATE media SET state = 'waiting', due = ? WHERE state IN ('held', 'taken')"
_DUE = "SELECT key FROM media WHERE ended_at IS NULL AND channel = ? AND due <= ? ORDER BY due LIMIT ?"
_TAKE = f"""
UPDATE media SET state = 'taken', due = ?, attempts = attempts + 1 WHERE key IN ({_DUE}) RETURNING key, body, attempts, until
"""  # noqa: S608, E501
_RETRY = "UPDATE media SET state = 'waiting', due = ?, code = ?, body = ? WHERE key = ? AND ended_at IS NULL"
_FINISH = "UPDATE media SET state = ?, code = ?, ended_at = ?, body = NULL WHERE key = ?"
_NEXT = "SELECT min(due) FROM media WHERE ended_at IS NULL AND channel = ?"
_ABANDON = """
UPDATE media SET state = 'failed', code = 'no_channel', ended_at = ?, body = NULL WHERE ended_at IS NULL AND until < ?
"""
_SWEEP = "DELETE FROM media WHERE ended_at < ?"


class Job(Struct, frozen=True, kw_only=True):
    """One media item of one message.

    Attributes:
        media: as the codec made it; once it was fetched, as it is stored.
        error: why it was given up, once it was.
    """

    channel: ChannelRef
    message: MessageRef
    media: Media
    conversation: Conversation | None = None
    error: dict[str, str] | None = None

    @property
    def key(self) -> str:
        """The same for all copies and revisions of the message."""
        return ids.digest(self.channel.id, self.message.id or "", self.media.id)


class Taken(Struct, frozen=True):
    """A job to work on; `attempts` with this one, `until` in seconds since the epoch."""

    key: str
    job: Job
    attempts: int
    until: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Job).decode
Ended = Literal["stored", "failed"]


def pending(events: Iterable[Event]) -> list[Job]:
    """List the media of these events that have yet to be fetched; nearly always none."""
    found = []
    for event in events:
        params = event.params
        if type(params) is MessageParams:
            for part in params.message.parts:
                if type(part) is Text:  # nearly all; the rest takes five times as long
                    continue
                if isinstance(part, MediaPart):
                    found += _jobs(params, [part.media])
                elif isinstance(part, Card | Carousel):
                    found += _jobs(params, [item.media for item in part.items if item.media is not None])
    return found


def _jobs(params: MessageParams, media: Iterable[Media]) -> list[Job]:
    message = MessageRef(id=params.message.id, provider_id=params.message.provider_id)
    return [
        Job(channel=params.channel, message=message, media=one, conversation=params.conversation)
        for one in media
        if one.status == "pending" and one.provider_id
    ]


class MediaJobs:
    """See the module. Coroutines and `start` belong to one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- rows outlive the process
    ) -> None:
        """Name the file and its size limit."""
        self._path, self._clock = path, clock
        self._db = Database(path, _SCHEMA, max_bytes=max_bytes)
        self._version = -1
        self._begun: list[str] = []
        self._wake = asyncio.Event()

    def open(self) -> None:
        """Open or create the file; raises `sqlite3.Error` or `OSError`."""
        self._db.open()

    def close(self) -> None:
        """Finish what is being written and close the file."""
        self._db.close()

    async def hold(self, jobs: Sequence[Job], retry_secs: float) -> None:
        """Keep jobs, unless they are known; durable when it returns.

        Args:
            jobs: to be given free by `start`.
            retry_secs: how long to try, where the provider sets no end.

        Raises:
            Busy: the disk is full.
        """
        keys = json.dumps([job.key for job in jobs])
        known = {row[0] for row in self._db.reader.execute(_KNOWN, (keys,)).fetchall()}
        now = self._clock()
        rows = [
            (job.key, job.channel.id, now + HOLD_SECS, _until(job.media, now + retry_secs), now, _encode(job))
            for job in jobs
            if job.key not in known
        ]
        if rows:
            try:
                await self._db.write(lambda db: db.executemany(_ADD, rows).rowcount)
            except sqlite3.Error as exc:
                raise Busy(30.0, f"{self._path} cannot be written: {exc}") from exc

    def start(self, jobs: Iterable[Job]) -> None:
        """Give jobs free, some time soon: their message is durable. Nobody waits for it."""
        self.start_keys([job.key for job in jobs])

    def start_keys(self, keys: Iterable[str]) -> None:
        """Do it for jobs that are named by their keys."""
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
        await self._db.write(lambda db: db.execute(_START, values).rowcount)

    async def release(self) -> None:
        """Give everything free that a former process held or had taken; only while nobody else fetches."""
        now = self._clock()
        await self._db.write(lambda db: db.execute(_RELEASE, (now,)).rowcount)

    @property
    def changed(self) -> bool:
        """Whether anybody wrote since the last look; 3 µs."""
        version = self._db.reader.execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, version
        return bool(version != before)

    def next_due(self, channel: str) -> float | None:
        """Return when the next job of a channel is due, in seconds since the epoch."""
        found: float | None = self._db.reader.execute(_NEXT, (channel,)).fetchone()[0]
        return found

    async def take(self, channel: str, limit: int) -> list[Taken]:
        """Give out jobs of a channel that are due, the oldest first; each must end by `retry` or `finish`."""
        now = self._clock()
        values = (now + LEASE_SECS, channel, now, limit)
        rows = await self._db.write(lambda db: db.execute(_TAKE, values).fetchall())
        return [Taken(key, _decode(body), attempts, until) for key, body, attempts, until in rows]

    async def retry(self, taken: Taken, delay: float, code: str, job: Job | None = None) -> None:
        """Try again after `delay` seconds because of `code`; `job` says what was reached so far."""
        values = (self._clock() + delay, code, _encode(job or taken.job), taken.key)
        await self._db.write(lambda db: db.execute(_RETRY, values).rowcount)

    async def finish(self, taken: Taken, state: Ended, code: str = "") -> None:
        """End a job: what became of it is durable."""
        values = (state, code, self._clock(), taken.key)
        await self._db.write(lambda db: db.execute(_FINISH, values).rowcount)

    async def sweep(self, older_than_secs: float) -> int:
        """Forget jobs that ended so long ago; returns how many."""
        before = self._clock() - older_than_secs
        return await self._db.write(lambda db: db.execute(_SWEEP, (before,)).rowcount)

    async def abandon(self, late_secs: float) -> int:
        """Give up jobs whose time was over so long ago: nobody works on them; returns how many."""
        now = self._clock()
        return await self._db.write(lambda db: db.execute(_ABANDON, (now, now - late_secs)).rowcount)

    def open_jobs(self) -> dict[str, int]:
        """Count what is still to be fetched, by channel."""
        query = "SELECT channel, count(*) FROM media WHERE ended_at IS NULL GROUP BY channel"
        return dict(self._db.reader.execute(query).fetchall())


def _until(media: Media, cap: float) -> float:
    return cap if media.expires_at is None else media.expires_at.timestamp()
