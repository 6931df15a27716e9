"""The tables of the embedded broker, and what a row of them is in Python."""

from __future__ import annotations

import sqlite3
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from gateway.broker.api import Delivery
from gateway.broker.topology import Queue

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of publishing, across processes
    at REAL NOT NULL,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    body BLOB NOT NULL,
    message_id TEXT, method TEXT, timestamp INTEGER, headers BLOB NOT NULL, reply_to TEXT, correlation_id TEXT
);
CREATE TABLE IF NOT EXISTS entries (  -- one message in one queue
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    message INTEGER NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0,
    owner TEXT,  -- the process that holds it unacknowledged
    expires REAL
);
CREATE INDEX IF NOT EXISTS entries_by_queue ON entries (queue, id);
CREATE INDEX IF NOT EXISTS entries_by_message ON entries (message);
CREATE INDEX IF NOT EXISTS entries_expiring ON entries (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS queues (
    name TEXT PRIMARY KEY,
    owner TEXT,  -- reply queues go with the process that made them
    ttl REAL, most INTEGER, redeliveries INTEGER, dead_exchange TEXT, dead_key TEXT,
    single INTEGER NOT NULL DEFAULT 0  -- one consumer at a time
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turns (  -- consumers of such queues; the oldest whose owner lives takes, the others wait
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, consumer TEXT NOT NULL UNIQUE, owner TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS bindings (
    exchange TEXT NOT NULL, key TEXT NOT NULL, queue TEXT NOT NULL, PRIMARY KEY (exchange, key, queue)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (owner TEXT PRIMARY KEY, seen REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layout (version INTEGER NOT NULL);  -- another number after every change of bindings
INSERT INTO layout SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM layout);
"""

MESSAGE = "m.routing_key, m.body, m.message_id, m.method, m.headers, m.reply_to, m.correlation_id"
"""The columns `delivery` needs, of a table named `m`."""

UNDERSTOOD = {
    "x-message-ttl",
    "x-max-length",
    "x-delivery-limit",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-single-active-consumer",
}
MEANINGLESS = {"x-queue-type", "x-dead-letter-strategy", "x-quorum-initial-group-size"}
"""Arguments that say how RabbitMQ stores a queue, not what it does."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Limits(Struct, frozen=True):
    """What a queue does with messages that are old, too many, or failed too often; times in seconds.

    `single`: it has one consumer at a time, although several may have subscribed.
    """

    ttl: float | None = None
    most: int | None = None
    redeliveries: int | None = None
    dead_exchange: str | None = None
    dead_key: str | None = None
    single: bool = False

    @property
    def patience(self) -> float:
        """Deliveries after which the next failure is the last, counted without the first."""
        return inf if self.redeliveries is None else self.redeliveries


def limits(queue: Queue) -> Limits:
    """Read the arguments of a queue; raises `ValueError` with what is wrong."""
    numbers: dict[str, int | None] = {}
    for name in ("x-message-ttl", "x-max-length", "x-delivery-limit"):
        value = queue.arguments.get(name)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise ValueError(f"queue {queue.name}: {name} must be a whole number, not {value!r}")
        numbers[name] = value
    single = queue.arguments.get("x-single-active-consumer", False)
    if single not in (True, False):
        raise ValueError(f"queue {queue.name}: x-single-active-consumer must be true or false, not {single!r}")
    ttl = numbers["x-message-ttl"]
    return Limits(
        ttl=None if ttl is None else ttl / 1000,
        most=numbers["x-max-length"],
        redeliveries=numbers["x-delivery-limit"],
        dead_exchange=queue.arguments.get("x-dead-letter-exchange"),
        dead_key=queue.arguments.get("x-dead-letter-routing-key"),
        single=single,
    )


def ignored(queue: Queue) -> list[str]:
    """Name the arguments the embedded broker knows nothing about."""
    return sorted(queue.arguments.keys() - UNDERSTOOD - MEANINGLESS)


def pack(headers: dict[str, Any]) -> bytes:
    """Serialize headers."""
    return _encode(headers)


def unpack(headers: bytes) -> dict[str, Any]:
    """Read headers back."""
    return _decode(headers)


def delivery(row: sqlite3.Row | tuple[Any, ...], *, queue: str, token: int | None, deliveries: int) -> Delivery:
    """Build a delivery from the columns `MESSAGE`; `deliveries` counts the earlier ones."""
    routing_key, body, message_id, method, headers, reply_to, correlation_id = row
    known = unpack(headers)
    if deliveries:
        known["x-delivery-count"] = deliveries
    return Delivery(
        queue=queue,
        routing_key=routing_key,
        body=body,
        message_id=message_id,
        method=method,
        headers=known,
        reply_to=reply_to,
        correlation_id=correlation_id,
        redelivered=deliveries > 0,
        token=token,
    )
