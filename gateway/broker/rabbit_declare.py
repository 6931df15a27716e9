"""Declaring the layout in RabbitMQ, so that one wrong queue harms only itself.

RabbitMQ closes the channel on every declaration it refuses; each refusal becomes one sentence for the operator and
the next declaration gets a new channel.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelClosed, ConnectionClosed

from gateway.broker.api import BrokerUnavailable
from gateway.broker.topology import Exchange, Queue, exchanges, feeds

Step = Callable[[AbstractChannel], Awaitable[Any]]


class Declarer:
    """Declares on one connection; keeps what went wrong in `faults`.

    Attributes:
        faults: one sentence per thing that is not as it should be.
        poisonous: queues whose declaration made RabbitMQ close the connection; skipped from then on.
    """

    def __init__(self, connection: AbstractConnection, poisonous: dict[str, str]) -> None:
        """Take the connection and what earlier connections found out."""
        self._connection, self.poisonous = connection, poisonous
        self._channel: AbstractChannel | None = None
        self.faults: list[str] = []

    async def exchanges(self, *, history: bool) -> None:
        """Declare the exchanges; raises `BrokerUnavailable` when one is neither there nor to be had."""
        for exchange in exchanges(history=history):
            await self._exchange(exchange)
        for source, destination in feeds(history=history):

            async def bind(channel: AbstractChannel, source: str = source, destination: str = destination) -> Any:
                return await (await channel.get_exchange(destination, ensure=False)).bind(source)

            refusal = await self._try(bind)
            if refusal is not None:
                raise BrokerUnavailable(f"RabbitMQ does not bind {destination} to {source}: {refusal}")

    async def queues(self, queues: Iterable[Queue]) -> None:
        """Declare and bind queues; what is refused is noted in `faults`."""
        for queue in queues:
            if queue.name in self.poisonous:
                self.faults.append(self.poisonous[queue.name])
                continue
            try:
                await self._queue(queue)
            except ConnectionClosed as exc:
                if type(exc) is not ConnectionClosed:  # a reply code of its own: not a shutdown of the broker
                    words = f"RabbitMQ hangs up ({exc}) on its arguments {queue.arguments}"
                    self.poisonous[queue.name] = f"queue {queue.name} cannot be declared: {words}"
                raise

    async def close(self) -> None:
        """Let go of the channel; raises what aio-pika raises."""
        if self._channel is not None and not self._channel.is_closed:
            await self._channel.close()

    async def _exchange(self, exchange: Exchange) -> None:
        name = exchange.name
        refusal = await self._try(
            lambda channel: channel.declare_exchange(name, exchange.type, durable=True, arguments=exchange.arguments)
        )
        if refusal is None:
            return
        if await self._try(lambda channel: channel.get_exchange(name)) is not None:
            raise BrokerUnavailable(f"RabbitMQ does not declare the exchange {name}: {refusal}")
        self.faults.append(f"exchange {name} is not as the gateway declares it: {refusal}")

    async def _queue(self, queue: Queue) -> None:
        name, arguments = queue.name, queue.arguments
        try:
            refusal = await self._try(lambda channel: channel.declare_queue(name, durable=True, arguments=arguments))
        except (TypeError, ValueError, struct.error) as exc:  # pamqp cannot put it on the wire
            self.faults.append(f"queue {name} cannot be declared: {exc}")
            return
        if refusal is not None:
            if await self._try(lambda channel: channel.get_queue(name)) is not None:
                self.faults.append(f"queue {name} cannot be declared: {refusal}")
                return
            self.faults.append(
                f"queue {name} exists with other arguments: {refusal}; make them agree, or delete it once it is empty"
            )
        for exchange, key in queue.bindings:
            await self._bind(name, exchange, key)

    async def _bind(self, name: str, exchange: str, key: str) -> None:
        async def bind(channel: AbstractChannel) -> Any:
            return await (await channel.get_queue(name, ensure=False)).bind(exchange, key)

        refusal = await self._try(bind)
        if refusal is not None:
            self.faults.append(f"queue {name} cannot be bound to {exchange} with {key!r}: {refusal}")

    async def _try(self, step: Step) -> ChannelClosed | None:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel(publisher_confirms=False)
        try:
            await step(self._channel)
        except ChannelClosed as exc:
            self._channel = None
            return exc
        return None
