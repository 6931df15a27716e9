"""The parts that all channels share, opened and closed as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import time  # noqa: TID251 -- the composition root, where the clock is injected
from typing import Any

import aiohttp
import structlog

from connectors.api import LinkMaker
from connectors.audio import Audio
from connectors.sealing import Seal
from connectors.speech import Deaf, Speech
from dedup.api import Deduplicator
from dedup.embedded import EmbeddedDeduplicator
from dedup.feeds import Feeds
from gateway.audio import GatewayAudio
from gateway.blob_keys import missing, remember, seal_of
from gateway.blobs import BlobStore
from gateway.broker.api import Broker
from gateway.broker.connect import make_broker
from gateway.drain import Drain
from gateway.feeds import make_feeds
from gateway.gate import Gate
from gateway.journal import Journal
from gateway.media_jobs import MediaJobs
from gateway.mediafetch import StoredHook, nobody
from gateway.pipeline import Pipeline
from gateway.quarantine import Quarantine
from gateway.retention import Retention
from gateway.settings.model import DedupSection, Settings
from gateway.speech_jobs import SpeechJobs
from gateway.spool import Spool
from gateway.web.media import media_link

log = structlog.get_logger(__name__)


class Core:
    """Shared resources of one process; made by `open_core`.

    Attributes:
        on_media_stored: told of every media item of a customer's that was stored, in the primary; set it before `run`.
        speech: speech to text for connectors; set it before channels start.
    """

    settings: Settings
    data_dir: Path
    dedup: Deduplicator
    feeds: Feeds
    broker: Broker
    spool: Spool
    quarantine: Quarantine
    journal: Journal
    seal: Seal | None
    blobs: BlobStore
    retention: Retention
    audio: Audio
    link: LinkMaker
    media: MediaJobs
    speech_jobs: SpeechJobs
    on_media_stored: StoredHook = staticmethod(nobody)
    speech: Speech = Deaf()
    http: aiohttp.ClientSession
    pipeline: Pipeline
    drain: Drain
    gate: Gate
    hub: dict[str, Any]
    clock: Callable[[], float] = staticmethod(time)


def make_dedup(section: DedupSection, data_dir: Path) -> Deduplicator:
    """Choose the dedup store by its URL."""
    if section.url == "embedded:":
        return EmbeddedDeduplicator(data_dir / "dedup.db")
    from dedup.redis import RedisDeduplicator  # noqa: PLC0415 -- a quarter of a second that `embedded:` can do without

    return RedisDeduplicator(section.url, timeout=section.timeout_secs)


def _open_stores(core: Core, stack: AsyncExitStack) -> None:
    """Open the blobs; where a key is missing, what it sealed is served as unreadable and all else works."""
    core.seal = seal_of(core.settings.gateway.blob_key)
    for name in missing(core.data_dir, core.seal):
        log.error("blob_key_missing", key=name, hint="add it to gateway.blob_key; omnigate check says more")
    remember(core.data_dir, core.seal)
    core.blobs = BlobStore(core.data_dir, seal=core.seal)
    core.retention = Retention(core.data_dir / "retention.db", core.blobs)
    core.retention.open()
    stack.callback(core.retention.close)
    core.audio = GatewayAudio()


@asynccontextmanager
async def open_core(settings: Settings, *, worker: int) -> AsyncIterator[Core]:
    """Open everything in `data_dir`, and the connections; raises `OSError` or `sqlite3.Error` when it cannot."""
    core = Core()
    core.settings, core.data_dir = settings, Path(settings.gateway.data_dir)
    core.data_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        core.spool = Spool(core.data_dir / "spool.db", max_bytes=settings.gateway.spool_max_bytes)
        core.spool.open()
        stack.callback(core.spool.close)
        core.quarantine = Quarantine(core.data_dir / "quarantine.db")
        core.quarantine.open()
        stack.callback(core.quarantine.close)
        core.journal = Journal(core.data_dir / "journal", worker=worker, keep_days=settings.gateway.journal_days)
        stack.callback(core.journal.close)
        _open_stores(core, stack)
        core.link = media_link(core.blobs, settings.http.public_url or f"http://{settings.http.listen}", core.clock)
        core.media = MediaJobs(core.data_dir / "media.db")
        core.media.open()
        stack.callback(core.media.close)
        core.speech_jobs = SpeechJobs(core.data_dir / "speech.db", wait_secs=settings.asr.wait_hours * 3600)
        core.speech_jobs.open()
        stack.callback(core.speech_jobs.close)
        core.dedup = make_dedup(settings.dedup, core.data_dir)
        await core.dedup.open()
        stack.push_async_callback(core.dedup.close)
        core.feeds = make_feeds(settings.dedup, core.data_dir)
        stack.push_async_callback(core.feeds.close)
        core.http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60), cookie_jar=aiohttp.DummyCookieJar())
        )
        core.broker = make_broker(settings.broker, core.data_dir, settings.gateway.node)
        stack.push_async_callback(core.broker.close)
        core.hub, core.gate = {}, Gate(settings.http.max_in_flight)
        core.pipeline = Pipeline(
            dedup=core.dedup,
            broker=core.broker,
            spool=core.spool,
            journal=core.journal,
            lease_secs=settings.dedup.lease_secs,
            clock=time,
            refuse_unchecked=settings.dedup.when_down == "refuse",
        )
        hold = settings.dedup.lease_secs
        core.drain = Drain(core.spool, core.broker, core.journal, hold_secs=hold, clock=time)
        yield core


async def settled(core: Core, deadline: float) -> bool:
    """Wait until nothing is under way, at most until `deadline` (loop time); tell whether that was reached."""
    loop = asyncio.get_running_loop()
    while not core.pipeline.idle or core.gate.taken:
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(0.01)
    return True
