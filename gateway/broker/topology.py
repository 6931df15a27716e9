"""The layout: which exchanges and queues the gateway has, whatever broker they live in.

::

    gw.events    topic   v1.<channel_type>.<channel_id>.<noun>.<verb>, alternate exchange gw.unrouted
    gw.commands  topic   v1.<channel_id>.<method> ──► gw.out.<channel_id>;  v1._.<method> ──► gw.rpc
    gw.dlx       topic   <stage>.<channel_id> ──► gw.dead.<stage>
    gw.unrouted  fanout  ──► gw.unrouted: events that no queue is bound for

With `broker.history_hours` events enter by another door::

    gw.intake    fanout  ──► gw.events and gw.tap
    gw.tap       topic   the same events for onlookers: the stream gw.history, `omnigate tail`

A binding of the history on `gw.events` would count as a route, and no event would ever reach `gw.unrouted` again. The
door costs RabbitMQ a third more CPU per message, so it is there only where there is a history. Without one
`omnigate tail` binds to `gw.events`, and while it runs, an event without a queue goes to the onlooker alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gateway.broker.api import COMMANDS, DEAD, EVENTS, INTAKE, RPC_QUEUE, TAP, UNROUTED, QueueSpec
from normalizer.methods import topic_word

HISTORY = "gw.history"
STAGES = ("normalize", "publish", "send", "media", "asr")
NO_CHANNEL = "_"
"""Stands for the channel in the routing key of a request without one."""

DELIVERY_LIMIT = 10
"""Redeliveries of a command; the next failure sends it to `gw.dlx`."""
UNROUTED_MS = 7 * 86_400_000
UNROUTED_MOST = 1_000_000
UNROUTED_MOST_BYTES = 2 * 2**30
"""Beyond these the oldest unrouted events go: nobody asked for them, and a full disk would harm the others."""
HISTORY_SEGMENT_BYTES = 50_000_000
"""RabbitMQ drops whole segments; with its default of 500 MB a quiet stream would keep events far too long."""


class Exchange(Struct, frozen=True):
    """An exchange to declare, always durable."""

    name: str
    type: str = "topic"
    arguments: dict[str, Any] = {}


class Queue(Struct, frozen=True, kw_only=True):
    """A queue to declare, always durable.

    Attributes:
        name: the queue.
        arguments: as RabbitMQ names them, ``x-queue-type`` included.
        bindings: ``(exchange, binding key)``.
    """

    name: str
    arguments: dict[str, Any]
    bindings: tuple[tuple[str, str], ...]


_EXCHANGES = (
    Exchange(UNROUTED, "fanout"),
    Exchange(EVENTS, "topic", {"alternate-exchange": UNROUTED}),
    Exchange(COMMANDS),
    Exchange(DEAD),
)


def exchanges(*, history: bool) -> tuple[Exchange, ...]:
    """Describe every exchange."""
    return (*_EXCHANGES, Exchange(TAP), Exchange(INTAKE, "fanout")) if history else _EXCHANGES


def feeds(*, history: bool) -> tuple[tuple[str, str], ...]:
    """Describe exchanges bound to exchanges: (source, destination)."""
    return ((INTAKE, EVENTS), (INTAKE, TAP)) if history else ()


def entrance(*, history: bool) -> str:
    """Name the exchange that events are published to."""
    return INTAKE if history else EVENTS


def lookout(*, history: bool) -> str:
    """Name the exchange that onlookers bind to."""
    return TAP if history else EVENTS


def command_key(method: str, channel_id: str | None) -> str:
    """Name a request on `gw.commands`."""
    return f"v1.{NO_CHANNEL if channel_id is None else topic_word(channel_id)}.{method}"


def command_queue(channel_id: str) -> Queue:
    """Describe the queue of requests to one channel."""
    word = topic_word(channel_id)
    return Queue(name=f"gw.out.{channel_id}", arguments=_commands(word), bindings=((COMMANDS, f"v1.{word}.#"),))


def queues(operator: Sequence[QueueSpec], history_hours: float = 0.0) -> tuple[Queue, ...]:
    """Describe every queue that exists regardless of channels."""
    fixed = [_unrouted(), _rpc(), *(_dead(stage) for stage in STAGES)]
    if history_hours:
        fixed.append(_history(history_hours))
    return (*fixed, *configured(operator))


def configured(operator: Sequence[QueueSpec]) -> tuple[Queue, ...]:
    """Describe the queues of `[[broker.queues]]`."""
    return tuple(_configured(spec) for spec in operator)


def _commands(word: str) -> dict[str, Any]:
    # One node at a time takes the requests of a channel: order per recipient and idempotency keys are kept by the
    # process that sends. At-least-once dead lettering needs `reject-publish`; both are known from RabbitMQ 3.10 on.
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": f"send.{word}",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _rpc() -> Queue:
    return Queue(name=RPC_QUEUE, arguments=_commands(NO_CHANNEL), bindings=((COMMANDS, f"v1.{NO_CHANNEL}.#"),))


def _dead(stage: str) -> Queue:
    return Queue(name=f"gw.dead.{stage}", arguments={"x-queue-type": "quorum"}, bindings=((DEAD, f"{stage}.#"),))


def _unrouted() -> Queue:
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": UNROUTED_MS,
        "x-max-length": UNROUTED_MOST,
        "x-max-length-bytes": UNROUTED_MOST_BYTES,
    }
    return Queue(name=UNROUTED, arguments=arguments, bindings=((UNROUTED, "#"),))


def _history(hours: float) -> Queue:
    arguments = {
        "x-queue-type": "stream",
        "x-max-age": f"{max(1, round(hours * 3600))}s",
        "x-stream-max-segment-size-bytes": HISTORY_SEGMENT_BYTES,
    }
    return Queue(name=HISTORY, arguments=arguments, bindings=((TAP, "#"),))


def _configured(spec: QueueSpec) -> Queue:
    bindings = tuple((EVENTS, key) for key in spec.bind)
    return Queue(name=spec.name, arguments={"x-queue-type": spec.type, **spec.arguments}, bindings=bindings)
