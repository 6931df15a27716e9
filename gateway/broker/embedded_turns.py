"""One consumer at a time on the queues that want it (`x-single-active-consumer`), across processes.

As in RabbitMQ, whoever subscribed first takes, and the next one takes over when it unsubscribes or its process dies.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

FIRST = (
    "SELECT consumer FROM turns WHERE queue = ? AND owner IN (SELECT owner FROM owners WHERE seen > ?)"
    " ORDER BY id LIMIT 1"
)
"""Whose turn it is on a queue; the second value is `Turns.dead`."""


class Turns:
    """The queue of consumers in front of a queue; its methods run inside a transaction.

    Attributes:
        left: consumers of this process that are gone and whose rows may not be, because the file was not writable.
    """

    def __init__(self, owner: str, dead: Callable[[], float]) -> None:
        """Act as `owner`; a process last seen at `dead()` (seconds since the epoch) or before is dead."""
        self._owner, self.dead = owner, dead
        self.left: set[str] = set()

    def line_up(self, db: sqlite3.Connection, queue: str, consumer: str) -> None:
        """Let a consumer wait for its turn; does nothing when it does already."""
        db.execute(
            "INSERT OR IGNORE INTO turns (queue, consumer, owner) VALUES (?,?,?)", (queue, consumer, self._owner)
        )

    def has(self, db: sqlite3.Connection, queue: str, consumer: str) -> bool:
        """Tell whether it is the turn of `consumer`, for good: who was silent for too long lines up again."""
        db.execute(
            "DELETE FROM turns WHERE queue = ? AND owner NOT IN (SELECT owner FROM owners WHERE seen > ?)",
            (queue, self.dead()),
        )
        self.line_up(db, queue, consumer)
        row = db.execute("SELECT consumer FROM turns WHERE queue = ? ORDER BY id LIMIT 1", (queue,)).fetchone()
        return bool(row[0] == consumer)

    def leave(self, db: sqlite3.Connection) -> None:
        """Forget the consumers in `left`."""
        db.executemany("DELETE FROM turns WHERE consumer = ?", [(consumer,) for consumer in tuple(self.left)])
