"""What is said in a call, as text while it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from connectors.sip import wire
from connectors.sip.call import Call
from connectors.sip.taping import LEGS
from connectors.speech import Listener, Speech, SpeechUnavailable
from normalizer.parts import Segment

FINISH_SECS = 15.0
"""How long what is pending at the end may take; then the call's transcript ends without it."""
AGAIN_SECS = 0.5
"""Until somebody is asked for again who could take the place of a recogniser that died."""
METHOD = "call.transcript.final"
Partial = Callable[[dict[str, Any]], None]


class Leg:
    """One voice: its recogniser, and where on the call's clock that began."""

    def __init__(self, channel: int, listener: Listener, offset_ms: int) -> None:
        """Begin with a listener."""
        self.channel, self.listener, self.offset_ms = channel, listener, offset_ms


class Hearing:
    """Transcribes a call from now on, an `Ear`; see `connectors.speech` for what recognises.

    Attributes:
        broken: a recogniser was lost, and what was said after is missing.
    """

    def __init__(
        self, call: Call, speech: Speech, *, language: str, phrases: tuple[str, ...], speakers: tuple[str, ...],
        partial: Partial, log: FilteringBoundLogger, source: Literal["live", "voicemail"] = "live",
    ) -> None:  # fmt: skip
        """Take a recogniser for each leg of `speakers`.

        Raises:
            NoModel: there is none for the language.
            SpeechUnavailable: none is free.
        """
        self._call, self._speech, self._partial, self._log = call, speech, partial, log
        self._language, self._phrases, self._source = language, phrases, source
        self._segments: list[Segment] = []
        self._legs: list[Leg] = []
        self._finishing = False
        self.broken = False
        try:
            for channel, speaker in enumerate(speakers):
                self._legs.append(self._leg(channel, speaker))
        except SpeechUnavailable:
            self.close()
            raise
        call.language = language
        call.ears.append(self)

    def _leg(self, channel: int, speaker: str) -> Leg:
        listener = self._speech.listen(
            language=self._language, rate=wire.RATE, phrases=self._phrases, speaker=speaker, channel=channel
        )
        return Leg(channel, listener, self._call.from_ms)

    def take(self, left: bytes, right: bytes) -> None:
        """See `Ear`."""
        for leg in self._legs:
            leg.listener.feed(right if leg.channel else left)

    async def run(self) -> None:
        """Tell what is recognised, until `finish` and what was pending then."""
        async with asyncio.TaskGroup() as group:
            for leg in self._legs:
                group.create_task(self._follow(leg))

    def finish(self) -> None:
        """Say that the call is over."""
        self._finishing = True
        for leg in self._legs:
            leg.listener.finish()

    def close(self) -> None:
        """Let go of the recognisers."""
        if self in self._call.ears:
            self._call.ears.remove(self)
        for leg in self._legs:
            leg.listener.close()

    async def _follow(self, leg: Leg) -> None:
        while True:
            try:
                async for segment in leg.listener:
                    self._heard(_moved(segment, leg.offset_ms))
            except SpeechUnavailable:
                if not await self._replaced(leg):
                    return
            except Exception:  # noqa: BLE001 -- a fault of the recogniser's is none of the call's
                self.broken = True
                self._log.exception("transcript_failed", call=self._call.id)
                return
            else:
                return

    async def _replaced(self, leg: Leg) -> bool:
        """Go on with another recogniser, once there is one; what is said until then is missing, unless it is recorded.

        So is what the one that died had not told.
        """
        self.broken = True
        leg.listener.close()
        while not self._finishing:
            with suppress(SpeechUnavailable):
                fresh = self._leg(leg.channel, LEGS[leg.channel])
                leg.listener, leg.offset_ms = fresh.listener, fresh.offset_ms
                return True
            await asyncio.sleep(AGAIN_SECS)
        return False

    def _heard(self, segment: Segment) -> None:
        if segment.stable:
            self._segments.append(segment)
            self._tell((segment,), complete=False)
        else:
            number = self._call.count("call.transcript.partial")
            self._partial({**self._fields((segment,)), "number": number})

    def tell_whole(self) -> None:
        """Tell the whole transcript, the last event of it."""
        segments = sorted(self._segments, key=lambda one: (one.start_ms, one.channel or 0))
        self._tell(self._speech.whole(segments, self._language), complete=True)

    def _tell(self, segments: tuple[Segment, ...], *, complete: bool) -> None:
        number = self._call.count(METHOD)
        fields = {**self._fields(segments), "number": number, "complete": complete}
        self._call.say(METHOD, fields, number)

    def _fields(self, segments: tuple[Segment, ...]) -> dict[str, Any]:
        text = " ".join(one.text for one in segments if one.text)
        return {"language": self._language, "text": text, "segments": segments, "source": self._source}


def _moved(segment: Segment, by_ms: int) -> Segment:
    """Count the times of a segment from the answer."""
    if not by_ms:
        return segment
    words = tuple(replace(word, start_ms=word.start_ms + by_ms, end_ms=word.end_ms + by_ms) for word in segment.words)
    start, end = segment.start_ms + by_ms, segment.end_ms + by_ms
    return replace(segment, start_ms=start, end_ms=end, words=words)
