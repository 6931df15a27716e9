"""Publishing with confirms, in batches, on one AMQP channel.

aio-pika owns the connection; this module goes below it, to a channel of aiormq, for what `Exchange.publish` cannot
give on the hot path: one write for a whole batch, one walk for a confirm of many (`multiple`), no future and no task
per message, and a fourth outcome: *unknown for now* (`Outcome.UNKNOWN`), after which the confirm may still come while
the connection lives. That is what happens under a memory or disk alarm, where RabbitMQ stops reading and all "timed
out" messages arrive later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as AbstractWire
from aiormq.abc import ConfirmationFrameType
from aiormq.channel import Channel
from pamqp import commands as spec
from pamqp.header import ContentHeader
from typing_extensions import override

from gateway.broker.api import EVENTS, Listener, Outcome, Publication
from gateway.broker.frames import publish
from gateway.broker.rabbit_link import FAILURES, Wire
from gateway.broker.receiver import Frames

log = structlog.get_logger(__name__)

FRAME_OVERHEAD = 8  # type, channel, size, end
FRAME_MAX = 131_072  # where the server sets no limit (AMQP 0-9-1, connection.tune: frame-max 0)
FRAMES_MAX = 10_000
SCAN_SECS = 0.25  # how often outstanding publishes are looked at for their deadline


class _Channel(Channel):
    """An aiormq channel that hands confirms and returns to the publisher instead of to futures."""

    def __init__(
        self,
        connection: AbstractWire,
        number: int,
        *,
        confirmed: Callable[[int, bool, bool], None],
        returned: Callable[[str | None], None],
    ) -> None:
        super().__init__(connection, number, publisher_confirms=True, frame_buffer=FRAMES_MAX)
        self._confirmed, self._returned = confirmed, returned
        self.frames = Frames(FRAMES_MAX, confirmed)  # nothing was read from the old one yet

    @override
    async def _on_confirm_frame(self, frame: ConfirmationFrameType) -> None:
        self._confirmed(
            frame.delivery_tag or 0, bool(getattr(frame, "multiple", False)), isinstance(frame, spec.Basic.Ack)
        )

    @override
    async def _on_return_frame(self, frame: spec.Basic.Return) -> None:
        header = await self._get_frame()
        if isinstance(header, ContentHeader):
            message = await self._read_content(frame, header)
            self._returned(message.header.properties.message_id)


class ConfirmPublisher:
    """See the module; made with `open`.

    Attributes:
        closed: set once it is dead.
        reason: what RabbitMQ or the network ended it with; None while it lives, and when `close` ended it.
    """

    def __init__(self, *, publish_timeout: float, max_unconfirmed: int) -> None:
        """Use `open`."""
        self.closed = asyncio.Event()
        self.reason: BaseException | None = None
        self._timeout, self._max = publish_timeout, max_unconfirmed
        self._pending: dict[int, tuple[Publication, Listener]] = {}
        self._deadlines: deque[tuple[float, int, int]] = deque()
        self._returned: set[str] = set()
        self._tag = 0
        self._channel: Channel
        self._send: Callable[[bytes], None]
        self._body_max, self._entrance = 0, EVENTS
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls, connection: AbstractConnection, *, publish_timeout: float, max_unconfirmed: int, entrance: str = EVENTS
    ) -> ConfirmPublisher:
        """Open a channel in confirm mode; what is for `EVENTS` goes to `entrance`. Raises what aio-pika raises."""
        self = cls(publish_timeout=publish_timeout, max_unconfirmed=max_unconfirmed)
        self._entrance = entrance
        if connection.transport is None:
            raise ConnectionError("the connection to RabbitMQ is closed")
        wire = connection.transport.connection
        if not isinstance(wire, Wire):
            raise TypeError("this connection was not opened by `rabbit_link.connect`")
        self._send = wire.send
        number = next(n for n in range(1, 65536) if n not in wire.channels)
        self._channel = _Channel(wire, number, confirmed=self._on_confirm, returned=self._on_return)
        wire.channels[number] = self._channel
        await self._channel.open()
        self._body_max = (wire.connection_tune.frame_max or FRAME_MAX) - FRAME_OVERHEAD
        self._channel.closing.add_done_callback(self._on_closed)
        self._timer = self._loop.call_later(SCAN_SECS, self._scan)
        return self

    @property
    def problem(self) -> str | None:
        """Why a publish would not be sent now, or None."""
        if self.closed.is_set() or self._channel.is_closed:
            return "not connected"
        if self._blocked():
            return "the broker blocks publishers (memory or disk alarm)"
        if len(self._pending) >= self._max:
            return f"{len(self._pending)} publishes wait for their confirm"
        return None

    @property
    def ready(self) -> bool:
        """Whether a publish would be sent now."""
        return self.problem is None

    def submit(self, batch: Sequence[Publication], listener: Listener) -> None:
        """Send a batch in order; see `Broker.submit`."""
        if not self.ready:
            self._loop.call_soon(listener, batch, Outcome.REFUSED)
            return
        payload, sent, bad = [], [], []
        for item in batch:
            try:
                exchange = self._entrance if item.exchange == EVENTS else item.exchange
                payload.append(publish(item, self._channel.number, self._body_max, exchange))
            except ValueError:
                log.exception("publish_impossible", method=item.method)
                bad.append(item)
            else:
                sent.append(item)
        if sent:
            try:
                self._send(b"".join(payload))
            except FAILURES:
                bad, sent = list(batch), []
        first = self._tag + 1
        for item in sent:
            self._tag += 1
            self._pending[self._tag] = (item, listener)
        if sent:
            self._deadlines.append((self._loop.time() + self._timeout, first, self._tag))
        if bad:
            self._loop.call_soon(listener, bad, Outcome.REFUSED)

    async def close(self) -> None:
        """Wait for outstanding confirms, at most the publish timeout; then close the channel."""
        deadline = self._loop.time() + self._timeout
        while self._pending and not self.closed.is_set() and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # a confirm has no event of its own, and this runs once
        try:
            await self._channel.close(timeout=1.0)
        except FAILURES:
            log.debug("publisher_close_failed")
        self._on_closed()

    def _blocked(self) -> bool:
        # aiormq tells "blocked" only through a coroutine; one step of it answers without waiting.
        probe = self._channel.connection.ready()
        try:
            probe.send(None)
        except StopIteration:
            return False
        probe.close()
        return True

    def _on_confirm(self, tag: int, multiple: bool, ack: bool) -> None:  # noqa: FBT001 -- the frame's own fields
        tags = list(self._until(tag)) if multiple else [tag]
        items = [self._pending.pop(known) for known in tags if known in self._pending]
        if not ack:  # some queue has not got it; others may (rabbitmq.com/docs/confirms, "Negative Acknowledgments")
            self._returned.difference_update(item[0].message_id for item in items)
            self._report(items, Outcome.LOST)
        elif self._returned:
            for item in items:
                unroutable = item[0].message_id in self._returned
                self._returned.discard(item[0].message_id)
                self._report([item], Outcome.REFUSED if unroutable else Outcome.CONFIRMED)
        else:
            self._report(items, Outcome.CONFIRMED)

    def _until(self, tag: int) -> Iterable[int]:
        for known in self._pending:
            if known > tag:
                return
            yield known

    def _on_return(self, message_id: str | None) -> None:
        log.error("publish_unroutable", message_id=message_id)
        if message_id is not None:
            self._returned.add(message_id)

    def _on_closed(self, closing: asyncio.Future[object] | None = None) -> None:
        if self.closed.is_set():
            return
        if closing is not None and not closing.cancelled():
            self.reason = closing.exception()
        self.closed.set()
        if self._timer is not None:
            self._timer.cancel()
        lost, self._pending = list(self._pending.values()), {}
        self._report(lost, Outcome.LOST)

    def _scan(self) -> None:
        now = self._loop.time()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, first, last = self._deadlines.popleft()
            late = [self._pending[tag] for tag in range(first, last + 1) if tag in self._pending]
            self._report(late, Outcome.UNKNOWN)
        if not self.closed.is_set():
            self._timer = self._loop.call_later(SCAN_SECS, self._scan)

    @staticmethod
    def _report(items: Iterable[tuple[Publication, Listener]], outcome: Outcome) -> None:
        for listener, group in groupby(items, key=lambda item: item[1]):
            listener([item for item, _ in group], outcome)
