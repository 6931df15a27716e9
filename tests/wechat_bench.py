"""WeChat channels on a bench, and the provider that signs for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from connectors.api import Delivery, Receipt, Reply, Sink
from connectors.secrets import Secret
from connectors.wechat import WechatConnector
from connectors.wechat_config import WechatConfig
from dedup.api import Deduplicator
from gateway.simulate.api import Item, Request
from gateway.simulate.wechat import WechatSimulator
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent
from tests.contexts import make_context

TOKEN, SECRET = "spamtestToken", "4f1c0de5ecbd6a0f7b7c8f7d5b6a3e21"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APP_ID = "wx2c2769f8efd9abc2"
CHANNEL = ChannelRef(id="shop-wechat", type="wechat")


def config(*, aes: bool = True, **changes: Any) -> WechatConfig:
    fields: dict[str, Any] = {
        "app_id": APP_ID,
        "app_secret": Secret(SECRET),
        "token": Secret(TOKEN),
        "encoding_aes_key": Secret(AES_KEY) if aes else None,
        "passive_secs": 0,
        **changes,
    }
    return WechatConfig(**fields)


def connector(
    options: WechatConfig,
    folder: Path,
    http: aiohttp.ClientSession,
    store: Deduplicator | None = None,
    **changes: Any,
) -> WechatConnector:
    return WechatConnector(options, make_context(CHANNEL, folder, http, store=store, **changes))


def signed(options: WechatConfig, item: Item | None = None, now: float | None = None) -> Request:
    simulator = WechatSimulator(options, url="")
    return simulator.sign(simulator.delivery([item or Item(number=1, at=time.time())]), now or time.time())


async def post(channel: WechatConnector, request: Request) -> Reply:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await channel.handle(
        Delivery(method=request.method, path="", url="", query=request.query, headers=headers, body=request.body)
    )


@asynccontextmanager
async def running(channel: WechatConnector, sink: Sink | None = None) -> AsyncIterator[list[RawEvent]]:
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
