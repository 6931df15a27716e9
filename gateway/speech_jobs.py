"""Sound that must still be transcribed: voice notes, and recordings of calls for which no recogniser was free.

Jobs of ``speech.db`` (`gateway.jobs`), which end as ``told`` or ``failed``. A row stays as long as the channel
remembers its deliveries, so that a late copy of a message is not transcribed again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from connectors.api import ChannelConfig
from connectors.speech import RecordingJob
from gateway import jobs
from gateway.jobs import Jobs, Row
from normalizer import ids
from normalizer.model import ChannelRef, Conversation, MediaParams, Message, MessageParams, MessageRef
from normalizer.parts import Audio, Media, Segment
from normalizer.raw import Event


class SpeechJob(Struct, frozen=True, kw_only=True):
    """One thing to transcribe: a voice note, or with `recording` the recording of a call.

    Attributes:
        language: a key of `[asr] models`; empty for the first.
        segments: what was said, once that is known and only the event is missing.
        error: why it was given up, once it was.
        deaths: recognisers and decoders that died of it.
    """

    channel: ChannelRef
    media: Media
    language: str = ""
    message: MessageRef | None = None
    conversation: Conversation | None = None
    recording: RecordingJob | None = None
    segments: tuple[Segment, ...] | None = None
    error: dict[str, str] | None = None
    deaths: int = 0

    @property
    def key(self) -> str:
        """The same for all copies of the message, and for all tellings of the recording."""
        if self.recording is not None:
            return ids.digest("call", self.channel.id, str(self.recording.base.get("call_id")), self.media.sha256 or "")
        return ids.digest("note", self.channel.id, (self.message and self.message.id) or "", self.media.id)


Taken = jobs.Taken[SpeechJob]


class SpeechJobs(Jobs[SpeechJob]):
    """See the module."""

    def __init__(
        self,
        path: Path,
        *,
        wait_secs: float,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- rows outlive the process
    ) -> None:
        """Name the file; jobs wait for `wait_secs` at most."""
        super().__init__(path, "speech", SpeechJob, clock=clock)
        self._wait_secs = wait_secs

    async def add(self, found: Iterable[SpeechJob], *, held: bool = False) -> None:
        """Keep jobs, unless they are known; durable when it returns. Raises `Busy` when the disk is full."""
        until = self._clock() + self._wait_secs
        await self.keep([Row(job.key, job.channel.id, until, job) for job in found], held=held)


def wanted(media: Media, options: ChannelConfig) -> bool:
    """Tell whether a channel wants this audio transcribed; not when the provider has done so."""
    if media.sha256 is None or media.transcript:
        return False
    if options.transcribe_media == "voice":
        return media.voice
    return options.transcribe_media == "audio" and (media.voice or (media.mime or "").startswith("audio/"))


def of_media(params: MediaParams, options: ChannelConfig) -> SpeechJob | None:
    """Make the job of a media item that was fetched, if it is wanted."""
    if not wanted(params.media, options):
        return None
    return _note(params.channel, params.media, params.message, params.conversation, options)


def of_events(events: Iterable[Event], options: ChannelConfig) -> list[SpeechJob]:
    """Make the jobs of audio that came with its message and is stored already (web chat, mail)."""
    if options.transcribe_media == "nothing":
        return []
    found = []
    for event in events:
        params = event.params
        if type(params) is MessageParams:
            found += [
                _note(params.channel, part.media, _ref(params.message), params.conversation, options)
                for part in params.message.parts
                if type(part) is Audio and part.media.status == "stored" and wanted(part.media, options)
            ]
    return found


def _ref(message: Message) -> MessageRef:
    return MessageRef(id=message.id, provider_id=message.provider_id)


def _note(
    channel: ChannelRef,
    media: Media,
    message: MessageRef | None,
    conversation: Conversation | None,
    options: ChannelConfig,
) -> SpeechJob:
    return SpeechJob(
        channel=channel, media=media, language=options.language or "", message=message, conversation=conversation
    )


def of_recording(recording: RecordingJob) -> SpeechJob:
    """Make the job of a call's recording; raises `msgspec.ValidationError` when `base` names no channel."""
    channel = msgspec.convert(recording.base.get("channel"), ChannelRef)
    return SpeechJob(channel=channel, media=recording.media, language=recording.language, recording=recording)
