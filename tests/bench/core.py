"""The gateway's own share: the pipeline called directly, without HTTP, on a real Redis and RabbitMQ; and pure codecs.

A program of its own, so that its CPU time is nothing else's: ``python -m tests.bench.core REDIS_URL AMQP_URL FOLDER``
prints `Figures` as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from gateway import envelope
from gateway.channels import Channels
from gateway.core import open_core
from gateway.running import Running
from gateway.settings.load import load
from gateway.supervisor import Supervisor
from normalizer.raw import Event, RawEvent
from tests.servers.gateway import GatewayProcess, telegram_update

_CODEC_ROUNDS = 20_000
_ACCEPTED = 20_000


class Figures(msgspec.Struct, kw_only=True):
    """What it costs.

    Attributes:
        decode_us: a Telegram update to an event.
        encode_us: an event to a publication (JSON-RPC and AMQP properties).
        accept_us: CPU of the process for a delivery from bytes to receipt: decode, claim, publish, confirm, commit.
        accept_per_sec: deliveries accepted by one process, nobody speaking HTTP.
        concurrency: deliveries at a time.
    """

    decode_us: float
    encode_us: float
    accept_us: float
    accept_per_sec: float
    concurrency: int


async def measure(redis: str, amqp: str, folder: Path, *, concurrency: int = 64) -> Figures:
    """Open the parts of a gateway process, as `gateway.app` does, and call them."""
    process = GatewayProcess(folder, broker=amqp, dedup=redis, queues=(("helpdesk", "v1.*.*.message.#"),))
    os.environ.update(process.env)
    settings = load(process.config).settings
    async with open_core(settings, worker=0) as core, asyncio.TaskGroup() as group:
        supervisor = Supervisor(group)
        supervisor.start("broker", core.broker.run, stage="broker")
        supervisor.start("pipeline", core.pipeline.run, stage="pipeline")
        channels = Channels(core, supervisor, sends=False)
        await channels.start(settings)
        if not await core.broker.wait_ready(30):
            raise RuntimeError(f"broker: {core.broker.problem}")
        figures = await _measure(channels["tg"], concurrency)
        await channels.stop()
        await supervisor.stop_all()
    return figures


async def _measure(channel: Running, concurrency: int) -> Figures:
    raws = _deliveries(channel)
    codec = channel.connector.codec
    sample = list(itertools.islice(raws, 200))
    events = [event for raw in sample for event in codec.decode(raw) if isinstance(event, Event)]

    def encode(event: Event) -> None:
        envelope.publication(event, seq=1, redelivery=0, unchecked=False, timestamp=1)

    await _accept(channel, raws, 2000, concurrency)  # warm up
    cpu, wall = time.process_time(), time.perf_counter()
    await _accept(channel, raws, _ACCEPTED, concurrency)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Figures(
        decode_us=_each_us(lambda raw: list(codec.decode(raw)), sample),
        encode_us=_each_us(encode, events),
        accept_us=cpu / _ACCEPTED * 1e6,
        accept_per_sec=_ACCEPTED / wall,
        concurrency=concurrency,
    )


def _each_us(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    started = time.process_time()
    for item in itertools.islice(itertools.cycle(items), _CODEC_ROUNDS):
        work(item)
    return (time.process_time() - started) / _CODEC_ROUNDS * 1e6


async def _accept(channel: Running, raws: Iterator[RawEvent], count: int, concurrency: int) -> None:
    mine = itertools.islice(raws, count)

    async def client() -> None:
        for raw in mine:
            await channel.intake(raw)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client())


def _deliveries(channel: Running) -> Iterator[RawEvent]:
    for number in itertools.count(1):
        yield RawEvent(
            channel=channel.intake.ref,
            kind=channel.channel.kind,
            body=json.dumps(telegram_update(number, "Where is my order? I have been waiting since Monday.")).encode(),
            received_at=datetime.now(UTC),
        )


def main() -> None:
    """Measure and print."""
    redis, amqp, folder = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(msgspec.json.encode(runner.run(measure(redis, amqp, Path(folder)))).decode())


if __name__ == "__main__":
    main()
