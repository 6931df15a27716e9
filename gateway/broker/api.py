"""What a broker is to the gateway: publish, consume, answer, watch.

Implemented by RabbitMQ (`gateway.broker.rabbit`) and by SQLite (`gateway.broker.embedded`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Protocol

from msgspec import Struct

from normalizer.errors import OmniError

INTAKE = "gw.intake"
"""With a history, what is published for `EVENTS` enters here and reaches `TAP` too (see `gateway.broker.topology`)."""
EVENTS = "gw.events"
TAP = "gw.tap"
COMMANDS = "gw.commands"
DEAD = "gw.dlx"
UNROUTED = "gw.unrouted"
RPC_QUEUE = "gw.rpc"


class BrokerUnavailable(OmniError):
    """No connection to the broker."""

    code, retryable = "broker_unavailable", True


class NoSuchQueue(BrokerUnavailable):
    """A request that no queue takes: there is no such channel, or its gateway has never run."""

    code, retryable = "no_such_queue", False


class Outcome(Enum):
    """How a publish ended.

    CONFIRMED: the broker has it, on disk.
    REFUSED: not sent, or returned as unroutable; the broker does not have it.
    UNKNOWN: no answer within the publish timeout; the connection still lives, and CONFIRMED, REFUSED or LOST follows.
    LOST: the connection died before an answer, or the answer was basic.nack, which one full queue (`reject-publish`)
        is enough for while the other bound queues took their copy: the broker may or may not have it. Final.
    """

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    LOST = "lost"


class Publication(Struct, kw_only=True, eq=False):
    """One message for an exchange; compared by identity, so that it can be a dict key.

    Attributes:
        routing_key: on `exchange`.
        body: JSON-RPC.
        message_id: the event id.
        method: becomes the AMQP `type`.
        timestamp: seconds since the epoch.
        headers: `channel_id, channel_type, conversation_id, seq, dedup_key, schema …`; str or int values.
        persistent: false only for what may be lost (partial transcripts).
        expiration_ms: time to live in queues, or None.
        exchange: `EVENTS` for events, `COMMANDS` for requests, empty for an answer to the queue `routing_key`.
        reply_to, correlation_id: for requests and answers.
    """

    routing_key: str
    body: bytes
    message_id: str
    method: str
    timestamp: int
    headers: dict[str, str | int]
    exchange: str = EVENTS
    persistent: bool = True
    expiration_ms: int | None = None
    reply_to: str | None = None
    correlation_id: str | None = None


Listener = Callable[[Sequence[Publication], Outcome], None]
"""Told about outcomes from the event loop, in batches, in publishing order; must not block or raise.

A publication is reported once with CONFIRMED, REFUSED or LOST; before that it may be reported once with UNKNOWN.
"""


class Delivery(Struct, kw_only=True, eq=False):
    """One message taken from a queue."""

    queue: str
    routing_key: str
    body: bytes
    message_id: str | None
    method: str | None
    headers: dict[str, Any]
    reply_to: str | None
    correlation_id: str | None
    redelivered: bool
    token: Any


class QueueSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A queue the operator wants to have (`[[broker.queues]]`).

    Attributes:
        name: the queue.
        bind: binding keys on `gw.events`.
        type: ``quorum`` (default), ``classic`` or ``stream``.
        arguments: further queue arguments (`x-max-length` …).
    """

    name: str
    bind: tuple[str, ...]
    type: str = "quorum"
    arguments: dict[str, Any] = {}


class Consumer(Protocol):
    """An open subscription to one queue."""

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield deliveries until the connection is lost, which raises `BrokerUnavailable`."""
        ...

    async def ack(self, delivery: Delivery) -> None:
        """Remove it from the queue; raises `BrokerUnavailable`."""
        ...

    async def nack(self, delivery: Delivery, *, requeue: bool) -> None:
        """Give it back, or hand it to the dead-letter exchange; raises `BrokerUnavailable`."""
        ...


class Broker(Protocol):
    """A message broker with the layout of the README ("RabbitMQ layout")."""

    @property
    def ready(self) -> bool:
        """Whether a publish would be sent now: connected, not blocked by an alarm, backlog below its limit."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it is not ready, in words; None when it is."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong although publishing works, one sentence each: a queue that exists with other arguments …"""
        ...

    async def run(self) -> None:
        """Keep connected and declared until cancelled; reconnects by itself, with back-off."""
        ...

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109 -- part of the contract
        """Wait for `ready`, at most `timeout` seconds; tell whether it came."""
        ...

    def submit(self, batch: Sequence[Publication], listener: Listener) -> None:
        """Publish in order, with confirms and `mandatory`; never blocks, never raises.

        When not connected the batch is REFUSED at once (nothing was sent).
        """
        ...

    async def publish(self, publication: Publication) -> Outcome:
        """Publish one and wait for CONFIRMED, REFUSED or LOST, or UNKNOWN after the publish timeout."""
        ...

    def consume(self, queue: str, *, prefetch: int) -> AbstractAsyncContextManager[Consumer]:
        """Subscribe to a declared queue; raises `BrokerUnavailable`."""
        ...

    async def declare_channel(self, channel_id: str) -> str:
        """Declare the command queue of a channel (``gw.out.<channel_id>``) and return its name."""
        ...

    def watch(self, pattern: str, *, from_start: bool = False) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Follow a copy of the events that match a binding key, taking nothing from anybody (`omnigate tail`).

        The subscription stands when the context is entered. Raises `BrokerUnavailable`; with `from_start`, raises
        `ValueError` with what to do when this broker keeps no history.
        """
        ...

    async def call(self, routing_key: str, body: bytes, *, method: str, timeout: float) -> bytes:  # noqa: ASYNC109
        """Send a request to `gw.commands` and return the answer.

        A request that nobody took within `timeout` seconds expires, so that nothing happens after the caller gave up.

        Raises:
            TimeoutError: no answer came in time.
            NoSuchQueue: nobody will ever answer.
            BrokerUnavailable: it could not be sent, or the connection was lost.
        """
        ...

    async def close(self) -> None:
        """Stop publishing, give outstanding confirms a moment, disconnect."""
        ...
