# ruff: noqa: S608 -- the pieces that are put together are the constants of this module
"""The statements of `gateway.spool`."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

MOST_BACKOFF_SECS = 30.0
FIRST_LOST_SECS = 0.2  # after the first loss: most are a plain reconnect
MOST_LOST = 5  # connections that may die under a row that was sent alone
PARK_SECS = 3600.0
MOST_HELD_SECS = 600.0  # blocked for longer: the clock was ahead then, and what was to be waited for is over

# `flying`: the attempt under way has no outcome yet; `maybe`: an earlier one never got any (2: it is parked, until it
# is taken again). Bodies have their own table, so that a change of state does not write them again. AUTOINCREMENT: an
# id is never used twice, or a late `remove` could hit another message. `suspect`: rows under which the connection died.
SCHEMA = """
CREATE TABLE IF NOT EXISTS spool (
  id INTEGER PRIMARY KEY AUTOINCREMENT, conversation TEXT NOT NULL, channel TEXT NOT NULL, kind TEXT NOT NULL,
  created_at REAL NOT NULL, blocked_until REAL NOT NULL, flying INTEGER NOT NULL, maybe INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS body (id INTEGER PRIMARY KEY, publication BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS suspect (id INTEGER PRIMARY KEY, conversation TEXT NOT NULL, lost INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS suspected ON suspect (conversation, id);
CREATE TABLE IF NOT EXISTS dropped (channel TEXT NOT NULL, kind TEXT NOT NULL, rows INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_conversation ON spool (conversation) WHERE conversation <> '';
CREATE INDEX IF NOT EXISTS blocked ON spool (conversation, id) WHERE blocked_until > 0
"""
ROW = """
SELECT id, publication, channel, conversation, created_at, attempts, flying OR maybe, max(blocked_until - :now, 0)
FROM spool JOIN body USING (id)
"""
BLOCKED = f"""
(blocked_until > :now AND blocked_until <= :now + CASE maybe WHEN 2 THEN {2 * PARK_SECS} ELSE {MOST_HELD_SECS} END)
"""
SENT = f"(flying AND {BLOCKED})"  # with the broker at this moment: its confirm may still come
READY = f"""
SELECT id FROM spool AS s WHERE NOT {BLOCKED} AND id NOT IN (SELECT id FROM suspect) AND (
  conversation = '' OR NOT EXISTS (
    SELECT 1 FROM spool AS b WHERE b.conversation = s.conversation AND b.id < s.id
    AND b.blocked_until > 0 AND b.blocked_until > :now AND b.blocked_until <= :now + {MOST_HELD_SECS}
  ) AND NOT EXISTS (SELECT 1 FROM suspect AS x WHERE x.conversation = s.conversation AND x.id < s.id)
) ORDER BY id LIMIT :limit
"""
SUSPECT = f"""
SELECT id FROM suspect JOIN spool AS s USING (id) WHERE NOT {BLOCKED} AND (s.conversation = '' OR NOT EXISTS (
  SELECT 1 FROM spool AS b WHERE b.conversation = s.conversation AND b.id < s.id
)) ORDER BY attempts, id LIMIT 1
"""
INSERT = """
INSERT INTO spool (id, conversation, channel, kind, created_at, blocked_until, flying, maybe)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_BODY = "INSERT INTO body VALUES (?, ?)"
LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'spool'"
WAITING = """
SELECT DISTINCT conversation FROM spool WHERE conversation <> '' AND conversation IN (SELECT value FROM json_each(?))
"""
STATS = "SELECT count(*), (SELECT created_at FROM spool ORDER BY id LIMIT 1) FROM spool"
BY_CHANNEL = "SELECT channel, kind, count(*) FROM spool GROUP BY channel, kind"
IDS = "WHERE id IN (SELECT value FROM json_each(?))"
THESE = "id IN (SELECT value FROM json_each(:ids))"
ROWS = f"{ROW} WHERE {THESE} ORDER BY id"
PAGE = f"{ROW} WHERE :channel IS NULL OR channel = :channel ORDER BY id LIMIT :limit OFFSET :offset"
CHANNELS = f"""
SELECT id, channel FROM spool WHERE (:ids IS NULL OR {THESE}) AND (:channel IS NULL OR channel = :channel) ORDER BY id
"""
MENTIONS = f"{ROW} WHERE instr(publication, :text) ORDER BY id"
FLY = f"UPDATE spool SET blocked_until = ?, maybe = maybe OR flying, flying = 1 {IDS}"
HOLD = f"UPDATE spool SET blocked_until = ?, flying = 1 {IDS}"
LAND = f"UPDATE spool SET blocked_until = 0, flying = 0, maybe = maybe OR ? {IDS}"
BACK_OFF = f"""
UPDATE spool SET attempts = attempts + 1, blocked_until = ? + min({MOST_BACKOFF_SECS}, 1 << min(attempts, 10)),
                 flying = 0, maybe = maybe OR ? {IDS}
"""
SUSPECTS = f"""
INSERT INTO suspect SELECT id, conversation, 1 FROM spool {IDS} ON CONFLICT (id) DO UPDATE SET lost = lost + 1
"""
BACK_OFF_LOST = f"""
UPDATE spool SET attempts = attempts + 1, flying = 0, maybe = 1, blocked_until = ? + (
  SELECT CASE WHEN lost <= 1 THEN {FIRST_LOST_SECS} ELSE min({MOST_BACKOFF_SECS}, 1 << min(lost - 2, 10)) END
  FROM suspect WHERE suspect.id = spool.id
) {IDS}
"""
DEADLY = f"SELECT id FROM suspect {IDS} AND lost > {MOST_LOST}"
OTHERS = "SELECT EXISTS (SELECT 1 FROM spool WHERE id NOT IN (SELECT id FROM suspect))"
PARK = f"""
UPDATE spool SET attempts = attempts + 1, flying = 0, maybe = 2, conversation = '', blocked_until = ? + {PARK_SECS}
{IDS}
"""
REPLAY = f"""
UPDATE spool SET blocked_until = 0, attempts = 0
WHERE blocked_until > 0 AND NOT {SENT} AND (:ids IS NULL OR {THESE})
"""
DROPPABLE = f"{ROW} WHERE {THESE} AND NOT {SENT} ORDER BY id"
NOTE_DROPPED = f"INSERT INTO dropped SELECT channel, kind, count(*) FROM spool {IDS} GROUP BY channel, kind"
DROPPED = "SELECT channel, kind, sum(rows) FROM dropped GROUP BY channel, kind"


def ready(db: sqlite3.Connection, now: float, limit: int) -> list[int]:
    """Return the oldest rows that may be sent together at `now`, in order."""
    return [row[0] for row in db.execute(READY, {"now": now, "limit": limit}).fetchall()]


def suspect(db: sqlite3.Connection, now: float) -> list[int]:
    """Return a row that may be sent at `now`, but alone."""
    return [row[0] for row in db.execute(SUSPECT, {"now": now}).fetchall()]


def lost(db: sqlite3.Connection, now: float, ids: list[int], *, others_pass: bool) -> list[int]:
    """Give rows free under which the connection died; park, and return, those it did too often under."""
    wanted = json.dumps(ids)
    db.execute(SUSPECTS, (wanted,))
    db.execute(BACK_OFF_LOST, (now, wanted))
    deadly = [row[0] for row in db.execute(DEADLY, (wanted,)).fetchall()]
    if not deadly or not (others_pass or not db.execute(OTHERS).fetchone()[0]):
        return []
    park(db, now, deadly)
    return deadly


def park(db: sqlite3.Connection, now: float, ids: list[int]) -> None:
    """Put rows aside that cannot be sent, and let go on what comes after them."""
    db.execute(PARK, (now, json.dumps(ids)))
    db.execute(f"UPDATE suspect SET conversation = '' {IDS}", (json.dumps(ids),))


def delete(db: sqlite3.Connection, ids: list[int]) -> set[int]:
    """Delete rows and return which there were."""
    wanted = (json.dumps(ids),)
    found = {row[0] for row in db.execute(f"SELECT id FROM spool {IDS}", wanted).fetchall()}
    for table in ("body", "suspect", "spool"):
        db.execute(f"DELETE FROM {table} {IDS}", wanted)
    return found


def replay(db: sqlite3.Connection, now: float, ids: str | None) -> int:
    """End the back-off of rows and return of how many; `ids` is a JSON array, None: all."""
    values = {"now": now, "ids": ids}
    db.execute(f"UPDATE suspect SET lost = 1 WHERE :ids IS NULL OR {THESE}", values)
    return db.execute(REPLAY, values).rowcount


def drop(db: sqlite3.Connection, now: float, ids: list[int]) -> list[tuple[Any, ...]]:
    """Delete rows that are not with the broker, note for the ledger how many, and return them."""
    found = db.execute(DROPPABLE, {"now": now, "ids": json.dumps(ids)}).fetchall()
    gone = [row[0] for row in found]
    db.execute(NOTE_DROPPED, (json.dumps(gone),))
    delete(db, gone)
    return found


def take_dropped(db: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """Return and forget what `drop` noted."""
    rows: list[tuple[str, str, int]] = db.execute(DROPPED).fetchall()
    db.execute("DELETE FROM dropped")
    return rows
