"""What the internet sends to a SIP port: the gateway lives, keeps its memory, and the others' calls are undisturbed.

The numbers are for minutes of CI; `make bench ARGS="--voice"` has the full ones.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from tests.servers.phone import Phone, until, up
from tests.servers.process import free_port, wait_until
from tests.servers.sipp import Sipp
from tests.sip import scenarios, sound
from tests.sip.agent import Agent
from tests.sip.exchange import Exchange, line
from tests.sip.torture import garbage, messages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MakeSipp = Callable[..., Sipp]
RINGING_PORT, GUARDED_PORT, THROTTLED_PORT = free_port(), free_port(), free_port()
LAST_SECS = 2.0
"""So long it must be quiet for nobody to repeat an answer that was missed (RFC 3261 §13.3.1.4)."""
CALLS, DATAGRAMS = 150, 1500
MOST_LEFT, MOST_KEPT = 0.75, 2.5
"""MiB that a process may have grown by after 150 calls more: 5 kB each in one with PJSIP, where 6000 calls leave 0.3 in
all; the gateway may more, as it knows the ids of the last 16 384 conversations.
"""


@pytest.fixture(scope="module")
def exchange(make_exchange: Callable[..., Exchange]) -> Exchange:
    """A line that answers, one that rings until it is told, one that lets nobody in, one that lets in only a few."""
    ringing = line(RINGING_PORT, channel="ringing", answer='"core"', ring_timeout_secs="30", transcribe="false")
    guarded = line(GUARDED_PORT, channel="guarded", allow='["192.0.2.0/24"]', transcribe="false")
    throttled = line(THROTTLED_PORT, channel="throttled", invites_per_minute="6", transcribe="false")
    more = ringing + guarded + throttled
    return make_exchange(record="true", transcribe="false", rtp_timeout_secs="2", more=more)


async def talk(exchange: Exchange, talking: asyncio.Event, stop: asyncio.Event) -> None:
    """Talk until told to stop; then look whether it was recorded as it was said, and whether the gateway is whole."""
    processes, mark = {child.pid for child in exchange.children()}, uuid.uuid4().hex
    async with Phone() as phone:
        leg = await up(await phone.dial(f"sip:100@127.0.0.1:{exchange.port}", {"X-Test": mark}))
        talking.set()
        saying = asyncio.Task(leg.say(sound.sweep(60.0, seed=9).tobytes()))
        await asyncio.sleep(3)
        await stop.wait()
        saying.cancel()
        assert leg.state == "up"
        spoken = np.frombuffer(bytes(leg.said), dtype="<i2")
        await leg.hang_up()
    assert {child.pid for child in exchange.children()} == processes, f"a process died: {last_words(exchange)}"
    recorded = await asyncio.to_thread(lambda: exchange.recording(exchange.marked("x-test", mark)))
    heard = spoken[sound.RATE // 2 : -sound.RATE]  # of the last of it the jitter buffer had some when we hung up
    assert heard.size > sound.RATE
    assert sound.lost(heard[: 10 * sound.RATE], recorded[:, 0]) == []


def last_words(exchange: Exchange) -> list[str]:
    return [line for line in exchange.gateway.logs().splitlines() if "sip_process" in line]


async def room(exchange: Exchange, calls: int) -> None:
    """Wait until so many can call: who answers nothing any more, as some in the tests before, has a place for 64 s."""
    async with asyncio.timeout(90), Phone() as phone:
        while not await answered(phone, f"sip:100@127.0.0.1:{exchange.port}", calls):
            await asyncio.sleep(1)


async def answered(phone: Phone, target: str, calls: int) -> bool:
    """Call so often at once; tell whether all were answered."""
    legs = [await phone.dial(target) for _ in range(calls)]
    await until(lambda: all(leg.state != "dialing" for leg in legs), "an answer")
    found = [leg.state == "up" for leg in legs]
    for leg in legs:
        await leg.hang_up()
    return all(found)


async def beside(exchange: Exchange, work: Callable[[], None], *, calls: int = 0) -> None:
    """Do something hostile, that has so many calls at once, in a thread beside somebody who talks."""
    await room(exchange, 1 + calls)
    talking, stop = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(talk(exchange, talking, stop))
        await talking.wait()
        try:
            await asyncio.to_thread(work)
        finally:
            stop.set()


async def test_torture_messages(exchange: Exchange) -> None:
    def work() -> None:
        with Agent(exchange.port) as agent:
            for name, message in messages(agent).items():
                agent.send(message)
                agent.hang_up(agent.answers(0.03))
                assert message is not None, name
            agent.hang_up(agent.answers(LAST_SECS))
            assert agent.alive()

    await beside(exchange, work)


async def test_garbage_and_giant_packets_by_udp_and_tcp(exchange: Exchange) -> None:
    def work() -> None:
        with Agent(exchange.port) as agent:
            for number, data in enumerate(garbage(seed=4, count=DATAGRAMS)):
                agent.send(data)
                if number % 50 == 0:
                    agent.hang_up(agent.answers(0.01))
            for size in (8_000, 65_000):
                agent.send(b"\0" * size)
                agent.send(agent.message(body="x" * size))
            agent.hang_up(agent.answers(0.1))
            for data in (
                b"\0" * 1_000_000,
                b"INVITE sip:x SIP/2.0\r\nContent-Length: 99999999\r\n\r\n",
                b"\r\n" * 100_000,
            ):
                with suppress(OSError), socket.create_connection(("127.0.0.1", exchange.port), 5) as tcp:
                    tcp.settimeout(5)
                    tcp.sendall(data)
            assert agent.alive()

    await beside(exchange, work)


async def test_many_who_give_up_and_many_short_calls_cost_no_memory(exchange: Exchange, make_sipp: MakeSipp) -> None:
    def calls(count: int) -> None:
        giving_up = make_sipp(scenarios.CANCEL_AT_ONCE).start(RINGING_PORT, calls=count, at_once=3, per_second=15)
        short = make_sipp(scenarios.TALK_AND_BYE).start(
            exchange.port, calls=count, at_once=2, per_second=15, pause_ms=20
        )
        for run in (giving_up, short):
            outcome = run.wait()
            assert (outcome.code, outcome.succeeded) == (0, count), outcome.log

    def grown(before: dict[int, float]) -> dict[int, float]:
        now = exchange.memory()
        assert now.keys() == before.keys()
        return {pid: now[pid] - before[pid] for pid in now}

    def fits(more: dict[int, float]) -> bool:
        return all(one < (MOST_KEPT if pid == exchange.gateway.pid else MOST_LEFT) for pid, one in more.items())

    def work() -> None:
        calls(CALLS // 3)  # pools and caches have their size after that
        for _ in range(3):  # what leaks grows with each round; a pool that a busy machine made larger does so once
            before = exchange.memory()
            calls(CALLS)
            with suppress(TimeoutError):
                wait_until(lambda before=before: fits(grown(before)), timeout=15, what="memory is back where it was")
                return
        pytest.fail(f"{2 * CALLS} calls cost memory each time, in MiB at last: {grown(before)}")

    await beside(exchange, work, calls=2)
    await asyncio.to_thread(all_ended, exchange, lambda offered: offered["from"].get("name") == "sipp")


async def test_a_cancel_that_crosses_the_answer_leaves_nothing(exchange: Exchange) -> None:
    ports = []

    def work() -> None:
        with Agent(exchange.port) as agent:
            ports.append(agent.port)
            for _ in range(40):
                invite = agent.message()
                agent.send(invite)
                agent.send(cancel(invite))
                agent.hang_up(agent.answers(0.05))
            agent.hang_up(agent.answers(LAST_SECS))

    await beside(exchange, work, calls=1)
    await asyncio.to_thread(all_ended, exchange, lambda offered: offered["source"] == f"127.0.0.1:{ports[0]}")


def all_ended(exchange: Exchange, own: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until those calls that are the test's `own` have ended, of which there must be some."""
    began = {one["call_id"] for one in exchange.told("call.offered") if own(one)}
    assert began
    wait_until(
        lambda: began <= {one["call_id"] for one in exchange.told("call.ended")},
        timeout=75,  # an answer that nobody acknowledges is given up after 64 T1, and its BYE after as long again
        what="every call that began has ended",
    )


def cancel(invite: bytes) -> bytes:
    """Write the CANCEL of an INVITE: the same, with another method and without a body."""
    head, _, _ = invite.partition(b"\r\nContact:")
    return head.replace(b"INVITE", b"CANCEL") + b"\r\nContent-Length: 0\r\n\r\n"


def test_who_may_not_call_and_who_calls_too_often_are_refused(exchange: Exchange, make_sipp: MakeSipp) -> None:
    forbidden = make_sipp(scenarios.refused(403)).run(GUARDED_PORT)
    assert forbidden.code == 0, forbidden.log
    first = make_sipp(scenarios.TALK_AND_BYE).run(THROTTLED_PORT, pause_ms=20)
    assert first.code == 0, first.log
    again = make_sipp(scenarios.refused(503)).run(THROTTLED_PORT)
    assert again.code == 0, again.log
    assert not any(one["channel"]["id"] == "guarded" for one in exchange.told("call.offered"))
