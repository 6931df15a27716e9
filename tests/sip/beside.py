"""Somebody who talks while something hostile happens to the same process, and must not notice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import numpy as np

from tests.servers.phone import Phone, until, up
from tests.sip import sound
from tests.sip.exchange import Exchange

LAST_SECS = 2.0
"""So long it must be quiet for nobody to repeat an answer that was missed (RFC 3261 §13.3.1.4)."""


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
    lost = sound.lost(heard[: 10 * sound.RATE], recorded[:, 0])
    assert not lost, lost  # pytest does not rewrite this module: it says by itself what is missing


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
