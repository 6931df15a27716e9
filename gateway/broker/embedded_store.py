"""What the embedded broker does inside a transaction.

A `Store` is used by one writer thread at a time (see `dedup.groupcommit`); everything it keeps in memory is derived
from the tables and checked against `layout.version`, because other processes write the same file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from gateway.broker.api import EVENTS, UNROUTED, Delivery, Publication
from gateway.broker.embedded_schema import MESSAGE, Limits, delivery, limits, pack, unpack
from gateway.broker.embedded_turns import Turns
from gateway.broker.topics import Routes
from gateway.broker.topology import Queue

_INSERT = (
    "INSERT INTO messages (at, exchange, routing_key, body, message_id, method, timestamp, headers, reply_to,"
    " correlation_id) VALUES (?,?,?,?,?,?,?,?,?,?)"
)
_ENTER = "INSERT INTO entries (queue, message, expires) VALUES (?,?,?)"
_FREE = "(e.owner IS NULL OR e.owner NOT IN (SELECT owner FROM owners WHERE seen > ?))"

_NO_LIMITS = Limits()
MOST_PER_SWEEP = 1_000
"""Entries one sweep removes for a reason: bounds how long others wait for the file."""


class Published(Struct):
    """What became of a batch.

    Attributes:
        unroutable: positions of those that no queue took; they were not stored.
        queues: queues that got something.
    """

    unroutable: set[int] = set()
    queues: set[str] = set()


class Taken(Struct):
    """What a consumer got, and which queues received dead letters on the way."""

    deliveries: list[Delivery]
    queues: set[str]


class Store:
    """See the module."""

    def __init__(self, owner: str, *, lease: float, clock: Callable[[], float]) -> None:
        """Act as `owner`, whose unacknowledged messages go to others `lease` seconds after its last `beat`."""
        self.owner, self._lease, self._clock = owner, lease, clock
        self.turns = Turns(owner, lambda: clock() - lease)
        self._version: int | None = None
        self._routes = Routes(())
        self._limits: dict[str, Limits] = {}

    def declare(self, db: sqlite3.Connection, queues: Iterable[Queue]) -> None:
        """Create queues, or give them these arguments and bindings; raises `ValueError`."""
        for queue in queues:
            found = limits(queue)
            columns = (found.ttl, found.most, found.redeliveries, found.dead_exchange, found.dead_key, found.single)
            db.execute("INSERT OR REPLACE INTO queues VALUES (?,NULL,?,?,?,?,?,?)", (queue.name, *columns))
            db.execute("DELETE FROM bindings WHERE queue = ?", (queue.name,))
            rows = [(exchange, key, queue.name) for exchange, key in queue.bindings]
            db.executemany("INSERT OR IGNORE INTO bindings VALUES (?,?,?)", rows)
        db.execute("UPDATE layout SET version = random()")

    def declare_replies(self, db: sqlite3.Connection, name: str) -> None:
        """Create a queue that only the default exchange reaches and that goes with this process."""
        db.execute("INSERT INTO queues (name, owner) VALUES (?,?)", (name, self.owner))

    def drop(self, db: sqlite3.Connection, name: str) -> None:
        """Delete a queue and what is in it."""
        entries = db.execute("SELECT id, message FROM entries WHERE queue = ?", (name,)).fetchall()
        for entry, message in entries:
            self._remove(db, entry, message)
        db.execute("DELETE FROM queues WHERE name = ?", (name,))

    def publish(self, db: sqlite3.Connection, items: Sequence[Publication]) -> Published:
        """Store a batch in order, in all its queues."""
        self._refresh(db)
        now, done = self._clock(), Published()
        for position, item in enumerate(items):
            queues = self._queues(db, item.exchange, item.routing_key)
            if not queues:
                done.unroutable.add(position)
                continue
            columns = (item.message_id, item.method, item.timestamp, pack(item.headers))
            row = (now, item.exchange, item.routing_key, item.body, *columns, item.reply_to, item.correlation_id)
            self._enter(db, row, queues, None if item.expiration_ms is None else item.expiration_ms / 1000)
            done.queues.update(queues)
        return done

    def take(self, db: sqlite3.Connection, queue: str, count: int, turn: str | None = None) -> Taken:
        """Hand out up to `count` messages; those that expired or failed too often become dead letters.

        With `turn`, the name of a consumer, nothing unless it is the turn of that one.
        """
        self._refresh(db)
        taken, limit = Taken([], set()), self._limit(queue)
        if turn is not None and not self.turns.has(db, queue, turn):
            return taken
        while len(taken.deliveries) < count:
            found = self._next(db, queue, count - len(taken.deliveries))
            if not found:
                break
            for entry, message, deliveries, expires, *columns in found:
                if expires is not None and expires <= self._clock():
                    taken.queues |= self._bury(db, entry, message, queue, "expired")
                elif deliveries > limit.patience:
                    taken.queues |= self._bury(db, entry, message, queue, "delivery_limit")
                else:
                    mine = (self.owner, deliveries + 1, entry)
                    db.execute("UPDATE entries SET owner = ?, deliveries = ? WHERE id = ?", mine)
                    item = delivery(tuple(columns), queue=queue, token=entry, deliveries=deliveries)
                    taken.deliveries.append(item)
        return taken

    def ack(self, db: sqlite3.Connection, entry: int) -> bool:
        """Remove a message from its queue; False when it is no longer ours."""
        message = self._mine(db, entry)
        if message is not None:
            self._remove(db, entry, message)
        return message is not None

    def reject(self, db: sqlite3.Connection, entry: int, queue: str) -> set[str] | None:
        """Hand a message to the dead-letter exchange and name the queues that got it; None when it is not ours."""
        self._refresh(db)
        message = self._mine(db, entry)
        return None if message is None else self._bury(db, entry, message, queue, "rejected")

    def give_back(self, db: sqlite3.Connection, entries: Iterable[int], *, seen: bool) -> set[str] | None:
        """Make messages available again, as a failed delivery if the consumer had `seen` them.

        Returns:
            The queues that have news: dead-letter queues too. None when one of the messages is not ours.
        """
        self._refresh(db)
        changed, ours = set[str](), True
        sql = "SELECT message, queue, deliveries FROM entries WHERE id = ? AND owner = ?"
        for entry in entries:
            row = db.execute(sql, (entry, self.owner)).fetchone()
            if row is None:
                ours = False
                continue
            message, queue, deliveries = row
            if seen and deliveries > self._limit(queue).patience:
                changed |= self._bury(db, entry, message, queue, "delivery_limit")
            else:
                back = (deliveries - (not seen), entry)
                db.execute("UPDATE entries SET owner = NULL, deliveries = ? WHERE id = ?", back)
                changed.add(queue)
        return changed if ours else None

    def beat(self, db: sqlite3.Connection) -> None:
        """Say that this process lives."""
        db.execute("INSERT OR REPLACE INTO owners VALUES (?,?)", (self.owner, self._clock()))
        self.turns.leave(db)

    def leave(self, db: sqlite3.Connection) -> None:
        """Let go of everything this process holds."""
        db.execute("DELETE FROM owners WHERE owner = ?", (self.owner,))

    @staticmethod
    def forget(db: sqlite3.Connection, names: Iterable[str]) -> None:
        """Let go of everything that the processes of these names hold: the end of an owner is its name."""
        db.executemany("DELETE FROM owners WHERE owner LIKE '%:' || ?", [(name,) for name in names])

    def expire(self, db: sqlite3.Connection) -> set[str]:
        """Turn expired messages that nobody holds into dead letters; names the queues that got some."""
        self._refresh(db)
        now, targets = self._clock(), set[str]()
        late = f"SELECT e.id, e.message, e.queue FROM entries e WHERE e.expires <= ? AND {_FREE} LIMIT ?"  # noqa: S608 -- constants
        for entry, message, queue in db.execute(late, (now, now - self._lease, MOST_PER_SWEEP)).fetchall():
            targets |= self._bury(db, entry, message, queue, "expired")
        return targets

    def sweep_queues(self, db: sqlite3.Connection) -> None:
        """Drop what the dead left behind and what is beyond a length limit."""
        self._refresh(db)
        db.execute("DELETE FROM owners WHERE seen <= ?", (self._clock() - self._lease,))
        db.execute("DELETE FROM turns WHERE owner NOT IN (SELECT owner FROM owners)")
        for (name,) in db.execute(
            "SELECT name FROM queues WHERE owner IS NOT NULL AND owner NOT IN (SELECT owner FROM owners)"
        ).fetchall():
            self.drop(db, name)
        for name, limit in self._limits.items():
            if limit.most is not None:
                self._shorten(db, name, limit.most)

    @staticmethod
    def sweep_events(db: sqlite3.Connection, after: int, before: float, chunk: int) -> int | None:
        """Delete events older than `before` that are in no queue; returns where to go on, None at the end.

        Args:
            db: the file.
            after: message id to start behind.
            before: seconds since the epoch.
            chunk: messages to look at, so that others need not wait long.
        """
        old = "SELECT id FROM messages WHERE id > ? AND at < ? ORDER BY id LIMIT ?"
        seen = [row[0] for row in db.execute(old, (after, before, chunk))]
        if seen:
            db.execute(
                "DELETE FROM messages WHERE id BETWEEN ? AND ? AND NOT EXISTS"
                " (SELECT 1 FROM entries WHERE message = messages.id)",
                (seen[0], seen[-1]),
            )
        return seen[-1] if len(seen) == chunk else None

    def _refresh(self, db: sqlite3.Connection) -> None:
        version = db.execute("SELECT version FROM layout").fetchone()[0]
        if version != self._version:
            self._routes = Routes(db.execute("SELECT exchange, key, queue FROM bindings"))
            columns = "SELECT name, ttl, most, redeliveries, dead_exchange, dead_key FROM queues"
            self._limits = {name: Limits(*rest) for name, *rest in db.execute(columns)}
            self._version = version

    def _queues(self, db: sqlite3.Connection, exchange: str, routing_key: str) -> tuple[str, ...]:
        if not exchange:  # the default exchange: the routing key is the name of a queue
            known = db.execute("SELECT 1 FROM queues WHERE name = ?", (routing_key,)).fetchone()
            return (routing_key,) if known else ()
        queues = self._routes.queues(exchange, routing_key)
        return queues or (self._routes.queues(UNROUTED, routing_key) if exchange == EVENTS else ())

    def _limit(self, queue: str) -> Limits:
        return self._limits.get(queue, _NO_LIMITS)

    def _enter(
        self, db: sqlite3.Connection, row: tuple[Any, ...], queues: Iterable[str], patience: float | None
    ) -> None:
        message = db.execute(_INSERT, row).lastrowid
        for queue in queues:
            times = [secs for secs in (patience, self._limit(queue).ttl) if secs is not None]
            db.execute(_ENTER, (queue, message, self._clock() + min(times) if times else None))

    def _next(self, db: sqlite3.Connection, queue: str, count: int) -> list[tuple[Any, ...]]:
        sql = (
            f"SELECT e.id, e.message, e.deliveries, e.expires, {MESSAGE} FROM entries e"  # noqa: S608 -- constants
            f" JOIN messages m ON m.id = e.message WHERE e.queue = ? AND {_FREE} ORDER BY e.id LIMIT ?"
        )
        return db.execute(sql, (queue, self._clock() - self._lease, count)).fetchall()

    def _mine(self, db: sqlite3.Connection, entry: int) -> int | None:
        row = db.execute("SELECT message FROM entries WHERE id = ? AND owner = ?", (entry, self.owner)).fetchone()
        return None if row is None else int(row[0])

    def _bury(self, db: sqlite3.Connection, entry: int, message: int, queue: str, reason: str) -> set[str]:
        limit = self._limit(queue)
        targets: tuple[str, ...] = ()
        columns = "routing_key, body, message_id, method, timestamp, headers, reply_to, correlation_id"
        sql = f"SELECT {columns} FROM messages WHERE id = ?"  # noqa: S608 -- constants
        routing_key, body, message_id, method, timestamp, headers, *answer = db.execute(sql, (message,)).fetchone()
        if limit.dead_exchange is not None:
            key = limit.dead_key or routing_key
            # A dead letter that no queue takes is kept with the unrouted rather than dropped.
            targets = self._queues(db, limit.dead_exchange, key) or self._routes.queues(UNROUTED, key)
            known = {"x-first-death-queue": queue, "x-first-death-reason": reason} | unpack(headers)
            row = (limit.dead_exchange, key, body, message_id, method, timestamp, pack(known), *answer)
            self._enter(db, (self._clock(), *row), targets, None)
        self._remove(db, entry, message)
        return set(targets)

    def _remove(self, db: sqlite3.Connection, entry: int, message: int) -> None:
        db.execute("DELETE FROM entries WHERE id = ?", (entry,))
        # Events stay for `tail --from-start`; `sweep_events` takes them.
        db.execute(
            "DELETE FROM messages WHERE id = ? AND exchange <> ? AND NOT EXISTS"
            " (SELECT 1 FROM entries WHERE message = messages.id)",
            (message, EVENTS),
        )

    def _shorten(self, db: sqlite3.Connection, queue: str, most: int) -> None:
        newest = "SELECT id FROM entries WHERE queue = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        first_over = db.execute(newest, (queue, most)).fetchone()
        if first_over is None:
            return
        over = "SELECT id, message FROM entries WHERE queue = ? AND id <= ? AND owner IS NULL ORDER BY id LIMIT ?"
        for entry, message in db.execute(over, (queue, first_over[0], MOST_PER_SWEEP)).fetchall():
            self._bury(db, entry, message, queue, "maxlen")
