"""A workbench for the sending side: a real broker, a real dedup store, and a provider that answers as it is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from connectors.api import Capabilities, ChannelConfig, Fetched, Sent, Sink
from connectors.http import call, refusal
from dedup.embedded import EmbeddedDeduplicator
from gateway.broker.api import Broker, BrokerUnavailable, Consumer, Delivery, Publication
from gateway.broker.embedded import EmbeddedBroker
from gateway.broker.topology import command_key
from gateway.envelope import publication
from gateway.limits import Backoff
from gateway.outbound import Extras, Outbound
from gateway.settings.model import BrokerSection, Channel
from gateway.telemetry import Meters
from normalizer.codecs.api import Codec
from normalizer.errors import Unsendable
from normalizer.methods import Params
from normalizer.model import ChannelRef
from normalizer.parts import Media, Text
from normalizer.raw import Event
from normalizer.raw import Outbound as Message

CHANNEL = "shop"
DEAD_QUEUE = "gw.dead.send"
KIND = "testchat"
CAPABILITIES = Capabilities(
    parts=("text", "location"), requests=("message.edit", "typing.send"), receives=("message.received",)
)


class Provider:
    """An HTTP server that notes what it gets and answers from a script, else 200."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.script: deque[dict[str, Any]] = deque()
        self.by_recipient: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self.at_once = self.most_at_once = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Take one message."""
        body = await request.json()
        self.got.append(body)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self.hold.wait()
            await asyncio.sleep(body.get("delay", 0))
        finally:
            self.at_once -= 1
        if self.by_recipient[body["to"]]:
            return web.Response(**self.by_recipient[body["to"]].popleft())
        if self.script:
            return web.Response(**self.script.popleft())
        return web.json_response({"id": f"p{len(self.got)}"})

    @property
    def texts(self) -> list[str]:
        """What was said, in order."""
        return [body["text"] for body in self.got]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Provider]:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_post("/send", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/send"
        try:
            yield self
        finally:
            self.hold.set()
            await runner.cleanup()


class Connector:
    """Speaks to `Provider`; knows text and (it says) locations, which it then cannot express."""

    codec: Codec

    def __init__(self, http: aiohttp.ClientSession, provider: Provider, ref: ChannelRef) -> None:
        self._http, self._provider, self._ref = http, provider, ref
        self.fault: Exception | None = None

    async def run(self, sink: Sink) -> None:
        await asyncio.Event().wait()

    async def send(self, message: Message) -> Sent:
        if self.fault is not None:
            raise self.fault
        if not all(isinstance(part, Text) for part in message.parts):
            raise Unsendable("location", ("text",))
        answer = await self._post({"to": message.to.value, "text": message.text, "id": message.id})
        return Sent((answer["id"],))

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        to = getattr(params, "to", None)
        await self._post({"to": to.value if to else "", "text": method})
        return {"done": True}

    async def probe(self) -> dict[str, Any]:
        return await self._post({"to": "", "text": "probe"})

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        return Fetched(data=(media.provider_id or "").encode())

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        url, data = self._provider.url, msgspec.json.encode(body)
        answer = await call(
            self._http, "POST", url, headers={"Content-Type": "application/json"}, body=data, timeout=5.0
        )
        error = refusal(answer)
        if error is not None:
            raise error
        found: dict[str, Any] = msgspec.json.decode(answer.body)
        return found


class Teller:
    """Publishes events about the channel on the broker."""

    def __init__(self, broker: Broker, ref: ChannelRef) -> None:
        self._broker, self.ref, self.meters = broker, ref, Meters(ref.id, ref.type)

    def tell(self, event: Event) -> None:
        item = publication(event, seq=0, redelivery=0, unchecked=False, timestamp=0)
        self._broker.submit([item], lambda *_: None)


class Lab:
    """Everything around one channel; `start` and `stop` the sending side at will."""

    def __init__(self, broker: Broker, dedup: EmbeddedDeduplicator, provider: Provider, http: aiohttp.ClientSession):
        self.broker, self.dedup, self.provider = broker, dedup, provider
        self.ref = ChannelRef(id=CHANNEL, type=KIND)
        self.connector = Connector(http, provider, self.ref)
        self.events: list[dict[str, Any]] = []
        self.outbound: Outbound
        self.options = ChannelConfig(send_timeout_secs=5.0, max_sends=4, send_attempts=3)
        self.extras = Extras(
            backoff=Backoff(base=0.02, cap=0.05), breaker_secs=0.2, breaker_threshold=50, drain_secs=3.0
        )
        self._group: asyncio.TaskGroup
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self.outbound = Outbound(
            channel=Channel(id=CHANNEL, kind=KIND, options=self.options),
            connector=self.connector,
            broker=self.broker,
            dedup=self.dedup,
            intake=Teller(self.broker, self.ref),
            capabilities=CAPABILITIES,
            extras=self.extras,
        )
        self._task = self._group.create_task(self.outbound.run())

    def run(self, service: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside, until the lab closes."""
        return self._group.create_task(service)

    async def stop(self) -> None:
        """Stop sending, as a reload or a shutdown does."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def call(self, method: str = "message.send", timeout: float = 10.0, **params: Any) -> dict[str, Any]:
        """Ask and wait for the answer."""
        params = {"channel": CHANNEL, **params}
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        answer = await self.broker.call(command_key(method, CHANNEL), body, method=method, timeout=timeout)
        decoded: dict[str, Any] = msgspec.json.decode(answer)
        assert decoded["id"] == 7
        return decoded

    async def tell(self, method: str = "message.send", message_id: str = "", body: bytes = b"", **params: Any) -> None:
        """Ask without wanting an answer."""
        params = {"channel": CHANNEL, **params}
        item = Publication(
            exchange="gw.commands",
            routing_key=command_key(method, CHANNEL),
            body=body or msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params}),
            message_id=message_id or f"m{len(self.events)}-{params}",
            method=method,
            timestamp=0,
            headers={},
        )
        assert (await self.broker.publish(item)).value == "confirmed"

    def statuses(self, method: str = "message.status") -> list[str]:
        """Return the `status` of the events seen so far."""
        return [event["params"]["status"] for event in self.events if event["method"] == method]

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    async def take(self, queue: str) -> Delivery:
        """Take one message out of a queue."""
        async with asyncio.timeout(10), self.broker.consume(queue, prefetch=1) as consumer:
            return await self._first(consumer)

    async def empty(self, queue: str) -> bool:
        """Tell whether nothing comes out of a queue."""
        try:
            async with asyncio.timeout(0.3), self.broker.consume(queue, prefetch=1) as consumer:
                await self._first(consumer)
        except TimeoutError:
            return True
        return False

    @staticmethod
    async def _first(consumer: Consumer) -> Delivery:
        async for delivery in consumer:
            await consumer.ack(delivery)
            return delivery
        raise AssertionError("the consumer ended")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Lab]:
        """Run the broker and note every event, until the context is left."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            broker = group.create_task(self.broker.run())
            assert await self.broker.wait_ready(20.0)
            await self.broker.declare_channel(CHANNEL)
            noting = asyncio.Event()
            watch = group.create_task(self._note(noting))
            await noting.wait()
            try:
                yield self
            finally:
                await self.stop()
                watch.cancel()
                await asyncio.wait([watch])
                await self.broker.close()
                broker.cancel()

    async def _note(self, noting: asyncio.Event) -> None:
        while True:
            try:
                async with self.broker.watch("v1.#") as events:
                    noting.set()
                    async for event in events:
                        self.events.append(msgspec.json.decode(event.body))
            except BrokerUnavailable:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_lab(tmp_path: Path, broker: Broker | None = None) -> AsyncIterator[Lab]:
    """Build a `Lab` on an embedded broker, or on another one."""
    broker = broker or EmbeddedBroker(BrokerSection(), data_dir=tmp_path, node="lab")
    dedup = EmbeddedDeduplicator(tmp_path / "dedup.db")
    async with AsyncExitStack() as stack:
        await dedup.open()
        stack.push_async_callback(dedup.close)
        provider = await stack.enter_async_context(Provider().serve())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield await stack.enter_async_context(Lab(broker, dedup, provider, http).running())
