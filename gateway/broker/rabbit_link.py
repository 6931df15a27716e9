"""Connections to RabbitMQ: opening, closing, and saying in one line why it did not work.

aiormq is the engine of aio-pika; the gateway uses it directly because its publisher writes whole batches of frames.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from aiormq.abc import AbstractChannel
from aiormq.connection import Connection, FrameReceiver, ReceivedFrame
from aiormq.exceptions import AMQPError, ConnectionClosed, ProbableAuthenticationError
from pamqp import commands
from pamqp.base import Frame
from pamqp.frame import FrameTypes
from typing_extensions import override
from yarl import URL

from gateway.broker.api import BrokerUnavailable

CONNECT_SECS = 10.0
CLOSE_SECS = 2.0
ACCESS_REFUSED = 403
HEARTBEAT_SECS = 10
"""RabbitMQ drops a silent client after two of these, aiormq a silent server after three."""

FAILURES = (AMQPError, RuntimeError, OSError, TimeoutError)
"""What aiormq raises when a connection or channel is not there (`ChannelInvalidStateError` is a RuntimeError)."""


logging.getLogger("aiormq").setLevel(logging.CRITICAL)
# It logs every failure at ERROR, tracebacks included, and raises it too; the broker says it once, in its own words.


class _Connection(Connection):
    # The queue between channels and the socket: with aiormq's 10 places, eleven publishes in one turn of the event
    # loop would not fit. What may be in it is bounded by `broker.max_unconfirmed` and by prefetch instead.
    FRAME_BUFFER_SIZE = 0

    @staticmethod
    @override
    async def _rpc(
        request: Frame, writer: asyncio.StreamWriter, frame_receiver: FrameReceiver, wait_response: bool = True
    ) -> FrameTypes | None:
        return await Connection._rpc(request, writer, _Receiver(frame_receiver), wait_response)  # noqa: SLF001


class _Receiver(FrameReceiver):
    """Shows why RabbitMQ closes during the handshake; aiormq drops its words ("vhost x not found")."""

    def __init__(self, receiver: FrameReceiver) -> None:
        super().__init__(receiver.reader)
        self._receiver = receiver

    @override
    async def get_frame(self) -> ReceivedFrame:
        weight, channel, frame = await self._receiver.get_frame()
        if isinstance(frame, commands.Connection.Close):
            kind = ProbableAuthenticationError if frame.reply_code == ACCESS_REFUSED else ConnectionClosed
            raise kind(frame.reply_text)
        return weight, channel, frame


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
            reason = " ".join(str(arg) for arg in exc.args if arg) or type(exc).__name__
            return f"{where}: {reason}"


async def connect(url: URL, name: str) -> Connection:
    """Open a connection that shows up under `name` in RabbitMQ's tools; raises `FAILURES`."""
    if "heartbeat" not in url.query:
        url = url.update_query(heartbeat=HEARTBEAT_SECS)
    connection = _Connection(url, client_properties={"connection_name": name, "product": "omnigate"})
    async with asyncio.timeout(CONNECT_SECS):
        await connection.connect()
    return connection


async def hang_up(peer: Connection | AbstractChannel) -> None:
    """Close a connection or channel in bounded time, whatever state it is in."""
    with suppress(*FAILURES):
        async with asyncio.timeout(CLOSE_SECS):
            await peer.close()


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
            if self._connection is None or not self._connection.is_opened:
                await self._drop()
                self._connection = await connect(self._url, self._name)
            return self._connection

    async def channel(self) -> AbstractChannel:
        """Open a channel without confirms; raises `BrokerUnavailable`."""
        try:
            async with asyncio.timeout(CONNECT_SECS):
                return await (await self.connection()).channel(publisher_confirms=False)
        except FAILURES as exc:
            raise BrokerUnavailable(explain(exc, self._url)) from exc

    async def close(self) -> None:
        """Close the connection if it is open; a later use opens it again."""
        async with self._lock:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await hang_up(connection)
