"""A web chat at work in the test's own loop, with the real pipeline, stores and HTTP server, and clients for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from connectors.api import Sent, Sink
from connectors.chat import ChatChannel, ChatConfig
from dedup.feeds import Feeds
from dedup.feeds_embedded import EmbeddedFeeds
from dedup.feeds_redis import RedisFeeds
from gateway.blobs import BlobStore
from gateway.feeds import ChannelFeeds
from gateway.settings.model import HttpSection
from gateway.web.media import media_link, media_mount
from gateway.web.public import PublicServer
from normalizer.codecs.chat import ChatCodec
from normalizer.methods import REQUESTS
from normalizer.model import Address
from normalizer.parts import AnyPart, Text
from normalizer.raw import Outbound
from tests.contexts import PUBLIC_URL, make_context
from tests.rig import Rig, rig

CHANNEL = "web"
OPTIONS: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "sessions_per_minute_per_ip": 0,
    "poll_secs": 1.0,
    "max_connections": 2000,
}


class Rejected(Exception):
    """An error answer."""

    def __init__(self, error: dict[str, Any], status: int = 200) -> None:
        super().__init__(error["message"])
        self.code, self.data, self.status = error["code"], error["data"], status


class Office:
    """One node: a channel with everything behind it."""

    def __init__(self, it: Rig, channel: ChatChannel, http: aiohttp.ClientSession, server: PublicServer) -> None:
        self.rig, self.channel, self.http, self.server = it, channel, http, server
        self.events: list[dict[str, Any]] = []
        self.serving: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://{self.server.address}/chat/{CHANNEL}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.channel.probe_port()}/chat/{CHANNEL}/ws"

    def stop(self) -> None:
        """Stop the channel, as a pause or a reload does."""
        self.serving.cancel()

    async def until(self, condition: Callable[[], Any], secs: float = 20) -> Any:
        """Wait for what real servers will make true; returns it."""
        async with asyncio.timeout(secs):
            while not (found := condition()):
                await asyncio.sleep(0.005)
        return found

    async def event(self, method: str, number: int = 1) -> dict[str, Any]:
        """Wait for the nth event of a method; returns its params."""
        found: list[dict[str, Any]] = await self.until(
            lambda: found if len(found := self.told(method)) >= number else None
        )
        return found[number - 1]

    def told(self, method: str) -> list[dict[str, Any]]:
        """Return the params of the events of a method so far."""
        return [event["params"] for event in self.events if event["method"] == method]

    async def send(
        self, visitor: str, text: str = "", *, id_: str = "", parts: tuple[AnyPart, ...] = (), **more: Any
    ) -> Sent:
        """Answer a visitor, as a command of the core does."""
        message = Outbound(
            id=id_ or f"msg_{abs(hash((visitor, text))):032x}",
            channel=self.rig.channel,
            to=Address(scheme="chat", value=visitor),
            parts=parts or (Text(body=text),),
            **more,
        )
        return await self.channel.send(message)

    async def perform(self, method: str, **params: Any) -> dict[str, Any]:
        """Do another request of the core."""
        shape = REQUESTS[method]
        return await self.channel.perform(method, msgspec.convert({"channel": CHANNEL, **params}, shape))

    @asynccontextmanager
    async def visitor(self, **hello: Any) -> AsyncIterator[Visitor]:
        """Connect a visitor who says hello."""
        async with self.connected() as visitor:
            await visitor.hello(**hello)
            yield visitor

    @asynccontextmanager
    async def connected(self, **options: Any) -> AsyncIterator[Visitor]:
        """Connect a visitor who says nothing yet."""
        async with (
            connect(self.ws, **{"ping_interval": None, "proxy": None, **options}) as ws,
            asyncio.TaskGroup() as group,
        ):
            visitor = Visitor(ws)
            task = group.create_task(visitor.listen())
            try:
                yield visitor
            finally:
                task.cancel()

    def poller(self) -> Poller:
        """Make a visitor who polls."""
        return Poller(self.http, self.url)


class Visitor:
    """A client by WebSocket."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.heard: list[dict[str, Any]] = []
        self.session: dict[str, Any] = {}
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self.closed: ConnectionClosed | None = None

    async def listen(self) -> None:
        try:
            async for frame in self.ws:
                told = json.loads(frame)
                if told.get("id") in self._answers:
                    self._answers[told["id"]].set_result(told)
                else:
                    self.heard.append(told)
            await self.ws.wait_closed()
        except ConnectionClosed:
            pass
        for answer in self._answers.values():
            if not answer.done():
                answer.cancel()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        await self.tell(method, id_=self._last, **params)
        async with asyncio.timeout(20):
            told = await answer
        if "error" in told:
            raise Rejected(told["error"])
        result: dict[str, Any] = told["result"]
        return result

    async def tell(self, method: str, *, id_: int | None = None, **params: Any) -> None:
        frame = {"jsonrpc": "2.0", "method": method, "params": params}
        await self.ws.send(json.dumps(frame if id_ is None else {**frame, "id": id_}))

    async def hello(self, **params: Any) -> dict[str, Any]:
        self.session = await self.call("hello", **{"protocol": 1, **params})
        return self.session

    async def say(self, text: str, id_: str, **more: Any) -> dict[str, Any]:
        return await self.call("message.send", id=id_, text=text, **more)

    @property
    def id(self) -> str:
        return str(self.session["conversation"])

    @property
    def token(self) -> str:
        return str(self.session["session"]["token"])

    def messages(self) -> list[str]:
        """Return the texts of the messages, as they came."""
        return [told["params"]["message"]["text"] for told in self.heard if told["method"] == "message"]

    async def until(self, count: int, method: str = "message") -> list[dict[str, Any]]:
        """Wait for so many notifications of a method; returns their params."""
        async with asyncio.timeout(20):
            while len(found := [told["params"] for told in self.heard if told["method"] == method]) < count:
                await asyncio.sleep(0.005)
        return found

    async def close_code(self) -> int | None:
        """Wait for the end; returns its code."""
        async with asyncio.timeout(20):
            await self.ws.wait_closed()
        return self.ws.close_code


