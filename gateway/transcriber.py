"""The worker that transcribes what can wait: the jobs of `gateway.speech_jobs`, in the primary.

A job ends only after its event is durable; a transcript that could not be told yet is not made again. What a killed
gateway, recogniser or decoder leaves is done again from the beginning. Without a model, or while recognisers are
starting, a job waits, until its time is over (`[asr] wait_hours`); then, or when the file has no sound that can be
had, the failure is told in `metadata.error`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace

from asr.decoding import decode_apart
from asr.errors import Died, MissingModel, Unavailable, Unreadable
from asr.pool import Pool
from connectors.api import LinkMaker
from connectors.stores import PREFIX, Retention
from gateway import telemetry
from gateway.limits import Backoff
from gateway.speech_events import told
from gateway.speech_jobs import SpeechJob, SpeechJobs, Taken
from normalizer.model import ChannelRef
from normalizer.parts import Segment
from normalizer.raw import Event
from normalizer.speech import Style, whole

log = structlog.get_logger(__name__)

LOOK_SECS = 0.2
UNTOLD_SECS = 5.0
MODEL_SECS, MODEL_MOST_SECS = 2.0, 60.0
"""How soon a job that waits for a model, or for its channel, looks for it again: longer each time."""
DEATHS_MOST = 3
"""A file of which so many recognisers died is given up."""
BACKOFF = Backoff(base=1.0, cap=60.0)


class Store(Protocol):
    """Where the sound is."""

    async def as_file(self, ref: str) -> BinaryIO:
        """Open a blob as a file of the system that can seek; raises `KeyError`."""
        ...


class Target(Struct, frozen=True):
    """A channel whose sound is transcribed; `publish` tells an event, true once it is durable."""

    ref: ChannelRef
    publish: Callable[[Event], Awaitable[bool]]


class Tools(Struct, frozen=True, kw_only=True):
    """What the worker needs of the gateway.

    Attributes:
        target: finds a channel by its id; None while there is no such channel.
        retention: ends recordings that were made for their transcript alone.
        max_secs: longer sound is not transcribed.
    """

    pool: Pool
    style: Style
    blobs: Store
    link: LinkMaker
    retention: Retention
    target: Callable[[str], Target | None]
    max_secs: float
    clock: Callable[[], float] = time.time  # noqa: TID251 -- rows outlive the process


class Transcriber:
    """See the module."""

    def __init__(self, jobs: SpeechJobs, tools: Tools, *, backoff: Backoff = BACKOFF) -> None:
        """Work on `jobs`."""
        self._jobs, self._tools, self._backoff = jobs, tools, backoff
        self._keys: set[str] = set()
        self._shown: dict[str, str] = {}  # channel → kind
        self._due: float | None = None

    async def run(self) -> None:
        """Transcribe until cancelled; what is under way then is done again by the next process."""
        await self._jobs.release()
        self._keys.clear()
        self._show()
        self._due = self._jobs.next_due()
        async with asyncio.TaskGroup() as group:
            while True:
                if self._jobs.changed:
                    self._look()
                for taken in await self._take():
                    group.create_task(self._work(taken), name=f"speech:{taken.job.channel.id}")
                await asyncio.sleep(LOOK_SECS)

    def _look(self) -> None:
        self._due = self._jobs.next_due()
        self._show()

    async def _take(self) -> list[Taken]:
        room = max(1, len(self._tools.pool.workers)) - len(self._keys)
        if room <= 0 or self._due is None or self._due > self._tools.clock() or self._tools.pool.starting:
            return []
        taken = [one for one in await self._jobs.take(None, room) if one.key not in self._keys]
        self._keys.update(one.key for one in taken)
        self._due = self._jobs.next_due()
        return taken

    async def _work(self, taken: Taken) -> None:
        try:
            await self._try(taken)
        except Exception as exc:  # one job must not harm the others
            log.exception("speech_job_broke", channel=taken.job.channel.id, media=taken.job.media.id)
            await self._jobs.retry(taken, self._backoff.delay(taken.attempts), type(exc).__name__)
        finally:
            self._keys.discard(taken.key)
            self._look()

    async def _try(self, taken: Taken) -> None:
        job = taken.job
        target = self._tools.target(job.channel.id)
        if target is None:
            await self._jobs.retry(taken, _patience(taken), "no_channel")
            return
        language = job.language or next(iter(self._tools.pool.languages), "")
        if job.segments is None and job.error is None:
            ended = await self._transcribe(taken, language)
            if ended is None:
                return
            job = ended
        event = told(job, language, self._tools.link, self._tools.clock())
        if not await target.publish(event):
            await self._jobs.retry(taken, UNTOLD_SECS, "busy", job)
            return
        await self._finish(taken, job)

    async def _transcribe(self, taken: Taken, language: str) -> SpeechJob | None:
        """Return how the job ended, or None when it shall be tried again."""
        job = taken.job
        try:
            return replace(job, segments=await self._listen(job, language))
        except MissingModel as exc:
            return await self._wait(taken, exc.code, str(exc), _patience(taken))
        except Unreadable as exc:
            return failed(job, exc.code, str(exc))
        except KeyError:
            return failed(job, "gone", "the sound is not stored any more")
        except Died as exc:
            job = replace(job, deaths=job.deaths + 1)
            if job.deaths >= DEATHS_MOST:
                return failed(job, exc.code, f"{job.deaths} recognisers died of it")
            return await self._wait(taken, exc.code, str(exc), self._backoff.delay(job.deaths), job)
        except Unavailable as exc:
            return await self._wait(taken, exc.code, str(exc), self._backoff.delay(taken.attempts))

    async def _wait(
        self, taken: Taken, code: str, reason: str, delay: float, job: SpeechJob | None = None
    ) -> SpeechJob | None:
        left = taken.until - self._tools.clock()
        if left <= 0:
            return failed(taken.job, code, reason)
        log.info("speech_job_waits", channel=taken.job.channel.id, media=taken.job.media.id, code=code, reason=reason)
        await self._jobs.retry(taken, min(delay, left), code, job)
        return None

    async def _listen(self, job: SpeechJob, language: str) -> tuple[Segment, ...]:
        model = self._tools.pool.model(language)  # before a file is decoded for nothing
        with await self._tools.blobs.as_file(PREFIX + (job.media.sha256 or "")) as file:
            if job.recording is None:
                found = await self._voice(file, language, model.rate)
            else:
                found = []
                for channel, speaker in enumerate(job.recording.speakers):
                    heard = await self._voice(file, language, model.rate, channel, job.recording.phrases)
                    found += [_spoken(one, speaker, channel, job.recording.offset_ms) for one in heard]
                found.sort(key=lambda one: one.start_ms)
        return whole(found, language, self._tools.style)

    async def _voice(
        self, file: BinaryIO, language: str, rate: int, channel: int | None = None, phrases: tuple[str, ...] = ()
    ) -> list[Segment]:
        sound = decode_apart(file, rate, channel=channel, max_secs=self._tools.max_secs)
        async with aclosing(sound):
            return await self._tools.pool.transcribe(sound, language=language, rate=rate, phrases=phrases)

    async def _finish(self, taken: Taken, job: SpeechJob) -> None:
        name, kind = job.channel.id, job.channel.type
        if job.recording is not None and job.recording.passing:
            now = datetime.fromtimestamp(self._tools.clock(), UTC)
            with suppress(KeyError):  # it is gone
                await self._tools.retention(PREFIX + (job.media.sha256 or ""), now, name)
        if job.error is None:
            telemetry.TRANSCRIBED.labels(name, kind).inc()
            await self._jobs.finish(taken, "told")
            return
        code = job.error["code"]
        telemetry.TRANSCRIPTION_FAILED.labels(name, kind, code).inc()
        log.warning("transcription_failed", channel=name, media=job.media.id, code=code, reason=job.error["message"])
        await self._jobs.finish(taken, "failed", code)

    def _show(self) -> None:
        counts = self._jobs.open_jobs()
        for name in counts.keys() | self._shown.keys():
            target = self._tools.target(name)
            if target is not None:
                self._shown[name] = target.ref.type
            if name in self._shown:
                telemetry.TRANSCRIPTIONS_PENDING.labels(name, self._shown[name]).set(counts.get(name, 0))


def _patience(taken: Taken) -> float:
    return min(MODEL_MOST_SECS, MODEL_SECS * taken.attempts)


def failed(job: SpeechJob, code: str, reason: str) -> SpeechJob:
    """Give a job up."""
    return replace(job, segments=(), error={"code": code, "message": reason})


def _spoken(segment: Segment, speaker: str, channel: int, offset_ms: int) -> Segment:
    """Say whose voice it is, and count time as the call does."""
    words = [
        replace(word, start_ms=word.start_ms + offset_ms, end_ms=word.end_ms + offset_ms) for word in segment.words
    ]
    begin, end = segment.start_ms + offset_ms, segment.end_ms + offset_ms
    return replace(segment, speaker=speaker, channel=channel, start_ms=begin, end_ms=end, words=tuple(words))
