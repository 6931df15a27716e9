"""What a delivery leaves to be done after it is durable: media to fetch, voice notes to transcribe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from connectors.api import ChannelConfig
from gateway.media_jobs import Job, MediaJobs, pending
from gateway.order import concerned
from gateway.speech_jobs import SpeechJob, SpeechJobs, of_events
from normalizer.model import MessageParams
from normalizer.parts import Text, Unsupported
from normalizer.raw import Decoded, Event


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

    def none_for(self, items: Sequence[Decoded]) -> list[Event] | None:
        """Return the events of a delivery that is nothing but events, for which nothing is to be done but publishing.

        None for any other delivery.
        """
        if not items or self._config.keep_raw or concerned(items):
            return None
        events = [item for item in items if type(item) is Event]
        if len(events) < len(items):
            return None
        if all(map(_mere_text, events)):  # nearly always
            return events
        return None if any(map(unsupported, events)) or self.of(events) else events

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


def unsupported(event: Event) -> bool:
    """Tell whether a message has a part that nobody could read, so that its bytes are to be kept."""
    params = event.params
    return isinstance(params, MessageParams) and Unsupported in map(type, params.message.parts)


def _mere_text(event: Event) -> bool:
    params = event.params
    if type(params) is not MessageParams:
        return False
    parts = params.message.parts
    return len(parts) == 1 and type(parts[0]) is Text
