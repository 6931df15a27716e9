"""What could not be understood: kept with its raw bytes, so that it can be looked at, re-driven or discarded.

One SQLite file (``quarantine.db``) that the workers and the command line share. States of a row::

    kept ──request_redrive──► redrive ──finish──► redriven, or kept again with a new reason
     └──────── discard ─────► discarded

Only redriven and discarded rows are ever deleted, by `sweep`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from connectors.errors import Busy
from dedup.groupcommit import Database, used_bytes
from normalizer.raw import RawEvent

State = Literal["kept", "redrive", "redriven", "discarded"]

MAX_BYTES = 1_073_741_824
ROW_BYTES = 8192  # most that a row needs beside its body

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, state TEXT NOT NULL, channel TEXT NOT NULL,
  reason TEXT NOT NULL, note TEXT NOT NULL, times INTEGER NOT NULL, first_at REAL NOT NULL, last_at REAL NOT NULL,
  raw BLOB NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS to_redrive ON quarantine (id) WHERE state = 'redrive';
CREATE TABLE IF NOT EXISTS original (id INTEGER PRIMARY KEY, body BLOB NOT NULL)
"""
_COLUMNS = "id, state, channel, reason, note, times, first_at, last_at, length(body)"
_LIST = f"""
SELECT {_COLUMNS} FROM quarantine
WHERE (:state IS NULL OR state = :state) AND (:channel IS NULL OR channel = :channel)
ORDER BY id DESC LIMIT :limit OFFSET :offset
"""  # noqa: S608 -- a constant
_IDS = "id IN (SELECT value FROM json_each(?))"
_ADD = """
INSERT INTO quarantine (key, state, channel, reason, note, times, first_at, last_at, raw, body)
VALUES (:key, 'kept', :channel, :reason, '', 1, :now, :now, :raw, :body)
"""
_AGAIN = """
UPDATE quarantine SET times = times + 1, last_at = ?, reason = ?,
                      state = CASE WHEN state = 'redrive' THEN state ELSE 'kept' END
WHERE id = ?
"""
_KEEP_ORIGINAL = "INSERT OR IGNORE INTO original SELECT id, body FROM quarantine WHERE id = ? AND state = 'kept'"
_MEND = "UPDATE quarantine SET body = ?, note = ?, last_at = ? WHERE id = ? AND state = 'kept'"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RawEvent).decode


class Quarantined(Struct, frozen=True):
    """One row, without its bytes.

    Attributes:
        note: what the last attempt to re-drive it, or the operator, said.
        times: how often the same bytes came.
        first_at: seconds since the epoch, as is `last_at`.
        size: of the body, in bytes.
    """

    id: int
    state: State
    channel: str
    reason: str
    note: str
    times: int
    first_at: float
    last_at: float
    size: int


