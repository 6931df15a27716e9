"""Messages in the manner of RFC 4475 and garbage: a gateway of its own, as what was never acknowledged has a place for
64 s.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.sip.agent import Agent
from tests.sip.beside import LAST_SECS, beside
from tests.sip.exchange import Exchange
from tests.sip.torture import garbage, messages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
DATAGRAMS = 1500


@pytest.fixture(scope="module")
def exchange(make_exchange: Callable[..., Exchange]) -> Exchange:
    return make_exchange(record="true", transcribe="false", rtp_timeout_secs="2")


async def test_torture_messages(exchange: Exchange) -> None:
    def work() -> None:
        with Agent(exchange.port) as agent:
            for message in messages(agent).values():
                agent.send(message)
                agent.hang_up(agent.answers(0.03))
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
