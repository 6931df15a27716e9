"""Viber channels on a bench, and Viber that signs for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from connectors.api import Delivery, Receipt, Reply, Sink
from connectors.secrets import Secret
from connectors.viber import ViberConnector
from connectors.viber_config import ViberConfig
from dedup.api import Deduplicator
from gateway.simulate.api import Item, Request
from gateway.simulate.viber import ViberSimulator
from normalizer.model import Address, ChannelRef
from normalizer.raw import RawEvent
from tests.contexts import make_context

TOKEN = "445da6az1s345z78-dazcczb2542zv51a-e0vc5fva17480im9"
CHANNEL = ChannelRef(id="shop-viber", type="viber")
ADA = f"{1:022d}=="
"""Who the simulator's first person is."""


def config(base: str = "", **changes: Any) -> ViberConfig:
    fields: dict[str, Any] = {"token": Secret(TOKEN), "sender_name": "Shop", "passive_secs": 0}
    if base:
        fields |= {"api_base": f"{base}/pa", "media_hosts": (URL(base).host or "",)}
    return ViberConfig(**{**fields, **changes})


def connector(
    options: ViberConfig,
    folder: Path,
    http: aiohttp.ClientSession,
    store: Deduplicator | None = None,
    **changes: Any,
) -> ViberConnector:
    return ViberConnector(options, make_context(CHANNEL, folder, http, store=store, **changes))


def signed(number: int = 1, content: str = "text", **fields: Any) -> Request:
    simulator = ViberSimulator(config(), url="")
    item = Item(number=number, at=time.time(), content=content, **fields)
    return simulator.sign(simulator.delivery([item]), time.time())


async def post(channel: ViberConnector, request: Request) -> Reply:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await channel.handle(
        Delivery(method=request.method, path="", url="", query=request.query, headers=headers, body=request.body)
    )


@asynccontextmanager
async def running(channel: ViberConnector, sink: Sink | None = None) -> AsyncIterator[list[RawEvent]]:
    taken: list[RawEvent] = []

    async def keep(raw: RawEvent) -> Receipt:
        taken.append(raw)
        return Receipt.ACCEPTED

    async with asyncio.TaskGroup() as group:
        task = group.create_task(channel.run(sink or keep))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            yield taken
        finally:
            task.cancel()


def to(native: str = ADA) -> Address:
    return Address(scheme="viber", value=native)
