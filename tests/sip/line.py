"""A SIP channel at work in the test's loop: real child processes, and everything it tells kept."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from connectors.api import Receipt
from connectors.audio import Audio, AudioError, Format
from connectors.sip.channel import SipChannel
from connectors.sip.config import SipConfig
from connectors.speech import Deaf, Speech
from dedup.embedded import EmbeddedDeduplicator
from gateway.blobs import BlobStore
from normalizer import rpc
from normalizer.methods import REQUESTS
from normalizer.model import ChannelRef
from normalizer.raw import Event, RawEvent
from tests.contexts import make_context
from tests.servers.process import free_port, rtp_ports

PATIENCE_SECS = 40.0


class Waves(Audio):
    """Reads WAV files of 8 kHz, one channel and 16 bits, and nothing else."""

    async def decode(self, source: Path | bytes, *, rate: int, max_secs: float) -> bytes:
        if isinstance(source, bytes):
            raise AudioError("not here")
        with wave.open(str(source), "rb") as file:
            return file.readframes(file.getnframes())

    def export(
        self, pcm: AsyncIterable[bytes], *, rate: int, channels: int, kind: Format
    ) -> AsyncGenerator[bytes, None]:
        raise AudioError("not here")


class Line:
    """What a channel told, and a way to ask it something.

    Attributes:
        events: what was told, as data: `method` and the params.
        hints: partial transcripts, likewise.
        reports: component → what is wrong, or None.
        refusals: code → how many.
        failing: what the sink raises, if anything.
    """

    def __init__(self, folder: Path, channel: str = "line") -> None:
        self.folder, self.channel = folder, channel
        self.port = free_port()
        self.events: list[dict[str, Any]] = []
        self.hints: list[dict[str, Any]] = []
        self.reports: dict[str, str | None] = {}
        self.refusals: dict[str, int] = {}
        self.failing: Exception | None = None
        self.connector: SipChannel
        self._known: set[str] = set()
        self._news = asyncio.Event()

    async def sink(self, raw: RawEvent) -> Receipt:
        if self.failing is not None:
            raise self.failing
        assert raw.noted, "the journal forgets it afterwards, so the receipt has to wait for the commit"
        (event,) = self.connector.codec.decode(raw)
        assert isinstance(event, Event)
        fresh = await self.publish(event)
        return Receipt.ACCEPTED if fresh else Receipt.DUPLICATE

    async def publish(self, event: Event) -> bool:
        if event.key not in self._known:
            self._known.add(event.key)
            self.events.append(_data(event))
            self._news.set()
        return True

    def hint(self, event: Event) -> None:
        self.hints.append(_data(event))
        self._news.set()

    def report(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        self.reports[component] = reason
        self._news.set()

    def refused(self, code: str) -> None:
        self.refusals[code] = self.refusals.get(code, 0) + 1
        self._news.set()

    def told(self, method: str, **fields: Any) -> list[dict[str, Any]]:
        """Return what was told by this method, with these fields."""
        return [
            one
            for one in self.events
            if one["method"] == method and all(one.get(name) == value for name, value in fields.items())
        ]

    async def until(self, method: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until it was told `count` times; returns the last."""
        await self.wait(lambda: len(self.told(method, **fields)) >= count, f"{count} {method} {fields}")
        return self.told(method, **fields)[count - 1]

    async def wait(self, condition: Any, what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECS):
                while not condition():
                    self._news.clear()
                    try:
                        async with asyncio.timeout(0.05):
                            await self._news.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            raise AssertionError(f"no {what}; told: {[one['method'] for one in self.events]}") from None

    async def ask(self, method: str, /, **params: Any) -> dict[str, Any]:
        """Ask as a core does; raises `RpcError` or `SendError`."""
        made = rpc.parse_params(msgspec.Raw(msgspec.json.encode({"channel": self.channel, **params})), REQUESTS[method])
        return await self.connector.perform(method, made)

    def pids(self) -> list[int]:
        """Return the process ids of its child processes."""
        assert self.connector._pool is not None
        return [one.ready["pid"] for one in self.connector._pool if one.up]

    def up(self) -> bool:
        pool = self.connector._pool
        return pool is not None and len(pool.processes) > 0 and all(one.up for one in pool)

    @property
    def ports(self) -> list[int]:
        """Where its child processes listen, by UDP or TCP."""
        assert self.connector._pool is not None
        return [next(iter(one.ports.values())) for one in self.connector._pool]


def _data(event: Event) -> dict[str, Any]:
    return {**msgspec.json.decode(msgspec.json.encode(event.params)), "method": event.method}


@asynccontextmanager
async def running(
    folder: Path,
    *,
    speech: Speech | None = None,
    processes: int = 1,
    line: Line | None = None,
    primary: bool = True,
    **options: Any,
) -> AsyncIterator[Line]:
    """Run a channel with `options`; `line` continues with what an earlier one knew (its folder is the same)."""
    line = line or Line(folder)
    usual = {"listen": f"127.0.0.1:{line.port}", "rtp_ports": list(rtp_ports(800))}
    config = msgspec.convert({**usual, **options}, SipConfig)
    folder.mkdir(exist_ok=True)
    store = EmbeddedDeduplicator(folder / "dedup.db")
    await store.open()
    try:
        async with aiohttp.ClientSession() as http:
            context = make_context(
                ChannelRef(id=line.channel, type="sip"),
                folder,
                http,
                store=store,
                blobs=BlobStore(folder),
                report=line.report,
                refused=line.refused,
                publish=line.publish,
                hint=line.hint,
                speech=speech or Deaf(),
                primary=primary,
                audio=Waves(),
            )
            line.connector = SipChannel(config, context, now=lambda: datetime.now(UTC))
            async with asyncio.TaskGroup() as group:
                task = group.create_task(line.connector.run(line.sink))
                await line.wait(
                    lambda: task.done() or not processes or (line.up() and len(line.pids()) == processes),
                    "telephony process",
                )
                if task.done():
                    await task
                try:
                    yield line
                finally:
                    task.cancel()
    finally:
        await store.close()
