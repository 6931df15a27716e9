"""Recording and transcribing one call: when they begin, what takes the place of a recogniser that is not free."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.sip.call import Call
from connectors.sip.hearing import FINISH_SECS, Hearing
from connectors.sip.kit import Kit
from connectors.sip.taping import LEGS, Kind, Tape
from connectors.speech import NoModel, SpeechUnavailable
from normalizer.codecs.sip import SipCodec
from normalizer.raw import Event, RawEvent

COMPONENT = "asr"


class Listening:
    """What is kept of a call."""

    def __init__(self, kit: Kit, call: Call, group: asyncio.TaskGroup) -> None:
        """Begin with nothing; `group` lives until `end` has returned."""
        self._kit, self._call, self._group = kit, call, group
        self.tape: Tape | None = None
        self._quiet: Tape | None = None
        self._hearing: Hearing | None = None
        self._follow: asyncio.Task[None] | None = None
        self._hopeless = False
        self._codec = SipCodec()

    def record(self, *, kind: Kind = "recording", language: str | None = None) -> None:
        """Begin to record, if that is not done yet; with `language` a process that dies leaves a transcript to make."""
        if self.tape is None and not self._call.over:
            self.tape = self._kit.taping.begin(
                self._call,
                kind=kind,
                language=language,
                phrases=self._kit.config.phrases,
                speakers=self._speakers(voicemail=kind == "voicemail"),
            )

    def stop(self) -> None:
        """End the recording; another may begin."""
        tape, self.tape = self.tape, None
        if tape is not None:
            self._kit.taping.end(self._call, tape, transcribed=not self._needed)

    @property
    def _needed(self) -> bool:
        """Whether the recording is all there is to make a transcript of."""
        return not self._hopeless and (self._hearing is None or self._hearing.broken)

    def transcribe(self, language: str, *, voicemail: bool = False) -> None:
        """Recognise from here on; where no recogniser is free the recording is transcribed later.

        Then a call that is not recorded is, for that purpose alone; no event tells of this recording.
        """
        if self._call.over or self._hearing is not None:
            return
        speech, config = self._kit.context.speech, self._kit.config
        try:
            self._hearing = Hearing(
                self._call,
                speech,
                language=language,
                phrases=config.phrases,
                speakers=self._speakers(voicemail=voicemail),
                partial=self._partial,
                log=self._kit.context.log,
                source="voicemail" if voicemail else "live",
            )
        except NoModel as exc:
            self._kit.context.report(COMPONENT, f"calls in {language!r} are not transcribed: {exc}")
            self._hopeless = True
            return
        except SpeechUnavailable:
            self._kit.context.log.info("transcribed_later", call=self._call.id)
            if self.tape is None:
                self._quiet = self._kit.taping.begin(
                    self._call,
                    quiet=True,
                    language=language,
                    phrases=config.phrases,
                    speakers=self._speakers(voicemail=voicemail),
                )
            return
        self._kit.context.report(COMPONENT, None)
        self._follow = self._group.create_task(self._hearing.run())

    def _speakers(self, *, voicemail: bool) -> tuple[str, ...]:
        """Whose voices are transcribed, live and from a recording."""
        return LEGS if self._kit.config.transcribe_gateway and not voicemail else LEGS[:1]

    def _partial(self, fields: dict[str, Any]) -> None:
        """Tell what may be lost, and will be replaced."""
        now, context = self._kit.now(), self._kit.context
        told = replace(
            self._call.outbox.told,
            method="call.transcript.partial",
            at=now,
            number=fields["number"],
            fields=msgspec.to_builtins(fields),
        )
        raw = RawEvent(channel=context.channel, kind="sip", body=msgspec.json.encode(told), received_at=now)
        for event in self._codec.decode(raw):
            if isinstance(event, Event):
                context.hint(event)

    async def end(self) -> None:
        """The call is over: wait for the last words, within a cap, and end the recording."""
        hearing, follow = self._hearing, self._follow
        if hearing is not None and follow is not None:
            hearing.finish()
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECS):
                    await asyncio.wait([follow])
            if not follow.done():
                hearing.broken = True
                self._kit.context.log.warning("transcript_cut", call=self._call.id)
            hearing.close()
            follow.cancel()
            if not (hearing.broken and self.tape is not None):
                hearing.tell_whole()
        self.stop()
        if self._quiet is not None:
            self._kit.taping.end(self._call, self._quiet, transcribed=False)

    def let_go(self) -> None:
        """Keep what there is, at once: the process is about to end."""
        if self._hearing is not None:
            self._hearing.close()
        self.stop()
        if self._quiet is not None:
            self._kit.taping.end(self._call, self._quiet, transcribed=False)