class Quarantine:
    """See the module. Coroutines belong to one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- rows outlive the process
    ) -> None:
        """Name the file and its size limit."""
        self._path, self._max_bytes, self._clock = path, max_bytes, clock
        self._db = Database(path, _SCHEMA)

    def open(self) -> None:
        """Open or create the file; raises `sqlite3.Error` or `OSError`."""
        self._db.open()

    def close(self) -> None:
        """Finish what is being written and close the file."""
        self._db.close()

    async def add(self, raw: RawEvent, body: bytes, reason: str, *, item: bool) -> tuple[int, bool]:
        """Keep `body`, which came with `raw`; durable when it returns.

        Args:
            raw: the delivery.
            body: its bytes, or those of one item of it.
            reason: one line for a human, without customer text.
            item: `body` is an item (`RawEvent.item`).

        Returns:
            The row, and whether it is news: false when the same bytes of the same channel are in quarantine already.

        Raises:
            Busy: the file has reached its limit or the disk is full; nothing was kept.
        """
        values = {
            "key": _key(raw.channel.id, body, item=item),
            "channel": raw.channel.id,
            "reason": _clean(reason),
            "raw": _head(raw, item=item),
            "body": body,
            "now": self._clock(),
        }
        try:
            return await self._db.write(lambda db: self._add(db, values))
        except sqlite3.Error as exc:
            raise Busy(30.0, f"{self._path} cannot be written: {exc}") from exc

    async def list(
        self, limit: int = 100, offset: int = 0, *, state: State | None = None, channel: str | None = None
    ) -> list[Quarantined]:
        """Show rows, newest first."""
        values = {"state": state, "channel": channel, "limit": limit, "offset": offset}
        return [Quarantined(*row) for row in self._db.reader.execute(_LIST, values).fetchall()]

    async def get(self, number: int) -> tuple[Quarantined, RawEvent] | None:
        """Return a row with the delivery (or item) as it came, or None."""
        return next(iter(self._full("id = ?", number)), None)

    def original(self, number: int) -> bytes | None:
        """Return the bytes as they came of a row that was mended, or None."""
        row = self._db.reader.execute("SELECT body FROM original WHERE id = ?", (number,)).fetchone()
        return bytes(row[0]) if row else None

    def mentions(self, text: str, limit: int = 10) -> Sequence[tuple[Quarantined, RawEvent]]:
        """Return rows whose bytes contain `text`, newest first; reads the whole file."""
        return self._full("instr(body, ?) ORDER BY id DESC LIMIT ?", text.encode(), limit)

    async def mend(self, number: int, body: bytes) -> bool:
        """Replace the bytes of a row that is kept, and keep the original beside it; tells whether there is such a row.

        The same bad bytes are still known when they come again.
        """
        values = (body, "mended by hand", self._clock(), number)

        def job(db: sqlite3.Connection) -> bool:
            db.execute(_KEEP_ORIGINAL, (number,))
            return db.execute(_MEND, values).rowcount > 0

        return await self._db.write(job)

    async def request_redrive(self, ids: Iterable[int] | None) -> int:
        """Ask the gateway to decode rows (None: all that are kept) again; returns how many it will."""
        return await self._mark("redrive", ids, ("kept",))

    async def discard(self, ids: Iterable[int] | None) -> int:
        """Give rows up (None: all that wait); returns how many there were."""
        return await self._mark("discarded", ids, ("kept", "redrive"))

    def pending(self, limit: int = 100) -> Sequence[tuple[Quarantined, RawEvent]]:
        """Return what was asked to be re-driven, oldest first; cheap when there is nothing."""
        return self._full("state = 'redrive' ORDER BY id LIMIT ?", limit)

    async def finish(self, number: int, *, ok: bool, note: str = "") -> None:
        """End a re-drive: the row was published, or is kept with `note` saying why it still cannot be read."""
        state = "redriven" if ok else "kept"
        query = "UPDATE quarantine SET state = ?, note = ?, last_at = ? WHERE id = ? AND state = 'redrive'"
        values = (state, note, self._clock(), number)
        await self._db.write(lambda db: db.execute(query, values).rowcount)

    async def sweep(self, older_than_secs: float) -> int:
        """Delete redriven and discarded rows untouched for so long; returns how many."""
        query = "DELETE FROM quarantine WHERE state IN ('redriven', 'discarded') AND last_at < ?"
        before = self._clock() - older_than_secs

        def job(db: sqlite3.Connection) -> int:
            swept = db.execute(query, (before,)).rowcount
            db.execute("DELETE FROM original WHERE id NOT IN (SELECT id FROM quarantine)")
            return swept

        return await self._db.write(job)

    def waiting(self) -> int:
        """Count rows that nobody dealt with."""
        query = "SELECT count(*) FROM quarantine WHERE state IN ('kept', 'redrive')"
        return int(self._db.reader.execute(query).fetchone()[0])

    def _add(self, db: sqlite3.Connection, values: dict[str, Any]) -> tuple[int, bool]:
        known = db.execute("SELECT id, state FROM quarantine WHERE key = :key", values).fetchone()
        if known is not None:
            number, state = known
            db.execute(_AGAIN, (values["now"], values["reason"], number))
            return number, state in {"redriven", "discarded"}
        if used_bytes(db) + len(values["body"]) + ROW_BYTES > self._max_bytes:
            raise Busy(30.0, f"{self._path} has reached {self._max_bytes} bytes: re-drive or discard what is in it")
        return int(db.execute(_ADD, values).lastrowid or 0), True

    def _full(self, where: str, *values: int | str | bytes) -> Sequence[tuple[Quarantined, RawEvent]]:
        query = f"SELECT {_COLUMNS}, raw, body FROM quarantine WHERE {where}"  # noqa: S608 -- constants of this class
        found = self._db.reader.execute(query, values).fetchall()
        return [(Quarantined(*row[:-2]), msgspec.structs.replace(_decode(row[-2]), body=row[-1])) for row in found]

    async def _mark(self, state: State, ids: Iterable[int] | None, of: Sequence[State]) -> int:
        query = "UPDATE quarantine SET state = ?, last_at = ? WHERE state IN (SELECT value FROM json_each(?))"
        values: tuple[Any, ...] = (state, self._clock(), json.dumps(of))
        if ids is not None:
            query, values = f"{query} AND {_IDS}", (*values, json.dumps(list(ids)))
        return await self._db.write(lambda db: db.execute(query, values).rowcount)


def _key(channel: str, body: bytes, *, item: bool) -> bytes:
    name = channel.encode()
    return blake2b(b"%d:%b%d%b" % (len(name), name, item, body), digest_size=16).digest()


def _head(raw: RawEvent, *, item: bool) -> bytes:
    """Encode everything but the body."""
    head = msgspec.structs.replace(raw, body=b"", item=item)
    try:
        return _encode(head)
    except UnicodeEncodeError:  # a header of a mail, say; what is odd enough to come here must be taken
        meta = {_clean(name): _clean(value) for name, value in raw.meta.items()}
        return _encode(msgspec.structs.replace(head, meta=meta, content_type=_clean(raw.content_type)))


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
