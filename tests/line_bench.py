"""LINE channels on a bench, and LINE that signs for them."""

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
from connectors.line import LineConnector
from connectors.line_config import LineConfig
from connectors.secrets import Secret
from dedup.api import Deduplicator
from gateway.simulate.api import Item, Request
from gateway.simulate.line import LineSimulator
from normalizer.model import Address, ChannelRef
from normalizer.raw import RawEvent
from tests.contexts import make_context

SECRET, TOKEN = "8c570fa6dd201bb328f1c1eac23a96d8", "ZvdE3rYxSimulatedLongLivedAccessToken"
CHANNEL = ChannelRef(id="shop-line", type="line")
ADA = f"U{1:032x}"
"""Who the simulator's first person is."""


def config(base: str = "", **changes: Any) -> LineConfig:
    bases: dict[str, Any] = {}
    if base:
        bases = {"api_base": base, "data_api_base": base, "sticker_base": f"{base}/sticker"}
        bases["media_hosts"] = (URL(base).host or "",)
    return LineConfig(channel_secret=Secret(SECRET), channel_access_token=Secret(TOKEN), **{**bases, **changes})


def connector(
    options: LineConfig,
    folder: Path,
    http: aiohttp.ClientSession,
    store: Deduplicator | None = None,
    *,
    clock: Any = time.time,
    **changes: Any,
) -> LineConnector:
    return LineConnector(options, make_context(CHANNEL, folder, http, store=store, **changes), clock=clock)


def signed(*items: Item, again: int = 0) -> Request:
    simulator = LineSimulator(config(), url="")
    request = simulator.delivery(items or [Item(number=1, at=time.time())])
    return simulator.sign(simulator.again(request, again) if again else request, time.time())


async def post(channel: LineConnector, request: Request) -> Reply:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await channel.handle(
        Delivery(method=request.method, path="", url="", query=request.query, headers=headers, body=request.body)
    )


@asynccontextmanager
async def running(channel: LineConnector, sink: Sink | None = None) -> AsyncIterator[list[RawEvent]]:
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
    return Address(scheme="line", value=native)