class Poller:
    """A client by HTTP."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url
        self.session: dict[str, Any] = {}
        self.after = 0
        self._last = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session['session']['token']}"} if self.session else {}

    @property
    def id(self) -> str:
        return str(self.session["conversation"])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        body = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        async with self.http.post(f"{self.url}/rpc", json=body, headers=self.headers) as response:
            told = await response.json()
        if "error" in told:
            raise Rejected(told["error"], response.status)
        result: dict[str, Any] = told["result"]
        return result

    async def hello(self, **params: Any) -> dict[str, Any]:
        self.session = await self.call("hello", **{"protocol": 1, **params})
        return self.session

    async def say(self, text: str, id_: str) -> dict[str, Any]:
        return await self.call("message.send", id=id_, text=text)

    async def poll(self) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/poll", params={"after": self.after}, headers=self.headers) as response:
            told: list[dict[str, Any]] = await response.json()
        if isinstance(told, dict):
            raise Rejected(told["error"], response.status)
        self.after = max([self.after, *(one["params"].get("seq", 0) for one in told)])
        return told

    async def upload(self, data: bytes, name: str, mime: str) -> tuple[int, Any]:
        headers = {**self.headers, "Content-Type": mime}
        async with self.http.post(f"{self.url}/files", params={"name": name}, data=data, headers=headers) as response:
            body = await response.read()
        return response.status, json.loads(body) if response.content_type == "application/json" else body.decode()


def feeds_of(folder: Path, redis_url: str | None) -> Feeds:
    return RedisFeeds(redis_url, timeout=0.5) if redis_url else EmbeddedFeeds(folder / "feeds.db")


@asynccontextmanager
async def office(
    folder: Path,
    *,
    redis_url: str | None = None,
    broker_url: str = "embedded:",
    when_down: str = "unchecked",
    lease: float = 30.0,
    through: Callable[[Sink], Sink] = lambda sink: sink,
    **options: Any,
) -> AsyncIterator[Office]:
    """Open a node; two on one folder are two workers of it, two on one Redis two nodes. `through` sees deliveries."""
    config = ChatConfig(**{**OPTIONS, **options})
    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(
            rig(
                folder,
                kind="chat",
                channel=CHANNEL,
                codec=ChatCodec(),
                redis_url=redis_url,
                broker_url=broker_url,
                when_down=when_down,
                lease=lease,
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        feeds = feeds_of(folder, redis_url)
        stack.push_async_callback(feeds.close)
        blobs = BlobStore(folder)
        context = make_context(
            it.channel,
            folder,
            http,
            store=it.dedup,
            blobs=blobs,
            feeds=ChannelFeeds(feeds, CHANNEL),
            link=media_link(blobs, PUBLIC_URL, time.time),
        )
        channel = ChatChannel(config, context)
        server = PublicServer(
            HttpSection(listen="127.0.0.1:0"), {}, {"/media/": media_mount(blobs)}, pages={CHANNEL: channel}
        )
        await server.start()
        stack.push_async_callback(server.close, 1.0)
        made = Office(it, channel, http, server)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(job) for job in (feeds.run(), watch(made), channel.run(through(it.intake)))]
        made.serving = tasks[-1]
        await made.until(lambda: channel.probe_port() is not None)
        try:
            yield made
        finally:
            server.stop_listening()
            for task in tasks:
                task.cancel()


async def watch(made: Office) -> None:
    """Keep all events of the broker."""
    async with made.rig.broker.watch("v1.#") as deliveries:
        async for delivery in deliveries:
            made.events.append(json.loads(delivery.body))
