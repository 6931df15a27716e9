"""A Telegram channel of the tests: real connector, real HTTP client, the Bot API server of `tests.servers.telegram`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from connectors.api import Delivery, Receipt, Sink
from connectors.secrets import Secret
from connectors.telegram import TelegramConfig, TelegramConnector
from normalizer import parts as p
from normalizer.model import Address, ChannelRef
from normalizer.raw import Outbound, RawEvent
from tests.contexts import make_context
from tests.servers.telegram import TOKEN

SECRET = "s3cret-Token_of-the-webhook"
PAYLOADS = Path(__file__).parent.parent / "payloads" / "telegram"
ANN = Address(scheme="telegram", value="5200300400")


class NoBlobs:
    """The connector stores nothing."""

    async def put(self, data: bytes) -> str:
        raise AssertionError(data)

    async def get(self, ref: str) -> bytes:
        raise KeyError(ref)


@asynccontextmanager
async def telegram_bot(tmp_path: Path, api_base: str, token: str = TOKEN) -> AsyncIterator[TelegramConnector]:
    async with aiohttp.ClientSession() as http:
        context = make_context(ChannelRef(id="tg", type="telegram"), tmp_path, http, blobs=NoBlobs())
        yield TelegramConnector(TelegramConfig(token=Secret(token), secret=Secret(SECRET), api_base=api_base), context)


class Pipeline:
    """A sink: keeps what it is given, waits until told that it is durable, or fails."""

    def __init__(self, *, receipt: Receipt = Receipt.ACCEPTED, error: Exception | None = None) -> None:
        self.taken: list[RawEvent] = []
        self.durable = asyncio.Event()
        self.durable.set()
        self.receipt, self.error = receipt, error

    async def __call__(self, raw: RawEvent) -> Receipt:
        self.taken.append(raw)
        await self.durable.wait()
        if self.error is not None:
            raise self.error
        return self.receipt


@asynccontextmanager
async def running(bot: TelegramConnector, sink: Sink) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bot.run(sink))
        await asyncio.sleep(0)
        yield
        task.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def delivery(body: bytes, secret: str | None = SECRET, method: str = "POST") -> Delivery:
    headers = {"content-type": "application/json"}
    if secret is not None:
        headers["x-telegram-bot-api-secret-token"] = secret
    return Delivery(method=method, path="", url="https://gw.example/c/tg", query={}, headers=headers, body=body)


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.in.json").read_bytes()


def message(*parts: p.AnyPart, to: Address = ANN, **fields: Any) -> Outbound:
    return Outbound(id="msg_1", channel=ChannelRef(id="tg", type="telegram"), to=to, parts=parts, **fields)


def text(body: str = "Hello", **fields: Any) -> Outbound:
    return message(p.Text(body=body), **fields)
