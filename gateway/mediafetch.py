"""The worker that fetches what customers sent, before the provider forgets it.

It takes the jobs of `gateway.media_jobs`, at most `PER_CHANNEL` of a channel at once, and tells how each ended:
`media.stored`, or `media.failed` when the provider refuses, the item is not wanted, or its time is over. A job ends
only after its event is durable; what was fetched but could not be told yet is not fetched again. One process of a node
runs it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import structlog
from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Blobs, ChannelConfig, LinkMaker, MediaSource
from connectors.errors import Deferred, Misconfigured, Throttled
from gateway import telemetry
from gateway.limits import Backoff
from gateway.media_events import failed, stored
from gateway.media_jobs import Job, MediaJobs, Taken
from gateway.media_store import fetch
from normalizer.errors import OmniError
from normalizer.model import ChannelRef, MediaParams
from normalizer.raw import Event

log = structlog.get_logger(__name__)

PER_CHANNEL = 4
AT_ONCE = 16
"""Of all channels; with `media_max_bytes` it bounds the memory."""
LOOK_SECS = 0.1  # how often the file is looked at; other workers write to it
REST_SECS = 0.2  # between two tries at least
RETRY = Backoff(base=2.0, cap=300.0)
UNTOLD_SECS = 5.0
"""Until the next try to publish what the pipeline did not take."""

StoredHook = Callable[[MediaParams], Awaitable[None]]
"""Told of a media item that was stored, at least once, after `media.stored` is durable.

