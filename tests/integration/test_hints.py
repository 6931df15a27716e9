"""Events that may be lost: partial transcripts never share a queue with messages, nor the spool."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aio_pika
import msgspec

from gateway.wiring import hint
from normalizer.codecs.sip import SipCodec
from normalizer.raw import Event, RawEvent
from tests.contract import channel_fixtures as fixtures
from tests.rig import Rig, rig
from tests.servers.rabbit import RabbitServer

PARTIAL = fixtures.ROOT / "sip" / "partial.in.json"


def partial(it: Rig) -> Event:
    raw = fixtures.raw_event("sip", PARTIAL)
    (event,) = SipCodec().decode(msgspec.structs.replace(raw, channel=it.channel))
    assert isinstance(raw, RawEvent)
    assert isinstance(event, Event)
    return event


async def test_a_hint_is_not_persistent_and_expires(tmp_path: Path, rabbit_url: str) -> None:
    async with rig(tmp_path, broker_url=rabbit_url, kind="sip", codec=SipCodec()) as it:
        connection = await aio_pika.connect(rabbit_url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind("gw.events", "v1.sip.*.call.transcript.partial")
            hint(it.broker, partial(it), time.time())
            async with queue.iterator(timeout=30) as messages:
                message = await anext(messages)
                await message.ack()

        assert message.delivery_mode == aio_pika.DeliveryMode.NOT_PERSISTENT
        assert message.expiration == 5.0
        assert msgspec.json.decode(message.body)["params"]["text"] == "where is"
        assert it.spool.waiting({partial(it).params.conversation.id}) == set()  # type: ignore[union-attr]


async def test_a_hint_is_dropped_while_the_broker_is_away(tmp_path: Path, make_rabbit: object) -> None:
    server: RabbitServer = make_rabbit()  # type: ignore[operator]
    async with rig(tmp_path, broker_url=server.url, kind="sip", codec=SipCodec()) as it:
        await asyncio.to_thread(server.kill)
        await it.until(lambda: not it.broker.ready)
        hint(it.broker, partial(it), time.time())
        await asyncio.sleep(0.1)

        assert it.pipeline.idle
        assert (it.count("received"), it.count("spooled")) == (0, 0)
