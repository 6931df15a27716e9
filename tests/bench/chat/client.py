"""The visitors, and the core that answers them: ``python -m tests.bench.chat.client DIALECT PORT AMQP_URL``.

A process of its own. It reads orders from standard input, one JSON object per line, and answers each with a line.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import aio_pika
import msgspec

from tests.bench.chat.dialects import BUSY, DIALECTS, Dialect
from tests.bench.chat.wire import Wire

OPENING = 64
"""Connections in their handshake at the same time."""
TICK_SECS = 0.005
AGAIN_SECS = 0.5
PATIENCE_SECS = 30.0


class Visitor:
    """One session.

    Attributes:
        sent_at: when the message was sent that is not acknowledged yet; 0 where there is none.
    """

    __slots__ = ("_dialect", "_greeted", "on_ack", "on_answer", "sent_at", "session", "wire")

    def __init__(self, dialect: Dialect) -> None:
        """Nobody is connected yet."""
        self._dialect = dialect
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.session, self.sent_at = "", 0
        self.wire: Wire
        self.on_ack: Callable[[Visitor, bool], None] = lambda *_: None
        self.on_answer: Callable[[int], None] = lambda _: None

    async def arrive(self, port: int) -> None:
        """Connect and say hello."""
        loop = asyncio.get_running_loop()
        _, self.wire = await loop.create_connection(lambda: Wire(self._dialect.path, self._hear), "127.0.0.1", port)
        await self.wire.ready
        self.wire.send(self._dialect.hello())
        await self._greeted

    def say(self) -> None:
        """Send a message."""
        self.sent_at = time.monotonic_ns()
        self.wire.send(self._dialect.message())

    def _hear(self, text: bytes) -> None:
        heard = self._dialect.heard(text)
        if heard.session == BUSY:
            asyncio.get_running_loop().call_later(AGAIN_SECS, self.wire.send, self._dialect.hello())
        elif heard.session is not None:
            self.session = heard.session
            self._greeted.set_result(None)
        elif heard.acked is not None:
            self.on_ack(self, heard.acked)
        elif heard.answer is not None:
            self.on_answer(heard.answer)


class Crowd:
    """All visitors of one subject."""

    def __init__(self, dialect: Dialect, port: int, amqp: aio_pika.abc.AbstractChannel) -> None:
        """Nobody is there yet."""
        self._dialect, self._port, self._amqp = dialect, port, amqp
        self._idle: list[Visitor] = []
        self._active: list[Visitor] = []

    async def arrive(self, count: int, *, active: bool) -> dict[str, float]:
        """Let visitors come."""
        here, started = self._active if active else self._idle, time.monotonic()
        coming = iter(range(count))

        async def usher() -> None:
            for _ in coming:
                visitor = Visitor(self._dialect)
                async with asyncio.timeout(PATIENCE_SECS):
                    await visitor.arrive(self._port)
                here.append(visitor)

        async with asyncio.TaskGroup() as group:
            for _ in range(OPENING):
                group.create_task(usher())
        return {"per_sec": count / (time.monotonic() - started)}

    async def rest(self, secs: float) -> dict[str, float]:
        """Let time pass; returns how many are still connected."""
        await asyncio.sleep(secs)
        return {"alive": sum(not visitor.wire.closed for visitor in self._idle + self._active)}

    async def talk(self, secs: float, rate: float) -> dict[str, float]:
        """Let the active ones write; with rate 0 each writes again when he has his acknowledgement."""
        times: list[int] = []
        failed = 0
        until = time.monotonic() + secs

        def acked(visitor: Visitor, well: bool) -> None:  # noqa: FBT001 -- a callback
            nonlocal failed
            now = time.monotonic_ns()
            if well:
                times.append(now - visitor.sent_at)
            else:
                failed += 1
            visitor.sent_at = 0
            if not rate and time.monotonic() < until:
                visitor.say()

        for visitor in self._active:
            visitor.on_ack = acked
        started = time.monotonic()
        if rate:
            turn = itertools.cycle(self._active)
            for due in _ticks(secs, rate):
                await asyncio.sleep(TICK_SECS)
                for visitor in itertools.islice(turn, due()):
                    if not visitor.sent_at:  # else he waits still: then less is offered
                        visitor.say()
        else:
            for visitor in self._active:
                visitor.say()
            await asyncio.sleep(secs)
        took, within = time.monotonic() - started, len(times)
        await _all(lambda: sum(visitor.sent_at > 0 for visitor in self._active))
        return {"per_sec": within / took, "acked": len(times), "failed": failed, **_percentiles(times)}

    async def answer(self, count: int, rate: float) -> dict[str, float]:
        """Let the core answer the active ones; with rate 0 as fast as it can publish."""
        times: list[int] = []

        def came(at: int) -> None:
            times.append(time.monotonic_ns() - at)

        for visitor in self._active:
            visitor.on_answer = came
        exchange = self._amqp.default_exchange
        if self._dialect.exchange:
            exchange = await self._amqp.get_exchange(self._dialect.exchange, ensure=False)
        turn, started = itertools.cycle(self._active), time.monotonic()

        async def publish() -> None:
            body = self._dialect.answer(next(turn).session)
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(message, self._dialect.routing_key, mandatory=False)

        if rate:
            for due in _ticks(count / rate, rate):
                await asyncio.sleep(TICK_SECS)
                for _ in range(due()):
                    await publish()
        else:
            for _ in range(count):
                await publish()
        await _all(lambda: count - len(times))
        return {"per_sec": len(times) / (time.monotonic() - started), "arrived": len(times), **_percentiles(times)}


def _ticks(secs: float, rate: float) -> Iterator[Callable[[], int]]:
    """Yield until the time is over; what is yielded returns how many are due, and all of them in the end."""
    started, sent, total = time.monotonic(), 0, round(secs * rate)

    def due() -> int:
        nonlocal sent
        now = min(total, int((time.monotonic() - started) * rate))
        now, sent = now - sent, now
        return now

    while sent < total:
        yield due


def _percentiles(times: list[int]) -> dict[str, float]:
    ordered = sorted(times) or [0]
    return {name: ordered[min(len(ordered) - 1, len(ordered) * part // 100)] / 1e6 for name, part in _PARTS.items()}


_PARTS = {"p50_ms": 50, "p99_ms": 99}


async def _all(missing: Callable[[], int]) -> None:
    """Wait for what is under way, as long as something comes."""
    least, until = missing(), time.monotonic() + PATIENCE_SECS
    while (now := missing()) > 0 and time.monotonic() < until:
        if now < least:
            least, until = now, time.monotonic() + PATIENCE_SECS
        await asyncio.sleep(TICK_SECS)


async def main() -> None:
    """Follow the orders until there are no more."""
    name, port, url = sys.argv[1:]
    orders: dict[str, Any] = {}
    async with await aio_pika.connect(url) as amqp:
        crowd = Crowd(DIALECTS[name](), int(port), await amqp.channel(publisher_confirms=False))
        orders = {"arrive": crowd.arrive, "rest": crowd.rest, "talk": crowd.talk, "answer": crowd.answer}
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = msgspec.json.decode(line)
            told = await orders[order.pop("do")](**order)
            print(msgspec.json.encode(told).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