What it raises is logged, and it is told again. Here transcription comes in: write a durable job and return.
"""


class Source(Struct, frozen=True, kw_only=True):
    """A running channel whose media can be fetched.

    Attributes:
        publish: tells an event about the channel; true once it is durable.
    """

    ref: ChannelRef
    options: ChannelConfig
    connector: MediaSource
    publish: Callable[[Event], Awaitable[bool]]


async def nobody(_: MediaParams) -> None:
    """Need not know."""


class MediaFetcher:
    """See the module."""

    def __init__(
        self,
        jobs: MediaJobs,
        sources: Callable[[], Iterable[Source]],
        blobs: Blobs,
        link: LinkMaker,
        *,
        on_stored: StoredHook = nobody,
        backoff: Backoff = RETRY,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- providers set an end as a time of day
    ) -> None:
        """Fetch for the channels that `sources` names at the moment."""
        self._jobs, self._sources, self._blobs, self._link = jobs, sources, blobs, link
        self._on_stored, self._backoff, self._clock = on_stored, backoff, clock
        self._working: Counter[str] = Counter()  # channel → fetches under way
        self._keys: set[str] = set()
        self._resting: dict[str, float] = {}  # channel → until when its provider wants to be left alone
        self._due: dict[str, float | None] = {}  # channel → when to look for its jobs again
        self._shown: dict[str, ChannelRef] = {}

    async def run(self) -> None:
        """Fetch until cancelled; what is under way then is done again by the next process."""
        await self._jobs.release()
        self._working.clear()
        self._keys.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                if self._jobs.changed:
                    self._due.clear()
                    self._show()
                for source in self._sources():
                    for taken in await self._take(source):
                        group.create_task(self._work(taken, source), name=f"media:{source.ref.id}")
                await asyncio.sleep(LOOK_SECS)

    async def _take(self, source: Source) -> list[Taken]:
        name, now = source.ref.id, self._clock()
        room = min(PER_CHANNEL - self._working[name], AT_ONCE - self._working.total())
        if room <= 0 or now < self._resting.get(name, 0.0):
            return []
        if name not in self._due:
            self._due[name] = self._jobs.next_due(name)
        due = self._due[name]
        if due is None or due > now:
            return []
        del self._due[name]
        taken = [one for one in await self._jobs.take(name, room) if one.key not in self._keys]
        self._working[name] += len(taken)
        self._keys.update(one.key for one in taken)
        return taken

    async def _work(self, taken: Taken, source: Source) -> None:
        try:
            await self._try(taken, source)
        except Exception as exc:  # one job must not harm the others
            log.exception("media_job_broke", channel=source.ref.id, media=taken.job.media.id)
            await self._again(taken, source, type(exc).__name__, UNTOLD_SECS)
        finally:
            self._working[source.ref.id] -= 1
            self._keys.discard(taken.key)
            self._due.pop(source.ref.id, None)

    async def _try(self, taken: Taken, source: Source) -> None:
        job = taken.job
        if job.media.status == "pending":
            ended = await self._fetch(taken, source)
            if ended is None:
                return
            job = ended
        event = stored(job, self._link, self._clock()) if job.error is None else failed(job, self._clock())
        if not await source.publish(event):
            await self._jobs.retry(taken, UNTOLD_SECS, "busy", job)
            return
        if job.error is None and isinstance(event.params, MediaParams):
            try:
                await self._on_stored(event.params)
            except Exception:
                log.exception("media_hook_failed", channel=source.ref.id, media=job.media.id)
                await self._jobs.retry(taken, self._backoff.delay(taken.attempts), "hook", job)
                return
        await self._finish(taken, job, source)

    async def _fetch(self, taken: Taken, source: Source) -> Job | None:
        """Return how the job ended, or None when it shall be tried again."""
        job, options = taken.job, source.options
        try:
            async with asyncio.timeout(options.media_timeout_secs):
                media = await fetch(source.connector, job.media, options, self._blobs)
        except OmniError as exc:
            error: Exception = exc
            final = not (exc.retryable or isinstance(exc, Misconfigured))  # credentials may be mended in time
        except Exception as exc:  # noqa: BLE001 -- a time-out, or a fault of a connector's
            error, final = exc, False
        else:
            return replace(job, media=media)
        code = error.code if isinstance(error, OmniError) else type(error).__name__.lower()
        if final or self._clock() >= taken.until:
            return failure(taken, error, code, self._clock())
        await self._later(taken, source, error, code)
        return None

    async def _later(self, taken: Taken, source: Source, error: Exception, code: str) -> None:
        delay = max(REST_SECS, self._backoff.delay(taken.attempts))
        if isinstance(error, Throttled | Deferred):
            delay = max(delay, error.retry_after or 0.0)
        if isinstance(error, Throttled):
            self._resting[source.ref.id] = self._clock() + delay
        left = max(taken.until - self._clock(), 0.0)  # the last try is at the end, not after it
        await self._again(taken, source, code, min(delay, left))

    async def _again(self, taken: Taken, source: Source, code: str, delay: float) -> None:
        telemetry.MEDIA_RETRIES.labels(source.ref.id, source.ref.type, code).inc()
        log.info("media_retried", channel=source.ref.id, media=taken.job.media.id, code=code, tries=taken.attempts)
        await self._jobs.retry(taken, delay, code)

    async def _finish(self, taken: Taken, job: Job, source: Source) -> None:
        name, kind = source.ref.id, source.ref.type
        if job.error is None:
            telemetry.MEDIA_STORED.labels(name, kind).inc()
            await self._jobs.finish(taken, "stored")
            return
        code = job.error["code"]
        telemetry.MEDIA_FAILED.labels(name, kind, code).inc()
        log.warning("media_failed", channel=name, media=job.media.id, code=code, tries=taken.attempts)
        await self._jobs.finish(taken, "failed", code)

    def _show(self) -> None:
        counts = self._jobs.open_jobs()
        self._shown |= {source.ref.id: source.ref for source in self._sources()}
        for name, ref in self._shown.items():
            telemetry.MEDIA_PENDING.labels(name, ref.type).set(counts.get(name, 0))


def failure(taken: Taken, error: Exception, code: str, now: float) -> Job:
    """Give a job up."""
    job, media = taken.job, taken.job.media
    gone = getattr(error, "provider_code", None) in {"404", "410"}
    over = media.expires_at is not None and media.expires_at.timestamp() <= now
    status = "too_large" if code == "too_large" else "expired" if gone or over else "failed"
    told = {"code": code, "message": str(error) or code, "attempts": str(taken.attempts)}
    return replace(job, media=replace(media, status=status), error=told)
