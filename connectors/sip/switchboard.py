"""All calls of a channel: from what the child processes tell to calls, and what holds a call together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from msgspec.structs import replace

from connectors.api import Sink
from connectors.sip import invitation
from connectors.sip.attendant import Attendant
from connectors.sip.call import By, Call
from connectors.sip.journal import Entry, Journal
from connectors.sip.kit import Kit
from connectors.sip.listening import Listening
from connectors.sip.outbox import Outbox
from connectors.sip.process import Process
from normalizer import ids, sip_uri
from normalizer.calls import EndReason
from normalizer.codecs.sip import Told
from normalizer.model import Security

HEADER_MOST = 512
REFUSED_CODES = {"forbidden": "unauthorized", "rate": "throttled"}


class Switchboard:
    """See the module; an `Owner` of processes.

    Attributes:
        calls: by our id; of calls that are not over, and those whose last events are not told yet.
        changed: set whenever a call began or ended.
    """

    def __init__(self, kit: Kit, journal: Journal, sink: Sink) -> None:
        """Take calls once `begin` was called."""
        self._kit, self._journal, self._sink = kit, journal, sink
        self._occupied: Callable[[], None] = lambda: None
        self._numbers: dict[int, Call] = {}
        self._listening: dict[str, Listening] = {}
        self._group: asyncio.TaskGroup | None = None
        self._starting: Callable[[Process], None] = lambda _: None
        self.calls: dict[str, Call] = {}
        self.lines: dict[str, str] = {}
        self.changed = asyncio.Event()

    def begin(
        self, group: asyncio.TaskGroup, *, starting: Callable[[Process], None], occupied: Callable[[], None]
    ) -> None:
        """Let calls live in `group`; `starting` hears of processes, `occupied` of calls that come or go."""
        self._group, self._starting, self._occupied = group, starting, occupied

    def listening(self, call: Call) -> Listening:
        """Return what is kept of a call."""
        return self._listening[call.id]

    # -- what the child processes tell --------------------------------------------------------------------------------

    def happened(self, process: Process, call: int, event: dict[str, Any]) -> None:
        """See `Owner`."""
        name = event["ev"]
        if name == "incoming":
            self._incoming(process, call, event)
        elif name == "ready":
            self._started(process, event)
        elif name == "registration":
            self._registered(event)
        elif name == "refused":
            self._kit.context.refused(REFUSED_CODES.get(event["why"], event["why"]))
        elif (found := self._numbers.get(call)) is not None:
            self._of_call(found, name, event)

    def _started(self, process: Process, event: dict[str, Any]) -> None:
        missing = [one for one in self._kit.config.codecs if one not in event["codecs"]]
        self._kit.context.log.info(
            "sip_listening",
            ports=event["ports"],
            calls=process.most,
            gatekeeper=event["gatekeeper"],
            door=event["door"],
            pjsip=event["version"],
            **({"codecs_missing": missing} if missing else {}),
        )
        self._starting(process)

    def _of_call(self, call: Call, name: str, event: dict[str, Any]) -> None:
        match name:
            case "state":
                self._state(call, event)
            case "media":
                call.media(event["status"], event.get("codec"), srtp=event.get("srtp", False))
            case "dtmf":
                call.press(event["digit"], event["method"], event["ms"])
            case "quiet":
                call.will_end("media_timeout", "gateway")
            case "refer":
                self._kit.context.log.info("transfer_request", call=call.id, accepted=event["accepted"])
            case "transfer":
                self._transferred(call, event["code"], final=event["final"])
            case _:
                pass

    def heard(self, process: Process, call: int, waiting: int, pcm: memoryview) -> None:
        """See `Owner`."""
        found = self._numbers.get(call)
        if found is not None:
            found.hear(waiting, pcm)

    def died(self, process: Process) -> None:
        """See `Owner`."""
        for number in list(process.calls):
            call = self._numbers.get(number)
            if call is not None:
                call.will_end("gateway_failure", "gateway")
                self._ended(call, None, None, {})
        self._occupied()

    def _state(self, call: Call, event: dict[str, Any]) -> None:
        match event["state"]:
            case "EARLY":
                call.ring(event["code"], early_media=event["code"] == 183)
            case "CONFIRMED":
                config = self._kit.config
                records = config.record if call.wants_record is None else call.wants_record
                asked = config.consent is not None and call.direction == "in"
                chosen = config.languages is not None and call.direction == "in" and not call.wants_language
                language = None if chosen or not config.transcribe else call.wants_language or config.language
                if language is not None and self._kit.context.speech.problem(language) is not None:
                    language = None
                call.confirm(recording=records and not asked, language=language)
            case "DISCONNECTED":
                reason = sip_uri.headers(event.get("message", "")).get("reason", [])
                self._ended(call, event["code"], reason[0] if reason else event["reason"], event["stats"])
            case _:  # CALLING, INCOMING, CONNECTING: on the way
                pass

    def _ended(self, call: Call, code: int | None, cause: str | None, stats: dict[str, float]) -> None:
        self._numbers.pop(call.number, None)
        call.process.calls.discard(call.number)
        call.end(code, cause and cause[:HEADER_MOST], stats)
        self._occupied()

    def _transferred(self, call: Call, code: int, *, final: bool) -> None:
        if call.transfer is None or not (final or code >= 200):
            return
        target, attended = call.transfer
        call.transfer = None
        ok = 200 <= code < 300
        call.tell("call.transferred", target=target, attended=attended, ok=ok, code=code)
        if ok:
            call.transferred = True
            call.will_end("transferred", "core")
            call.process.order("hangup", call.number)

    def _registered(self, event: dict[str, Any]) -> None:
        line = event["line"]
        accepted = event["code"] // 100 == 2
        if accepted and not event["active"]:  # we left it
            self.lines[line] = "unregistered"
            return
        good = accepted
        self.lines[line] = "registered" if good else f"{event['code']} {event['reason']}"
        reason = None if good else f"the registrar answered {event['code']} {event['reason']}; it is tried again"
        self._kit.context.report(f"registrar:{line}", reason)

    # -- calls --------------------------------------------------------------------------------------------------------

    def _incoming(self, process: Process, number: int, event: dict[str, Any]) -> None:
        told, fields = invitation.read(event, self._kit.now())
        self.start(self._add(told, process, number, invitation.proof(fields, self._kit.config)), fields)

    def _add(self, told: Told, process: Process, number: int, security: Security) -> Call:
        call_id = ids.call_id(self._kit.context.channel.id, told.sip_call_id, told.from_tag)
        outbox = Outbox(
            told,
            channel=self._kit.context.channel,
            security=security,
            sink=self._sink,
            log=self._kit.context.log,
        )
        call = Call(call_id, process=process, number=number, direction=told.direction, outbox=outbox, now=self._kit.now)
        self.calls[call_id] = call
        if number:
            self.connect(call, number)
        return call

    def outgoing(self, told: Told, process: Process) -> Call:
        """Make a call of ours, which has no number yet."""
        return self._add(told, process, 0, Security(verified="none"))

    def connect(self, call: Call, number: int) -> None:
        """Give a call the number the child knows it by."""
        call.number = number
        self._numbers[number] = call
        call.process.calls.add(number)
        self._occupied()

    def start(self, call: Call, fields: dict[str, Any]) -> None:
        """Write a call down, tell `call.offered`, and attend to it until its last event is told."""
        entry = Entry(told=call.outbox.told, offered_at=call.offered_at)
        call.outbox.add(lambda: self._journal.put(call.id, entry, self._kit.now()))
        call.outbox.tell("call.offered", call.offered_at, fields)
        if self._group is not None:
            self._group.create_task(self._life(call, entry), name=f"call-{call.number}")

    async def _life(self, call: Call, entry: Entry) -> None:
        listening: Listening | None = None
        try:
            async with asyncio.TaskGroup() as group:
                listening = self._listening[call.id] = Listening(self._kit, call, group)
                telling = group.create_task(call.outbox.run())
                script = group.create_task(self._attend(call, listening, entry))
                await call.ended.wait()
                script.cancel()
                call.outbox.add(lambda: self._journal.remove(call.id))
                await listening.end()
                call.outbox.close()
                await telling
        except Exception:  # one bad call harms only itself
            self._kit.context.log.exception("call_failed", call=call.id)
            call.process.order("hangup", call.number)
        finally:
            if listening is not None:
                listening.let_go()
            self.calls.pop(call.id, None)
            self._listening.pop(call.id, None)
            self.changed.set()

    async def _attend(self, call: Call, listening: Listening, entry: Entry) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                attendant = Attendant(self._kit, call, listening, group)
                group.create_task(self._watch(call, entry))
                await (attendant.incoming() if call.direction == "in" else attendant.conversation())
        except Exception:  # its end is told all the same
            self._kit.context.log.exception("call_failed", call=call.id)
            self.hang_up(call, "failed", "gateway")

    def limit_ringing(self, call: Call, secs: float) -> None:
        """Give up a call of ours that nobody answers."""

        def give_up() -> None:
            if not call.up and not call.over:
                self.hang_up(call, "no_answer", "policy")

        asyncio.get_running_loop().call_later(secs, give_up)

    def spawn(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, for a call."""
        if self._group is None or call.over:
            work.close()
        else:
            self._group.create_task(work)

    async def _watch(self, call: Call, entry: Entry) -> None:
        """Note the answer on disk, and hang up a call that takes too long."""
        await call.answered.wait()
        answered = replace(entry, answered_at=call.answered_at)
        call.outbox.add(lambda: self._journal.put(call.id, answered, self._kit.now()))
        if self._kit.config.max_call_secs:
            await asyncio.sleep(self._kit.config.max_call_secs)
            self.hang_up(call, "max_duration", "policy")

    def hang_up(self, call: Call, reason: EndReason, by: By, code: int | None = None, text: str | None = None) -> None:
        """End a call from our side."""
        call.will_end(reason, by, code)
        given: dict[str, Any] = {"code": code} if code else {}
        call.process.order("hangup", call.number, **given, **({"reason": text} if text else {}))

    def all(self) -> list[Call]:
        """Return the calls that are not over."""
        return [call for call in self.calls.values() if not call.over]

    def end_all(self, reason: EndReason, how: Literal["hang up", "note"]) -> None:
        """Hang up what is left, or only note why it is about to end."""
        for call in self.all():
            if how == "hang up":
                self.hang_up(call, reason, "gateway")
            else:
                call.will_end(reason, "gateway")

    async def empty(self, secs: float) -> bool:
        """Wait until the last event of every call is told, at most for `secs`; tell whether that came."""
        try:
            async with asyncio.timeout(secs):
                while self.calls:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return False
        return True
