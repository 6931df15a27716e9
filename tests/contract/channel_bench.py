"""Channels of any kind on a bench: built as the gateway builds them, with a log that can be read."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from connectors import registry
from connectors.api import ChannelConfig, Connector, Delivery, HttpConnector, QuickConnector, Receipt, Reply
from connectors.errors import Busy
from dedup.api import Deduplicator
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from gateway.simulate import registry as simulators
from gateway.simulate.api import Item, Request, Simulator, raw_post
from gateway.simulate.cloud import Cloud
from normalizer.raw import RawEvent
from tests.contexts import PUBLIC_URL, make_context
from tests.contract import channel_fixtures as fixtures

SPECS = registry.load()
KINDS = sorted(SPECS)
HTTP_KINDS = [kind for kind in KINDS if hasattr(SPECS[kind].build, "handle")]
SIMULATED = [kind for kind in HTTP_KINDS if kind in simulators.kinds()]
BLOB = b"\xff\xd8\xff\xe0 the picture of the fixtures"
SORTS = ("in", "bad", "send")
FOUND = {sort: list(fixtures.files(sort)) for sort in SORTS}


def every(sort: str, kinds: list[str] | None = None) -> pytest.MarkDecorator:
    """Run a test for each fixture of a sort, of all kinds or of those named."""
    found = [one for one in FOUND[sort] if one[0] in (KINDS if kinds is None else kinds)]
    return pytest.mark.parametrize(("kind", "path"), found, ids=[f"{k}-{p.name.partition('.')[0]}" for k, p in found])


class Bench:
    """Builds channels with real options and a real HTTP client.

    Attributes:
        lines: what was logged.
        told: what outsiders were answered, and what errors said.
    """

    def __init__(
        self, http: aiohttp.ClientSession, store: Deduplicator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.http, self.store, self.tmp_path, self.monkeypatch = http, store, tmp_path, monkeypatch
        self.lines = io.StringIO()
        self.told: list[object] = []
        self.log = structlog.wrap_logger(
            structlog.PrintLogger(self.lines),
            processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    def options(self, kind: str, **changes: Any) -> ChannelConfig:
        if "passive_secs" in SPECS[kind].config.__struct_fields__:
            changes = {"passive_secs": 0, **changes}  # nobody replies here, do not wait for it
        return fixtures.build_options(kind, self.tmp_path, self.monkeypatch, **changes)

    def connector(self, kind: str, **changes: Any) -> Connector:
        context = make_context(fixtures.reference(kind), self.tmp_path, self.http, store=self.store, log=self.log)
        return SPECS[kind].build(self.options(kind, **changes), context)

    def webhook(self, kind: str, **changes: Any) -> HttpConnector:
        connector = self.connector(kind, **changes)
        assert isinstance(connector, HttpConnector)
        return connector

    def simulator(self, kind: str, *, forged: bool = False) -> Simulator[Any]:
        """Play the provider; `forged` is somebody who knows everything but the secrets."""
        made = fixtures.folder(kind)
        secrets, extra = made.secrets, made.simulator
        if forged:
            secrets, extra = turned(secrets), turned(extra)
        options = self.options(kind, secrets=secrets)
        return simulators.simulator_of(kind)(options, url=f"{PUBLIC_URL}/c/{channel_of(kind)}", extra=extra)

    async def handle(self, kind: str, connector: HttpConnector, request: Request) -> Reply:
        reply = await answered(connector, as_delivery(channel_of(kind), request))
        self.told += [reply.status, reply.body, reply.headers]
        return reply

    def payload(self, kind: str, path: Path) -> Request:
        """Read an ``.in`` fixture as the delivery it is."""
        return raw_post(path.read_bytes(), fixtures.content_type(kind, path))

    def signed(self, kind: str) -> tuple[Request, bytes]:
        """Make a delivery that must be accepted, and what must be handed over: by `[signed]`, else by the simulator."""
        made = fixtures.folder(kind)
        if made.signed is not None:
            folder = fixtures.ROOT / kind
            request = self.payload(kind, folder / made.signed.file)
            handed = (folder / made.signed.payload).read_bytes() if made.signed.payload else request.body
            return request.adding(headers=made.signed.headers, query=made.signed.query), handed
        assert kind in SIMULATED, "a kind with webhooks needs [signed] in channel.toml, or a simulator"
        simulator = self.simulator(kind)
        request = simulator.delivery([Item(number=1, at=time.time())])
        return simulator.sign(request, time.time()), request.body

    async def store_media(self) -> None:
        """Keep the blob that ``.send`` fixtures may name: ``status = "stored"`` and `sha256` of `BLOB`."""
        assert await BlobStore(self.tmp_path).put(BLOB) == f"sha256:{hashlib.sha256(BLOB).hexdigest()}"

    def secrets_that_show(self, kind: str, *more: object) -> list[str]:
        text = " ".join(map(str, [*self.told, *more])) + self.lines.getvalue()
        return [secret for secret in fixtures.folder(kind).secrets.values() if secret in text]


def bases_of(kind: str) -> dict[str, str]:
    """Name the options that say where the provider is, each with the path behind the address of its cloud side."""
    made = simulators.cloud_of(kind) if kind in SIMULATED else None
    return dict((made or Cloud).base)


def channel_of(kind: str) -> str:
    return fixtures.reference(kind).id


def turned(secrets: dict[str, str]) -> dict[str, str]:
    """Change every secret and keep its shape: hexadecimal digits stay such, letters letters."""
    rows = ("0123456789", "abcdef", "ghijklmnopqrstuvwxyz", "ABCDEF", "GHIJKLMNOPQRSTUVWXYZ")
    table = str.maketrans("".join(rows), "".join(row[1:] + row[0] for row in rows))
    return {name: value.translate(table) for name, value in secrets.items()}


def as_delivery(channel: str, request: Request) -> Delivery:
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    return Delivery(
        method=request.method,
        path=request.path.removeprefix("/"),
        url=f"/c/{channel}{request.path}" + (f"?{query}" if query else ""),
        query=request.query,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body,
    )


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    store = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await store.open()
    async with aiohttp.ClientSession() as http:
        yield Bench(http, store, tmp_path, monkeypatch)
    await store.close()


@pytest.fixture
async def dry_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A bench for codecs, which remember nothing: its store stays closed, as opening takes longer than their tests."""
    async with aiohttp.ClientSession() as http:
        yield Bench(http, EmbeddedDeduplicator(tmp_path / "dedup.db"), tmp_path, monkeypatch)


@asynccontextmanager
async def running(connector: Connector, error: Exception | None = None) -> AsyncIterator[list[RawEvent]]:
    """Run a connector with a sink that keeps what it is given, or fails with `error`."""
    sink = Keeper(error)
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(connector.run(sink))
        await asyncio.sleep(0.01)
        yield sink.taken
        task.cancel()


class Keeper:
    """A sink that keeps what it is given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.taken, self.error = list[RawEvent](), error

    async def __call__(self, raw: RawEvent) -> Receipt:
        if self.error is not None:
            raise self.error
        self.taken.append(raw)
        return Receipt.ACCEPTED

    def offer(self, raw: RawEvent, ended: Callable[[Receipt | Busy], None]) -> Awaitable[Receipt] | None:
        if self.error is not None:
            raise self.error
        self.taken.append(raw)
        asyncio.get_running_loop().call_soon(ended, Receipt.ACCEPTED)
        return None


async def answered(connector: HttpConnector, delivery: Delivery) -> Reply:
    """Deliver as the public port does: without a task, where the kind can do without."""
    if not isinstance(connector, QuickConnector):
        return await connector.handle(delivery)
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    return await (connector.begin(delivery, reply.set_result) or reply)
