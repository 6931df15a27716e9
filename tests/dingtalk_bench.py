"""DingTalk channels on a bench, and DingTalk that signs for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from connectors.api import Delivery, Receipt, Reply
from connectors.dingtalk import DingTalkConnector
from connectors.dingtalk_config import DingTalkConfig
from connectors.secrets import Secret
from dedup.api import Deduplicator
from gateway.simulate.api import Item, Request
from gateway.simulate.dingtalk import DingTalkSimulator
from normalizer.model import Address, ChannelRef
from normalizer.raw import RawEvent
from tests.contexts import make_context

SECRET = "this-is-a-secret-6oQe2x9bTqL0"
CHANNEL = ChannelRef(id="shop-dingtalk", type="dingtalk")
ADA = "manager0001"
"""Who the simulator's first person is."""
OUTSIDER = "direct:cidDirect000000000001B=="
GROUP = "cidSimulated0000000001A=="


def config(base: str = "", **changes: Any) -> DingTalkConfig:
    fields: dict[str, Any] = {"app_key": "dingkey", "app_secret": Secret(SECRET), "robot_code": "dingrobot"}
    if base:
        fields |= {"api_base": base, "webhook_base": base, "media_hosts": (URL(base).host or "",)}
    return DingTalkConfig(**{**fields, **changes})


def connector(
    options: DingTalkConfig, folder: Path, http: aiohttp.ClientSession, store: Deduplicator | None = None, **more: Any
) -> DingTalkConnector:
    return DingTalkConnector(options, make_context(CHANNEL, folder, http, store=store), **more)


def signed(base: str, number: int = 1, content: str = "text", now: float | None = None, **fields: Any) -> Request:
    at = time.time() if now is None else now
    simulator = DingTalkSimulator(config(base), url="")
    return simulator.sign(simulator.delivery([Item(number=number, at=at, content=content, **fields)]), at)


async def post(channel: DingTalkConnector, request: Request) -> Reply:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await channel.handle(
        Delivery(method=request.method, path="", url="", query=request.query, headers=headers, body=request.body)
    )


@asynccontextmanager
async def running(channel: DingTalkConnector) -> AsyncIterator[list[RawEvent]]:
    taken: list[RawEvent] = []

    async def keep(raw: RawEvent) -> Receipt:
        taken.append(raw)
        return Receipt.ACCEPTED

    async with asyncio.TaskGroup() as group:
        task = group.create_task(channel.run(keep))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            yield taken
        finally:
            task.cancel()


def to(native: str = ADA) -> Address:
    return Address(scheme="dingtalk", value=native)
