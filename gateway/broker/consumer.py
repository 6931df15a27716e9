"""Taking messages out of RabbitMQ: one channel per subscription."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelClosed

from gateway.broker.api import BrokerUnavailable, Delivery
from gateway.broker.rabbit_link import LOST, Link, words
from gateway.broker.topics import matches
from gateway.broker.topology import HISTORY

RPC_SECS = 10.0
"""How long RabbitMQ may take to answer a declaration or a subscription."""
ACK_SECS = 5.0
WATCH_PREFETCH = 200
WATCH_MOST = 100_000
"""A watcher that does not keep up loses the oldest copies; nobody else is affected."""


class RabbitConsumer:
    """One open subscription; see `gateway.broker.api.Consumer`.

    It has an inbox of its own: aio-pika's `QueueIterator` ends with the first `anext` that is cancelled.
    """

    def __init__(self, link: Link, queue: AbstractQueue) -> None:
        """Use `subscribe`."""
        self._link, self._queue = link, queue
        self._inbox: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._lost: str | None = None

    async def start(self, prefetch: int, *, exclusive: bool = False, arguments: dict[str, Any] | None = None) -> Self:
        """Begin; raises what aio-pika raises."""
        channel, gone = self._queue.channel, f"RabbitMQ ended the subscription; was the queue {self._queue} deleted?"
        channel.close_callbacks.add(self._closed)
        # aio-pika passes a basic.cancel of the broker on in its robust channels only.
        cancelled = (await channel.get_underlay_channel()).on_consumer_cancel_callbacks
        cancelled.add(lambda _: self._lose(gone))
        await channel.set_qos(prefetch)
        await self._queue.consume(self._deliver, exclusive=exclusive, arguments=arguments)
        return self

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
        with self._link.explaining():
            async with asyncio.timeout(ACK_SECS):
                await self._message(delivery).ack()

    async def nack(self, delivery: Delivery, *, requeue: bool) -> None:
        """Give it back, or hand it to the dead-letter exchange; raises `BrokerUnavailable`."""
        with self._link.explaining():
            async with asyncio.timeout(ACK_SECS):
                await self._message(delivery).nack(requeue=requeue)

    def _message(self, delivery: Delivery) -> AbstractIncomingMessage:
        if self._lost is not None:
            raise BrokerUnavailable(self._lost)
        message: AbstractIncomingMessage = delivery.token
        return message

    def _closed(self, _: object, exc: BaseException | None) -> None:
        self._lose(f"RabbitMQ ended the subscription: {words(exc)}" if isinstance(exc, ChannelClosed) else LOST)

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        self._wake.set()

    async def _deliver(self, message: AbstractIncomingMessage) -> None:
        self._inbox.append(
            Delivery(
                queue=self._queue.name,
                routing_key=message.routing_key or "",
                body=message.body,
                message_id=message.message_id,
                method=message.type,
                headers=dict(message.headers),
                reply_to=message.reply_to,
                correlation_id=message.correlation_id,
                redelivered=bool(message.redelivered),
                token=message,
            )
        )
        self._wake.set()


@asynccontextmanager
async def subscribe(link: Link, queue: str, *, prefetch: int) -> AsyncIterator[RabbitConsumer]:
    """Consume a queue; unacknowledged messages go back to it on leaving. Raises `BrokerUnavailable`."""
    async with link.channel() as channel:
        with link.explaining():
            async with asyncio.timeout(RPC_SECS):
                existing = await channel.get_queue(queue, ensure=False)
                consumer = await RabbitConsumer(link, existing).start(prefetch)
        yield consumer


@asynccontextmanager
async def replies(link: Link) -> AsyncIterator[tuple[str, RabbitConsumer]]:
    """Open a queue of our own for answers; yields its name too. Raises `BrokerUnavailable`."""
    async with link.channel() as channel:
        with link.explaining():
            async with asyncio.timeout(RPC_SECS):
                queue = await channel.declare_queue(exclusive=True, auto_delete=True)
                consumer = await RabbitConsumer(link, queue).start(1, exclusive=True)
        yield queue.name, consumer


@asynccontextmanager
async def watch(link: Link, pattern: str, *, source: str, from_start: bool) -> AsyncIterator[Watcher]:
    """Follow copies of the events that match `pattern`, bound to `source`; raises `BrokerUnavailable`."""
    async with link.channel() as channel:
        with link.explaining():
            async with asyncio.timeout(RPC_SECS):
                queue = await (_history(channel) if from_start else _copies(channel, source, pattern))
                offset = {"x-stream-offset": "first"} if from_start else None
                consumer = await RabbitConsumer(link, queue).start(WATCH_PREFETCH, arguments=offset)
        yield Watcher(consumer, pattern)


async def _history(channel: AbstractChannel) -> AbstractQueue:
    return await channel.get_queue(HISTORY, ensure=False)


async def _copies(channel: AbstractChannel, source: str, pattern: str) -> AbstractQueue:
    queue = await channel.declare_queue(exclusive=True, auto_delete=True, arguments={"x-max-length": WATCH_MOST})
    await queue.bind(source, pattern)
    return queue


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
