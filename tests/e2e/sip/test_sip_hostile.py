"""What the internet sends to a SIP port: the gateway lives, keeps its memory, and the others' calls are undisturbed.

The numbers are for minutes of CI; `make bench ARGS="--voice"` has the full ones.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from tests.servers.phone import Phone, up
from tests.servers.process import free_port, wait_until
from tests.servers.sipp import Sipp
from tests.sip import scenarios, sound
from tests.sip.agent import Agent
from tests.sip.exchange import Exchange, line
from tests.sip.torture import garbage, messages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MakeSipp = Callable[..., Sipp]
RINGING_PORT, GUARDED_PORT, THROTTLED_PORT = free_port(), free_port(), free_port()
CALLS, DATAGRAMS = 150, 1500


@pytest.fixture(scope="module")
def exchange(make_exchange: Callable[..., Exchange]) -> Exchange:
    """A line that answers, one that rings until it is told, one that lets nobody in, one that lets in only a few."""
    ringing = line(RINGING_PORT, channel="ringing", answer='"core"', ring_timeout_secs="30", transcribe="false")
    guarded = line(GUARDED_PORT, channel="guarded", allow='["192.0.2.0/24"]', transcribe="false")
    throttled = line(THROTTLED_PORT, channel="throttled", invites_per_minute="6", transcribe="false")
    more = ringing + guarded + throttled
    return make_exchange(record="true", transcribe="false", rtp_timeout_secs="2", more=more)


async def talk(exchange: Exchange, stop: asyncio.Event) -> None:
    """Talk until told to stop; then look whether it was recorded as it was said, and whether the gateway is whole."""
    processes, mark = {child.pid for child in exchange.children()}, uuid.uuid4().hex
    async with Phone() as phone:
        leg = await up(await phone.dial(f"sip:100@127.0.0.1:{exchange.port}", {"X-Test": mark}))
        talking = asyncio.Task(leg.say(sound.sweep(60.0, seed=9).tobytes()))
        await asyncio.sleep(3)
        await stop.wait()
        talking.cancel()
        assert leg.state == "up"
        spoken = np.frombuffer(bytes(leg.said), dtype="<i2")
        await leg.hang_up()
    assert {child.pid for child in exchange.children()} == processes, f"a process died: {last_words(exchange)}"
    recorded = await asyncio.to_thread(lambda: exchange.recording(exchange.marked("x-test", mark)))
    share, _ = sound.faithful(spoken[sound.RATE // 2 : 10 * sound.RATE], recorded[:, 0])
    assert share >= 0.8  # beside other tests the machine stalls, and the jitter buffer fills in


def last_words(exchange: Exchange) -> list[str]:
    return [line for line in exchange.gateway.logs().splitlines() if "sip_process" in line]


async def beside(exchange: Exchange, work: Callable[[], None]) -> None:
    """Do something hostile in a thread, beside somebody who talks."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(talk(exchange, stop))
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

    def work() -> None:
        calls(40)  # pools and caches have their size after that
        for _ in range(3):  # what leaks grows with each round; a pool that a busy machine made larger does so once
            before = exchange.memory()
            calls(CALLS)
            with suppress(TimeoutError):
                most = before * 1.05 + 4
                wait_until(lambda most=most: exchange.memory() < most, timeout=15, what="memory is back")
                return
        pytest.fail(f"{2 * CALLS} calls cost memory each time, at last {exchange.memory() - before:.0f} MiB")

    await beside(exchange, work)
    wait_until(
        lambda: len(exchange.told("call.ended")) == len(exchange.told("call.offered")),
        timeout=75,  # as below
        what="every call that began has ended",
    )


async def test_a_cancel_that_crosses_the_answer_leaves_nothing(exchange: Exchange) -> None:
    def work() -> None:
        with Agent(exchange.port) as agent:
            for _ in range(40):
                invite = agent.message()
                agent.send(invite)
                agent.send(cancel(invite))
                agent.hang_up(agent.answers(0.05))
            agent.hang_up(agent.answers(1.0))  # on a busy machine some answers come later

    await beside(exchange, work)
    wait_until(
        lambda: len(exchange.told("call.ended")) == len(exchange.told("call.offered")),
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
