"""Two gateways behind the Kamailio of `docker/kamailio`: calls go where there is room, and nodes come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.kamailio import Kamailio
from tests.servers.phone import Phone, over, up
from tests.servers.process import wait_until
from tests.servers.sipp import Sipp
from tests.sip import scenarios
from tests.sip.agent import Agent
from tests.sip.exchange import Exchange

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
PLAIN = {"transcribe": "false", "overflow": '"reject"', "drain_secs": "30"}


@pytest.fixture
def kamailio(tmp_path: Path) -> Iterator[Kamailio]:
    server = Kamailio(tmp_path / "kamailio")
    yield server
    server.stop()


async def test_calls_find_a_node_and_one_that_drains_gets_no_more(
    make_exchange: Callable[..., Exchange], make_sipp: Callable[..., Sipp], kamailio: Kamailio
) -> None:
    nodes = [make_exchange(max_calls="4", **PLAIN) for _ in range(2)]
    await asyncio.to_thread(kamailio.dispatcher, [node.port for node in nodes])
    await asyncio.to_thread(_active, kamailio, *nodes)
    async with Phone() as one, Phone() as other:
        target = f"sip:100@127.0.0.1:{kamailio.port}"
        legs = [await up(await phone.dial(target)) for phone in (one, other) for _ in range(4)]
        for node in nodes:
            await asyncio.to_thread(node.wait, "call.answered", count=4)
        refused = await asyncio.to_thread(make_sipp(scenarios.refused(503)).run, kamailio.port)
        assert refused.code == 0, refused.log

        for leg in legs[:7]:
            await leg.hang_up()
        await asyncio.to_thread(wait_until, lambda: _ended(nodes) == 7, timeout=20, what="seven calls are over")
        staying = next(node for node in nodes if len(node.told("call.ended")) == 3)
        leaving = asyncio.Task(asyncio.to_thread(staying.gateway.term, 60))
        with Agent(staying.port) as agent:
            await asyncio.to_thread(wait_until, lambda: agent.options() == 503, timeout=20, what="OPTIONS says 503")
        await asyncio.to_thread(
            wait_until, lambda: not _is_active(kamailio, staying), timeout=20, what="the balancer knows"
        )
        for _ in range(3):
            again = await up(await one.dial(target))
            await again.hang_up()
        assert len(staying.told("call.offered")) == 4, "the node that drains got none of them"
        assert legs[7].state == "up", "the call it had goes on"
        await legs[7].hang_up()
        assert await leaving == 0
        await over(legs[7])


def _ended(nodes: list[Exchange]) -> int:
    return sum(len(node.told("call.ended")) for node in nodes)


def _is_active(kamailio: Kamailio, node: Exchange) -> bool:
    return kamailio.destinations()[f"sip:127.0.0.1:{node.port}"].startswith("A")


def _active(kamailio: Kamailio, *nodes: Exchange) -> None:
    wait_until(lambda: all(_is_active(kamailio, node) for node in nodes), timeout=20, what="both nodes answer OPTIONS")
