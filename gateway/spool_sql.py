# ruff: noqa: S608 -- the pieces that are put together are the constants of this module
"""The statements of `gateway.spool`."""

from __future__ import annotations

import json
import sqlite3

MOST_BACKOFF_SECS = 30.0

# `flying`: the attempt under way has no outcome yet; `maybe`: an earlier one never got any. Bodies have their own
# table, so that a change of state does not write them again. AUTOINCREMENT: an id is never used twice, or a late
# `remove` could hit another message.
SCHEMA = """
CREATE TABLE IF NOT EXISTS spool (
  id INTEGER PRIMARY KEY AUTOINCREMENT, conversation TEXT NOT NULL, channel TEXT NOT NULL, kind TEXT NOT NULL,
  created_at REAL NOT NULL, blocked_until REAL NOT NULL, flying INTEGER NOT NULL, maybe INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS body (id INTEGER PRIMARY KEY, publication BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_conversation ON spool (conversation) WHERE conversation <> '';
CREATE INDEX IF NOT EXISTS blocked ON spool (conversation, id) WHERE blocked_until > 0
"""
ROW = """
SELECT id, publication, channel, conversation, created_at, attempts, flying OR maybe, max(blocked_until - ?, 0)
FROM spool JOIN body USING (id)
"""
READY = """
SELECT id FROM spool AS s WHERE blocked_until <= :now AND (conversation = '' OR NOT EXISTS (
  SELECT 1 FROM spool AS b
  WHERE b.conversation = s.conversation AND b.id < s.id AND b.blocked_until > 0 AND b.blocked_until > :now
)) ORDER BY id LIMIT :limit
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
ROWS = f"{ROW} {IDS} ORDER BY id"
PAGE = f"{ROW} ORDER BY id LIMIT ? OFFSET ?"
FLY = f"UPDATE spool SET blocked_until = ?, maybe = maybe OR flying, flying = 1 {IDS}"
HOLD = f"UPDATE spool SET blocked_until = ?, flying = 1 {IDS}"
LAND = f"UPDATE spool SET blocked_until = 0, flying = 0, maybe = maybe OR ? {IDS}"
BACK_OFF = f"""
UPDATE spool SET attempts = attempts + 1, blocked_until = ? + min({MOST_BACKOFF_SECS}, 1 << min(attempts, 10)),
                 flying = 0, maybe = maybe OR ? {IDS}
"""
REPLAY = "UPDATE spool SET blocked_until = 0, attempts = 0, maybe = maybe OR flying, flying = 0 WHERE blocked_until > 0"
REPLAY_SOME = f"{REPLAY} AND {IDS.removeprefix('WHERE ')}"


def ready(db: sqlite3.Connection, now: float, limit: int) -> list[int]:
    """Return the oldest rows that may be sent at `now`, in order."""
    return [row[0] for row in db.execute(READY, {"now": now, "limit": limit}).fetchall()]


def delete(db: sqlite3.Connection, ids: list[int] | None) -> int:
    """Delete rows (None: all) and return how many there were."""
    if ids is None:
        db.execute("DELETE FROM body")
        return db.execute("DELETE FROM spool").rowcount
    wanted = (json.dumps(ids),)
    db.execute(f"DELETE FROM body {IDS}", wanted)
    return db.execute(f"DELETE FROM spool {IDS}", wanted).rowcount
