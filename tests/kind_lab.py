"""One webhook kind between its provider's two sides: signed deliveries in, API calls out, nodes that share a store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from connectors import registry
from connectors.api import ChannelConfig, Delivery, HttpConnector, Receipt, Reply, Sink
from dedup.api import Deduplicator
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.simulate import registry as simulators
from gateway.simulate.api import Item, Request, Simulator
from normalizer import parts as p
from normalizer.model import Address, ChannelRef
from normalizer.parts import AnyPart, Media
from normalizer.raw import Event, Outbound, RawEvent
from tests.contexts import make_context

JPEG = b"\xff\xd8\xff\xe0 a picture of the tests"


def kind_of(options: ChannelConfig) -> str:
    return next(kind for kind, spec in registry.load().items() if spec.config is type(options))


def connector(
    options: ChannelConfig,
    folder: Path,
    http: aiohttp.ClientSession,
    store: Deduplicator | None = None,
    *,
    clock: Callable[[], float] | None = None,
    **changes: Any,
) -> Any:
    """Build the connector of `options`; `changes` are to its context. Its channel is ``shop-<kind>``."""
    kind = kind_of(options)
    context = make_context(ChannelRef(id=f"shop-{kind}", type=kind), folder, http, store=store, **changes)
    more: dict[str, Any] = {} if clock is None else {"clock": clock}
    return registry.load()[kind].build(options, context, **more)


class Lab:
    """A store that nodes share, a cloud, and nodes.

    Attributes:
        reports: what nodes told of their parts: (component, whether it is well).
    """

    def __init__(self, options: ChannelConfig, scheme: str, store: Any, http: Any, cloud: Any, folder: Path) -> None:
        self.kind = kind_of(options)
        self.channel = ChannelRef(id=f"shop-{self.kind}", type=self.kind)
        self.options, self.scheme, self.store, self.http, self.cloud, self.folder = (
            options,
            scheme,
            store,
            http,
            cloud,
            folder,
        )
        self.reports: list[Any] = []

    def node(
        self, clock: Callable[[], float] | None = None, *, store: Deduplicator | None = None, **changes: Any
    ) -> Any:
        """Build the connector once more, with another store, or other options where `changes` says so."""
        host = URL(self.cloud.url).host or ""
        bases = {name: self.cloud.url + path for name, path in type(self.cloud).base.items()}
        options = msgspec.structs.replace(self.options, **{"media_hosts": (host,), **bases, **changes})
        return connector(options, self.folder, self.http, store or self.store, clock=clock, report=self.report)

    def report(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        self.reports.append((component, reason is None))

    def simulator(self, **changes: Any) -> Simulator[Any]:
        options = msgspec.structs.replace(self.options, **changes) if changes else self.options
        return simulators.simulator_of(self.kind)(options, url="https://gw.example/c/shop")

    def item(self, content: str = "text", number: int = 1, **fields: Any) -> Item:
        return Item(number=number, content=content, **{"at": time.time(), **fields})

    def signed(self, *items: Item, now: float | None = None) -> Request:
        simulator = self.simulator()
        return simulator.sign(simulator.delivery(items or (self.item(),)), now or time.time())

    def message(self, *content: AnyPart, to: str = "ada", **fields: Any) -> Outbound:
        address = Address(scheme=self.scheme, value=to)
        parts = content or (p.Text(body="hi"),)
        return Outbound(**{"id": "msg_1", "channel": self.channel, "to": address, "parts": parts, **fields})

    async def picture(self, data: bytes = JPEG, **fields: Any) -> Media:
        """Keep a blob, and return what the core would name it by."""
        ref = await BlobStore(self.folder).put(data)
        return Media(
            **{"id": "m", "status": "stored", "sha256": ref.removeprefix("sha256:"), "mime": "image/jpeg", **fields}
        )

    def sent(self, name: str = "send") -> list[dict[str, Any]]:
        return [call.json() for call in self.cloud.named(name)]


async def post(channel: HttpConnector, request: Request) -> Reply:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await channel.handle(
        Delivery(method=request.method, path="", url="", query=request.query, headers=headers, body=request.body)
    )


def events(channel: Any, taken: list[RawEvent]) -> list[Event]:
    return [one for raw in taken for one in channel.codec.decode(raw) if isinstance(one, Event)]


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(channel: Any, sink: Sink | None = None) -> AsyncIterator[list[RawEvent]]:
    """Run a connector with a sink that keeps what it is given."""
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


@asynccontextmanager
async def open_lab(
    options: ChannelConfig,
    scheme: str,
    folder: Path,
    made: type[Lab] = Lab,
) -> AsyncIterator[Any]:
    store = EmbeddedDeduplicator(folder / "dedup.db")
    await store.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        lab = made(options, scheme, store, http, None, folder)
        lab.cloud = await stack.enter_async_context(simulators.cloud(lab.kind, options))
        yield lab
