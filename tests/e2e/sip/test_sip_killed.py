"""`kill -9` during calls: nothing that was said until then is lost, and every call that began is told to have ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aio_pika
import numpy as np
import pytest

from tests import voice
from tests.servers.gateway import telegram_update
from tests.servers.phone import Phone, up
from tests.servers.process import wait_until
from tests.servers.rabbit import RabbitServer
from tests.sip import sound
from tests.sip.exchange import Exchange, blob, ears

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MakeExchange = Callable[..., Exchange]
WORDS = voice.SAMPLES["en_seen_us"]
SAID = np.frombuffer(voice.pcm("en_seen_us"), dtype="<i2")
VHOST = "calls"


@pytest.fixture
def exchange(make_exchange: MakeExchange) -> Iterator[Exchange]:
    made = make_exchange(record="true", max_calls="8", gateway_sections=ears())
    yield made
    made.close()


async def talk(phone: Phone, exchange: Exchange) -> str:
    """Call, say the sample, and stay; returns the id of the call."""
    mark = uuid.uuid4().hex
    leg = await up(await phone.dial(f"sip:100@127.0.0.1:{exchange.port}", {"X-Test": mark}))
    await leg.say(SAID.tobytes())
    await asyncio.sleep(1.2)  # what waits in buffers and was not written yet may be lost: less than that
    return await asyncio.to_thread(exchange.marked, "x-test", mark)


async def test_of_a_telephony_process_its_calls_end_and_no_others(exchange: Exchange) -> None:
    async with Phone() as phone:
        await asyncio.to_thread(wait_until, lambda: len(exchange.children()) == 2, timeout=30, what="two processes")
        kept, lost = await talk_in_both(phone, exchange)
        victim = exchange.children()[1]  # the second: the first keeps the channel's address
        os.kill(victim.pid, signal.SIGKILL)
        ended = await asyncio.to_thread(exchange.wait, "call.ended", lost)
        assert (ended["reason"], ended["by"]) == ("gateway_failure", "gateway")
        recorded = await asyncio.to_thread(exchange.recording, lost)
        assert sound.lost(SAID, recorded[:, 0]) == []
        assert await asyncio.to_thread(exchange.words, lost) == WORDS
        assert exchange.gateway.post_update(telegram_update(1)) == 200  # other channels go on
        assert not exchange.told("call.ended", kept)
        await asyncio.to_thread(wait_until, lambda: len(exchange.children()) == 2, timeout=30, what="it is back")
    await asyncio.to_thread(exchange.wait, "call.ended", kept)
    assert len(exchange.told("call.ended")) == len(exchange.told("call.offered"))


async def talk_in_both(phone: Phone, exchange: Exchange) -> tuple[str, str]:
    """Have calls in the first process, as many as it takes, and one in the second; return one of each."""
    async with Phone() as filling:
        for _ in range(3):
            await up(await filling.dial(f"sip:100@127.0.0.1:{exchange.port}"))
        kept = await talk(phone, exchange)
        lost = await talk(phone, exchange)
    return kept, lost


async def test_of_the_gateway_it_is_told_after_the_next_start(exchange: Exchange) -> None:
    async with Phone() as phone:
        call = await talk(phone, exchange)
        exchange.core.close()
        await asyncio.to_thread(exchange.gateway.kill9)
        await asyncio.to_thread(exchange.gateway.restart)
        exchange.listen()
        ended = await asyncio.to_thread(exchange.wait, "call.ended", call)
    assert (ended["reason"], ended["by"]) == ("gateway_failure", "gateway")
    assert ended["answered"] is True
    assert 1000 < ended["talk_ms"] < 20_000  # it is right to 2 s
    ready = await asyncio.to_thread(exchange.wait, "call.recording.ready", call)
    assert ready["complete"] is False
    assert sound.lost(SAID, exchange.recording(call)[:, 0]) == []
    assert await asyncio.to_thread(exchange.words, call) == WORDS
    assert len(exchange.told("call.ended", call)) == 1


@pytest.fixture
async def rabbit(make_rabbit: Callable[[], RabbitServer]) -> AsyncIterator[RabbitServer]:
    server = await asyncio.to_thread(make_rabbit)
    await asyncio.to_thread(server.add_vhost, VHOST)
    yield server
    await asyncio.to_thread(server.stop)


async def test_of_rabbitmq_calls_go_on_and_all_is_told_later(make_exchange: MakeExchange, rabbit: RabbitServer) -> None:
    exchange = await asyncio.to_thread(
        lambda: make_exchange(record="true", gateway_sections=ears(), gateway_broker=rabbit.url_of(VHOST))
    )
    exchange.core.close()
    await asyncio.to_thread(  # it is ready before that: it has its spool
        wait_until, lambda: not json.loads(exchange.gateway.get("/readyz")[1])["reasons"], timeout=30, what="RabbitMQ"
    )
    await asyncio.to_thread(rabbit.settle)
    async with Phone() as phone:
        leg = await up(await phone.dial(f"sip:100@127.0.0.1:{exchange.port}"))
        await asyncio.to_thread(rabbit.kill)
        await leg.say(SAID.tobytes())
        await asyncio.sleep(1.0)
        assert leg.state == "up"
        await leg.hang_up()
    await asyncio.to_thread(rabbit.start)
    async with asyncio.timeout(60):
        told = await consume(rabbit.url_of(VHOST), lambda found: {"call.ended", "call.recording.ready"} <= found.keys())
    assert told["call.ended"][0]["reason"] == "completed"
    digest = told["call.recording.ready"][0]["media"]["sha256"]
    assert sound.lost(SAID, sound.read(blob(exchange.gateway.data_dir, digest))[:, 0]) == []
    assert next(one for one in told["call.transcript.final"] if one.get("complete"))["text"] == WORDS
    assert {name: len(found) for name, found in told.items() if name in {"call.offered", "call.ended"}} == {
        "call.offered": 1,
        "call.ended": 1,
    }


Found = dict[str, list[dict[str, Any]]]


async def consume(url: str, enough: Callable[[Found], bool]) -> Found:
    """Read the queue until there is enough, and a complete transcript; each event once."""
    found: Found = {}
    seen: set[str] = set()
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue("helpdesk")
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                event = json.loads(message.body)
                if event["params"]["event_id"] in seen:
                    continue
                seen.add(event["params"]["event_id"])
                found.setdefault(event["method"], []).append(event["params"])
                finals = found.get("call.transcript.final", [])
                if enough(found) and any(one.get("complete") for one in finals):
                    return found
    return found
