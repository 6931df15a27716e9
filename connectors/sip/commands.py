"""What a core asks about calls (`normalizer.call_requests`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any

from connectors.errors import StateUnavailable
from connectors.sip import lines
from connectors.sip.call import Call
from connectors.sip.kit import Kit
from connectors.sip.pool import Pool
from connectors.sip.process import CommandFailed, Process
from connectors.sip.switchboard import Switchboard
from normalizer import call_requests as r
from normalizer import ids, rpc, sip_uri
from normalizer.codecs.sip import Told
from normalizer.params import Params
from normalizer.rpc import RpcError

Answer = dict[str, Any]
PAUSES = {"p": 0.5, ",": 0.5, "w": 1.0}
KEY_SECS = 0.25
"""Between two keys that are sent: 4733 events are 160 ms long in PJSIP."""


class Commands:
    """Answers `call.*`; raises `RpcError`, `PromptMissing`."""

    def __init__(self, kit: Kit, board: Switchboard, pool: Pool) -> None:
        """Work on the calls of `board`."""
        self._kit, self._board, self._pool = kit, board, pool
        self._table: dict[type[Params], Callable[[Any], Awaitable[Answer]]] = {
            r.OriginateParams: self._originate,
            r.AnswerParams: self._answer,
            r.HangupParams: self._hangup,
            r.TransferParams: self._transfer,
            r.SendDtmfParams: self._send_dtmf,
            r.PlayParams: self._play,
            r.RecordParams: self._record,
        }

    async def perform(self, method: str, params: Params) -> Answer:
        """Do what is asked for."""
        try:
            if isinstance(params, r.CallRequestParams):
                return await self._hold(params, on=method == "call.hold")
            return await self._table[type(params)](params)
        except CommandFailed as exc:
            raise RpcError(rpc.REJECTED, f"PJSIP: {exc}") from exc

    def _call(self, call_id: str, *, up: bool = True) -> Call:
        call = self._board.calls.get(call_id)
        if call is None or call.over:
            raise RpcError(rpc.INVALID_PARAMS, "call is not up - at `$.call_id`", state="over")
        if up and not call.up:
            raise RpcError(rpc.INVALID_PARAMS, f"call is not up: it is {call.state} - at `$.call_id`", state=call.state)
        return call

    async def _answer(self, params: r.AnswerParams) -> Answer:
        call = self._call(params.call_id, up=False)
        if call.direction == "out" or call.up:
            raise RpcError(
                rpc.INVALID_PARAMS, f"there is nothing to answer: the call is {call.state}", state=call.state
            )
        pcm = None if params.play is None else await self._kit.prompts.sound(params.play)
        if params.early_media:
            await call.process.ask("answer", call.number, code=183)
            if pcm is not None:
                call.player.play(pcm)
            return {"call_id": call.id, "state": "ringing"}
        call.answered_by, call.wants_play = "core", params.play
        call.wants_record, call.wants_language = params.record, params.language
        try:
            await call.process.ask("answer", call.number, code=200)
        except CommandFailed:
            call.answered_by = "policy"
            raise
        return {"call_id": call.id, "state": "up"}

    async def _hangup(self, params: r.HangupParams) -> Answer:
        call = self._call(params.call_id, up=False)
        code = None if call.up else params.code or (603 if call.direction == "in" else None)
        reason = "completed" if call.up else "rejected" if call.direction == "in" else "cancelled"
        if code in {486, 600}:
            reason = "busy"
        call.will_end(reason, "core", code)  # type: ignore[arg-type] # one of the three
        given: dict[str, Any] = {name: value for name, value in (("code", code), ("reason", params.reason)) if value}
        await call.process.ask("hangup", call.number, **given)
        return {"call_id": call.id}

    async def _hold(self, params: r.CallRequestParams, *, on: bool) -> Answer:
        call = self._call(params.call_id)
        if on == (call.held_by == "core"):
            return {"call_id": call.id, "held": on}
        await call.process.ask("hold" if on else "resume", call.number)
        music = self._kit.config.hold_music
        if on and music is not None:
            call.player.play(await self._kit.prompts.sound(music), loop=True)
        elif not on:
            call.player.stop()
        return {"call_id": call.id, "held": on}

    async def _transfer(self, params: r.TransferParams) -> Answer:
        call = self._call(params.call_id)
        if (params.to is None) == (params.with_call is None):
            raise RpcError(rpc.INVALID_PARAMS, "give one of `to` and `with_call` - at `$.to`")
        if call.transfer is not None:
            raise RpcError(rpc.INVALID_PARAMS, "a transfer is under way", state="transferring")
        if params.to is not None:
            uri = self._target(params.to)[1]
            call.transfer = (uri, False)
            await self._refer(call, "transfer", {"uri": uri})
            return {"call_id": call.id, "target": uri}
        other = self._call(params.with_call or "")
        if other is call:
            raise RpcError(rpc.INVALID_PARAMS, "a call cannot be joined with itself - at `$.with_call`")
        dialog = await other.process.ask("dialog", other.number)
        call.transfer = (dialog["uri"], True)
        await self._refer(call, "join", {"uri": dialog["uri"], "replaces": dialog["replaces"]})
        return {"call_id": call.id, "target": dialog["uri"]}

    @staticmethod
    async def _refer(call: Call, command: str, content: dict[str, Any]) -> None:
        try:
            await call.process.ask(command, call.number, **content)
        except CommandFailed:
            call.transfer = None
            raise

    async def _send_dtmf(self, params: r.SendDtmfParams) -> Answer:
        """Press keys; answered when the first is out."""
        call = self._call(params.call_id)
        first, rest = params.digits[:1], params.digits[1:]
        await self._press(call, first, params.method)
        self._board.spawn(call, self._press_all(call, rest, params.method))
        return {"call_id": call.id}

    @staticmethod
    async def _press(call: Call, key: str, method: str) -> None:
        if key in PAUSES:
            await asyncio.sleep(PAUSES[key])
            return
        await call.process.ask("dtmf", call.number, digits=key, method=method)
        await asyncio.sleep(KEY_SECS)

    async def _press_all(self, call: Call, keys: str, method: str) -> None:
        with suppress(CommandFailed):  # the call is over
            for key in keys:
                await self._press(call, key, method)

    async def _play(self, params: r.PlayParams) -> Answer:
        call = self._call(params.call_id, up=False)
        if not call.sounding:
            raise RpcError(rpc.INVALID_PARAMS, f"no sound flows yet: the call is {call.state}", state=call.state)
        if params.media is None:
            call.player.stop()
            return {"call_id": call.id}
        pcm = await self._kit.prompts.sound(params.media)
        call.player.play(pcm, loop=params.loop, interrupt=params.interrupt)
        return {"call_id": call.id, "duration_ms": len(pcm) // 16}

    async def _record(self, params: r.RecordParams) -> Answer:
        call = self._call(params.call_id)
        listening = self._board.listening(call)
        tape = listening.tape
        if params.action == "start":
            if tape is None:
                listening.record(language=None)
        elif tape is None:
            raise RpcError(rpc.INVALID_PARAMS, "the call is not being recorded - at `$.action`", state=call.state)
        elif params.action == "stop":
            listening.stop()
        else:
            tape.pause(on=params.action == "pause")
        tape = listening.tape
        return {"call_id": call.id, "recording": tape is not None and not tape.paused}

    def _target(self, to: str) -> tuple[str, str]:
        try:
            return lines.target(self._kit.config, to)
        except ValueError as exc:
            raise RpcError(rpc.INVALID_PARAMS, f"{exc} - at `$.to`") from exc

    async def _originate(self, params: r.OriginateParams) -> Answer:
        line, uri = self._target(params.to)
        if bad := [name for name in params.headers if not name.lower().startswith("x-")]:
            raise RpcError(rpc.INVALID_PARAMS, f"headers begin with X-, and {bad[0]!r:.40} does not - at `$.headers`")
        channel = self._kit.context.channel.id
        key = params.idempotency_key
        sip_call_id = f"{ids.digest(channel, key) if key else token_hex(16)}@omnigate"
        call_id = ids.call_id(channel, sip_call_id, "")
        if key and not await self._first(key, call_id):
            return {"call_id": call_id}
        process = self._pool.pick()
        if process is None:
            await self._forget(key, call_id)
            raise RpcError(rpc.BUSY, "all lines are taken (`max_calls`)", retry_after=1.0)
        sender = self._sender(line, params, process)
        told = Told(
            method="call.offered",
            sip_call_id=sip_call_id,
            direction="out",
            sender=sender,
            to=f"<{uri}>",
            at=self._kit.now(),
        )
        call = self._board.outgoing(told, process)
        call.wants_record, call.wants_language, call.wants_play = params.record, params.language, params.play
        try:
            await self._dial(call, line, uri, params, sender)
        except CommandFailed:
            await self._forget(key, call_id)
            if not call.number:
                self._board.calls.pop(call.id, None)
            raise
        return {"call_id": call_id}

    async def _dial(self, call: Call, line: str, uri: str, params: r.OriginateParams, sender: str) -> None:
        """Send the INVITE; the call is told of as soon as the child has given it a number."""
        fields = {"sip_call_id": call.outbox.told.sip_call_id, "ref": params.ref}

        def numbered(number: int) -> None:
            self._board.connect(call, number)
            self._board.start(call, fields)

        await call.process.dial(
            numbered,
            line=line,
            uri=uri,
            sip_call_id=call.outbox.told.sip_call_id,
            headers=params.headers,
            **({"from": sender} if params.caller_id or params.caller_name else {}),
        )
        self._board.limit_ringing(call, params.timeout_secs)

    def _sender(self, line: str, params: r.OriginateParams, process: Process) -> str:
        config = self._kit.config
        own = config.lines.get(line)
        user = params.caller_id or (own.user if own else "omnigate")
        place = lines.domain(own) if own else process.address
        if any(one in user for one in '<>@"; \r\n'):
            raise RpcError(rpc.INVALID_PARAMS, "not the user part of a SIP URI - at `$.caller_id`")
        name = sip_uri.quoted(params.caller_name) + " " if params.caller_name else ""
        return f"{name}<sip:{user}@{place}>"

    async def _first(self, key: str, call_id: str) -> bool:
        """Remember an idempotency key; false when it was known."""
        keep = self._kit.config.dedup_window_secs or 604_800.0
        try:
            return await self._kit.context.state.swap(f"originate:{key}", None, call_id.encode(), ttl=keep)
        except StateUnavailable as exc:
            raise RpcError(rpc.BUSY, "the store of answers does not answer; try again") from exc

    async def _forget(self, key: str | None, call_id: str) -> None:
        """Let a request that came to nothing be made again."""
        if key:
            with suppress(StateUnavailable):
                await self._kit.context.state.swap(f"originate:{key}", call_id.encode(), None)
