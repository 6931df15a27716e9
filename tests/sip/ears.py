"""Speech to text that needs no model: it hears that somebody is loud, and what was loud is a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from connectors.speech import NoModel, RecordingJob, Speech, SpeechUnavailable
from normalizer.parts import Segment, Word

LOUD, QUIET_SECS = 1000, 0.3


class Ear:
    """A listener: every stretch of sound is an utterance, which is ended by a moment of silence."""

    def __init__(self, speech: Ears, speaker: str | None, channel: int | None, rate: int) -> None:
        self._speech, self._speaker, self._channel, self._rate = speech, speaker, channel, rate
        self._out: asyncio.Queue[Segment | Exception | None] = asyncio.Queue()
        self._at, self._start, self._quiet = 0.0, -1.0, 0.0
        self.missed_ms = 0

    def feed(self, pcm: bytes) -> None:
        secs = len(pcm) / 2 / self._rate
        samples = memoryview(pcm).cast("h")
        loud = max(samples) > LOUD
        if loud and self._start < 0:
            self._start = self._at
            self._put(stable=False)
        self._at += secs
        self._quiet = 0.0 if loud else self._quiet + secs
        if self._start >= 0 and self._quiet >= QUIET_SECS:
            self._put(stable=True)

    def _put(self, *, stable: bool) -> None:
        start, end = round(self._start * 1000), round(self._at * 1000)
        words = (Word(text="sound", start_ms=start, end_ms=end),) if stable else ()
        self._out.put_nowait(
            Segment(
                start_ms=start, end_ms=end, text="sound", speaker=self._speaker, channel=self._channel,
                words=words, stable=stable,
            )
        )  # fmt: skip
        if stable:
            self._start = -1.0

    async def __aiter__(self) -> AsyncIterator[Segment]:
        while (one := await self._out.get()) is not None:
            if isinstance(one, Exception):
                raise one
            yield one

    def finish(self) -> None:
        if self._start >= 0:
            self._put(stable=True)
        self._out.put_nowait(None)

    def close(self) -> None:
        self._out.put_nowait(None)
        self._speech.open.discard(self)

    def die(self) -> None:
        self._out.put_nowait(SpeechUnavailable("it died"))


class Ears(Speech):
    """Languages it has; `free` recognisers, and what was put off."""

    def __init__(self, languages: tuple[str, ...] = ("en",), free: int = 10) -> None:
        self._languages, self.free = languages, free
        self.open: set[Ear] = set()
        self.asked: list[str] = []
        self.jobs: list[RecordingJob] = []

    def listen(
        self,
        *,
        language: str,
        rate: int,
        phrases: tuple[str, ...] = (),
        speaker: str | None = None,
        channel: int | None = None,
    ) -> Ear:
        if language not in self._languages:
            raise NoModel(f"no model for {language}")
        if len(self.open) >= self.free:
            raise SpeechUnavailable("all are busy")
        self.asked.append(language)
        ear = Ear(self, speaker, channel, rate)
        self.open.add(ear)
        return ear

    async def later(self, job: RecordingJob) -> None:
        self.jobs.append(job)

    def whole(self, segments: Sequence[Segment], language: str) -> tuple[Segment, ...]:
        return tuple(segments)

    def problem(self, language: str) -> str | None:
        return None if language in self._languages else "none"
