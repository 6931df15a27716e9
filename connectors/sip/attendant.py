"""What happens to a call by itself: the answer policy, greeting, consent, language and voice mail."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from connectors.prompts import PromptMissing
from connectors.sip import prompts, wire
from connectors.sip.call import Call
from connectors.sip.kit import Kit
from connectors.sip.listening import Listening
from connectors.sip.player import Piece
from connectors.sip.process import CommandFailed
from normalizer.parts import Media

QUIET_PEAK = 400
"""Of 32768: what is softer is silence, to the voice mail."""
NO_ANSWER = 480


class Silence:
    """An `Ear` that notices when the caller has said nothing for a while."""

    def __init__(self, secs: float) -> None:
        """Count `secs` of silence; 0 is never."""
        self._most, self._now = secs * 1000, 0.0
        self.reached = asyncio.Event()

    def take(self, left: bytes, right: bytes) -> None:
        """See `Ear`."""
        samples = memoryview(left).cast("h")
        if max(samples) > QUIET_PEAK or min(samples) < -QUIET_PEAK:
            self._now = 0.0
        else:
            self._now += wire.PACKET_MS
        if self._most and self._now >= self._most:
            self.reached.set()


class Attendant:
    """Attends to one call."""

    def __init__(self, kit: Kit, call: Call, listening: Listening, group: asyncio.TaskGroup) -> None:
        """Attend to `call`; `group` holds what goes on beside."""
        self._kit, self._call, self._listening, self._group = kit, call, listening, group

    async def incoming(self) -> None:
        """Attend to a call that came in."""
        config, call = self._kit.config, self._call
        with suppress(CommandFailed):  # it ended meanwhile
            if config.answer == "at_once":
                await self._ring(config.answer_after_secs)
                await self.answer("policy")
            else:
                wait = config.answer_after_secs if config.answer == "voicemail" else config.ring_timeout_secs
                await self._ring(wait, always=True)
                if not call.answered.is_set() and call.answered_by == "policy":  # nobody is about to answer
                    if config.answer == "core":
                        self.hang_up(NO_ANSWER)
                        return
                    await self.answer("policy")
                    await self._voicemail()
                    return
            await self.conversation()

    async def _ring(self, secs: float, *, always: bool = False) -> None:
        """Ring until somebody answers, at most for `secs`."""
        call, name = self._call, self._kit.config.early_media
        if name is not None:
            await call.process.ask("answer", call.number, code=183)
            await call.flowing.wait()
            await self.say(name, loop=True)
        elif secs or always:
            await call.process.ask("answer", call.number, code=180)
        with suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await call.answered.wait()

    async def answer(self, by: str) -> None:
        """Answer, and wait until the other side knows."""
        if by == "policy":
            await self._call.process.ask("answer", self._call.number, code=200)
        await self._call.answered.wait()

    async def conversation(self) -> None:
        """Attend to a call that is answered: by whom, and in which direction, does not matter."""
        call, config = self._call, self._kit.config
        await call.answered.wait()
        await call.flowing.wait()
        self._call.player.stop()
        records = config.record if call.wants_record is None else call.wants_record
        asks = config.consent is not None and call.direction == "in" and (records or config.transcribe)
        if asks or (config.languages is not None and call.direction == "in" and not call.wants_language):
            call.listen(keep=False)
        language = await self._language()
        may_record = may_hear = True
        if config.consent is not None and asks:
            may_record = await self._consent()
            may_hear = may_record or not config.consent.transcript
        if records and may_record:
            self._listening.record(language=language if config.transcribe and may_hear else None)
        if config.transcribe and may_hear:
            self._listening.transcribe(language)
        call.listen(keep=True)
        wanted = call.wants_play or (config.greeting if call.direction == "in" else None)
        if wanted is not None:
            await self.say(wanted)

    async def _language(self) -> str:
        call, choice = self._call, self._kit.config.languages
        if call.wants_language or choice is None or call.direction == "out":
            return call.wants_language or self._kit.config.language
        key = await self._choose(choice.prompt, frozenset(choice.keys), choice.wait_secs)
        return choice.keys.get(key or "", self._kit.config.language)

    async def _consent(self) -> bool:
        consent = self._kit.config.consent
        if consent is None:
            return True
        wanted = frozenset({consent.decline_key, consent.accept_key or consent.decline_key})
        key = await self._choose(consent.prompt, wanted, consent.wait_secs)
        if consent.accept_key is not None:
            return key == consent.accept_key
        return key != consent.decline_key

    async def _choose(self, prompt: str | None, wanted: frozenset[str], secs: float) -> str | None:
        """Say what can be chosen and wait for one of the keys, during it and `secs` after; None when none came."""
        call = self._call
        piece = None if prompt is None else await self.say(prompt)
        try:
            async with asyncio.timeout(None) as limit:
                if piece is None:
                    limit.reschedule(asyncio.get_running_loop().time() + secs)
                else:
                    self._group.create_task(_after(piece, limit, secs))
                while (key := await call.keys.get()) not in wanted:
                    pass
                call.player.stop()
                return key
        except TimeoutError:
            return None

    async def _voicemail(self) -> None:
        call, options = self._call, self._kit.config.voicemail
        await call.flowing.wait()
        call.listen(keep=False)
        call.player.stop()
        if options.greeting is not None:
            await self._heard(await self.say(options.greeting))
        if options.beep:
            await self._heard(call.player.play(prompts.beep()))
        while not call.keys.empty():  # pressed before the beep
            call.keys.get_nowait()
        language = self._kit.config.language
        self._listening.record(kind="voicemail", language=language if options.transcribe else None)
        if options.transcribe:
            self._listening.transcribe(language, voicemail=True)
        silence = Silence(options.silence_secs)
        call.ears.append(silence)
        with suppress(TimeoutError):
            async with asyncio.timeout(options.max_secs):
                await self._message_ends(silence)
        self.hang_up()

    async def _message_ends(self, silence: Silence) -> None:
        pressed, quiet = (self._group.create_task(one) for one in (self._pressed(), silence.reached.wait()))
        try:
            await asyncio.wait([pressed, quiet], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pressed.cancel()
            quiet.cancel()

    async def _pressed(self) -> bool:
        while await self._call.keys.get() != self._kit.config.voicemail.end_key:
            pass
        return True

    async def say(self, wanted: Media | str, *, loop: bool = False) -> Piece | None:
        """Begin to play; what is missing is told to the operator, and the call goes on."""
        try:
            pcm = await self._kit.prompts.sound(wanted)
        except PromptMissing as exc:
            self._kit.context.log.warning("prompt_missing", reason=str(exc))
            self._kit.context.report("prompts", str(exc))
            return None
        return self._call.player.play(pcm, loop=loop)

    @staticmethod
    async def _heard(piece: Piece | None) -> None:
        if piece is not None:
            await piece.done.wait()

    def hang_up(self, code: int | None = None) -> None:
        """End the call by the channel's policy."""
        self._call.will_end("completed" if self._call.up else "no_answer", "policy", code)
        self._call.process.order("hangup", self._call.number, **({"code": code} if code else {}))


async def _after(piece: Piece, limit: asyncio.Timeout, secs: float) -> None:
    await piece.done.wait()
    with suppress(RuntimeError):  # the choice was made
        limit.reschedule(asyncio.get_running_loop().time() + secs)
