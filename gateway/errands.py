"""What a delivery leaves to be done after it is durable: media to fetch, voice notes to transcribe."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from connectors.api import ChannelConfig
from gateway.media_jobs import Job, MediaJobs, pending
from gateway.speech_jobs import SpeechJob, SpeechJobs, of_events
from normalizer.raw import Event


class Found(Struct, frozen=True):
    """The jobs of one delivery; nearly always none."""

    media: list[Job]
    notes: list[SpeechJob]

    def __bool__(self) -> bool:
        return bool(self.media or self.notes)


NOTHING = Found([], [])


class Errands:
    """The jobs of one channel."""

    def __init__(self, media: MediaJobs | None, speech: SpeechJobs | None, config: ChannelConfig) -> None:
        """Keep them there; None does without."""
        self._media, self._speech, self._config = media, speech, config

    def of(self, events: Iterable[Event]) -> Found:
        """List what these events leave to be done."""
        media = pending(events) if self._media is not None else NOTHING.media
        notes = of_events(events, self._config) if self._speech is not None else NOTHING.notes
        return Found(media, notes) if media or notes else NOTHING

    async def hold(self, found: Found) -> None:
        """Keep jobs that wait for `start`; durable when it returns. Raises `Busy` when the disk is full."""
        if found.media and self._media is not None:
            await self._media.hold(found.media, self._config.media_retry_secs)
        if found.notes and self._speech is not None:
            await self._speech.add(found.notes, held=True)

    def start(self, found: Found) -> None:
        """Give them free: their messages are durable."""
        if found.media and self._media is not None:
            self._media.start(found.media)
        if found.notes and self._speech is not None:
            self._speech.start_keys([note.key for note in found.notes])
