"""The recordings of a channel's calls: who begins them, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Context
from connectors.recording.config import RecordingConfig
from connectors.recording.recorder import Recorder
from connectors.recording.shelf import Shelf, Stored
from connectors.sip.call import Call
from connectors.speech import RecordingJob
from normalizer.codecs.sip import SipCodec, Told
from normalizer.errors import OmniError
from normalizer.raw import Event, RawEvent

LEGS = ("caller", "gateway")
Kind = Literal["recording", "voicemail"]
_METHODS = {"recording": "call.recording.ready", "voicemail": "call.voicemail"}


class Meta(Struct, frozen=True, kw_only=True):
    """What is written beside a recording.

    Attributes:
        told: identity of the call.
        number: of the recording within the call.
        kind: what it is told as.
        quiet: it is not told: made for the transcript only, as no recogniser was free, and deleted after it.
        language: of the transcript that is to be made of it when the call has none; None: none.
        phrases: likewise.
        speakers: whose legs that transcript has, from the first.
        offset_ms: from the answer to its first sample.
    """

    told: Told
    number: int = 1
    kind: Kind = "recording"
    quiet: bool = False
    language: str | None = None
    phrases: tuple[str, ...] = ()
    speakers: tuple[str, ...] = LEGS[:1]
    offset_ms: int = 0


class Tape:
    """One recording of a call, an `Ear`."""

    def __init__(self, recorder: Recorder) -> None:
        """Write to `recorder`."""
        self.recorder, self.paused = recorder, False

    def take(self, left: bytes, right: bytes) -> None:
        """See `Ear`."""
        self.recorder.write(left, right)

    def pause(self, *, on: bool) -> None:
        """Write silence, or sound again."""
        self.paused = on
        (self.recorder.pause if on else self.recorder.resume)()


class Taping:
    """Recordings of a channel; `run` stores and tells them."""

    def __init__(self, context: Context, config: RecordingConfig, now: Callable[[], datetime]) -> None:
        """Keep them on the channel's shelf."""
        self._context, self._now = context, now
        self._shelf = Shelf(context, config)
        self._codec = SipCodec()
        self._transcribed: dict[str, bool] = {}

    def begin(self, call: Call, *, kind: Kind = "recording", quiet: bool = False, language: str | None = None,
              phrases: tuple[str, ...] = (), speakers: tuple[str, ...] = LEGS[:1]) -> Tape:  # fmt: skip
        """Begin a recording of a call from here on."""
        number = call.count("recording")
        meta = Meta(
            told=call.outbox.told,
            number=number,
            kind=kind,
            quiet=quiet,
            language=language,
            phrases=phrases,
            speakers=speakers,
            offset_ms=call.from_ms,
        )
        recorder = self._shelf.begin(
            f"{call.id}.{number}",
            meta=msgspec.to_builtins(meta),
            started_at=self._now() - timedelta(milliseconds=call.clock_ms - call.from_ms),
            passing=quiet,
        )
        tape = Tape(recorder)
        call.ears.append(tape)
        call.recorded = call.recorded or not quiet
        return tape

    def end(self, call: Call, tape: Tape, *, transcribed: bool) -> None:
        """End it; `transcribed`: the call's transcript does not need it."""
        if tape in call.ears:
            call.ears.remove(tape)
        self._transcribed[tape.recorder.name] = transcribed
        self._shelf.end(tape.recorder)

    @property
    def parked(self) -> int:
        """How many recordings wait because they cannot be stored or told."""
        return self._shelf.parked

    def left(self, call: str) -> bool:
        """Tell whether there is a recording of a call that is not told yet."""
        folder = self._context.data_dir / "recordings" / self._context.channel.id
        return any(folder.glob(f"{call}.*"))

    async def run(self) -> None:
        """Store and tell, until cancelled; first what a process that died left."""
        await self._shelf.run(self._tell)

    async def settled(self, secs: float) -> None:
        """Wait for what has ended, at most for `secs`; the next process tells the rest."""
        await self._shelf.settled(secs)

    async def _tell(self, stored: Stored) -> bool:
        """Tell a recording, and have it transcribed where the call was not: no recogniser was free, or we died."""
        try:
            meta = msgspec.convert(stored.meta, Meta)
        except msgspec.ValidationError:
            self._context.log.error("recording_of_nobody", recording=stored.name)  # noqa: TRY400
            return True
        if not meta.quiet and not await self._context.publish(self._event(meta, stored)):
            return False
        if meta.language is not None and not self._transcribed.get(stored.name, False):
            try:
                await self._context.speech.later(self._job(meta, stored))
            except OmniError as exc:
                self._context.log.warning("transcription_not_planned", recording=stored.name, reason=str(exc))
                return False
        self._transcribed.pop(stored.name, None)
        return True

    def _event(self, meta: Meta, stored: Stored) -> Event:
        fields = {
            "media": stored.media,
            "number": meta.number,
            "started_at": stored.started_at,
            "complete": stored.complete,
            "missed_ms": stored.missed_ms or None,
            "keep_until": stored.keep_until,
            "remark": stored.remark,
        }
        return self._decoded(meta, _METHODS[meta.kind], fields)

    def _decoded(self, meta: Meta, method: str, fields: dict[str, Any]) -> Event:
        now = self._now()
        given = {name: value for name, value in fields.items() if value is not None}
        told = replace(meta.told, method=method, at=now, number=meta.number, fields=msgspec.to_builtins(given))
        raw = RawEvent(channel=self._context.channel, kind="sip", body=msgspec.json.encode(told), received_at=now)
        (event,) = self._codec.decode(raw)
        if not isinstance(event, Event):
            raise TypeError("the codec makes events of what we tell")
        return event

    def _job(self, meta: Meta, stored: Stored) -> RecordingJob:
        source: Literal["recording", "voicemail"] = meta.kind
        fields = {"language": meta.language, "text": "", "complete": True, "source": source}
        params = msgspec.to_builtins(self._decoded(meta, "call.transcript.final", fields).params)
        own = {"event_id", "dedup", "schema", "raw", "text", "segments", "language", "complete", "source", "number"}
        return RecordingJob(
            base={name: value for name, value in params.items() if name not in own},
            media=stored.media,
            language=meta.language or "",
            phrases=meta.phrases,
            speakers=meta.speakers,
            offset_ms=meta.offset_ms,
            source=source,
            passing=meta.quiet,
        )
