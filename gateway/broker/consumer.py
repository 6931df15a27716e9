"""Taking messages out of RabbitMQ: one channel per subscription."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, cast

from aiormq.abc import AbstractChannel, DeliveredMessage

from gateway.broker.api import TAP, BrokerUnavailable, Delivery
from gateway.broker.rabbit_link import FAILURES, Link, hang_up
from gateway.broker.topics import matches
from gateway.broker.topology import HISTORY

RPC_SECS = 10.0
"""How long RabbitMQ may take to answer a declaration or a subscription."""
ACK_SECS = 5.0
WATCH_PREFETCH = 200
WATCH_MOST = 100_000
"""A watcher that does not keep up loses the oldest copies; nobody else is affected."""


class RabbitConsumer:
    """One open subscription; see `gateway.broker.api.Consumer`."""

    def __init__(self, channel: AbstractChannel, queue: str) -> None:
        """Use `subscribe`."""
        self._channel, self._queue = channel, queue
        self._inbox: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._lost: str | None = None

    async def start(self, prefetch: int, *, exclusive: bool = False, arguments: dict[str, Any] | None = None) -> None:
        """Begin; raises `FAILURES`."""
        self._channel.closing.add_done_callback(lambda _: self._lose("the connection to RabbitMQ was lost"))
        cancelled = self._channel.on_consumer_cancel_callbacks
        cancelled.add(lambda _: self._lose(f"RabbitMQ ended the subscription; was the queue {self._queue} deleted?"))
        await self._channel.basic_qos(prefetch_count=prefetch)
        await self._channel.basic_consume(self._queue, self._deliver, exclusive=exclusive, arguments=arguments)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while self._lost is None:
            if self._inbox:
                return self._inbox.popleft()
            self._wake.clear()
            await self._wake.wait()
        # What is still in the inbox cannot be acknowledged any more and comes again.
        raise BrokerUnavailable(self._lost)

    async def ack(self, delivery: Delivery) -> None:
        """Remove it from the queue; raises `BrokerUnavailable`."""
        with self._sending():
            async with asyncio.timeout(ACK_SECS):
                await self._channel.basic_ack(delivery.token, wait=False)

    async def nack(self, delivery: Delivery, *, requeue: bool) -> None:
        """Give it back, or hand it to the dead-letter exchange; raises `BrokerUnavailable`."""
        with self._sending():
            async with asyncio.timeout(ACK_SECS):
                await self._channel.basic_nack(delivery.token, requeue=requeue, wait=False)

    def _sending(self) -> _Translated:
        if self._lost is not None:
            raise BrokerUnavailable(self._lost)
        return _Translated()

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        self._wake.set()

    async def _deliver(self, message: DeliveredMessage) -> None:
        properties = message.header.properties
        self._inbox.append(
            Delivery(
                queue=self._queue,
                routing_key=message.routing_key or "",
                body=message.body,
                message_id=properties.message_id,
                method=properties.message_type,
                headers=cast("dict[str, Any]", properties.headers or {}),
                reply_to=properties.reply_to,
                correlation_id=properties.correlation_id,
                redelivered=bool(message.redelivered),
                token=message.delivery_tag,
            )
        )
        self._wake.set()


class _Translated:
    """Turns what aiormq raises into `BrokerUnavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        if isinstance(exc, FAILURES):
            reason = " ".join(str(arg) for arg in exc.args if arg) or type(exc).__name__
            raise BrokerUnavailable(f"RabbitMQ: {reason}") from exc


@asynccontextmanager
async def subscribe(link: Link, queue: str, *, prefetch: int) -> AsyncIterator[RabbitConsumer]:
    """Consume a queue; unacknowledged messages go back to it on leaving. Raises `BrokerUnavailable`."""
    channel = await link.channel()
    try:
        consumer = RabbitConsumer(channel, queue)
        with _Translated():
            async with asyncio.timeout(RPC_SECS):
                await consumer.start(prefetch)
        yield consumer
    finally:
        await hang_up(channel)


@asynccontextmanager
async def replies(link: Link) -> AsyncIterator[tuple[str, RabbitConsumer]]:
    """Open a queue of our own for answers; yields its name too. Raises `BrokerUnavailable`."""
    channel = await link.channel()
    try:
        with _Translated():
            async with asyncio.timeout(RPC_SECS):
                declared = await channel.queue_declare(exclusive=True, auto_delete=True)
                name = declared.queue or ""
                consumer = RabbitConsumer(channel, name)
                await consumer.start(1, exclusive=True)
        yield name, consumer
    finally:
        await hang_up(channel)


@asynccontextmanager
async def watch(link: Link, pattern: str, *, from_start: bool) -> AsyncIterator[Watcher]:
    """Follow copies of the events that match `pattern`; raises `BrokerUnavailable`."""
    channel = await link.channel()
    try:
        with _Translated():
            async with asyncio.timeout(RPC_SECS):
                consumer = await (_history(channel) if from_start else _live(channel, pattern))
        yield Watcher(consumer, pattern)
    finally:
        await hang_up(channel)


async def _history(channel: AbstractChannel) -> RabbitConsumer:
    consumer = RabbitConsumer(channel, HISTORY)
    await consumer.start(WATCH_PREFETCH, arguments={"x-stream-offset": "first"})
    return consumer


async def _live(channel: AbstractChannel, pattern: str) -> RabbitConsumer:
    declared = await channel.queue_declare(exclusive=True, auto_delete=True, arguments={"x-max-length": WATCH_MOST})
    name = declared.queue or ""
    await channel.queue_bind(name, TAP, pattern)
    consumer = RabbitConsumer(channel, name)
    await consumer.start(WATCH_PREFETCH, exclusive=True)
    return consumer


class Watcher:
    """Iterator over events; acknowledges what it hands out, so that RabbitMQ sends more."""

    def __init__(self, consumer: RabbitConsumer, pattern: str) -> None:
        """Filter again by `pattern`: a stream delivers everything."""
        self._consumer, self._pattern = consumer, pattern

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            delivery = await anext(self._consumer)
            await self._consumer.ack(delivery)
            if matches(self._pattern, delivery.routing_key):
                return delivery
