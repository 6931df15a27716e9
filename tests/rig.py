"""One worker's inside without HTTP: the real pipeline, dedup store, spool and broker, fed by `give`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import aio_pika
import msgspec

from connectors.api import ChannelConfig, Receipt
from dedup.api import Deduplicator
from dedup.embedded import EmbeddedDeduplicator
from dedup.redis import RedisDeduplicator
from gateway.blobs import BlobStore
from gateway.broker.api import Broker, QueueSpec
from gateway.broker.connect import make_broker
from gateway.drain import Drain
from gateway.gate import Gate
from gateway.intake import Intake
from gateway.journal import Journal
from gateway.order import Precedence, Statuses
from gateway.pipeline import Pipeline
from gateway.quarantine import Quarantine
from gateway.settings.model import BrokerSection
from gateway.spool import Spool
from gateway.state import ChannelState
from normalizer.codecs.api import Codec
from normalizer.codecs.telegram import TelegramCodec
from normalizer.model import ChannelRef, Security
from normalizer.raw import RawEvent
from tests.servers.gateway import telegram_update

QUEUE = "helpdesk"
_numbers = iter(range(1, 1_000_000))


class Rig:
    """The parts, by name, and the id of the one channel (unique, because metrics are global)."""

    pipeline: Pipeline
    intake: Intake
    broker: Broker
    dedup: Deduplicator
    spool: Spool
    drain: Drain
    quarantine: Quarantine
    journal: Journal

    def __init__(self, channel: str | None = None, kind: str = "telegram") -> None:
        self.channel = ChannelRef(id=channel or f"rig{next(_numbers)}", type=kind)

    async def give(self, number: int, *, chat: int = 1, body: bytes | None = None) -> Receipt:
        """Deliver a Telegram update."""
        return await self.intake(self.raw(number, chat=chat, body=body))

    def raw(self, number: int, *, chat: int = 1, body: bytes | None = None) -> RawEvent:
        """Make a Telegram update as its connector would hand it over."""
        return RawEvent(
            channel=self.channel,
            kind="telegram",
            body=body or msgspec.json.encode(telegram_update(number, chat=chat)),
            received_at=datetime.now(UTC),
            security=Security(verified="token"),
        )

    def count(self, name: str) -> int:
        """Return a column of the ledger."""
        return int(getattr(self.intake.meters, name)._value.get())

    async def until(self, condition, timeout: float = 30) -> None:
        """Wait for a condition that real servers will make true."""
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def rig(
    folder: Path,
    *,
    broker_url: str = "embedded:",
    redis_url: str | None = None,
    channel: str | None = None,
    publish_timeout: float = 1.0,
    spool_bytes: int = 50_000_000,
    lease: float = 30.0,
    drain: bool = True,
    wait: bool = True,
    when_down: str = "unchecked",
    patience: float = 5.0,
    kind: str = "telegram",
    codec: Codec | None = None,
) -> AsyncIterator[Rig]:
    """Open and run everything in `folder`; two rigs on one folder are two workers of one node."""
    it = Rig(channel, kind)
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        section = BrokerSection(
            url=broker_url,
            queues=(QueueSpec(name=QUEUE, bind=("v1.*.*.message.#",)),),
            publish_timeout_secs=publish_timeout,
        )
        it.broker = make_broker(section, folder, "rig")
        it.dedup = RedisDeduplicator(redis_url, timeout=0.5) if redis_url else EmbeddedDeduplicator(folder / "dedup.db")
        await it.dedup.open()
        stack.push_async_callback(it.dedup.close)
        it.spool = Spool(folder / "spool.db", max_bytes=spool_bytes)
        it.spool.open()
        stack.callback(it.spool.close)
        it.quarantine = Quarantine(folder / "quarantine.db")
        it.quarantine.open()
        stack.callback(it.quarantine.close)
        it.journal = Journal(folder / "journal", worker=0, keep_days=7)
        stack.callback(it.journal.close)
        it.pipeline = Pipeline(
            dedup=it.dedup,
            broker=it.broker,
            spool=it.spool,
            journal=it.journal,
            lease_secs=lease,
            clock=time.time,
            refuse_unchecked=when_down == "refuse",
        )
        it.drain = Drain(it.spool, it.broker, it.journal, hold_secs=lease, clock=time.time)
        it.intake = Intake(
            ref=it.channel,
            codec=codec or TelegramCodec(),
            config=ChannelConfig(ack_deadline_secs=10),
            window_secs=3600,
            pipeline=it.pipeline,
            quarantine=it.quarantine,
            blobs=BlobStore(folder),
            gate=Gate(10_000),
            statuses=Statuses(ChannelState(it.dedup, it.channel.id), keep_secs=3600),
            precedence=Precedence(it.dedup, under_way=it.pipeline.under_way, patience_secs=patience),
        )
        stack.push_async_callback(it.broker.close)
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(it.broker.run()), group.create_task(it.pipeline.run())]
                if drain:
                    tasks.append(group.create_task(it.drain.run()))
                if wait:
                    assert await it.broker.wait_ready(30)
                try:
                    yield it
                finally:
                    for task in tasks:
                        task.cancel()


async def empty_queue(url: str, name: str = QUEUE) -> list[dict]:
    """Take everything out of a RabbitMQ queue; returns the `params` of each message, in order."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(name, ensure=False)
        found = []
        while (message := await queue.get(fail=False)) is not None:
            found.append(msgspec.json.decode(message.body)["params"])
            await message.ack()
        return found
