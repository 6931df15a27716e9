"""Speech to text, as a connector sees it; the gateway implements it with the package `asr`.

Two ways: `Speech.listen` recognises while somebody speaks, if a recogniser is free; `Speech.later` writes a durable job
for a stored recording, which is transcribed as soon as one is, and told as `call.transcript.final` by the gateway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from normalizer.errors import OmniError
from normalizer.parts import Media, Segment


class SpeechUnavailable(OmniError):
    """No recogniser for this now; the call goes on without, and its recording can be transcribed later."""

    code = "speech_unavailable"


class NoModel(SpeechUnavailable):
    """There is no model for this language, or it cannot be loaded: waiting does not help, `omnigate models` does."""

    code = "no_model"


class Listener(Protocol):
    """One voice being recognised."""

    def feed(self, pcm: bytes) -> None:
        """Take sound: 16-bit little-endian, mono, at the rate given to `listen`; never waits, raises nothing.

        What a recogniser that fell behind cannot take is counted (`missed_ms`), not kept.
        """
        ...

    def __aiter__(self) -> AsyncIterator[Segment]:
        """Go through what is heard: partials (`stable` false, at most two a second), and finals with words.

        Ends after `finish` or `close`; raises `SpeechUnavailable` when the recogniser died.
        """
        ...

    def finish(self) -> None:
        """Say that no more sound comes: what is pending becomes a final soon (within a cap), then iteration ends."""
        ...

    def close(self) -> None:
        """Let go at once."""
        ...

    @property
    def missed_ms(self) -> int:
        """How much sound was not recognised because the recogniser could not keep up."""
        ...


class RecordingJob(Struct, frozen=True, kw_only=True):
    """A stored recording to be transcribed when there is room.

    Attributes:
        base: fields of `normalizer.calls.CallTranscriptParams` that the events shall carry besides the text, as
            builtins (event of the call: `call_id`, `direction`, `from`, `to`, `conversation` …).
        media: the recording, by `sha256`.
        language: of the model.
        speakers: who speaks on each channel of the recording, from the first.
        offset_ms: added to all times.
        source: as in the transcript.
        passing: the recording was made for this alone: it is deleted once the job has ended.
    """

    base: dict[str, Any]
    media: Media
    language: str
    phrases: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ("caller", "gateway")
    offset_ms: int = 0
    source: Literal["recording", "voicemail"] = "recording"
    passing: bool = False


class Speech(Protocol):
    """What a connector gets from the gateway (`Context.speech`)."""

    def listen(
        self,
        *,
        language: str,
        rate: int,
        phrases: tuple[str, ...] = (),
        speaker: str | None = None,
        channel: int | None = None,
    ) -> Listener:
        """Take a recogniser for one voice.

        Args:
            language: a key of `[asr] models`.
            rate: samples per second of what will be fed.
            phrases: the only things that can be said (a Vosk grammar); none: anything.
            speaker: copied to the segments.
            channel: copied to the segments.

        Raises:
            NoModel: nothing for this language.
            SpeechUnavailable: all recognisers are busy, or just starting again.
        """
        ...

    async def later(self, job: RecordingJob) -> None:
        """Keep a job; durable when it returns. The same recording and call is kept once. Raises `Busy`."""
        ...

    def problem(self, language: str) -> str | None:
        """Say why nothing can be recognised in a language (no model, no library), or None."""
        ...

    def whole(self, segments: Sequence[Segment], language: str) -> tuple[Segment, ...]:
        """Look over all finals of a call, in the order of time, before they are told once more.

        What `listen` gives has numerals and masks as configured already; a card number said in several breaths is
        found here only.
        """
        return tuple(segments)


class Deaf:
    """A `Speech` that hears nothing: outside a gateway."""

    def listen(
        self,
        *,
        language: str,
        rate: int,
        phrases: tuple[str, ...] = (),
        speaker: str | None = None,
        channel: int | None = None,
    ) -> Listener:
        """Refuse; see `Speech`."""
        raise NoModel("there is no speech recognition here")

    async def later(self, job: RecordingJob) -> None:
        """Forget it."""

    def problem(self, language: str) -> str | None:
        """Say so."""
        return "there is no speech recognition here"

    def whole(self, segments: Sequence[Segment], language: str) -> tuple[Segment, ...]:
        """Leave them as they are."""
        return tuple(segments)
