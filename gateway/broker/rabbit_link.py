"""Connections to RabbitMQ: opening, closing, and saying in one line why it did not work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, TimeoutType, UnderlayConnection
from aio_pika.exceptions import AMQPError, ConnectionClosed, ProbableAuthenticationError
from aiormq.abc import ChannelFrame
from aiormq.connection import Connection as AiormqConnection
from aiormq.connection import FrameReceiver
from pamqp import commands
from pamqp.base import Frame
from pamqp.frame import FrameTypes, marshal
from typing_extensions import override
from yarl import URL

from gateway.broker import receiver
from gateway.broker.api import BrokerUnavailable

CONNECT_SECS = 10.0
CLOSE_SECS = 2.0
ACCESS_REFUSED = 403
HEARTBEAT_SECS = 10
"""RabbitMQ drops a silent client after two of these, aiormq a silent server after three."""

FAILURES = (AMQPError, RuntimeError, OSError, TimeoutError)
"""What aio-pika raises when a connection or channel is not there (`ChannelInvalidStateError` is a RuntimeError)."""

LOST = "the connection to RabbitMQ was lost"

for _library in ("aio_pika", "aiormq"):
    # They log every failure at ERROR, tracebacks included, and raise it too; the broker says it once, in its own words.
    logging.getLogger(_library).setLevel(logging.CRITICAL)
receiver.use()


class Wire(AiormqConnection):
    """The engine below `aio_pika.Connection`, changed in two places that aio-pika has no setting for."""

    # The queue between channels and the socket: with aiormq's 10 places, eleven publishes in one turn of the event
    # loop would not fit. What may be in it is bounded by `broker.max_unconfirmed` and by prefetch instead.
    FRAME_BUFFER_SIZE = 0
    _outlet: asyncio.StreamWriter | None = None

    async def _Connection__writer(self, writer: asyncio.StreamWriter) -> None:  # noqa: N802 -- aiormq's, mangled
        """Write what is queued, as aiormq does, and let `send` know where to."""
        self._outlet = writer
        try:
            await super()._Connection__writer(writer)  # type: ignore[misc]
        finally:
            self._outlet = None

    def send(self, payload: bytes) -> None:
        """Write frames at once, where nothing waits to be written before them; aiormq wakes a task for each batch.

        Raises:
            FAILURES: nothing of it was written.
        """
        if self._outlet is None or self._outlet.is_closing() or not self.write_queue.empty():
            self.write_queue.put_nowait(ChannelFrame(payload=payload, should_close=False))
        else:
            self._outlet.write(payload)

    @staticmethod
    @override
    async def _rpc(
        request: Frame, writer: asyncio.StreamWriter, frame_receiver: FrameReceiver, wait_response: bool = True
    ) -> FrameTypes | None:
        # A step of the handshake. aiormq's own drops the words RabbitMQ closes with ("vhost x not found").
        writer.write(marshal(request, 0))
        await writer.drain()
        if not wait_response:
            return None
        _, _, frame = await frame_receiver.get_frame()
        if isinstance(frame, commands.Connection.Close):
            kind = ProbableAuthenticationError if frame.reply_code == ACCESS_REFUSED else ConnectionClosed
            raise kind(frame.reply_text)
        return frame


class _Underlay(UnderlayConnection):
    @classmethod
    @override
    async def make_connection(cls, url: URL, timeout: TimeoutType = None, **kwargs: Any) -> Wire:
        wire = Wire(url, **kwargs)
        async with asyncio.timeout(timeout):
            await wire.connect()
        return wire

    @override
    async def close(self, exc: Any) -> None:
        # aio-pika's own waits for a peer that answers nothing, half a minute and more.
        with suppress(*FAILURES):
            async with asyncio.timeout(CLOSE_SECS):
                await self.connection.close(exc)


class Connection(aio_pika.Connection):
    """aio-pika's connection on our wire; `close` takes at most `CLOSE_SECS` and raises nothing."""

    @override
    async def connect(self, timeout: TimeoutType = None) -> None:
        try:
            self.transport = await _Underlay.connect(
                self.url, self._on_connection_close, timeout=timeout, **self.kwargs
            )
        except BaseException:
            await self.close()  # else the garbage collector starts a task that does
            raise
        await self._on_connected()


def words(exc: BaseException) -> str:
    """Say what an error says, or its name when it says nothing."""
    return " ".join(str(arg) for arg in exc.args if arg) or type(exc).__name__


def explain(exc: BaseException, url: URL) -> str:
    """Say in one line, without the password, why RabbitMQ cannot be used and what to look at."""
    where = f"RabbitMQ at {url.host}:{url.port or (5671 if url.scheme == 'amqps' else 5672)}"
    match exc:
        case BrokerUnavailable():
            return str(exc)
        case ProbableAuthenticationError():
            return f"{where} refused the user name or password of broker.url"
        case TimeoutError():
            return f"{where} does not answer; check broker.url and the network"
        case _:
            return f"{where}: {words(exc)}"


async def connect(url: URL, name: str) -> Connection:
    """Open a connection that shows up under `name` in RabbitMQ's tools; raises `FAILURES`."""
    if "heartbeat" not in url.query:
        url = url.update_query(heartbeat=HEARTBEAT_SECS)
    properties: dict[str, Any] = {"connection_name": name, "product": "omnigate"}
    return await aio_pika.connect(url, client_properties=properties, timeout=CONNECT_SECS, connection_class=Connection)


class Link:
    """The connection for everything but publishing, opened when first needed.

    Kept apart because RabbitMQ stops reading from a connection that publishes while an alarm lasts: acknowledgements
    and declarations would wait with the publishes.
    """

    def __init__(self, url: URL, name: str) -> None:
        """Say where RabbitMQ is and what the connection is called."""
        self._url, self._name = url, name
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def connection(self) -> Connection:
        """Return the connection, opened anew when it was lost; raises `FAILURES`."""
        async with self._lock:
            if self._connection is None or not self._connection.connected.is_set():
                await self._drop()
                self._connection = await connect(self._url, self._name)
            return self._connection

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Lend a channel without confirms; raises `BrokerUnavailable`."""
        with self.explaining():
            async with asyncio.timeout(CONNECT_SECS):
                channel = await (await self.connection()).channel(publisher_confirms=False)
        try:
            yield channel
        finally:
            with suppress(*FAILURES):
                async with asyncio.timeout(CLOSE_SECS):
                    await channel.close()

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn what aio-pika raises into `BrokerUnavailable`."""
        try:
            yield
        except FAILURES as exc:
            raise BrokerUnavailable(explain(exc, self._url)) from exc

    async def close(self) -> None:
        """Close the connection if it is open; a later use opens it again."""
        async with self._lock:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
