"""Nodes of the real gateway with a WeChat channel: HTTP in, embedded broker, a core that answers, WeChat's API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import Struct

from gateway.broker.topology import command_key
from gateway.channels import Channels
from gateway.core import Core, open_core
from gateway.settings.load import load
from gateway.settings.model import Settings
from gateway.simulate.api import Item, Request
from gateway.simulate.wechat import WechatSimulator
from gateway.simulate.wechat_cloud import WechatCloud
from gateway.supervisor import Supervisor
from gateway.web.public import PublicServer
from normalizer.codecs import wechat_xml
from tests.wechat_bench import AES_KEY, APP_ID, SECRET, TOKEN, config

CHANNEL = "shop-wechat"
TOML = """
[gateway]
node = "lab"
data_dir = "{folder}/var"
[http]
listen = "127.0.0.1:0"
max_in_flight = {in_flight}
[channels.shop-wechat]
kind = "wechat"
app_id = "{app_id}"
app_secret = "env:WECHAT_APP_SECRET"
token = "env:WECHAT_TOKEN"
encoding_aes_key = "env:WECHAT_AES_KEY"
mode = "{mode}"
api_base = "{api}"
passive_secs = {passive_secs}
{more}
"""


class Answer(Struct, frozen=True):
    """What WeChat got: `text` of a passive reply, None where it was `success`."""

    body: bytes
    seconds: float
    text: str | None


class Node:
    """One worker."""

    def __init__(self, core: Core, channels: Channels, address: str) -> None:
        self.core, self.channels, self.address = core, channels, address


class Lab:
    """Nodes, the cloud, and what the core saw and did.

    Attributes:
        received: events, in order.
        answered: what `message.send` came to.
    """

    def __init__(self, cloud: WechatCloud, settings: Settings, http: aiohttp.ClientSession, mode: str) -> None:
        self.cloud, self.settings, self.http = cloud, settings, http
        self.simulator = WechatSimulator(config(mode=mode), url="")
        self.nodes: list[Node] = []
        self.received: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []

    def text(self, number: int = 1, person: int = 1, content: str = "text") -> Request:
        return self.simulator.delivery([Item(number=number, at=time.time(), person=person, content=content)])

    async def deliver(self, request: Request, node: int = 0, timeout: float = 30.0) -> Answer:
        """Post a delivery, signed anew as WeChat does."""
        signed = self.simulator.sign(request, time.time())
        url, began = f"http://{self.nodes[node].address}/c/{CHANNEL}", time.monotonic()
        async with self.http.post(
            url,
            params=signed.query,
            data=signed.body,
            headers=signed.headers,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as answer:
            body = await answer.read()
            assert answer.status == 200, body
        return Answer(body, time.monotonic() - began, None if body == b"success" else self._content(body))

    def _content(self, body: bytes) -> str:
        fields = wechat_xml.read(body)
        if "Encrypt" in fields:
            from wechatpy.crypto import WeChatCrypto  # noqa: PLC0415 -- WeChat's side, by somebody else's code

            crypto = WeChatCrypto(TOKEN, AES_KEY, APP_ID)
            proof = fields["MsgSignature"], fields["TimeStamp"], fields["Nonce"]
            fields = wechat_xml.read(crypto.decrypt_message(body, *proof).encode())
        return str(fields["Content"])

    async def send(self, **params: Any) -> dict[str, Any]:
        body = msgspec.json.encode(
            {"jsonrpc": "2.0", "id": 1, "method": "message.send", "params": {"channel": CHANNEL, **params}}
        )
        key = command_key("message.send", CHANNEL)
        answer = await self.nodes[0].core.broker.call(key, body, method="message.send", timeout=20)
        decoded: dict[str, Any] = msgspec.json.decode(answer)
        self.answered.append(decoded)
        return decoded

    def api_texts(self) -> list[str]:
        return [call.json()["text"]["content"] for call in self.cloud.named("send")]

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)


Bot = Callable[[Lab, dict[str, Any]], Awaitable[Any]]


def replying(after: float) -> Bot:
    """Make a core that answers each message after a while."""

    async def bot(lab: Lab, event: dict[str, Any]) -> None:
        await asyncio.sleep(after)
        message, conversation = event.get("message", {}), event["conversation"]["id"]
        of = {"in_response_to": message["id"]} if message else {}
        await lab.send(conversation=conversation, text=f"re: {message.get('text', 'event')}", **of)

    return bot


async def silent(lab: Lab, event: dict[str, Any]) -> None:
    """Be a core that answers nothing."""


@asynccontextmanager
async def open_lab(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    bot: Bot = silent,
    *,
    nodes: int = 1,
    passive_secs: float = 0.8,
    mode: str = "aes",
    in_flight: int = 100,
    more: str = "",
) -> AsyncIterator[Lab]:
    for name, value in {"WECHAT_APP_SECRET": SECRET, "WECHAT_TOKEN": TOKEN, "WECHAT_AES_KEY": AES_KEY}.items():
        monkeypatch.setenv(name, value)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(WechatCloud(config()))
        path = folder / "omnigate.toml"
        path.write_text(
            TOML.format(
                folder=folder,
                app_id=APP_ID,
                mode=mode,
                api=cloud.url,
                passive_secs=passive_secs,
                in_flight=in_flight,
                more=more,
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        lab = Lab(cloud, load(path).settings, http, mode)
        for index in range(nodes):
            lab.nodes.append(await stack.enter_async_context(open_node(lab.settings, index)))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        ready = asyncio.Event()
        watching = group.create_task(_watch(lab, bot, group, ready))
        await ready.wait()
        try:
            yield lab
        finally:
            watching.cancel()


@asynccontextmanager
async def open_node(settings: Settings, index: int) -> AsyncIterator[Node]:
    async with open_core(settings, worker=index) as core, asyncio.TaskGroup() as group:
        supervisor = Supervisor(group)
        channels = Channels(core, supervisor, sends=index == 0)
        public = PublicServer(settings.http, channels.endpoints, {})
        supervisor.start("broker", core.broker.run)
        supervisor.start("pipeline", core.pipeline.run)
        assert await core.broker.wait_ready(10)
        await channels.start(settings)
        await public.start()
        try:
            yield Node(core, channels, public.address)
        finally:
            await public.close(0.1)
            await channels.stop()
            await supervisor.stop_all()


async def _watch(lab: Lab, bot: Bot, group: asyncio.TaskGroup, ready: asyncio.Event) -> None:
    async with lab.nodes[0].core.broker.watch("v1.#") as events:
        ready.set()
        async for delivery in events:
            event = msgspec.json.decode(delivery.body)
            if event["method"] in {"message.received", "contact.opted_in", "conversation.referral"}:
                lab.received.append(event)
                group.create_task(_run(bot(lab, event["params"])))


async def _run(work: Awaitable[Any]) -> None:
    await work
